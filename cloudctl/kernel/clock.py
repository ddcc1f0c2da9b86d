"""Time: now, and the working days of the official calendar."""

from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Tells the time; tests drive their own."""

    def __call__(self) -> datetime: ...


def now() -> datetime:
    """This moment, in UTC."""
    return datetime.now(UTC)

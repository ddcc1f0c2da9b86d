"""Durable operations: lists of repeatable steps with undo that survive the death of any process."""

from datetime import timedelta
from typing import Any


class RetryLater(Exception):
    """The step cannot be done now; try again after `delay`. The reason is a slug with figures."""

    def __init__(self, reason: str, delay: timedelta = timedelta(seconds=15), **figures: Any) -> None:
        super().__init__(f"{reason}: {figures}" if figures else reason)
        self.reason, self.delay, self.figures = reason, delay, figures


class GiveUp(Exception):
    """The step will never work: what was done before it is undone. The reason is a slug with figures."""

    def __init__(self, reason: str, **figures: Any) -> None:
        super().__init__(f"{reason}: {figures}" if figures else reason)
        self.reason, self.figures = reason, figures

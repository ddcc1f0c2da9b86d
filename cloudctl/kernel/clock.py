"""Time: now, and the working days of the official calendar."""

import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

import chinese_calendar
import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from cloudctl.kernel.errors import Invalid
from cloudctl.kernel.settings import Settings

Light = Literal["green", "amber", "red"]

_moment: datetime | None = None


def now() -> datetime:
    """This moment, in UTC."""
    return _moment or datetime.now(UTC)


@contextmanager
def at(moment: datetime) -> Iterator[None]:
    """For tests and the demo only: time stands still at `moment`, in every thread of this process, within the block.

    Blocks nest, so that a test moves time on by opening another.
    """
    global _moment
    before, _moment = _moment, moment.astimezone(UTC)
    try:
        yield
    finally:
        _moment = before


class BadCalendar(Invalid):
    """The authority's calendar file cannot be read or contradicts itself."""


@dataclass(frozen=True)
class Deadline:
    """The last second in which something is still in time (UTC).

    `provisional`: it was counted over a year whose holidays nobody has published yet, and is counted
    again once they are.
    """

    at: datetime
    provisional: bool


class _AuthorityDays(BaseModel):
    """A calendar file: its days override the built-in ones; of the years it calls `complete` only its own count."""

    model_config = ConfigDict(extra="forbid")

    holidays: frozenset[date] = frozenset()
    workdays: frozenset[date] = frozenset()
    complete: frozenset[int] = frozenset()

    @model_validator(mode="after")
    def _no_day_is_both(self) -> "_AuthorityDays":
        if both := sorted(self.holidays & self.workdays):
            raise ValueError(f"both a holiday and a workday: {', '.join(map(str, both))}")
        return self


class Calendar:
    """Which days an authority works, in its own time zone. No year is an error: in an unknown one weekends are off."""

    def __init__(self, settings: Settings) -> None:
        """Read the calendar of these settings.

        Raises:
            BadCalendar: the authority's file cannot be read; names the file and what is wrong.
        """
        self.zone = ZoneInfo(settings.zone)
        self._own = _AuthorityDays()
        if file := settings.calendar_file:
            try:
                read = tomllib.loads if file.suffix == ".toml" else yaml.safe_load
                self._own = _AuthorityDays.model_validate(read(file.read_text(encoding="utf-8")))
            except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, yaml.YAMLError) as error:
                raise BadCalendar(file=str(file), fault=str(error)) from None
            except ValidationError as error:
                faults = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
                raise BadCalendar(file=str(file), fault="; ".join(faults)) from None

    def knows(self, year: int) -> bool:
        """Whether the holidays of `year` have been published and are known here."""
        return year in self._own.complete or date(year, 10, 1) in chinese_calendar.holidays

    def unknown_years(self, moment: datetime) -> list[int]:
        """Which of this year and the next the calendar does not know; `doctor` warns of them."""
        this = self._day(moment).year
        return [year for year in (this, this + 1) if not self.knows(year)]

    def is_working_day(self, day: date) -> bool:
        if day in self._own.workdays or day in self._own.holidays:
            return day in self._own.workdays
        if day.year not in self._own.complete:
            if day in chinese_calendar.workdays:
                return True
            if day in chinese_calendar.holidays:
                return False
        return day.weekday() < 5

    def deadline(self, start: datetime, working_days: int) -> Deadline:
        """The end of the n-th working day after the day of `start`, which itself does not count."""
        day, provisional = self._day(start), False
        while working_days > 0:
            day += timedelta(days=1)
            provisional |= not self.knows(day.year)
            working_days -= self.is_working_day(day)
        last_second = datetime.combine(day, time(23, 59, 59), self.zone)
        return Deadline(last_second.astimezone(UTC), provisional)

    def working_days_between(self, start: datetime, end: datetime) -> int:
        """How many working days a deadline from `start` has used up at `end`: the day of `start` does not count."""
        first, days = self._day(start), (self._day(end) - self._day(start)).days
        return sum(self.is_working_day(first + timedelta(days=day)) for day in range(1, days + 1))

    def light(self, deadline: Deadline, moment: datetime) -> Light:
        """Green; amber on the last working day; red when it is over, which a provisional date never is."""
        if moment > deadline.at and not deadline.provisional:
            return "red"
        return "amber" if self._day(moment) >= self._day(deadline.at) else "green"

    def _day(self, moment: datetime) -> date:
        return moment.astimezone(self.zone).date()

"""Deadlines are counted by the official calendar, and a year that nobody knows yet stops nothing."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from cloudctl.kernel import clock
from cloudctl.kernel.clock import BadCalendar, Calendar, Deadline
from cloudctl.kernel.settings import Settings


@pytest.fixture
def calendar(tmp_path: Path) -> Calendar:
    return Calendar(Settings(data_dir=tmp_path))


def authority(tmp_path: Path, name: str, text: str) -> Calendar:
    (tmp_path / name).write_text(text, encoding="utf-8")
    return Calendar(Settings(data_dir=tmp_path, calendar_file=tmp_path / name))


def shanghai(text: str) -> datetime:
    return datetime.fromisoformat(f"{text}+08:00")


def test_time_stands_still_in_every_thread_while_a_test_holds_it() -> None:
    moment = datetime(2026, 3, 2, 8, tzinfo=UTC)
    with clock.at(moment), ThreadPoolExecutor(2) as pool:
        assert set(pool.map(lambda _: clock.now(), range(4))) == {moment}
        with clock.at(moment + timedelta(days=1)):
            assert clock.now() == moment + timedelta(days=1)
        assert clock.now() == moment
    assert abs(clock.now() - datetime.now(UTC)) < timedelta(seconds=5)


@pytest.mark.parametrize(
    ("start", "days", "last_day"),
    [
        ("2026-03-02T09:00", 3, "2026-03-05"),  # a plain week
        ("2026-03-06T23:59", 1, "2026-03-09"),  # a Friday: the weekend is off
        ("2026-03-07T09:00", 1, "2026-03-09"),  # arrived on a Saturday
        ("2026-02-13T09:00", 1, "2026-02-14"),  # a Saturday that makes up for the Spring Festival
        ("2026-02-14T09:00", 1, "2026-02-24"),  # over the Spring Festival
        ("2026-09-30T09:00", 3, "2026-10-10"),  # National Day; Saturday the 10th makes up for it
        ("2026-03-02T09:00", 0, "2026-03-02"),
    ],
)
def test_a_deadline_is_the_end_of_the_nth_working_day_after_arrival(
    calendar: Calendar, start: str, days: int, last_day: str
) -> None:
    assert calendar.deadline(shanghai(start), days) == Deadline(shanghai(f"{last_day}T23:59:59"), provisional=False)


def test_the_day_of_arrival_is_that_of_the_authoritys_zone(calendar: Calendar) -> None:
    late_on_monday_in_utc = datetime(2026, 3, 2, 16, 30, tzinfo=UTC)  # Tuesday already in Shanghai
    assert calendar.deadline(late_on_monday_in_utc, 1).at == shanghai("2026-03-04T23:59:59")


def test_over_a_new_year_that_nobody_knows_weekends_are_off_and_the_date_is_provisional(calendar: Calendar) -> None:
    assert not calendar.knows(2031)
    assert calendar.deadline(shanghai("2030-12-31T09:00"), 3) == Deadline(shanghai("2031-01-03T23:59:59"), True)
    assert calendar.deadline(datetime(1999, 12, 31, tzinfo=UTC), 1).provisional


def test_a_provisional_date_turns_amber_and_never_red(calendar: Calendar) -> None:
    deadline = calendar.deadline(shanghai("2031-01-06T09:00"), 2)
    days = [calendar.light(deadline, shanghai(f"2031-01-{day}T10:00")) for day in ("07", "08", "09", "30")]
    assert days == ["green", "amber", "amber", "amber"]


def test_a_known_date_is_amber_on_its_last_working_day_and_red_after(calendar: Calendar) -> None:
    deadline = calendar.deadline(shanghai("2026-03-05T09:00"), 2)  # Friday, Monday
    moments = ["06T10:00", "08T23:59:59", "09T00:00", "09T23:59:59", "10T00:00"]
    assert [calendar.light(deadline, shanghai(f"2026-03-{moment}")) for moment in moments] == [
        "green",
        "green",
        "amber",
        "amber",
        "red",
    ]


def test_working_days_used_up_and_those_left_make_the_whole_limit(calendar: Calendar) -> None:
    opened, returned, supplemented = map(shanghai, ("2026-09-28T09:00", "2026-09-30T15:00", "2026-10-08T08:00"))
    used = calendar.working_days_between(opened, returned)
    assert used == 2
    assert calendar.deadline(supplemented, 5 - used).at == shanghai("2026-10-12T23:59:59")
    assert calendar.working_days_between(returned, returned + timedelta(hours=2)) == 0
    assert calendar.working_days_between(returned, opened) == 0


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("days.yaml", "holidays: [2031-01-01, 2031-01-03]\nworkdays: [2031-01-04]\ncomplete: [2031]\n"),
        ("days.toml", "holidays = [2031-01-01, 2031-01-03]\nworkdays = [2031-01-04]\ncomplete = [2031]\n"),
    ],
)
def test_the_authoritys_file_makes_a_year_known_and_its_dates_final(tmp_path: Path, name: str, text: str) -> None:
    calendar = authority(tmp_path, name, text)
    with_2030 = calendar.deadline(shanghai("2030-12-31T09:00"), 2)
    assert with_2030 == Deadline(shanghai("2031-01-04T23:59:59"), provisional=False)


def test_the_authoritys_days_override_the_built_in_ones_day_by_day(tmp_path: Path) -> None:
    calendar = authority(tmp_path, "days.yaml", "holidays: [2026-03-03]\nworkdays: [2026-10-01]\n")
    assert not calendar.is_working_day(date(2026, 3, 3))
    assert calendar.is_working_day(date(2026, 10, 1))
    assert not calendar.is_working_day(date(2026, 10, 2))


def test_a_complete_year_of_the_authority_ignores_the_built_in_one(tmp_path: Path) -> None:
    calendar = authority(tmp_path, "days.yaml", "complete: [2026]\n")
    assert calendar.is_working_day(date(2026, 10, 1))
    assert not calendar.is_working_day(date(2026, 10, 10))


def test_the_years_to_warn_of_are_those_that_are_near_and_unknown(calendar: Calendar, tmp_path: Path) -> None:
    assert calendar.unknown_years(shanghai("2025-12-31T23:00")) == []
    assert calendar.unknown_years(shanghai("2035-01-01T00:30")) == [2035, 2036]
    assert authority(tmp_path, "d.yaml", "complete: [2035]").unknown_years(shanghai("2035-01-01T00:30")) == [2036]


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        ("days.yaml", "holidays: [tomorrow]", "holidays"),
        ("days.yaml", "holiday: []", "holiday"),
        ("days.yaml", "holidays: [2031-01-01]\nworkdays: [2031-01-01]", "both a holiday and a workday: 2031-01-01"),
        ("days.yaml", "[", "flow"),
        ("days.toml", "holidays = ", "Invalid value"),
    ],
)
def test_a_wrong_calendar_file_is_refused_with_its_fault(tmp_path: Path, name: str, text: str, fault: str) -> None:
    with pytest.raises(BadCalendar) as refused:
        authority(tmp_path, name, text)
    assert refused.value.figures["file"] == str(tmp_path / name)
    assert fault in refused.value.figures["fault"]


def test_a_calendar_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadCalendar):
        Calendar(Settings(data_dir=tmp_path, calendar_file=tmp_path / "nothing.yaml"))

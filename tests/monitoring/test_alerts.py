"""Alerts come back as events on what they speak of, once each; a silence hides them, and not for ever."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from cloudctl.kernel import clock, events, operations
from cloudctl.kernel.settings import Settings
from monitoring import alerts, silences, status
from monitoring.alerts import Told
from monitoring.silences import BadSilence, NoSuchSilence
from provisioning import drivers, reconcile
from tenancy.callers import Caller, NotPermitted
from tests.provisioning.looks import Silent
from tests.world import World

MONITOR = Caller(id="usr_m", name="prometheus", platform_role="monitor")
BEGAN = datetime(2026, 3, 2, 1, tzinfo=UTC)


@pytest.fixture
def world(engine: Engine, settings: Settings, tmp_path: Path) -> World:
    world = World(engine, settings, tmp_path / "servers")
    world.pool = world.add_pool()
    return world


def told(ended_at: datetime | None = None, began: datetime = BEGAN, **labels: str) -> Told:
    return Told("f1", {"alertname": "PoolFull", "severity": "critical", **labels}, "almost full", began, ended_at)


def slugs(session: Session, subject: str) -> list[str]:
    return [one.slug for one in events.after(session, [subject]) if one.slug.startswith("alert-")]


def test_what_is_repeated_is_told_once_and_its_end_once(session: Session, world: World) -> None:
    firing, over = told(pool="local"), told(BEGAN + timedelta(hours=1), pool="local")
    changes = [alerts.report(session, MONITOR, [one]) for one in (firing, firing, over, over)]
    assert changes == [1, 0, 1, 0]
    assert slugs(session, world.pool) == ["alert-firing", "alert-resolved"]
    assert alerts.firing(session) == []


def test_one_that_fires_again_is_news_and_a_late_end_of_the_first_time_is_not(session: Session, world: World) -> None:
    again = BEGAN + timedelta(days=1)
    alerts.report(session, MONITOR, [told(pool="local"), told(BEGAN + timedelta(hours=1), pool="local")])
    assert alerts.report(session, MONITOR, [told(began=again, pool="local")]) == 1
    assert alerts.report(session, MONITOR, [told(BEGAN + timedelta(hours=1), pool="local")]) == 0
    assert [one.started_at for one in alerts.firing(session)] == [again]


def test_the_narrowest_thing_that_exists_gets_the_event(session: Session, world: World) -> None:
    tenancy = world.create({"storage_gib.ssd": 1})
    alerts.report(session, MONITOR, [told(pool="local", tenancy=tenancy)])
    assert slugs(session, tenancy) == ["alert-firing"]
    assert slugs(session, world.pool) == []
    lost = Told("f2", {"alertname": "PoolFull", "pool": "gone"}, "", BEGAN, None)
    assert alerts.report(session, MONITOR, [lost]) == 1
    assert [one.subject for one in alerts.firing(session)] == [tenancy, None]


def test_only_the_program_that_looks_and_operators_report(session: Session, world: World) -> None:
    with pytest.raises(NotPermitted):
        alerts.report(session, world.clerk, [told()])


def test_a_silence_hides_what_it_names_until_it_ends(session: Session, world: World) -> None:
    alerts.report(session, MONITOR, [told(pool="local")])

    def shown() -> list[str]:
        found = status.troubles(session, world.operator, world.settings)
        return [one.figures["alert"] for one in found if one.slug == "trouble-alert"]

    assert shown() == ["PoolFull"]
    until = clock.now() + timedelta(hours=1)
    silences.create(session, world.operator, {"pool": "other"}, "works there", until)
    assert shown() == ["PoolFull"]
    made = silences.create(session, world.operator, {"pool": "local", "alertname": "PoolFull"}, "known", until)
    assert shown() == []
    with clock.at(until + timedelta(seconds=1)):
        assert shown() == ["PoolFull"]
        with pytest.raises(NoSuchSilence):
            silences.end(session, world.operator, made.id)
    silences.end(session, world.operator, made.id)
    assert shown() == ["PoolFull"]


@pytest.mark.parametrize(("matchers", "hours"), [({}, 1), ({"pool": "local"}, -1), ({"pool": "local"}, 24 * 31)])
def test_a_silence_of_everything_or_without_end_is_refused(
    session: Session, world: World, matchers: dict[str, str], hours: int
) -> None:
    with pytest.raises(BadSilence):
        silences.create(session, world.operator, matchers, "because", clock.now() + timedelta(hours=hours))


def test_trouble_of_a_back_end_is_told_at_the_next_look(session: Session, world: World) -> None:
    world.create({"storage_gib.ssd": 1})
    reconcile.sweep(world.engine, world.settings)
    assert [one.slug for one in status.troubles(session, world.operator, world.settings)] == []
    (world.folder / "local").rename(world.folder / "gone")
    reconcile.sweep(world.engine, world.settings)
    session.rollback()
    (trouble,) = status.troubles(session, world.operator, world.settings)
    assert (trouble.slug, trouble.wakes, trouble.who) == ("trouble-breaker", True, "local (522300-JYJ)")
    assert trouble.next == "cloudctl pool show local"


def test_since_when_a_place_has_not_answered_stays_the_same_at_every_look(
    session: Session, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(drivers.DRIVERS, "servers", Silent())
    found = []
    for _ in range(2):
        reconcile.sweep(world.engine, world.settings)
        session.rollback()
        found += status.troubles(session, world.operator, world.settings)
    assert [(one.slug, one.wakes, one.figures["places"]) for one in found] == [
        ("trouble-unreachable", True, ["here"])
    ] * 2
    assert found[0].since == found[1].since


def test_a_parked_operation_names_who_suffers_and_what_to_type(session: Session, world: World) -> None:
    tenancy = world.create({"storage_gib.ssd": 1})
    row = world.promise("tenancy.suspend", tenancy)
    parked = operations.get(session, row)
    parked.state, parked.reason = "parked", {"slug": "lost", "figures": {}}
    session.flush()
    (trouble,) = status.troubles(session, world.operator, world.settings)
    assert (trouble.slug, trouble.wakes, trouble.who) == ("trouble-parked", False, "教育局")
    assert trouble.next == f"cloudctl operation show {row}"


def test_what_wakes_comes_first_and_of_equals_the_oldest(session: Session, world: World) -> None:
    mild = Told("f3", {"alertname": "ApiSlow", "severity": "warning"}, "slow", BEGAN - timedelta(days=1), None)
    newer = Told("f4", {"alertname": "AuditUnsealed", "severity": "critical"}, "", BEGAN + timedelta(hours=2), None)
    alerts.report(session, MONITOR, [mild, newer, told(pool="local")])
    found = status.troubles(session, world.operator, world.settings)
    assert [one.figures["alert"] for one in found] == ["PoolFull", "AuditUnsealed", "ApiSlow"]
    assert [one.wakes for one in found] == [True, True, False]

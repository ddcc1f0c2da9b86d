"""Who works on a tenancy by hand, or orders something to be done to it, comes before repair."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from cloudctl.kernel import clock
from cloudctl.kernel import engine as walker
from cloudctl.kernel.operations import OperationRow
from provisioning import conditions, drivers, orders, terms
from provisioning import operations as changes
from tenancy import tenancies
from tests.provisioning.looks import ROOM, SIZE, Silent, change, is_changed, look, pool, repairs, several, told
from tests.world import World

pytestmark = pytest.mark.slow


@pytest.fixture
def world(on_cluster: World) -> World:
    on_cluster.add_pool(**ROOM)
    return on_cluster


def test_a_hold_pauses_repair_until_its_time_or_its_end(world: World) -> None:
    tenancy, _ = several(world, 2)
    moment = datetime.now(UTC) + timedelta(hours=2)
    change(world, tenancy)
    with Session(world.engine) as session, session.begin():
        tenancies.hold(session, world.operator, tenancy, moment, "disk swap")
    look(world)
    assert repairs(world) == []
    with clock.at(moment + timedelta(minutes=1)):
        look(world)
    assert repairs(world) == [tenancy]


def test_drift_of_what_is_held_is_told_once_and_left_alone(world: World) -> None:
    tenancy, _ = several(world, 2)
    with Session(world.engine) as session, session.begin():
        tenancies.hold(session, world.operator, tenancy, datetime(2099, 1, 1, tzinfo=UTC), "disk swap")
    look(world)
    assert "tenancy-drifted-held" not in told(world, tenancy)
    change(world, tenancy)
    look(world)
    look(world)
    assert told(world, tenancy).count("tenancy-drifted-held") == 1
    assert repairs(world) == []


def test_the_owner_is_told_why_nothing_is_repaired_and_nothing_of_others(world: World) -> None:
    def why(tenancy: str) -> Mapping[str, Any] | None:
        with Session(world.engine) as session:
            return conditions.hinders_repair(session, tenancies.get(session, tenancy))

    first, second, third = several(world, 3)
    look(world)
    assert why(first) is None
    with Session(world.engine) as session, session.begin():
        tenancies.hold(session, world.operator, third, datetime(2099, 1, 1, tzinfo=UTC), "disk swap")
    for tenancy in (first, second):
        change(world, tenancy)
    look(world)
    held, stopped = why(third), why(first)
    assert held
    assert stopped
    assert (held["slug"], held["figures"]["reason"]) == ("unrepaired-held", "disk swap")
    assert (stopped["slug"], list(stopped["figures"])) == ("unrepaired-breaker", ["since"])
    look(world)
    assert [told(world, one).count("tenancy-drifted-stopped") for one in (first, second, third)] == [1, 1, 0]


def test_a_hold_that_is_over_already_is_refused_and_one_can_be_ended(world: World) -> None:
    tenancy = world.create(SIZE)
    with Session(world.engine) as session, session.begin():
        with pytest.raises(tenancies.HoldInThePast) as refused:
            tenancies.hold(session, world.operator, tenancy, datetime(2020, 1, 1, tzinfo=UTC), "late")
        assert refused.value.field == "until"
        tenancies.hold(session, world.operator, tenancy, datetime(2099, 1, 1, tzinfo=UTC), "disk swap")
        ended = tenancies.hold(session, world.operator, tenancy, None, "done")
        assert (ended.held_until, ended.held_because) == (None, None)
    assert told(world, tenancy)[-2:] == ["tenancy-held", "tenancy-released"]


def test_a_hold_also_stops_the_repair_that_was_promised_before(world: World) -> None:
    tenancy, _ = several(world, 2)
    change(world, tenancy)
    look(world)
    with Session(world.engine) as session, session.begin():
        tenancies.hold(session, world.operator, tenancy, datetime(2099, 1, 1, tzinfo=UTC), "disk swap")
    world.walk()
    assert is_changed(world, tenancy)
    with Session(world.engine) as session:
        (row,) = session.scalars(select(OperationRow).where(OperationRow.kind == "tenancy.repair"))
        assert (row.state, (row.reason or {})["slug"]) == ("undone", "held")
    look(world)
    assert pool(world).condition["held"] == {tenancy: ["damaged"]}
    look(world)
    assert told(world, tenancy).count("tenancy-drifted-held") == 1


def test_what_somebody_works_on_by_hand_is_neither_erased_by_its_term_nor_by_an_order(world: World) -> None:
    tenancy = world.create(SIZE)
    world.promise("tenancy.quarantine", tenancy)
    world.walk()
    with Session(world.engine) as session, session.begin():
        tenancies.hold(session, world.operator, tenancy, datetime(2099, 1, 1, tzinfo=UTC), "saving data")
    with clock.at(datetime.now(UTC) + timedelta(days=400)):
        terms.enforce(world.engine, world.settings)
        world.walk()
        assert world.tenancy(tenancy).state == "quarantined"
    with Session(world.engine) as session, pytest.raises(tenancies.Held):
        orders.start(session, world.operator, changes.ERASE, tenancy, "now")


def test_what_an_operator_orders_does_not_wait_for_a_repair_that_waits(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenancy, _ = several(world, 2)
    change(world, tenancy)
    look(world)
    real = drivers.DRIVERS["kubernetes"]
    monkeypatch.setitem(drivers.DRIVERS, "kubernetes", Silent())
    with Session(world.engine) as session:
        row = session.scalars(select(OperationRow).where(OperationRow.kind == "tenancy.repair")).one()
    walker.advance(world.engine, world.settings, row.id, row.ticket)
    monkeypatch.setitem(drivers.DRIVERS, "kubernetes", real)
    with Session(world.engine) as session, session.begin():
        orders.start(session, world.operator, changes.SUSPEND, tenancy, "incident")
    world.walk()
    assert world.tenancy(tenancy).state == "suspended"


def test_where_there_is_no_hold_there_is_none_to_end(world: World) -> None:
    tenancy = world.create(SIZE)
    with Session(world.engine) as session, pytest.raises(tenancies.NotHeld):
        tenancies.hold(session, world.operator, tenancy, None, "done")

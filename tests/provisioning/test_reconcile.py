"""Reconciling: drift is found, told and repaired, and what looks wrong all at once is left to a person."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.orm import Session

from cloudctl.kernel import clock, operations
from provisioning import drivers, pools
from tests.provisioning.looks import ROOM, SIZE, Silent, change, confirm, look, pool, repairs, several, told
from tests.world import World

pytestmark = pytest.mark.slow


@pytest.fixture
def world(on_cluster: World) -> World:
    on_cluster.add_pool(**ROOM)
    return on_cluster


def test_where_all_is_as_it_shall_be_nothing_happens(world: World) -> None:
    world.create(SIZE)
    look(world)
    assert repairs(world) == []
    condition = pool(world).condition
    assert (condition["breaker"], condition["strangers"], condition["unreachable"]) == (None, [], {})


def test_a_tenancy_on_which_something_is_under_way_is_left_alone(world: World) -> None:
    tenancy, _ = several(world, 2)
    world.promise("tenancy.suspend", tenancy)
    change(world, tenancy)
    look(world)
    assert repairs(world) == []
    assert pool(world).condition["strangers"] == []


def test_too_much_at_once_waits_until_an_operator_confirms_it(world: World) -> None:
    tenancies_ = several(world, 3)
    for tenancy in tenancies_[:2]:
        change(world, tenancy)
    look(world)
    assert repairs(world) == []
    with Session(world.engine) as session, session.begin():
        with pytest.raises(pools.NotAsFound):
            pools.confirm(session, world.operator, "local", "0123456789abcdef", "the disk was replaced")
        confirm(session, world, "the disk was replaced")
    look(world)
    assert repairs(world) == tenancies_[:2]
    world.walk()
    look(world)
    assert pool(world).condition["breaker"] is None
    with Session(world.engine) as session, pytest.raises(pools.NothingToConfirm):
        pools.confirm(session, world.operator, "local", "0123456789abcdef", "again")


def test_repairs_are_bounded_and_the_rest_follows(world: World) -> None:
    world.settings = world.settings.model_copy(update={"repairs_at_once": 1, "drift_percent": 100})
    first, second, _ = several(world, 3)
    for tenancy in (first, second):
        change(world, tenancy)
    look(world)
    look(world)
    assert repairs(world) == [first]
    world.walk()
    look(world)
    assert repairs(world) == [first, second]


def test_a_place_that_does_not_answer_is_told_of_and_nothing_of_it_is_judged(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.create(SIZE)
    monkeypatch.setitem(drivers.DRIVERS, "kubernetes", Silent())
    look(world)
    look(world)
    found = pool(world)
    assert (list(found.condition["unreachable"]), found.condition["breaker"]) == (["local"], None)
    assert told(world, found.id).count("pool-unreachable") == 1
    assert repairs(world) == []


def test_two_sweeps_at_once_repair_once(world: World) -> None:
    from tests.world import at_once

    tenancy, _ = several(world, 2)
    change(world, tenancy)
    at_once(4, lambda _: look(world))
    assert repairs(world) == [tenancy]
    with Session(world.engine) as session:
        assert operations.busy(session, [tenancy]) == {tenancy: "tenancy.repair"}


def test_a_confirmation_opens_nothing_to_what_goes_wrong_later(world: World) -> None:
    world.settings = world.settings.model_copy(update={"repairs_at_once": 1})
    one, two, three, four, _ = several(world, 5)
    for tenancy in (one, two):
        change(world, tenancy)
    look(world)
    with Session(world.engine) as session, session.begin():
        confirm(session, world, "the disk was replaced")
    look(world)
    world.walk()
    for tenancy in (three, four):
        change(world, tenancy)
    look(world)
    assert repairs(world) == [one]
    breaker = pool(world).condition["breaker"]
    assert (breaker["confirmed_by"], breaker["wrong"]) == (None, sorted([two, three, four]))
    assert told(world, pool(world).id).count("breaker-opened") == 2


def test_a_repair_that_did_not_hold_is_repeated_ever_more_seldom(world: World) -> None:
    tenancy, _ = several(world, 2)
    for minutes, repaired in ((0, 1), (5, 1), (11, 2), (21, 2), (32, 3)):
        with clock.at(datetime.now(UTC) + timedelta(minutes=minutes)):
            change(world, tenancy)
            look(world)
            world.walk()
            assert len(repairs(world)) == repaired, minutes

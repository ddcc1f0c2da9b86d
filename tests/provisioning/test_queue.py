"""Waiting for capacity: in order, without starving the large, and never held up by one that is broken."""

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from provisioning import queue
from tenancy import requests
from tenancy.models import Item
from tests.world import World


@pytest.fixture
def world(on_cluster: World) -> World:
    return on_cluster


def ask(world: World, name: str, vcpu: int, **other: object) -> str:
    """An approved request for a tenancy that waits for its place."""
    request = world.submit({"kind": "create", "name": name, "size": {"vcpu": vcpu}, **other})
    world.approve(request)
    return request


def state(world: World, request: str) -> str:
    return world.request(request).items[0].state


def test_an_approved_item_without_a_fitting_pool_waits_and_says_for_what(world):
    request = ask(world, "web", 4)
    world.admit()
    item = world.request(request).items[0]
    assert (item.state, item.reason["slug"]) == ("waiting", "no-pool-fits")
    with Session(world.engine) as session:
        assert requests.position(session, item) == 1


def test_capacity_that_comes_is_given_to_who_waits(world):
    request = ask(world, "web", 4)
    world.admit()
    world.add_pool(inventory={"vcpu": 8})
    world.walk()
    assert state(world, request) == "done"


def test_a_small_late_request_does_not_starve_a_large_early_one(world):
    world.add_pool(inventory={"vcpu": 8})
    first = world.create({"vcpu": 4})
    large, small = ask(world, "large", 8), ask(world, "small", 1)
    world.walk()
    assert (state(world, large), state(world, small)) == ("waiting", "waiting")
    world.promise("tenancy.quarantine", first)
    world.walk()
    world.promise("tenancy.erase", first)
    world.walk()
    assert (state(world, large), state(world, small)) == ("done", "waiting")


def test_one_that_could_never_fit_keeps_nobody_waiting(world):
    world.add_pool(inventory={"vcpu": 8})
    giant, small = ask(world, "giant", 300), ask(world, "small", 1)
    world.walk()
    assert (state(world, giant), state(world, small)) == ("waiting", "done")


def test_one_that_wants_another_pool_is_not_held_up(world):
    world.add_pool("arm", {"vcpu": 8})
    world.add_pool("other", {"vcpu": 8})
    early, late = ask(world, "early", 8), ask(world, "late", 8)
    world.walk()
    assert (state(world, early), state(world, late)) == ("done", "done")


def test_a_poison_item_stalls_nobody(world, engine):
    poison, behind = ask(world, "poison", 1), ask(world, "behind", 1)
    with Session(engine) as session, session.begin():
        session.execute(update(Item).where(Item.request_id == poison).values(subject="ten_nowhere"))
    world.add_pool(inventory={"vcpu": 8})
    world.walk()
    assert (state(world, poison), state(world, behind)) == ("waiting", "done")


def test_withdrawing_while_waiting_gives_everything_back(world):
    from tenancy import submissions

    request = ask(world, "web", 4)
    world.admit()
    with Session(world.engine) as session, session.begin():
        submissions.withdraw(session, world.clerk, request)
    assert (state(world, request), world.request(request).state) == ("withdrawn", "withdrawn")
    assert world.balances() == {}
    assert world.tenancy(world.request(request).items[0].subject).state == "withdrawn"


def test_a_growth_waits_for_its_own_pool(world):
    world.add_pool(inventory={"vcpu": 8})
    tenancy, other = world.create({"vcpu": 4}, "one"), world.create({"vcpu": 4}, "two")
    request = world.submit({"kind": "resize", "tenancy": tenancy, "size": {"vcpu": 8}})
    world.approve(request)
    world.walk()
    assert state(world, request) == "waiting"
    for kind in ("tenancy.quarantine", "tenancy.erase"):
        world.promise(kind, other)
        world.walk()
    assert (state(world, request), world.tenancy(tenancy).size) == ("done", {"vcpu": 8})
    assert world.differences() == []


def test_the_queue_is_only_looked_at_by_one_at_a_time(world):
    world.add_pool(inventory={"vcpu": 8})
    for number in range(8):
        ask(world, f"web-{number}", 1)
    from tests.world import at_once

    at_once(4, lambda _: queue.admit(world.engine, world.settings))
    world.walk()
    assert world.balances()[world.bureau.id]["vcpu"].used == 8
    assert world.differences() == []

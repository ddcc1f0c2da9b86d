"""What is broken stalls nobody else, is never silently undone, and can be put right by an operator."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from cloudctl.kernel import engine as walker
from cloudctl.kernel import operations
from cloudctl.kernel.operations import OperationRow
from cloudctl.kernel.settings import Settings
from provisioning import drivers
from tests.world import World


class Garbage:
    """A driver that answers every call with something no driver may answer."""

    def __getattr__(self, name: str) -> Any:
        def call(*_: Any, **__: Any) -> Any:
            if name == "observe":
                return "observed?"
            raise KeyError(name)

        return call


@pytest.fixture
def world(engine: Engine, settings: Settings, tmp_path: Path) -> World:
    world = World(engine, settings, tmp_path / "servers")
    world.add_pool()
    yield world
    drivers.DRIVERS.pop("garbage", None)


def operation_of(world: World, tenancy: str) -> OperationRow:
    with Session(world.engine, expire_on_commit=False) as session:
        return session.scalars(select(OperationRow).where(OperationRow.subject == tenancy)).one()


def asked(world: World, name: str) -> str:
    request = world.submit({"kind": "create", "name": name, "size": {"vcpu": 1}})
    world.approve(request)
    world.admit()
    return world.request(request).items[0].subject


def test_a_driver_that_throws_garbage_parks_its_own_operation_and_no_other(world):
    real = drivers.DRIVERS["servers"]
    poison, fine = asked(world, "poison"), asked(world, "fine")
    parked = operation_of(world, poison)
    drivers.DRIVERS["servers"] = Garbage()
    for _ in range(world.settings.attempts + 1):
        row = operation_of(world, poison)
        walker.advance(world.engine, world.settings, row.id, row.ticket)
    drivers.DRIVERS["servers"] = real
    world.walk()
    row = operation_of(world, poison)
    assert (row.state, row.current, row.reason["slug"]) == ("parked", "provision", "unexpected")
    assert world.tenancy(poison).state == "creating"
    assert world.tenancy(fine).state == "active"
    with Session(world.engine) as session, session.begin():
        operations.retry(session, world.operator, parked.id)
    world.walk()
    assert world.tenancy(poison).state == "active"
    assert world.differences() == []


def test_a_parked_creation_that_an_operator_declares_undone_gives_everything_back(world):
    real = drivers.DRIVERS["servers"]
    poison = asked(world, "poison")
    drivers.DRIVERS["servers"] = Garbage()
    for _ in range(world.settings.attempts + 1):
        row = operation_of(world, poison)
        walker.advance(world.engine, world.settings, row.id, row.ticket)
    drivers.DRIVERS["servers"] = real
    assert world.balances()[world.bureau.id]["vcpu"].held == 1
    with Session(world.engine) as session, session.begin():
        operations.resolve(session, world.operator, operation_of(world, poison).id, "undone", "nothing is there")
    world.walk()
    assert world.tenancy(poison).state == "failed"
    assert world.balances() == {}
    assert world.differences() == []


def test_a_creation_cancelled_half_way_leaves_nothing(world):
    tenancy = asked(world, "web")
    for _ in range(2):
        row = operation_of(world, tenancy)
        walker.advance(world.engine, world.settings, row.id, row.ticket)
    assert [path for path in world.tree() if tenancy in path]
    with Session(world.engine) as session, session.begin():
        operations.cancel(session, world.clerk, operation_of(world, tenancy).id, "no longer wanted")
    world.walk()
    assert (operation_of(world, tenancy).state, world.tenancy(tenancy).state) == ("undone", "failed")
    assert not [path for path in world.tree() if tenancy in path]
    assert world.balances() == {}
    assert world.differences() == []


def test_an_operation_of_a_kind_that_this_program_does_not_know_is_parked(world):
    tenancy = asked(world, "web")
    known = operations.KINDS.pop("tenancy.create")
    row = operation_of(world, tenancy)
    for _ in range(world.settings.attempts):
        row = operation_of(world, tenancy)
        walker.advance(world.engine, world.settings, row.id, row.ticket)
    operations.register(known)
    assert operation_of(world, tenancy).state == "parked"

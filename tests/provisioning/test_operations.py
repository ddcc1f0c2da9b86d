"""Every operation, every step, on the real back end: repeated, nothing changes; failed, nothing is left."""

from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from cloudctl.kernel import operations
from cloudctl.kernel.operations import Operation
from cloudctl.kernel.settings import Settings
from provisioning import drivers, snapshots
from provisioning import operations as changes
from tests.provisioning.steps import failing, twice, undone_twice
from tests.world import World

SIZE = {"vcpu": 2, "memory_gib": 4, "storage_gib.ssd": 1}
LARGER = {"vcpu": 3, "memory_gib": 4, "storage_gib.ssd": 2}

# operation -> the state in which it starts, and in which it ends
JOURNEYS = {
    "tenancy.create": (None, "active"),
    "tenancy.resize": ("active", "active"),
    "tenancy.suspend": ("active", "suspended"),
    "tenancy.resume": ("suspended", "active"),
    "tenancy.quarantine": ("active", "quarantined"),
    "tenancy.restore": ("quarantined", "active"),
    "tenancy.erase": ("quarantined", "erased"),
    "tenancy.rotate": ("active", "active"),
    "tenancy.repair": ("active", "active"),
}
UNDOABLE = [(plan.kind, place) for plan in changes.ALL if plan.cancellable for place in range(len(plan.steps))]


@pytest.fixture
def world(engine: Engine, settings: Settings, tmp_path: Path) -> World:
    world = World(engine, settings, tmp_path / "servers")
    world.add_pool()
    yield world
    operations.register(*changes.ALL)


def start(world: World, kind: str) -> str | None:
    """Bring a tenancy into the state in which the operation starts."""
    state, _ = JOURNEYS[kind]
    if state is None:
        return None
    tenancy = world.create(SIZE)
    if state != "active":
        world.promise(f"tenancy.{'suspend' if state == 'suspended' else 'quarantine'}", tenancy)
        world.walk()
    assert world.tenancy(tenancy).state == state
    return tenancy


def play(world: World, kind: str, tenancy: str | None) -> str:
    """Have the operation carried out as users would, until it rests; the tenancy's id."""
    if kind == "tenancy.create":
        return world.create(SIZE)
    if kind == "tenancy.resize":
        request = world.submit({"kind": "resize", "tenancy": tenancy, "size": LARGER})
        world.approve(request)
    else:
        world.promise(kind, tenancy)
    world.walk()
    return tenancy


def truth(world: World, tenancy: str) -> tuple:
    """All that must be equal however often a step ran."""
    row = world.tenancy(tenancy)
    tree = {path.replace(tenancy, "TEN"): size for path, size in world.tree().items()}
    return row.state, row.size, world.balances().get(world.bureau.id), world.differences(), tree


def register_with(kind: str, place: int, changed) -> None:
    plan = next(each for each in changes.ALL if each.kind == kind)
    steps = [
        changed(step) if index == place else replace(step, undo=undone_twice(step))
        for index, step in enumerate(plan.steps)
    ]
    operations.register(Operation(kind, *steps, cancellable=plan.cancellable))


@pytest.mark.parametrize("kind", JOURNEYS)
def test_every_step_repeated_changes_nothing(world: World, kind: str) -> None:
    plan = next(each for each in changes.ALL if each.kind == kind)
    tenancy = start(world, kind)
    operations.register(Operation(kind, *map(twice, plan.steps), cancellable=plan.cancellable))
    tenancy = play(world, kind, tenancy)
    state, size, balances, differences, tree = truth(world, tenancy)
    assert state == JOURNEYS[kind][1]
    assert differences == []
    if state == "erased":
        assert not [path for path in tree if "TEN" in path]
    else:
        with Session(world.engine) as session:
            wanted = snapshots.of(session, tenancy)
        found = drivers.of(wanted.place).observe(wanted)
        assert (found.size, found.suspended) == (size, wanted.suspended)
    quota = {} if state in ("quarantined", "erased") else size
    assert {name: balance.used for name, balance in (balances or {}).items()} == quota


@pytest.mark.parametrize(("kind", "place"), UNDOABLE)
def test_a_step_that_fails_anywhere_leaves_a_clean_slate(world: World, kind: str, place: int) -> None:
    tenancy = start(world, kind)
    before = truth(world, tenancy) if tenancy else None
    register_with(kind, place, failing)
    tenancy = play(world, kind, tenancy)
    after = truth(world, tenancy)
    if before is None:
        assert after[0] == "failed"
        assert after[2] is None
        assert not [path for path in after[4] if "TEN" in path]
    else:
        assert after == before
    assert after[3] == []

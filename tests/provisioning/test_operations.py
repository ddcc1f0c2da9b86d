"""Every operation, every step, on real back ends: repeated, nothing changes; failed, nothing is left."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from cloudctl.kernel import operations
from cloudctl.kernel.operations import Operation, Step
from cloudctl.kernel.settings import Settings
from provisioning import drivers, snapshots
from provisioning import operations as changes
from provisioning.kubernetes import cluster as clusters
from provisioning.kubernetes import found, manifests
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
SAID = ("spec", "rules", "roleRef", "subjects")
UNDOABLE = [(plan.kind, place) for plan in changes.ALL if plan.cancellable for place in range(len(plan.steps))]


@dataclass
class Scene:
    """A world with one pool, and what that has of a tenancy."""

    world: World
    left: Callable[[str], list[Any]]


@pytest.fixture
def on_a_server(engine: Engine, settings: Settings, tmp_path: Path) -> Iterator[Scene]:
    world = World(engine, settings, tmp_path / "servers")
    world.add_pool()
    yield Scene(
        world, lambda tenancy: [path_and_size for path_and_size in world.tree().items() if tenancy in path_and_size[0]]
    )
    operations.register(*changes.ALL)


@pytest.fixture
def on_a_cluster(on_cluster: World) -> Iterator[Scene]:
    on_cluster.add_pool()
    there = clusters.of({"kubeconfig": on_cluster.kubeconfig})

    def left(tenancy: str) -> list[Any]:
        seen = found.of(there, manifests.namespace(tenancy))
        parts = {} if seen is None or seen.is_going else seen.parts
        return sorted(_anonymous([key, *map(part.get, SAID)]) for key, part in parts.items())

    yield Scene(on_cluster, left)
    operations.register(*changes.ALL)


def _anonymous(said: object) -> str:
    """The tenant's account has another name whenever access is handed over."""
    return re.sub(r"tenant-[0-9a-f]{8}", "tenant", json.dumps(said, sort_keys=True))


def start(scene: Scene, kind: str) -> str | None:
    """Bring a tenancy into the state in which the operation starts."""
    state, _ = JOURNEYS[kind]
    if state is None:
        return None
    world, tenancy = scene.world, scene.world.create(SIZE)
    if state != "active":
        world.promise(f"tenancy.{'suspend' if state == 'suspended' else 'quarantine'}", tenancy)
        world.walk()
    assert world.tenancy(tenancy).state == state
    return tenancy


def play(scene: Scene, kind: str, tenancy: str | None) -> str:
    """Have the operation carried out as users would, until it rests; the tenancy's id."""
    world = scene.world
    if tenancy is None:
        return world.create(SIZE)
    if kind == "tenancy.resize":
        request = world.submit({"kind": "resize", "tenancy": tenancy, "size": LARGER})
        world.approve(request)
    else:
        world.promise(kind, tenancy)
    world.walk()
    return tenancy


def books(world: World, tenancy: str) -> tuple[Any, ...]:
    """What our own books say, and must say again."""
    row = world.tenancy(tenancy)
    return row.state, row.size, world.balances().get(world.bureau.id)


def register_with(kind: str, place: int, changed: Callable[[Step], Step]) -> None:
    plan = next(each for each in changes.ALL if each.kind == kind)
    steps = [
        changed(step) if index == place else replace(step, undo=undone_twice(step))
        for index, step in enumerate(plan.steps)
    ]
    operations.register(Operation(kind, *steps, cancellable=plan.cancellable))


@pytest.mark.parametrize("kind", JOURNEYS)
def test_every_step_repeated_changes_nothing(on_a_cluster: Scene, kind: str) -> None:
    comes_to_the_same_repeated(on_a_cluster, kind)


@pytest.mark.parametrize("kind", ["tenancy.create", "tenancy.resize", "tenancy.suspend", "tenancy.erase"])
def test_on_a_server_it_changes_nothing_either(on_a_server: Scene, kind: str) -> None:
    comes_to_the_same_repeated(on_a_server, kind)


def comes_to_the_same_repeated(scene: Scene, kind: str) -> None:
    """Each step acts twice: the tenancy and the books are as after one time."""
    world = scene.world
    plan = next(each for each in changes.ALL if each.kind == kind)
    tenancy = start(scene, kind)
    operations.register(Operation(kind, *map(twice, plan.steps), cancellable=plan.cancellable))
    tenancy = play(scene, kind, tenancy)
    state, size, balances = books(world, tenancy)
    assert (state, world.differences()) == (JOURNEYS[kind][1], [])
    if state == "erased":
        assert not scene.left(tenancy)
    else:
        with Session(world.engine) as session:
            wanted = snapshots.of(session, tenancy)
        seen = drivers.of(wanted.place).observe(wanted)
        assert (seen.size, seen.suspended, list(seen.damaged)) == (size, wanted.suspended, [])
    quota = {} if state in ("quarantined", "erased") else size
    assert {name: balance.used for name, balance in (balances or {}).items()} == quota


@pytest.mark.parametrize(("kind", "place"), UNDOABLE)
def test_a_step_that_fails_anywhere_leaves_a_clean_slate(on_a_cluster: Scene, kind: str, place: int) -> None:
    fails_cleanly(on_a_cluster, kind, place)


@pytest.mark.parametrize(
    ("kind", "place"), [("tenancy.create", 1), ("tenancy.resize", 2), ("tenancy.suspend", 0), ("tenancy.rotate", 2)]
)
def test_it_does_so_on_a_server_too(on_a_server: Scene, kind: str, place: int) -> None:
    fails_cleanly(on_a_server, kind, place)


def fails_cleanly(scene: Scene, kind: str, place: int) -> None:
    """The step at that place acts and gives up: all is as it was before the operation, or nothing is left of it."""
    tenancy = start(scene, kind)
    before = tenancy and (books(scene.world, tenancy), scene.left(tenancy))
    assert before is None or before[1], "there is something that could be left otherwise"
    register_with(kind, place, failing)
    tenancy = play(scene, kind, tenancy)
    after = (books(scene.world, tenancy), scene.left(tenancy))
    assert after == (before or (("failed", SIZE, None), []))
    assert scene.world.differences() == []

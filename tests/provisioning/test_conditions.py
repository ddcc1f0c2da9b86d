"""What reconciling found of a pool is told to those who have something to do with it, and to no others."""

import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from cloudctl.kernel.settings import Settings
from provisioning import conditions, pools, reconcile
from tenancy import tenancies
from tests.world import World

SIZE = {"vcpu": 1, "memory_gib": 1, "storage_gib.ssd": 1}


@pytest.fixture
def world(engine: Engine, settings: Settings, tmp_path: Path) -> World:
    world = World(engine, settings, tmp_path / "servers")
    world.add_pool(inventory=SIZE, overcommit=dict.fromkeys(SIZE, 100.0))
    return world


def look(world: World) -> None:
    reconcile.sweep(world.engine, world.settings)


def test_the_owner_is_told_why_nothing_is_repaired_and_nothing_of_others(world: World) -> None:
    def why(tenancy: str) -> Mapping[str, Any] | None:
        with Session(world.engine) as session:
            return conditions.hinders_repair(session, tenancies.get(session, tenancy))

    first, second, third = [world.create(SIZE, f"web-{number}") for number in range(3)]
    look(world)
    assert why(first) is None
    with Session(world.engine) as session, session.begin():
        tenancies.hold(session, world.operator, third, datetime(2099, 1, 1, tzinfo=UTC), "disk swap")
    for tenancy in (first, second):
        shutil.rmtree(world.folder / "local" / tenancy)
    look(world)
    held, stopped = why(third), why(first)
    assert held
    assert stopped
    assert (held["slug"], held["figures"]["reason"]) == ("unrepaired-held", "disk swap")
    assert (stopped["slug"], list(stopped["figures"])) == ("unrepaired-breaker", ["since"])


@pytest.mark.parametrize(("lacking", "is_told"), [(0, False), (5, False), (6, True)])
def test_a_little_less_than_was_entered_is_no_shortage(world: World, lacking: int, is_told: bool) -> None:
    world.settings = world.settings.model_copy(update={"shortage_percent": 5})
    with Session(world.engine) as session:
        pool = pools.seen_by(session, world.operator, "local")
        (expected,) = reconcile.snapshots.on_pool(session, pool.id)
        (server,) = pools.servers_of(session, pool.id)
        server.inventory = {"memory_gib": 100}
        seen = reconcile.Look(expected, {}, {"memory_gib": 100 - lacking})
        assert bool(reconcile._short(session, world.settings, pool, [seen])) is is_told

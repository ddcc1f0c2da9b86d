"""Reconciling servers: what was changed, lost or added on one is found, told and repaired."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from cloudctl.kernel import clock, events
from cloudctl.kernel.settings import Settings
from provisioning import drivers, pools, reconcile, snapshots
from provisioning.drivers import Observed, Place
from provisioning.servers import ServersDriver
from tenancy import tenancies
from tests.provisioning.looks import ROOM, SIZE, look, other_keys, pool, repairs, several, share, told
from tests.world import KEY, World

pytestmark = pytest.mark.slow


@pytest.fixture
def world(engine: Engine, settings: Settings, tmp_path: Path) -> World:
    world = World(engine, settings, tmp_path / "servers")
    world.add_pool(**ROOM)
    return world


def _larger(folder: Path) -> None:
    (limits,) = folder.glob("*.slice")
    limits.write_text(limits.read_text().replace("CPUQuota=100%", "CPUQuota=900%"))


def _gone(folder: Path) -> None:
    (folder / "ssd.ext4").unlink()


@pytest.mark.parametrize(
    ("behind_our_back", "part"),
    [(other_keys, "keys"), (_larger, "size"), (_gone, "size"), (shutil.rmtree, "existence")],
    ids=["keys", "limits", "volume", "everything"],
)
def test_what_was_changed_behind_our_back_is_told_and_repaired(world: World, behind_our_back: Any, part: str) -> None:
    tenancy, _ = several(world, 2)
    before = world.tenancy(tenancy)
    behind_our_back(share(world, tenancy))
    look(world)
    assert repairs(world) == [tenancy]
    with Session(world.engine) as session:
        (drift,) = [event for event in events.after(session, [tenancy]) if event.slug == "tenancy-drifted"]
        assert drift.figures["parts"] == [part]
    world.walk()
    with Session(world.engine) as session:
        wanted = snapshots.of(session, tenancy)
    seen = drivers.of(wanted.place).observe(wanted)
    assert (dict(seen.size), seen.keys, seen.suspended) == (SIZE, (KEY,), False)
    assert told(world, tenancy).count("tenancy-repaired") == 1
    same = world.tenancy(tenancy).access == before.access
    assert same == (part != "existence"), "what was handed over stays as it is while anything is left"
    look(world)
    assert repairs(world) == [tenancy]


def test_who_was_let_in_again_while_suspended_is_shut_out(world: World) -> None:
    tenancy = world.create(SIZE)
    world.promise("tenancy.suspend", tenancy)
    world.walk()
    (volume,) = share(world, tenancy).glob("*.shut")
    volume.rename(volume.with_name("ssd.ext4"))
    look(world)
    world.walk()
    assert world.tenancy(tenancy).state == "suspended"
    assert not list(share(world, tenancy).glob("*.ext4"))


def test_an_empty_answer_opens_the_breaker_and_repairs_nothing(world: World) -> None:
    tenancy = world.create(SIZE)
    (world.folder / "local").rename(world.folder / "away")
    look(world)
    look(world)
    assert repairs(world) == []
    found = pool(world)
    assert found.condition["breaker"]["empty"] == ["here"]
    assert [slug for slug in told(world, found.id) if slug == "breaker-opened"] == ["breaker-opened"]
    (world.folder / "away").rename(world.folder / "local")
    look(world)
    assert pool(world).condition["breaker"] is None
    assert told(world, found.id)[-1] == "breaker-closed"
    assert world.tenancy(tenancy).state == "active"


def test_what_belongs_to_nobody_is_told_once_and_not_touched(world: World) -> None:
    world.create(SIZE)
    stranger = share(world, "ten_00000000000000000000000000")
    stranger.mkdir()
    look(world)
    look(world)
    found = pool(world)
    assert found.condition["strangers"] == [stranger.name]
    assert told(world, found.id).count("pool-strangers") == 1
    assert stranger.is_dir()


def test_what_belongs_to_nobody_does_not_make_an_empty_answer_full(world: World) -> None:
    world.create(SIZE)
    (world.folder / "local").rename(world.folder / "away")
    share(world, "ten_00000000000000000000000000").mkdir(parents=True)
    look(world)
    assert repairs(world) == []
    assert pool(world).condition["breaker"]["empty"] == ["here"]


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


def test_a_place_with_less_than_was_entered_is_told_of(world: World) -> None:
    world.add_pool("large", {"vcpu": 100_000})
    look(world)
    with Session(world.engine) as session:
        short = pools.seen_by(session, world.operator, "large").condition["short"]
    assert short["here"]["vcpu"][0] == 100_000


def test_where_nothing_was_left_the_tenant_gets_access_anew(world: World) -> None:
    tenancy, _ = several(world, 2)
    with Session(world.engine) as session, session.begin():
        tenancies.hand_over(session, world.clerk, tenancy)
    other_keys(share(world, tenancy))
    look(world)
    world.walk()
    assert world.tenancy(tenancy).access is None
    shutil.rmtree(share(world, tenancy))
    with clock.at(datetime.now(UTC) + timedelta(hours=1)):
        look(world)
        world.walk()
    assert world.tenancy(tenancy).access


@dataclass(frozen=True)
class Garbled(ServersDriver):
    """The servers driver before an answer that makes no sense."""

    def survey(self, place: Place) -> Mapping[str, Observed]:
        raise ValueError("not a superblock")


def test_a_server_that_cannot_be_read_is_told_of_and_its_neighbour_is_looked_at(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.create(SIZE)
    monkeypatch.setitem(drivers.DRIVERS, "servers", Garbled(world.folder / "jobs"))
    look(world)
    assert pool(world).condition["unreachable"]["here"]["slug"] == "unexpected"


@pytest.mark.parametrize("kind", ["tenancy.rotate", "tenancy.resize"])
def test_what_was_lost_is_not_made_anew_by_the_way(world: World, kind: str) -> None:
    tenancy, _ = several(world, 2)
    shutil.rmtree(share(world, tenancy))
    if kind == "tenancy.resize":
        world.approve(world.submit({"kind": "resize", "tenancy": tenancy, "size": {**SIZE, "vcpu": 2}}))
    else:
        world.promise(kind, tenancy)
    world.walk()
    assert not share(world, tenancy).exists()
    assert world.tenancy(tenancy).state == "active"
    look(world)
    assert repairs(world) == [tenancy]

"""Reconciling: drift is found, told and repaired, and what looks wrong all at once is left to a person."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from cloudctl.kernel import clock, events, operations
from cloudctl.kernel import engine as walker
from cloudctl.kernel.operations import OperationRow, RetryLater
from cloudctl.kernel.settings import Settings
from provisioning import drivers, orders, pools, reconcile, snapshots, terms
from provisioning import operations as changes
from provisioning.drivers import Inventory, Observed, Place
from provisioning.servers import ServersDriver
from tenancy import tenancies
from tests.world import KEY, World

SIZE = {"vcpu": 1, "memory_gib": 1, "storage_gib.ssd": 1}


@pytest.fixture
def world(engine: Engine, settings: Settings, tmp_path: Path) -> World:
    world = World(engine, settings, tmp_path / "servers")
    world.add_pool(inventory={"vcpu": 1, "memory_gib": 1, "storage_gib.ssd": 1}, overcommit=dict.fromkeys(SIZE, 100.0))
    return world


def share(world: World, tenancy: str) -> Path:
    return world.folder / "local" / tenancy


def repairs(world: World) -> list[str]:
    """Subjects of the repairs that were promised, oldest first."""
    with Session(world.engine) as session:
        found = select(OperationRow.subject).where(OperationRow.kind == "tenancy.repair").order_by(OperationRow.number)
        return list(session.scalars(found))


def told(world: World, subject: str) -> list[str]:
    with Session(world.engine) as session:
        return [event.slug for event in events.after(session, [subject])]


def pool(world: World) -> pools.Pool:
    with Session(world.engine, expire_on_commit=False) as session:
        return pools.seen_by(session, world.operator, "local")


def look(world: World) -> None:
    reconcile.sweep(world.engine, world.settings)


def confirm(session: Session, world: World, reason: str) -> None:
    digest = pools.seen_by(session, world.operator, "local").condition["breaker"]["digest"]
    pools.confirm(session, world.operator, "local", digest, reason)


def several(world: World, count: int) -> list[str]:
    return [world.create(SIZE, f"web-{number}") for number in range(count)]


def test_where_all_is_as_it_shall_be_nothing_happens(world: World) -> None:
    world.create(SIZE)
    look(world)
    assert repairs(world) == []
    condition = pool(world).condition
    assert (condition["breaker"], condition["strangers"], condition["unreachable"]) == (None, [], {})


def _other_keys(folder: Path) -> None:
    (folder / "authorized_keys").write_text("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGZvcmVpZ24 intruder\n")


def _larger(folder: Path) -> None:
    (limits,) = folder.glob("*.slice")
    limits.write_text(limits.read_text().replace("CPUQuota=100%", "CPUQuota=900%"))


def _gone(folder: Path) -> None:
    (folder / "ssd.ext4").unlink()


@pytest.mark.parametrize(
    ("behind_our_back", "part"),
    [(_other_keys, "keys"), (_larger, "size"), (_gone, "size"), (shutil.rmtree, "existence")],
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


def test_a_tenancy_on_which_something_is_under_way_is_left_alone(world: World) -> None:
    tenancy, _ = several(world, 2)
    world.promise("tenancy.suspend", tenancy)
    shutil.rmtree(share(world, tenancy))
    look(world)
    assert repairs(world) == []
    assert pool(world).condition["strangers"] == []


def test_a_hold_pauses_repair_until_its_time_or_its_end(world: World) -> None:
    tenancy, _ = several(world, 2)
    moment = datetime.now(UTC) + timedelta(hours=2)
    _other_keys(share(world, tenancy))
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
    _other_keys(share(world, tenancy))
    look(world)
    look(world)
    assert told(world, tenancy).count("tenancy-drifted-held") == 1
    assert repairs(world) == []


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


def test_too_much_at_once_waits_until_an_operator_confirms_it(world: World) -> None:
    tenancies_ = several(world, 3)
    for tenancy in tenancies_[:2]:
        shutil.rmtree(share(world, tenancy))
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
        _other_keys(share(world, tenancy))
    look(world)
    look(world)
    assert repairs(world) == [first]
    world.walk()
    look(world)
    assert repairs(world) == [first, second]


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


def test_a_place_with_less_than_was_entered_is_told_of(world: World) -> None:
    world.add_pool("large", {"vcpu": 100_000})
    look(world)
    with Session(world.engine) as session:
        short = pools.seen_by(session, world.operator, "large").condition["short"]
    assert short["here"]["vcpu"][0] == 100_000


@dataclass(frozen=True)
class Silent(ServersDriver):
    """The servers driver on a day on which nobody answers."""

    def survey(self, place: Place) -> Mapping[str, Observed]:
        raise RetryLater("unreachable", message="no route to host")

    def inventory(self, place: Place) -> Inventory:
        raise RetryLater("unreachable", message="no route to host")

    def provision(self, tenancy: drivers.Tenancy, log: drivers.Log, within: timedelta) -> drivers.Access:
        raise RetryLater("unreachable", timedelta(hours=1), message="no route to host")


@dataclass(frozen=True)
class Garbled(ServersDriver):
    """The servers driver before an answer that makes no sense."""

    def survey(self, place: Place) -> Mapping[str, Observed]:
        raise ValueError("not a superblock")


def test_a_place_that_does_not_answer_is_told_of_and_nothing_of_it_is_judged(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.create(SIZE)
    monkeypatch.setitem(drivers.DRIVERS, "servers", Silent(world.folder / "jobs"))
    look(world)
    look(world)
    found = pool(world)
    assert (list(found.condition["unreachable"]), found.condition["breaker"]) == (["here"], None)
    assert told(world, found.id).count("pool-unreachable") == 1
    assert repairs(world) == []


def test_two_sweeps_at_once_repair_once(world: World) -> None:
    from tests.world import at_once

    tenancy, _ = several(world, 2)
    _other_keys(share(world, tenancy))
    at_once(4, lambda _: look(world))
    assert repairs(world) == [tenancy]
    with Session(world.engine) as session:
        assert operations.busy(session, [tenancy]) == {tenancy: "tenancy.repair"}


def test_a_confirmation_opens_nothing_to_what_goes_wrong_later(world: World) -> None:
    world.settings = world.settings.model_copy(update={"repairs_at_once": 1})
    one, two, three, four, _ = several(world, 5)
    for tenancy in (one, two):
        shutil.rmtree(share(world, tenancy))
    look(world)
    with Session(world.engine) as session, session.begin():
        confirm(session, world, "the disk was replaced")
    look(world)
    world.walk()
    for tenancy in (three, four):
        shutil.rmtree(share(world, tenancy))
    look(world)
    assert repairs(world) == [one]
    breaker = pool(world).condition["breaker"]
    assert (breaker["confirmed_by"], breaker["wrong"]) == (None, sorted([two, three, four]))
    assert told(world, pool(world).id).count("breaker-opened") == 2


def test_what_belongs_to_nobody_does_not_make_an_empty_answer_full(world: World) -> None:
    world.create(SIZE)
    (world.folder / "local").rename(world.folder / "away")
    share(world, "ten_00000000000000000000000000").mkdir(parents=True)
    look(world)
    assert repairs(world) == []
    assert pool(world).condition["breaker"]["empty"] == ["here"]


def test_a_repair_that_did_not_hold_is_repeated_ever_more_seldom(world: World) -> None:
    tenancy, _ = several(world, 2)
    for minutes, repaired in ((0, 1), (5, 1), (11, 2), (21, 2), (32, 3)):
        with clock.at(datetime.now(UTC) + timedelta(minutes=minutes)):
            _other_keys(share(world, tenancy))
            look(world)
            world.walk()
            assert len(repairs(world)) == repaired, minutes


def test_a_hold_also_stops_the_repair_that_was_promised_before(world: World) -> None:
    tenancy, _ = several(world, 2)
    _other_keys(share(world, tenancy))
    look(world)
    with Session(world.engine) as session, session.begin():
        tenancies.hold(session, world.operator, tenancy, datetime(2099, 1, 1, tzinfo=UTC), "disk swap")
    world.walk()
    assert "intruder" in (share(world, tenancy) / "authorized_keys").read_text()
    with Session(world.engine) as session:
        (row,) = session.scalars(select(OperationRow).where(OperationRow.kind == "tenancy.repair"))
        assert (row.state, (row.reason or {})["slug"]) == ("undone", "held")
    look(world)
    assert pool(world).condition["held"] == {tenancy: ["keys"]}
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
    _other_keys(share(world, tenancy))
    look(world)
    real = drivers.DRIVERS["servers"]
    monkeypatch.setitem(drivers.DRIVERS, "servers", Silent(world.folder / "jobs"))
    with Session(world.engine) as session:
        row = session.scalars(select(OperationRow).where(OperationRow.kind == "tenancy.repair")).one()
    walker.advance(world.engine, world.settings, row.id, row.ticket)
    monkeypatch.setitem(drivers.DRIVERS, "servers", real)
    with Session(world.engine) as session, session.begin():
        orders.start(session, world.operator, changes.SUSPEND, tenancy, "incident")
    world.walk()
    assert world.tenancy(tenancy).state == "suspended"


def test_where_nothing_was_left_the_tenant_gets_access_anew(world: World) -> None:
    tenancy, _ = several(world, 2)
    with Session(world.engine) as session, session.begin():
        tenancies.hand_over(session, world.clerk, tenancy)
    _other_keys(share(world, tenancy))
    look(world)
    world.walk()
    assert world.tenancy(tenancy).access is None
    shutil.rmtree(share(world, tenancy))
    with clock.at(datetime.now(UTC) + timedelta(hours=1)):
        look(world)
        world.walk()
    assert world.tenancy(tenancy).access


def test_a_server_that_cannot_be_read_is_told_of_and_its_neighbour_is_looked_at(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.create(SIZE)
    monkeypatch.setitem(drivers.DRIVERS, "servers", Garbled(world.folder / "jobs"))
    look(world)
    assert pool(world).condition["unreachable"]["here"]["slug"] == "unexpected"

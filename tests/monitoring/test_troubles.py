"""What an operator is told: each trouble once it is there, and no longer."""

from datetime import timedelta

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from cloudctl.kernel import clock
from cloudctl.kernel.operations import OperationRow
from cloudctl.kernel.settings import Settings
from monitoring import troubles
from provisioning.models import Pool
from provisioning.reconcile import sweep
from tests.world import World

SIZE = {"vcpu": 2, "memory_gib": 4, "storage_gib.ssd": 1}


def found(world: World) -> list[troubles.Trouble]:
    """Without the note that this machine has less than the tests say it has."""
    with Session(world.engine) as session:
        return [one for one in troubles.found(session, world.operator) if one.slug != "trouble-short"]


def told(world: World) -> list[tuple[str, str]]:
    return [(trouble.weight, trouble.slug) for trouble in found(world)]


def test_of_what_is_well_nothing_is_told(engine: Engine, settings: Settings, tmp_path) -> None:
    world = World(engine, settings, tmp_path / "servers")
    world.add_pool()
    world.create(SIZE)
    sweep(engine, settings)
    assert told(world) == []


def test_the_worst_comes_first_with_what_to_type_next(engine: Engine, settings: Settings, tmp_path) -> None:
    world = World(engine, settings, tmp_path / "servers")
    world.add_pool(inventory={"vcpu": 4, "memory_gib": 800, "storage_gib.ssd": 100})
    tenancy = world.create({**SIZE, "vcpu": 4})
    waits = world.submit({"kind": "create", "name": "second", "size": SIZE})
    world.approve(waits)
    world.admit()
    operation = world.promise("tenancy.suspend", tenancy)
    with Session(engine) as session, session.begin():
        session.get_one(OperationRow, operation).state = "parked"
    sweep(engine, settings)
    assert told(world) == [("wake", "trouble-parked"), ("soon", "trouble-full")]
    assert found(world)[0].command == f"cloudctl operation show {operation}"
    with clock.at(clock.now() + timedelta(hours=2)):
        assert told(world) == [
            ("wake", "trouble-parked"),
            ("wake", "trouble-unseen"),
            ("soon", "trouble-waiting"),
            ("soon", "trouble-full"),
        ]


def test_a_pool_that_is_not_believed_or_does_not_answer_wakes_somebody(
    engine: Engine, settings: Settings, tmp_path
) -> None:
    world = World(engine, settings, tmp_path / "servers")
    world.add_pool()
    world.create(SIZE)
    (world.folder / "local").rename(world.folder / "away")
    sweep(engine, settings)
    assert told(world) == [("wake", "trouble-breaker")]
    with Session(engine) as session, session.begin():
        pool = session.query(Pool).one()
        pool.condition = {**pool.condition, "breaker": None, "unreachable": {"here": {"slug": "busy", "figures": {}}}}
    assert told(world) == [("wake", "trouble-unreachable")]

"""Usage becomes evidence: measured by the driver, dated, and gone when it is old."""

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from cloudctl.kernel import clock
from cloudctl.kernel.settings import Settings
from monitoring import usage
from tenancy import evidence
from tests.world import World


@pytest.fixture
def world(engine: Engine, settings: Settings, tmp_path: Path) -> World:
    world = World(engine, settings, tmp_path / "servers")
    world.add_pool()
    return world


def test_the_use_of_a_tenancy_is_measured_and_expires(world):
    tenancy = world.create({"storage_gib.ssd": 1})
    usage.measure(world.engine, world.settings)
    with Session(world.engine) as session:
        found = evidence.fresh(session, "usage", tenancy)
        assert 0 <= found.value["storage_gib.ssd"] < 0.5
        with clock.at(clock.now() + timedelta(days=8)):
            assert evidence.fresh(session, "usage", tenancy) is None


def test_a_decrease_is_automatic_only_with_fresh_evidence(world):
    tenancy = world.create({"storage_gib.ssd": 2})
    resize = {"kind": "resize", "tenancy": tenancy, "size": {"storage_gib.ssd": 1}}
    asked = world.submit(resize)
    assert world.request(asked).items[0].state == "pending"
    from tenancy import submissions

    with Session(world.engine) as session, session.begin():
        submissions.withdraw(session, world.clerk, asked)
    usage.measure(world.engine, world.settings)
    world.submit(resize)
    world.walk()
    assert world.tenancy(tenancy).size == {"storage_gib.ssd": 1}
    assert world.differences() == []


def test_one_that_cannot_be_measured_keeps_nobody_from_being_measured(world):
    gone, fine = world.create({"storage_gib.ssd": 1}, "gone"), world.create({"storage_gib.ssd": 1}, "fine")
    for path in sorted((world.folder / "local").rglob(f"{gone}*"), reverse=True):
        if path.is_file():
            path.unlink()
    usage.measure(world.engine, world.settings)
    with Session(world.engine) as session:
        assert evidence.fresh(session, "usage", fine)

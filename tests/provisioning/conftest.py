"""A fleet of bare servers for the tests of what becomes of them."""

from pathlib import Path

import pytest
from sqlalchemy import Engine

from cloudctl.kernel import operations
from cloudctl.kernel.settings import Settings
from provisioning import enrolment
from tests.provisioning.fleet import Fleet
from tests.world import World


@pytest.fixture
def fleet(bed, engine: Engine, settings: Settings, tmp_path: Path) -> Fleet:
    yield Fleet(World(engine, settings, tmp_path / "servers"), bed)
    operations.register(*enrolment.ALL)


@pytest.fixture
def fresh(bed):
    """A server that nobody has touched, switched off afterwards."""
    (server,) = bed.add("x86")
    yield server
    server.cut_power()

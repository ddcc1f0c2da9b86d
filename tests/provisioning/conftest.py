"""What tests of provisioning stand on: a fleet of bare servers, or a world whose pools are a cluster's."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from cloudctl.kernel import operations
from cloudctl.kernel.settings import Settings
from provisioning import enrolment
from tests.beds.kubernetes import rights
from tests.beds.kubernetes.cluster import Cluster
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


@pytest.fixture
def on_cluster(engine: Engine, settings: Settings, tmp_path: Path, cluster: Cluster) -> Iterator[World]:
    """A world without pools yet; whichever it adds are the cluster's."""
    world = World(engine, settings, tmp_path / "servers", kubeconfig=str(rights.platform(cluster)))
    yield world
    world.let_go(cluster.core)

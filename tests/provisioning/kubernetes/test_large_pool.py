"""A pool among a thousand nodes of three architectures: it is counted in a few calls, and pods find their own nodes."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from provisioning.drivers import Place, Tenancy
from tests.beds import missing
from tests.beds.kubernetes.cluster import Cluster
from tests.beds.kubernetes.fixtures import shared
from tests.beds.kubernetes.pods import pod
from tests.beds.kubernetes.processes import until
from tests.beds.kubernetes.programs import Lacking
from tests.provisioning.kubernetes.conftest import DRIVER, let_in

pytestmark = shared("large")
NODES = {"arm64": 700, "amd64": 200, "loong64": 100}
CPU, PODS = 64, 40
MOST_CALLS = 6  # version, and nodes in pages of 500


@pytest.fixture(scope="module")
def large() -> Iterator[Cluster]:
    try:
        bed = Cluster()
    except Lacking as lacking:
        missing("Kubernetes", str(lacking))
    with bed as cluster:
        for architecture, count in NODES.items():
            cluster.add_nodes(count, architecture, cpu=CPU)
        yield cluster


@pytest.fixture(scope="module")
def place(large: Cluster) -> Place:
    connection = {"kubeconfig": str(large.kubeconfig("cloudctl")), "storage_classes": {"ssd": "ssd"}}
    return Place("kunpeng", "kubernetes", "arm64", connection)


def test_each_architecture_is_counted_for_itself_in_a_few_calls(large: Cluster, place: Place) -> None:
    for architecture, count in NODES.items():
        before = len(large.requests("cloudctl"))
        found = DRIVER.inventory(replace(place, architecture=architecture))
        assert found.amounts["vcpu"] == count * CPU
        assert len(large.requests("cloudctl")) - before <= MOST_CALLS


def test_pods_of_a_tenancy_find_nodes_of_its_architecture_alone(large: Cluster, place: Place, tmp_path: Path) -> None:
    size = {"vcpu": PODS, "memory_gib": PODS, "storage_gib.ssd": 10}
    tenant = let_in(large, Tenancy("ten_01large", "exam", "prj-1", "522300-jyj", size, place), tmp_path)
    for number in range(PODS):
        tenant.core.create_namespaced_pod(tenant.space, pod(f"one-{number}"))

    def running() -> Counter[str]:
        pods = tenant.core.list_namespaced_pod(tenant.space).items
        return Counter(each.spec.node_name.split("-")[0] for each in pods if each.status.phase == "Running")

    until("all pods run", lambda: running().total() == PODS, 60)
    assert running() == {"arm64": PODS}

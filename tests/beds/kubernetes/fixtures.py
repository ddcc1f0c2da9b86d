"""The bed as fixtures: one cluster with played nodes and one with real workers, each once a test session."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.beds import missing

if TYPE_CHECKING:
    from tests.beds.kubernetes.cluster import Cluster

NAMED = "CLOUDCTL_TEST_KUBECONFIG"
"""Names the kubeconfig of a cluster to use instead of our own. Never KUBECONFIG: the tests delete namespaces."""


class NamedCluster:
    """A cluster that somebody named: taken as it is. A test that needs to own its cluster is missing here."""

    def __init__(self, path: Path) -> None:
        from kubernetes import client, config

        self._path = path
        self.api = config.new_client_from_config(str(path))
        self.core = client.CoreV1Api(self.api)

    def kubeconfig(self, user: str = "admin", group: str | None = "system:masters") -> Path:
        """The kubeconfig that was named, whoever it is for; no other group can be had."""
        return self._path if group == "system:masters" else self.of_another_group()

    def __getattr__(self, name: str) -> Any:
        missing("Kubernetes", f"this test needs a cluster of its own ({name}), and {NAMED} names one")


def shared(bed: str) -> list[pytest.MarkDecorator]:
    """The marks of tests that need the bed of that name: they are slow, and run in the process that has it."""
    return [pytest.mark.slow, pytest.mark.xdist_group(f"kubernetes-{bed}")]


@pytest.hookimpl(tryfirst=True)  # before xdist looks at the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whoever names a bed's fixture has its marks; who gets it by `request.getfixturevalue` says so with `shared`."""
    for item in items:
        for bed in {"cluster", "workers"} & set(getattr(item, "fixturenames", ())):
            for mark in shared(bed):
                item.add_marker(mark)


@contextmanager
def _started(workers: int) -> Iterator["Cluster"]:
    from tests.beds.kubernetes.cluster import Cluster
    from tests.beds.kubernetes.programs import Lacking

    try:
        bed = Cluster(workers)
    except Lacking as lacking:
        missing("Kubernetes with real workers" if workers else "Kubernetes", str(lacking))
    with bed as cluster:
        yield cluster


@pytest.fixture(scope="session")
def cluster() -> Iterator["Cluster | NamedCluster"]:
    """A real control plane with a played node of each architecture, or the cluster that is named."""
    if named := os.environ.get(NAMED):
        yield NamedCluster(Path(named))
        return
    from tests.beds.kubernetes.worker import CPU_FAMILIES

    with _started(workers=0) as cluster:
        for architecture in CPU_FAMILIES:
            cluster.add_nodes(2, architecture)
        yield cluster


@pytest.fixture(scope="session")
def workers() -> Iterator["Cluster"]:
    """A real control plane with two real workers that enforce NetworkPolicy. Root only."""
    with _started(workers=2) as cluster:
        yield cluster

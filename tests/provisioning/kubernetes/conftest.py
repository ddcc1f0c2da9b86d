"""A tenancy that the driver made on the real API server, and its tenant with nothing but what was handed over."""

import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, config

from cloudctl.kernel.operations import RetryLater
from provisioning.drivers import Place, Tenancy
from provisioning.kubernetes import KubernetesDriver, manifests
from tests.beds.kubernetes import rights
from tests.beds.kubernetes.cluster import Cluster
from tests.beds.kubernetes.pods import pod
from tests.beds.kubernetes.processes import until
from tests.world import let_go

WITHIN = timedelta(seconds=60)
SIZE = {"vcpu": 4, "memory_gib": 8, "storage_gib.ssd": 10}
DRIVER = KubernetesDriver()
DRY = {"dry_run": "All"}


def quiet(slug: str, **figures: Any) -> None:
    """A log that nobody reads."""


def removed(tenancy: Tenancy) -> None:
    """Remove it as an operation does: come back while it is going."""

    def gone() -> bool:
        try:
            return bool(DRIVER.remove(tenancy, quiet, WITHIN))
        except RetryLater:
            return False

    until("the tenancy is removed", gone)


@dataclass
class Tenant:
    """Somebody with nothing but the kubeconfig that was handed over."""

    tenancy: Tenancy
    kubeconfig: str
    folder: Path
    api: client.ApiClient = field(init=False)

    def __post_init__(self) -> None:
        file = self.folder / f"{os.urandom(4).hex()}.kubeconfig"
        file.write_text(self.kubeconfig)
        self.api = config.new_client_from_config(str(file))
        self.core, self.apps, self.batch = (
            of(self.api) for of in (client.CoreV1Api, client.AppsV1Api, client.BatchV1Api)
        )
        self.net, self.rights = client.NetworkingV1Api(self.api), client.RbacAuthorizationV1Api(self.api)

    @property
    def space(self) -> str:
        return manifests.namespace(self.tenancy.id)

    def runs(self, name: str = "one", **spec: Any) -> client.V1Pod:
        """Ask the API server whether it would take this pod; it as it would be."""
        return self.core.create_namespaced_pod(self.space, pod(name, **spec), **DRY)

    def claims(self, size: str, storage: str | None = "ssd", **more: Any) -> client.V1PersistentVolumeClaim:
        """Ask the API server whether it would take a claim of that size and storage class."""
        return self.core.create_namespaced_persistent_volume_claim(
            self.space, claim("disk", size, storage, **more), **DRY
        )


def claim(name: str, size: str, storage: str | None = "ssd", **more: Any) -> dict[str, Any]:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}, **more}
    return {"metadata": {"name": name}, "spec": {**spec, **({"storageClassName": storage} if storage else {})}}


@contextmanager
def refused(status: int, reason: str = "") -> Iterator[None]:
    """In this block the API server refuses, with this status, and says something that matches."""
    with pytest.raises(client.ApiException) as told:
        yield
    said = json.loads(told.value.body)["message"]
    assert (told.value.status, bool(re.search(reason, said))) == (status, True), said


@pytest.fixture(scope="session")
def place(cluster: Cluster) -> Place:
    connection = {
        "kubeconfig": str(rights.platform(cluster)),
        "storage_classes": {"ssd": "ssd", "hdd": "hdd"},
        "cpu_family": "kunpeng-920",
        "gpu_resource": "huawei.com/Ascend910",
        "entrance": "ingress",
        "domain": "apps.gov.cn",
    }
    return Place("pool_1.", "kubernetes", "arm64", connection)


@pytest.fixture
def tenancy(cluster: Cluster, place: Place) -> Iterator[Tenancy]:
    """A tenancy that nobody has made yet, of names that no label takes."""
    tenancy = Tenancy(f"ten_{os.urandom(6).hex()}", "考试报名 exam", "prj-", "522300-", SIZE, place)
    yield tenancy
    let_go(cluster.core, tenancy.id)


def let_in(cluster: Cluster, tenancy: Tenancy, folder: Path) -> Tenant:
    """The tenant with what the driver hands over, once pods can be made in its namespace."""
    access = DRIVER.provision(tenancy, quiet, WITHIN)
    tenant = Tenant(tenancy, access.secret or "", folder)
    accounts = cluster.core.list_namespaced_service_account
    until("the default account", lambda: [a for a in accounts(tenant.space).items if a.metadata.name == "default"])
    return tenant


@pytest.fixture
def tenant(cluster: Cluster, tenancy: Tenancy, tmp_path: Path) -> Tenant:
    return let_in(cluster, tenancy, tmp_path)


@pytest.fixture(scope="module")
def settled(cluster: Cluster, place: Place, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tenant]:
    """A tenant whose tenancy many tests share: what they ask of the API server is not really done."""
    tenancy = Tenancy("ten_01settled", "exam", "prj-1", "522300-jyj", SIZE, place)
    yield let_in(cluster, tenancy, tmp_path_factory.mktemp("settled"))
    removed(tenancy)


def is_refused(act: Callable[[], object]) -> bool:
    """Whether who asks is nobody any more, or may not."""
    try:
        act()
    except client.ApiException as error:
        return error.status in (401, 403)
    return False

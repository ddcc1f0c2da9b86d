"""The back ends that every driver test runs against: each is the real thing, and says which one it was."""

import os
import platform
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import ansible.release
import pytest
from kubernetes import client, config

from provisioning.drivers import Access, Driver, Place, Tenancy
from provisioning.kubernetes import KubernetesDriver
from provisioning.kubernetes.manifests import namespace
from provisioning.servers import ServersDriver
from tests.beds.kubernetes import rights
from tests.beds.kubernetes.cluster import Cluster
from tests.beds.kubernetes.fixtures import shared
from tests.beds.servers import tenancies
from tests.beds.servers.server import ADMIN
from tests.conftest import SPOKEN_TO

CLERK = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAlO9YlJ1Ud1S0ZyGVXkYy7RmUo8H8cTtn9EhcJQ2H4d clerk"
OTHER = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPmI1oCq0e1KfqqNfC3sTbfjDZ3pWl2jzTn6T1mWyQxS other"
SMALL = {"vcpu": 2, "memory_gib": 4, "storage_gib.ssd": 1}


@dataclass
class Timeline:
    """A log that remembers what it was told."""

    told: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def __call__(self, slug: str, **figures: Any) -> None:
        self.told.append((slug, figures))

    @property
    def changed(self) -> list[str]:
        return [figures["name"] for slug, figures in self.told if slug == "task" and figures["status"] == "changed"]


@dataclass
class Backend:
    """A driver, a place it works at, and what a test has to do there behind its back."""

    driver: Driver
    place: Place
    about: str
    remains: Callable[[], Sequence[str]]
    """Ids of the tenancies of which anything is left, listed without the driver."""
    damage: Callable[[Tenancy], None]
    """Change something of a tenancy that is neither its size nor its keys."""
    keeps_keys: bool = True
    overwrites: bool = True
    down: Callable[[], AbstractContextManager[None]] | None = None
    """Within it the back end answers nobody; None where it is this machine itself."""
    may_enter: Callable[[Access, Tenancy, str], bool] | None = None
    """Whether who has this access, made for this public key, gets into that tenancy, tried; None: nobody logs in."""
    may_exceed: Callable[[Tenancy], bool] | None = None
    """Whether the back end's own tools let the tenant take more than its size, tried."""

    key: str = CLERK
    """The public key that tenancies are given, and another one."""
    other_key: str = OTHER

    def tenancy(
        self, id: str = "ten_01a", size: Mapping[str, int] | None = None, keys: Sequence[str] | None = None
    ) -> Tenancy:
        size = SMALL if size is None else size
        return Tenancy(id, "exam portal", "prj_1", "dep_1", size, self.place, (self.key,) if keys is None else keys)


def servers_local(request: pytest.FixtureRequest, folder: Path) -> Backend:
    """This machine over Ansible's local connection, in a folder of its own."""
    shares = folder / "shares"

    def damage(tenancy: Tenancy) -> None:
        (shares / tenancy.id / "ssd.ext4").unlink()

    return Backend(
        ServersDriver(folder / "jobs"),
        Place("pool_1", "servers", "x86_64", {"connection": "local", "folder": str(shares)}),
        f"this machine ({platform.machine()}) by Ansible {ansible.release.__version__}, in {tempfile.gettempdir()}",
        lambda: sorted(path.name for path in shares.glob("*")),
        damage,
    )


def servers_ssh(request: pytest.FixtureRequest, folder: Path) -> Backend:
    """A bare server over SSH, with its own systemd and sshd."""
    bed, server = request.getfixturevalue("bed"), request.getfixturevalue("host")
    jobs = request.getfixturevalue("short_folder")
    request.getfixturevalue("in_the_bed")
    tenant = tenancies.Tenant(server, jobs)
    shares = f"/var/lib/cloudctl/{folder.name}"
    connection = {"connection": "ssh", "user": ADMIN, "private_key": str(bed.key), "folder": shares}

    def down() -> AbstractContextManager[None]:
        return tenancies.unplugged(server)

    return Backend(
        ServersDriver(jobs / "jobs"),
        Place("pool_1", "servers", "amd64", connection, server.name, server.address, server.host_key),
        f"{server.run('uname', '-m').strip()}, {server.run('systemctl', '--version').splitlines()[0]}, over SSH",
        lambda: server.run("sh", "-c", f"ls {shares} 2>/dev/null || true").split(),
        lambda tenancy: tenancies.damage(server, tenancy),
        down=down,
        may_enter=lambda access, tenancy, key: tenant.may_enter(tenancy, key),
        may_exceed=tenant.may_exceed,
        key=tenant.public_key,
        other_key=tenant.other_public_key,
    )


def kubernetes(request: pytest.FixtureRequest, folder: Path) -> Backend:
    """A cluster of the tests' own, its arm64 nodes."""
    cluster: Cluster = request.getfixturevalue("cluster")
    kubeconfig = str(rights.platform(cluster))
    connection = {
        "kubeconfig": kubeconfig,
        "storage_classes": {"ssd": "ssd", "hdd": "hdd"},
        "cpu_family": "kunpeng-920",
    }

    def left() -> list[str]:
        spaces = cluster.core.list_namespace(label_selector="cloudctl/tenancy").items
        return sorted(space.metadata.labels["cloudctl/tenancy"] for space in spaces)

    def damage(tenancy: Tenancy) -> None:
        walls = client.NetworkingV1Api(cluster.api)
        walls.delete_namespaced_network_policy("default-deny", namespace(tenancy.id))

    def core_of(access: Access) -> client.CoreV1Api:
        file = folder / f"tenant-{os.urandom(4).hex()}.kubeconfig"
        file.write_text(access.secret or "")
        return client.CoreV1Api(config.new_client_from_config(str(file)))

    def may_enter(access: Access, tenancy: Tenancy, key: str) -> bool:
        try:
            core_of(access).list_namespaced_secret(namespace(tenancy.id))
        except client.ApiException as refused:
            if refused.status not in (401, 403):
                raise
            return False
        return True

    def may_exceed(tenancy: Tenancy) -> bool:
        gib = tenancy.size["storage_gib.ssd"] + 1
        size = {"storageClassName": "ssd", "resources": {"requests": {"storage": f"{gib}Gi"}}}
        claim = {"metadata": {"name": "more"}, "spec": {"accessModes": ["ReadWriteOnce"], **size}}
        try:
            cluster.core.create_namespaced_persistent_volume_claim(namespace(tenancy.id), claim)
        except client.ApiException as refused:
            if "exceeded quota" not in str(refused.body):
                raise
            return False
        return True

    return Backend(
        KubernetesDriver(),
        Place("pool_1", "kubernetes", "arm64", connection),
        f"Kubernetes {client.VersionApi(cluster.api).get_code().git_version} at {cluster.server}",
        left,
        damage,
        keeps_keys=False,
        overwrites=False,
        down=cluster.without_api,
        may_enter=may_enter,
        may_exceed=may_exceed,
    )


BACKENDS = {"servers-local": servers_local, "servers-ssh": servers_ssh, "kubernetes": kubernetes}
"""A new driver is a line here, and passes what stands in test_driver.py."""


MARKS = {"servers-ssh": [pytest.mark.slow, pytest.mark.xdist_group("servers")], "kubernetes": shared("cluster")}
"""The marks of a back end whose bed other tests use too: all that needs it runs in the process that has it."""


@pytest.fixture(
    params=[
        pytest.param(name, marks=MARKS.get(name, [pytest.mark.xdist_group(f"contract-{name}")])) for name in BACKENDS
    ]
)
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    backend = BACKENDS[request.param](request, tmp_path)
    request.config.stash.setdefault(SPOKEN_TO, {})[request.param] = backend.about
    yield backend
    for id in backend.remains():
        backend.driver.remove(backend.tenancy(id), Timeline(), timedelta(minutes=1))


@pytest.fixture
def log() -> Timeline:
    return Timeline()

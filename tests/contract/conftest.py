"""The back ends that every driver test runs against: each is the real thing."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from provisioning.drivers import Driver, Place, Tenancy
from provisioning.servers import ServersDriver

CLERK = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAlO9YlJ1Ud1S0ZyGVXkYy7RmUo8H8cTtn9EhcJQ2H4d clerk"
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
    """A driver, a place it works at, and what a tenancy leaves there, listed without the driver."""

    driver: Driver
    place: Place
    remains: Callable[[], Sequence[str]]

    def tenancy(
        self, id: str = "ten_01a", size: Mapping[str, int] | None = None, keys: Sequence[str] = (CLERK,)
    ) -> Tenancy:
        size = {"vcpu": 2, "memory_gib": 4, "storage_gib.ssd": 1} if size is None else size
        return Tenancy(id, "exam portal", "prj_1", "dep_1", size, self.place, keys)


def servers_local(folder: Path) -> Backend:
    """This machine over Ansible's local connection, in a folder of its own."""
    shares = folder / "shares"
    place = Place("pool_1", "servers", "x86_64", {"connection": "local", "folder": str(shares)})
    return Backend(ServersDriver(folder / "jobs"), place, lambda: [str(path) for path in sorted(shares.rglob("*"))])


BACKENDS = {"servers-local": servers_local}


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    backend = BACKENDS[request.param](tmp_path)
    yield backend
    for id in {part for path in backend.remains() for part in Path(path).parts if part.startswith("ten_")}:
        backend.driver.remove(backend.tenancy(id), Timeline(), timedelta(minutes=1))


@pytest.fixture
def log() -> Timeline:
    return Timeline()

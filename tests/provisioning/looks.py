"""What tests of reconciling do and see: a look at every pool, and what came of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from cloudctl.kernel import events
from cloudctl.kernel.operations import OperationRow, RetryLater
from provisioning import drivers, pools, reconcile
from provisioning.drivers import Inventory, Observed, Place
from provisioning.servers import ServersDriver
from tests.world import World

SIZE = {"vcpu": 1, "memory_gib": 1, "storage_gib.ssd": 1}


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


def other_keys(folder: Path) -> None:
    (folder / "authorized_keys").write_text("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGZvcmVpZ24 intruder\n")


@dataclass(frozen=True)
class Silent(ServersDriver):
    """The servers driver on a day on which nobody answers."""

    def survey(self, place: Place) -> Mapping[str, Observed]:
        raise RetryLater("unreachable", message="no route to host")

    def inventory(self, place: Place) -> Inventory:
        raise RetryLater("unreachable", message="no route to host")

    def provision(self, tenancy: drivers.Tenancy, log: drivers.Log, within: timedelta) -> drivers.Access:
        raise RetryLater("unreachable", timedelta(hours=1), message="no route to host")

"""What tests of reconciling do and see: a look at every pool, and what came of it."""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from kubernetes import client, config
from sqlalchemy import select
from sqlalchemy.orm import Session

from cloudctl.kernel import events
from cloudctl.kernel.operations import OperationRow, RetryLater
from provisioning import drivers, pools, reconcile
from provisioning.drivers import Inventory, Observed, Place
from provisioning.kubernetes import manifests
from tests.world import World

SIZE = {"vcpu": 1, "memory_gib": 1, "storage_gib.ssd": 1}
ROOM: dict[str, Any] = {"inventory": SIZE, "overcommit": dict.fromkeys(SIZE, 100.0)}
"""Of a pool that holds a hundred of that size."""


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


def change(world: World, tenancy: str) -> None:
    """What an administrator of the cluster does to it by hand."""
    _core(world).patch_namespaced_resource_quota("size", manifests.namespace(tenancy), {"spec": {"hard": _MORE}})


def is_changed(world: World, tenancy: str) -> bool:
    quota = _core(world).read_namespaced_resource_quota("size", manifests.namespace(tenancy))
    return bool(_MORE.items() <= quota.spec.hard.items())


def _core(world: World) -> client.CoreV1Api:
    return client.CoreV1Api(config.new_client_from_config(world.kubeconfig))


_MORE = {"pods": "999"}


class Silent:
    """A driver on a day on which nobody answers."""

    def survey(self, place: Place) -> Mapping[str, Observed]:
        raise RetryLater("unreachable", message="no route to host")

    def inventory(self, place: Place) -> Inventory:
        raise RetryLater("unreachable", message="no route to host")

    def provision(self, tenancy: drivers.Tenancy, log: drivers.Log, within: timedelta) -> drivers.Access:
        raise RetryLater("unreachable", timedelta(hours=1), message="no route to host")

"""Targets: what Prometheus is to look at, as its HTTP service discovery reads it. Labels belong to a group."""

from typing import Any, Literal

from sqlalchemy.orm import Session

from cloudctl.kernel.settings import Settings
from provisioning import pools
from tenancy import tenancies
from tenancy.callers import SYSTEM, Caller

Kind = Literal["servers", "tenancies", "platform"]
_ALL = 10_000


def groups(session: Session, caller: Caller, settings: Settings, kind: Kind) -> list[dict[str, Any]]:
    """The target groups of a kind.

    Raises:
        NotPermitted: the caller may not read metrics.
    """
    caller.must("metrics:read")
    if kind == "platform":
        addresses = settings.platform_targets or [f"{settings.host}:{settings.port}"]
        return [_group(address, "", {"instance": address}) for address in sorted(addresses)]
    everywhere = {pool.id: pool for pool in pools.listed(session, SYSTEM, limit=_ALL)}
    if kind == "servers":
        return [
            _group(
                _address(server.address, settings.node_exporter_port),
                "",
                {"instance": server.name, "server": server.id, **_place(pool)},
            )
            for pool in everywhere.values()
            for server in pools.servers_of(session, pool.id)
            if server.state in pools.STATES
        ]
    found = []
    for tenancy, project, department, endpoint in tenancies.answering(session):
        if endpoint.port is None:
            continue
        owner = {"tenancy": tenancy.id, "project": project, "department": department}
        pool = everywhere.get(tenancy.pool_id or "")
        address = _address(endpoint.host, endpoint.port)
        scheme = "https" if endpoint.port == 443 else "http"
        found.append(_group(address, scheme, {"instance": address, **owner, **(_place(pool) if pool else {})}))
    return found


def _group(address: str, scheme: str, labels: dict[str, str]) -> dict[str, Any]:
    return {"targets": [address], "labels": {**({"__scheme__": scheme} if scheme else {}), **labels}}


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _place(pool: pools.Pool) -> dict[str, str]:
    return {"pool": pool.name, "arch": pool.architecture, "zone": pool.zone}

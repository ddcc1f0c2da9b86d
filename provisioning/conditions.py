"""Conditions: what reconciling last found of a pool, as those are told it who have something to do with the pool."""

from typing import Any

from sqlalchemy.orm import Session

from provisioning import breaker
from provisioning.models import Pool, Server
from tenancy import tenancies
from tenancy.tenancies import Tenancy

Reason = dict[str, Any]


def open_breaker(pool: Pool) -> dict[str, Any] | None:
    """The breaker of a pool of which nothing is repaired until a person has looked."""
    found: dict[str, Any] | None = pool.condition.get("breaker")
    return found if breaker.stops(found) else None


def unreachable(pool: Pool) -> dict[str, Reason]:
    """Places of the pool that do not answer, and why."""
    return dict(pool.condition.get("unreachable", {}))


def hinders_repair(session: Session, tenancy: Tenancy) -> Reason | None:
    """Why nothing of a tenancy is repaired now; to its owner, so nothing is told of others."""
    if tenancy.held_until and tenancies.is_held(tenancy):
        figures = {"until": tenancy.held_until.isoformat(), "reason": tenancy.held_because}
        return {"slug": "unrepaired-held", "figures": figures}
    pool = session.get(Pool, tenancy.pool_id) if tenancy.pool_id and tenancy.state != "erased" else None
    if pool is None:
        return None
    if opened := open_breaker(pool):
        return {"slug": "unrepaired-breaker", "figures": {"since": opened["since"]}}
    server = session.get(Server, tenancy.server_id) if tenancy.server_id else None
    if (server.name if server else pool.name) in unreachable(pool):
        return {"slug": "unrepaired-unreachable", "figures": {"looked_at": pool.condition["looked_at"]}}
    return None


def hinders_use(pool: Pool) -> Reason | None:
    """What an operator should know of a pool before something is placed on it."""
    if away := unreachable(pool):
        return {"slug": "pool-not-answering", "figures": {"places": sorted(away), "reason": next(iter(away.values()))}}
    if opened := open_breaker(pool):
        return {"slug": "pool-not-believed", "figures": {each: opened[each] for each in ("since", "drifted", "of")}}
    return None

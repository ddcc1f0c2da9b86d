"""Capacity: what pools and servers can give of what they have, told to the ledger."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from fractions import Fraction

from sqlalchemy import Float, Integer, func, select
from sqlalchemy.orm import Session

from cloudctl.kernel.database import Size
from provisioning.models import Pool, Server
from tenancy import ledger


def of(inventory: Mapping[str, int], overcommit: Mapping[str, float], reserve: Mapping[str, int]) -> Size:
    """What can be claimed: inventory x overcommit, rounded down, less the reserve; never below 0."""
    return {
        each: max(0, math.floor(amount * Fraction(str(overcommit.get(each, 1)))) - reserve.get(each, 0))
        for each, amount in inventory.items()
    }


def total(inventories: Iterable[Mapping[str, int]]) -> Size:
    """What several have together."""
    added: Counter[str] = Counter()
    for inventory in inventories:
        added.update(inventory)
    return dict(added)


def offer_pool(session: Session, pool: Pool) -> None:
    """Make the pool's accounts say what it can give.

    Raises:
        LimitBelowUse: more is held and used.
    """
    limits = of(pool.inventory, pool.overcommit, pool.reserve)
    ledger.set_capacity(session, pool.id, limits, ledger.POOL_RANK)


def offer_server(session: Session, pool: Pool, server: Server) -> None:
    """Make the server's accounts say what it can give: all of it, as the reserve is the pool's: any server may be lost.

    Raises:
        LimitBelowUse: more is held and used.
    """
    ledger.set_capacity(session, server.id, of(server.inventory, pool.overcommit, {}), ledger.SERVER_RANK)


def compute_factors(session: Session) -> dict[str, float]:
    """How fast the servers of each pool compute, by the pool's id: the mean of those that are open.

    Only what the newest benchmark measured counts, since figures of two cannot be compared.
    """
    measured = Server.facts["compute"]
    factor, version = measured["factor"].astext.cast(Float), measured["version"].astext.cast(Integer)
    there = select(Server.pool_id, factor.label("factor"), version.label("version")).where(Server.state == "open")
    rows = there.where(factor.is_not(None)).subquery()
    newest = select(func.max(rows.c.version)).scalar_subquery()
    means = select(rows.c.pool_id, func.avg(rows.c.factor)).where(rows.c.version == newest).group_by(rows.c.pool_id)
    return {pool_id: round(mean, 3) for pool_id, mean in session.execute(means)}

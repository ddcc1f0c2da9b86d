"""Capacity: of each pool how much there is, is taken and is free, by class, and how many more tenancies fit."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from cloudctl.kernel import clock
from cloudctl.kernel.settings import Settings
from monitoring import usage
from provisioning import capacity as given
from provisioning import pools
from provisioning.pools import Pool
from tenancy import ledger
from tenancy.callers import SYSTEM, Caller
from tenancy.ledger import Balance

_ALL = 10_000


@dataclass(frozen=True)
class ClassCapacity:
    """One class of one pool. `total` includes the reserve."""

    resource: str
    total: int
    reserve: int
    held: int
    used: int
    free: int


@dataclass(frozen=True)
class PoolCapacity:
    """One pool; `headroom` is for how many more tenancies of the standard size there is room."""

    pool: str
    arch: str
    zone: str
    headroom: int
    classes: Sequence[ClassCapacity]


@dataclass(frozen=True)
class Capacity:
    """All pools at one moment; when use was last measured, and the most used at once in each zone within a week."""

    at: datetime
    standard: Mapping[str, int]
    usage_at: datetime | None
    peaks: Mapping[str, Mapping[str, float]]
    pools: Sequence[PoolCapacity]


def seen_by(session: Session, caller: Caller, settings: Settings) -> Capacity:
    """How full the pools are.

    Raises:
        NotPermitted: the caller may not look at pools.
    """
    caller.must("pool:read")
    found = [one for _, one in of_pools(session, settings.standard_tenancy)]
    known = usage.last_measured(session), usage.peaks(session)
    return Capacity(clock.now(), settings.standard_tenancy, *known, found)


def of_pools(session: Session, standard: Mapping[str, int]) -> list[tuple[Pool, PoolCapacity]]:
    """Every pool with its capacity, by name."""
    everywhere = pools.listed(session, SYSTEM, limit=_ALL)
    servers = {
        pool.id: [one.id for one in pools.servers_of(session, pool.id) if one.state == "open"] for pool in everywhere
    }
    owners = [*servers, *(one for several in servers.values() for one in several)]
    balances = ledger.balances(session, owners)
    found = []
    for pool in everywhere:
        on = [balances[one] for one in servers[pool.id]] if pool.driver == pools.SERVERS else None
        room = headroom(standard, balances[pool.id], on) if pool.state == "open" else 0
        classes = _classes(pool, balances[pool.id])
        found.append((pool, PoolCapacity(pool.name, pool.architecture, pool.zone, room, classes)))
    return found


def headroom(
    standard: Mapping[str, int], pool: Mapping[str, Balance], servers: Iterable[Mapping[str, Balance]] | None
) -> int:
    """How many more tenancies of the standard size fit: each lives on one server, where the pool has servers."""
    whole = _times(standard, pool)
    return whole if servers is None else min(whole, sum(_times(standard, server) for server in servers))


def _times(size: Mapping[str, int], account: Mapping[str, Balance]) -> int:
    return min((account[each].free // amount if each in account else 0 for each, amount in size.items()), default=0)


def _classes(pool: Pool, account: Mapping[str, Balance]) -> list[ClassCapacity]:
    total = given.of(pool.inventory, pool.overcommit, {})
    return [
        ClassCapacity(
            resource=each,
            total=total.get(each, 0),
            reserve=min(pool.reserve.get(each, 0), total.get(each, 0)),
            held=balance.held,
            used=balance.used,
            free=balance.free,
        )
        for each, balance in account.items()
    ]

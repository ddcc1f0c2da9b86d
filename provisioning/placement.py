"""Placement: which pool, and of a pool of servers which server, a tenancy gets. It filters, then takes the best fit."""

from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any, Literal

from sqlalchemy import ColumnElement, Select, Subquery, and_, func, not_, or_, select, true
from sqlalchemy.orm import Session

from cloudctl.kernel.database import Size
from cloudctl.kernel.errors import Exhausted
from provisioning import capacity
from provisioning.models import Pool, Server
from tenancy import ledger
from tenancy.ledger import Balance, Wanted

_AT_ONCE = 8  # candidates that are read before they are tried one after the other


@dataclass(frozen=True)
class Demand:
    """What a tenancy asks of a pool: a size, any of these architectures, a zone, an MLPS level, all of these traits."""

    size: Mapping[str, int]
    architectures: tuple[str, ...]
    zone: str
    level: int
    traits: tuple[str, ...] = ()


@dataclass(frozen=True)
class Placed:
    """Where capacity is held."""

    pool_id: str
    server_id: str | None = None

    @property
    def owners(self) -> list[str]:
        """Whose accounts a claim stands in, nearest first."""
        return [self.server_id, self.pool_id] if self.server_id else [self.pool_id]


@dataclass(frozen=True)
class Verdict:
    """Whether a pool fits; if not, the first rule (a slug) that excludes it, with its figures.

    `compute` is the factor by which its servers compute faster than a reference, where they were measured.
    """

    pool: Pool
    fits: bool
    rule: str | None = None
    figures: Mapping[str, Any] | None = None
    compute: float | None = None


class NoPoolFits(Exhausted):
    """No pool has room for this now; names the nearest size that fits, and the rules that exclude pools altogether."""


def place(session: Session, tenancy_id: str, demand: Demand, without: Set[str] = frozenset()) -> Placed:
    """Hold capacity for a tenancy on the pool that fits best, none of `without`; where it is held already, it stays.

    Raises:
        NoPoolFits: nowhere is there room.
    """
    session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(tenancy_id, 11))))
    if held := _held(session, tenancy_id):
        return held
    while candidates := session.execute(_candidates(demand, without).limit(_AT_ONCE)).all():
        for pool_id, server_id in candidates:
            placed = Placed(pool_id, server_id)
            try:
                with session.begin_nested():  # a refusal lets go of its locks: the next candidate may be ordered before
                    ledger.hold(session, Wanted(tenancy_id, "capacity", placed.owners, demand.size))
            except ledger.OverLimit:
                continue  # somebody else was faster; the next reading will know
            return placed
    raise _refusal(session, demand)


def give_back(session: Session, tenancy_id: str) -> None:
    """Free all capacity that a tenancy has anywhere."""
    ledger.release(session, tenancy_id, side="capacity")


def fits(session: Session, demand: Demand) -> bool:
    """Whether some pool has room now."""
    return session.execute(_candidates(demand).limit(1)).first() is not None


def ever_fits(session: Session, demand: Demand) -> set[str]:
    """The ids of the pools that would have room if they were empty."""
    return {pool_id for pool_id, _ in session.execute(_candidates(demand, of="limit"))}


def could_ever_grow(session: Session, pool_id: str, server_id: str | None, size: Mapping[str, int]) -> bool:
    """Whether a tenancy there could have this size if it were alone."""
    accounts = ledger.balances(session, Placed(pool_id, server_id).owners)
    return all(
        each in accounts[owner] and accounts[owner][each].limit >= amount
        for each, amount in size.items()
        for owner in accounts
    )


def nearest(session: Session, demand: Demand) -> Size | None:
    """The size nearest to what is wanted that would fit on one place now; None where nothing of it would."""
    spots = _spots(demand)
    best = select(spots.c.pool_id, spots.c.server_id).where(spots.c.share > 0)
    for pool_id, server_id in session.execute(best.order_by(spots.c.share.desc(), spots.c.pool_id).limit(1)):
        room = ledger.room(session, Placed(pool_id, server_id).owners)
        return {each: min(amount, room[each]) for each, amount in demand.size.items()}
    return None


def explain(session: Session, demand: Demand) -> list[Verdict]:
    """For each pool, by name, whether it fits, or which rule or figure excludes it."""
    rules = _rules(demand)
    checked = session.execute(select(Pool, *rules.values()).order_by(Pool.name)).all()
    servers: dict[str, list[str]] = defaultdict(list)
    for server_id, pool_id in session.execute(select(Server.id, Server.pool_id).where(Server.state == "open")):
        servers[pool_id].append(server_id)
    passing = [pool.id for pool, *passed in checked if all(passed)]
    accounts = ledger.balances(session, [*passing, *(server for pool_id in passing for server in servers[pool_id])])
    factors = capacity.compute_factors(session)
    found = []
    for pool, *passed in checked:
        broken = next((rule for rule, passes in zip(rules, passed, strict=True) if not passes), None)
        verdict = _verdict(pool, broken, demand, servers[pool.id], accounts)
        found.append(replace(verdict, compute=factors.get(pool.id)))
    return found


def why_nowhere(session: Session, demand: Demand) -> dict[str, Any]:
    """Why no pool has room now, as slug and figures that tell nothing of others: the first rule that leaves no pool, or
    that the size is too large for any, or only for what is free now."""
    rules = _rules(demand)
    left = session.execute(select(Pool, *rules.values())).all()
    for number, rule in enumerate(rules, start=1):
        passing = [row for row in left if row[number]]
        if not passing:
            return {"slug": f"nowhere-{rule}", "figures": _lacking(rule, demand, [row[0] for row in left])}
        left = passing
    if not ever_fits(session, demand):
        return {"slug": "nowhere-so-large", "figures": {"size": dict(demand.size)}}
    return {"slug": "nowhere-now", "figures": {"size": dict(demand.size), "nearest": nearest(session, demand)}}


def _lacking(rule: str, demand: Demand, pools: Sequence[Pool]) -> dict[str, Any]:
    """What is wanted, and what the pools that remain before this rule have instead."""
    figures: dict[str, dict[str, Any]] = {
        "pool-draining": {},
        "other-zone": {"wanted": demand.zone, "offered": sorted({pool.zone for pool in pools})},
        "other-architecture": {
            "wanted": list(demand.architectures),
            "offered": sorted({pool.architecture for pool in pools}),
        },
        "level-too-low": {"wanted": demand.level, "highest": max((pool.level for pool in pools), default=0)},
        "traits-missing": {"wanted": list(demand.traits)},
    }
    return figures[rule]


def _rules(demand: Demand) -> dict[str, ColumnElement[bool]]:
    """What a pool must be, whatever is free on it: slug of the exclusion -> condition."""
    return {
        "pool-draining": Pool.state == "open",
        "other-zone": Pool.zone == demand.zone,
        "other-architecture": Pool.architecture.in_(demand.architectures),
        "level-too-low": Pool.level >= demand.level,
        "traits-missing": Pool.traits.contains(list(demand.traits)),
    }


def _spots(demand: Demand, of: Literal["room", "limit"] = "room") -> Subquery:
    """Where a tenancy could live by every rule: pools that are one place, and servers with their pools.

    Columns: `pool_id`, `server_id`, and of the narrower of the two `fits`, `share`, `left` as the ledger tells them.
    """
    pool, server = ledger.offer(Pool.id, demand.size, of), ledger.offer(Server.id, demand.size, of)
    return (
        select(
            Pool.id.label("pool_id"),
            Server.id.label("server_id"),
            and_(pool.c.fits, func.coalesce(server.c.fits, True)).label("fits"),
            func.least(pool.c.share, server.c.share).label("share"),
            func.coalesce(server.c.left, pool.c.left).label("left"),
        )
        .select_from(Pool)
        .join(pool, true())
        .outerjoin(Server, and_(Server.pool_id == Pool.id, Server.state == "open"))
        .outerjoin(server, true())
        .where(*_rules(demand).values(), or_(Pool.driver != "servers", server.c.fits.is_not(None)))
        .subquery()
    )


def _candidates(
    demand: Demand, without: Set[str] = frozenset(), of: Literal["room", "limit"] = "room"
) -> Select[str, str | None]:
    """Where all of it fits, that place first which is left with least."""
    spots = _spots(demand, of)
    best = select(spots.c.pool_id, spots.c.server_id).where(spots.c.fits, spots.c.pool_id.not_in(without))
    return best.order_by(spots.c.left, spots.c.pool_id, spots.c.server_id)


def _held(session: Session, tenancy_id: str) -> Placed | None:
    claims = (claim for claim in ledger.claims_of(session, tenancy_id) if claim.side == "capacity")
    owners = {owner for claim in claims for owner in claim.owners}
    if not owners:
        return None
    pool_id = session.scalar(select(Pool.id).where(Pool.id.in_(owners)))
    server_id = session.scalar(select(Server.id).where(Server.id.in_(owners)))
    return Placed(pool_id, server_id) if pool_id else None


def _refusal(session: Session, demand: Demand) -> NoPoolFits:
    rules = _rules(demand)
    counts = select(*(func.count().filter(not_(rule)) for rule in rules.values())).select_from(Pool)
    excluded = [rule for rule, count in zip(rules, session.execute(counts).one(), strict=True) if count]
    return NoPoolFits(size=dict(demand.size), nearest=nearest(session, demand), excluded=excluded)


def _verdict(
    pool: Pool, broken: str | None, demand: Demand, servers: list[str], accounts: Mapping[str, Mapping[str, Balance]]
) -> Verdict:
    """The first of: a broken rule, a class that is too small or has no room, no server with room for all at once."""
    if broken:
        return Verdict(pool, False, broken, _figures(pool, demand)[broken])
    for resource, amount in demand.size.items():
        balance = accounts[pool.id].get(resource, Balance(0, 0, 0))
        figures = {"resource": resource, "wanted": amount, "limit": balance.limit, "free": balance.free}
        if amount > balance.limit:
            return Verdict(pool, False, "pool-too-small", figures)
        if amount > balance.free:
            return Verdict(pool, False, "no-room", figures)
    if pool.driver == "servers" and not any(_has_room(accounts[server], demand.size) for server in servers):
        return Verdict(pool, False, "no-server-with-room", {"size": dict(demand.size), "servers": len(servers)})
    return Verdict(pool, True)


def _has_room(accounts: Mapping[str, Balance], size: Mapping[str, int]) -> bool:
    return all(each in accounts and accounts[each].free >= amount for each, amount in size.items())


def _figures(pool: Pool, demand: Demand) -> dict[str, dict[str, Any]]:
    """What a rule compares: the pool's and the wanted."""
    return {
        "pool-draining": {},
        "other-zone": {"zone": pool.zone, "wanted": demand.zone},
        "other-architecture": {"architecture": pool.architecture, "wanted": list(demand.architectures)},
        "level-too-low": {"level": pool.level, "wanted": demand.level},
        "traits-missing": {"missing": [trait for trait in demand.traits if trait not in pool.traits]},
    }

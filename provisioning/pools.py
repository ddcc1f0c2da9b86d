"""Pools, as operators enter them; what they can give becomes accounts of the ledger. Their servers: pool_servers."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict, Unpack

from sqlalchemy import or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from cloudctl.kernel import audit, events, ids
from cloudctl.kernel.errors import Conflict, Invalid, NotFound, Problem, all_or_none, must_be_at
from cloudctl.kernel.operations import GiveUp, ReasonRequired
from provisioning import capacity, queue
from provisioning.drivers import DRIVERS, Place
from provisioning.models import Pool as Pool
from provisioning.models import Server as Server
from tenancy.callers import Caller
from tenancy.resources import amount_problems

NAME = re.compile(r"^[a-z0-9][a-z0-9.-]{0,62}$")
STATES = ("open", "draining")
LEVELS = range(1, 5)
MOST_OVERCOMMIT = 100
SERVERS = "servers"  # the driver whose pools consist of servers


class NoSuchPool(NotFound):
    """There is no pool with this id or name."""


class PoolNameTaken(Conflict):
    """Another pool has this name."""


class BadPoolField(Invalid):
    """A field of a pool or server breaks its rule; tells what is allowed."""


class InventoryOfServers(Conflict):
    """The inventory of a pool of servers is that of its servers; a server belongs to such a pool only."""


class NothingToConfirm(Conflict):
    """Nothing of the pool waits to be confirmed."""


class NotAsFound(Conflict):
    """Something else of the pool looks wrong by now than what was shown; look again."""


class PoolChanges(TypedDict, total=False):
    """What of a pool may change. What it *is* (zone, level, processor) does not: tenancies were placed by it."""

    provider: str
    connection: Mapping[str, Any]
    traits: Sequence[str]
    overcommit: Mapping[str, float]
    reserve: Mapping[str, int]
    inventory: Mapping[str, int]
    state: str


def add(
    session: Session,
    caller: Caller,
    *,
    name: str,
    provider: str,
    driver: str,
    connection: Mapping[str, Any],
    zone: str,
    architecture: str,
    abi: str,
    cpu_family: str,
    level: int,
    traits: Sequence[str] = (),
    overcommit: Mapping[str, float] | None = None,
    reserve: Mapping[str, int] | None = None,
    inventory: Mapping[str, int] | None = None,
) -> Pool:
    """Enter a pool; its capacity can be claimed at once.

    Args:
        provider: the company that runs it.
        connection: the driver's own; secrets only by reference.
        level: highest MLPS level it may carry.
        overcommit: factor by class, 1 where absent.
        reserve: amounts kept back (loss of a host, surges).
        inventory: what it really has, by class; nothing for a pool of servers, which have theirs.

    Raises:
        NotPermitted: the caller may not enter pools.
        BadPoolField, UnknownResource, BadAmount: Several where more than one is wrong.
        PoolNameTaken, InventoryOfServers.
    """
    caller.must("pool:add")
    amounts = {"overcommit": overcommit or {}, "reserve": reserve or {}, "inventory": inventory or {}}
    problems = [*amounts_problems(amounts), *name_problems(name)]
    if driver not in DRIVERS:
        problems.append(BadPoolField(field="driver", given=driver, allowed=sorted(DRIVERS)))
    if level not in LEVELS:
        problems.append(BadPoolField(field="level", given=level, allowed=list(LEVELS)))
    if driver in DRIVERS:
        problems += _connection_problems(Place(name, driver, architecture, connection))
    all_or_none(problems)
    if driver == SERVERS and inventory:
        raise InventoryOfServers(field="inventory", pool=name)
    row = insert(Pool).values(
        id=ids.new("pol"),
        name=name,
        provider=provider,
        driver=driver,
        connection=dict(connection),
        zone=zone,
        architecture=architecture,
        abi=abi,
        cpu_family=cpu_family,
        level=level,
        traits=list(traits),
        overcommit=dict(overcommit or {}),
        reserve=dict(reserve or {}),
        inventory=dict(inventory or {}),
    )
    pool: Pool | None = session.scalar(row.on_conflict_do_nothing(index_elements=["name"]).returning(Pool))
    if pool is None:
        raise PoolNameTaken(field="name", name=name)
    offer(session, pool, [])
    note(session, caller, "add", pool, driver=driver, inventory=pool.inventory)
    return pool


def update(
    session: Session, caller: Caller, pool: str, *, version: int | None = None, **changes: Unpack[PoolChanges]
) -> Pool:
    """Change a pool (id or name).

    Raises:
        NoSuchPool, NotPermitted, Outdated, InventoryOfServers.
        BadPoolField, UnknownResource, BadAmount: Several where more than one is wrong.
        LimitBelowUse: more is held and used than it would then give.
    """
    caller.must("pool:update")
    found = named(session, pool, lock=True)
    must_be_at(version, found.version)
    problems = amounts_problems(changes)
    if "connection" in changes:
        problems += _connection_problems(Place(found.name, found.driver, found.architecture, changes["connection"]))
    all_or_none(problems)
    if found.driver == SERVERS and "inventory" in changes:
        raise InventoryOfServers(field="inventory", pool=found.name)
    for field, value in changes.items():
        setattr(found, field, value)
    touched(session, found)
    offer(session, found, servers_of(session, found.id))
    told = {**changes, "connection": sorted(changes["connection"])} if "connection" in changes else changes
    note(session, caller, "update", found, **told)
    return found


def seen_by(session: Session, caller: Caller, pool: str) -> Pool:
    """The pool with this id or name.

    Raises:
        NotPermitted: the caller may not look at pools.
        NoSuchPool.
    """
    caller.must("pool:read")
    return named(session, pool)


def listed(session: Session, caller: Caller, *, after: str | None = None, limit: int = 50) -> list[Pool]:
    """Pools by name; `after` is the name of the last one already read.

    Raises:
        NotPermitted: the caller may not look at pools.
    """
    caller.must("pool:read")
    query = select(Pool).order_by(Pool.name).limit(limit)
    return list(session.scalars(query.where(Pool.name > after) if after else query))


def servers_of(session: Session, pool_id: str) -> list[Server]:
    """The servers of a pool, by name."""
    return list(session.scalars(select(Server).where(Server.pool_id == pool_id).order_by(Server.name)))


def place_of(session: Session, pool_id: str, server_id: str | None = None) -> Place:
    """A pool, or one of its servers, as drivers are told of it."""
    pool = session.get_one(Pool, pool_id)
    server = session.get_one(Server, server_id) if server_id else None
    return Place(
        pool=pool.name,
        driver=pool.driver,
        architecture=pool.architecture,
        connection=dict(pool.connection),
        server=server.name if server else None,
        address=server.address if server else None,
        host_key=server.host_key if server else None,
    )


def places_of(session: Session, pool_id: str) -> list[tuple[str | None, Place]]:
    """Each server of a pool that carries tenancies, by its id, as drivers are told of it; or the pool that has none."""
    if session.get_one(Pool, pool_id).driver != SERVERS:
        return [(None, place_of(session, pool_id))]
    carrying = [one for one in servers_of(session, pool_id) if one.state in STATES]
    return [(one.id, place_of(session, pool_id, one.id)) for one in carrying]


def everyone(session: Session) -> list[str]:
    """Ids of all pools."""
    return list(session.scalars(select(Pool.id).order_by(Pool.name)))


def locked(session: Session, pool_id: str) -> Pool:
    """A pool, locked, for whoever writes down its condition."""
    return session.get_one(Pool, pool_id, with_for_update=True, populate_existing=True)


def confirm(session: Session, caller: Caller, pool: str, digest: str, reason: str) -> Pool:
    """Say that what reconciling found of a pool is so, and may be repaired: its breaker lets that through.

    Args:
        digest: of what was found, as it was shown.

    Raises:
        NoSuchPool, NotPermitted.
        NothingToConfirm: nothing waits to be confirmed.
        NotAsFound: something else looks wrong by now than what was shown.
        ReasonRequired: it is worth nothing without its reason.
    """
    caller.must("pool:confirm")
    found = named(session, pool, lock=True)
    breaker = found.condition.get("breaker")
    if not breaker or breaker.get("confirmed_by"):
        raise NothingToConfirm(pool=found.name)
    if breaker["digest"] != digest:
        raise NotAsFound(field="digest", pool=found.name, drifted=breaker["drifted"], of=breaker["of"])
    if not reason.strip():
        raise ReasonRequired(field="reason", action="pool.confirm")
    found.condition = {**found.condition, "breaker": {**breaker, "confirmed_by": caller.name}}
    touched(session, found)
    note(session, caller, "confirm", found, reason=reason)
    return found


def named(session: Session, pool: str, *, lock: bool = False) -> Pool:
    """The pool with this id or name.

    Raises:
        NoSuchPool.
    """
    query = select(Pool).where(or_(Pool.id == pool, Pool.name == pool)).execution_options(populate_existing=True)
    found = session.scalar(query.with_for_update() if lock else query)
    if found is None:
        raise NoSuchPool(pool=pool)
    return found


def offer(session: Session, pool: Pool, servers: Sequence[Server]) -> None:
    """Tell the ledger what these servers and the pool can give, and whoever waits for it."""
    for server in servers:
        capacity.offer_server(session, pool, server)
    capacity.offer_pool(session, pool)
    queue.wake(session)


def touched(session: Session, pool: Pool) -> None:
    """The pool is another version of itself now."""
    pool.version += 1
    session.flush()


def name_problems(name: str) -> list[Problem]:
    """What is wrong with the name of a pool or server."""
    return [] if NAME.match(name) else [BadPoolField(field="name", given=name, allowed=NAME.pattern)]


def amounts_problems(fields: Mapping[str, Any]) -> list[Problem]:
    """What is wrong with amounts, factors and the state, by field."""
    found: list[Problem] = []
    for field in ("reserve", "inventory"):
        found += amount_problems(fields.get(field, {}), field, least=0)
    for resource, factor in fields.get("overcommit", {}).items():
        found += amount_problems({resource: 0}, "overcommit", least=0)
        if not isinstance(factor, int | float) or not 0 < factor <= MOST_OVERCOMMIT:
            allowed = f"0 < x <= {MOST_OVERCOMMIT}"
            found.append(BadPoolField(field=f"overcommit.{resource}", given=factor, allowed=allowed))
    if fields.get("state", "open") not in STATES:
        found.append(BadPoolField(field="state", given=fields["state"], allowed=list(STATES)))
    return found


def note(session: Session, caller: Caller, verb: str, pool: Pool, **figures: Any) -> None:
    """Keep what was done to a pool, as audit entry and event."""
    audit.record(session, caller, f"pool:{verb}", pool.id, pool=pool.name, **figures)
    events.record(session, pool.id, f"pool-{_PAST[verb]}", caller.id, pool=pool.name, **figures)


_PAST = {
    "add": "added",
    "update": "updated",
    "add-server": "server-added",
    "update-server": "server-updated",
    "confirm": "confirmed",
}


def _connection_problems(place: Place) -> list[Problem]:
    """What its driver does not understand of a connection."""
    try:
        DRIVERS[place.driver].check(place)
    except GiveUp as wrong:
        name = wrong.figures["field"]
        given = place.connection.get(name)
        return [BadPoolField(field=f"connection.{name}", given=given, allowed=f"docs/drivers.md, {place.driver}")]
    return []

"""The servers of pools: entered by hand or enrolled, drained and opened again, retired."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict, Unpack

from sqlalchemy import or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from cloudctl.kernel import audit, events, ids, operations
from cloudctl.kernel.audit import Actor
from cloudctl.kernel.errors import Conflict, Invalid, NotFound, all_or_none
from cloudctl.kernel.lifecycle import Lifecycle
from cloudctl.kernel.operations import PLATFORM, ReasonRequired
from provisioning import capacity, chips, pools
from provisioning.models import Pool as Pool
from provisioning.models import Server as Server
from provisioning.pools import BadPoolField, InventoryOfServers
from tenancy import keys, tenancies
from tenancy.callers import Caller

SERVER = Lifecycle(
    "server",
    {
        "enrolling": {"succeed": "open", "fail": "failed"},
        "open": {"drain": "draining"},
        "draining": {"open": "open", "retire": "retired"},
        "failed": {"enroll": "enrolling", "retire": "retired"},
        "retired": {"enroll": "enrolling"},
    },
)
IN_USE = ("open", "draining")  # the states in which tenancies live on it
ENROLL, RETIRE, FORGET = "server.enroll", "server.retire", "server.forget"
ADDRESS = re.compile(r"^[0-9A-Za-z][0-9A-Za-z.:-]{0,252}$")


class NoSuchServer(NotFound):
    """There is no server with this id, or the pool has none with this name."""


class ServerNameTaken(Conflict):
    """Another server of the pool has this name."""


class AddressTaken(Conflict):
    """A server with this address is enrolled already."""


class BadHostKey(Invalid):
    """Not the public SSH key of a host, as ssh-keyscan prints it after the host's name."""


class NoWayIn(Conflict):
    """The pool's connection is not SSH: servers cannot be enrolled in it."""


class TenanciesThere(Conflict):
    """Tenancies live on the server, which cannot be retired before they are gone; tells how many."""


class ServerChanges(TypedDict, total=False):
    """What of a server may change."""

    address: str
    inventory: Mapping[str, int]


def add(
    session: Session,
    caller: Caller,
    pool: str,
    *,
    name: str,
    address: str,
    inventory: Mapping[str, int],
    architecture: str | None = None,
    abi: str | None = None,
) -> Server:
    """Enter a server of a pool (id or name) by hand. Architecture and ABI as found on it; None: taken for the pool's.

    Raises:
        NoSuchPool, NotPermitted, ServerNameTaken, InventoryOfServers.
        UnlikeServer: another architecture or ABI than the pool's.
        BadPoolField, UnknownResource, BadAmount: Several where more than one is wrong.
    """
    caller.must("pool:update")
    found = _pool_of_servers(session, pool)
    problems = [*pools.name_problems(name), *pools.amounts_problems({"inventory": inventory})]
    all_or_none(problems + chips.differences(found, name, {"architecture": architecture, "abi": abi}))
    server = _new(session, found, name, address, inventory=dict(inventory), state="open")
    if server is None:
        raise ServerNameTaken(field="name", name=name, pool=found.name)
    changed(session, found, server)
    _note(session, caller, "add-server", found, server)
    return server


def update(session: Session, caller: Caller, pool: str, server: str, **changes: Unpack[ServerChanges]) -> Server:
    """Change a server (id or name) of a pool (id or name).

    Raises:
        NoSuchPool, NoSuchServer, NotPermitted.
        BadPoolField, UnknownResource, BadAmount: Several where more than one is wrong.
        LimitBelowUse: more is held and used on the server or its pool than they would then give.
    """
    caller.must("pool:update")
    found = pools.named(session, pool, lock=True)
    one = session.scalar(
        select(Server).where(Server.pool_id == found.id, or_(Server.id == server, Server.name == server))
    )
    if one is None:
        raise NoSuchServer(server=server)
    all_or_none(pools.amounts_problems(changes))
    for field, value in changes.items():
        setattr(one, field, value)
    changed(session, found, one)
    _note(session, caller, "update-server", found, one)
    return one


def enroll(session: Session, caller: Caller, pool: str, *, name: str, address: str, host_key: str) -> Server:
    """Promise that a server becomes one of a pool's (id or name); one that failed or was retired may come again.

    Args:
        host_key: its public SSH key, type and key, by which it is known from now on.

    Raises:
        NoSuchPool, NotPermitted, InventoryOfServers, NoWayIn.
        BadPoolField, BadHostKey, PrivateKey: Several where more than one is wrong.
        AddressTaken: another server in use has this address.
        NotAllowed: the pool's server of this name is enrolled, or about to be.
    """
    caller.must("server:enroll")
    found = _pool_of_servers(session, pool)
    key = " ".join(host_key.split()[:2])
    problems = pools.name_problems(name)
    if not ADDRESS.match(address):
        problems.append(BadPoolField(field="address", given=address, allowed=ADDRESS.pattern))
    if "PRIVATE KEY" in host_key:
        problems.append(keys.PrivateKey(field="host_key"))
    elif keys.problems([key], "host_key"):
        problems.append(BadHostKey(field="host_key", given=host_key[:40]))
    all_or_none(problems)
    if found.connection.get("connection") != "ssh":
        raise NoWayIn(pool=found.name)
    there = session.scalars(select(Server).where(Server.address == address, Server.state.in_(("enrolling", *IN_USE))))
    if other := next((one for one in there if (one.pool_id, one.name) != (found.id, name)), None):
        raise AddressTaken(field="address", address=address, server=other.name)
    server = _new(session, found, name, address, inventory={}, state=SERVER.initial)
    if server is None:
        server = session.scalars(select(Server).where(Server.pool_id == found.id, Server.name == name)).one()
        advance(session, server, "enroll", caller)
        server.address = address
    else:
        _told(session, server, "enroll", caller)
    operations.submit(session, ENROLL, server.id, PLATFORM, caller.id, host_key=key)
    return server


def drain(session: Session, caller: Caller, server: str, reason: str | None = None) -> Server:
    """Place nothing new on a server; what is on it stays.

    Raises:
        NoSuchServer, NotPermitted, NotAllowed.
    """
    return _moved(session, caller, server, "drain", reason)


def reopen(session: Session, caller: Caller, server: str, reason: str | None = None) -> Server:
    """Place tenancies on a drained server again.

    Raises:
        NoSuchServer, NotPermitted, NotAllowed.
    """
    return _moved(session, caller, server, "open", reason)


def retire(session: Session, caller: Caller, server: str, reason: str, *, gone: bool = False) -> Server:
    """Promise that a server is one of its pool's no longer, and that what we did to it is taken back.

    Args:
        gone: nobody will reach it any more: nothing is taken back, the books alone forget it.

    Raises:
        NoSuchServer, NotPermitted, NotAllowed.
        ReasonRequired: there is none for the record.
        TenanciesThere: tenancies live on it.
    """
    caller.must("server:retire")
    one = _locked(session, server)
    if not reason.strip():
        raise ReasonRequired(field="reason", action="server:retire")
    if one.state != "open":  # which is drained first
        SERVER.next(one.state, "retire")
    if count := len(tenancies_on(session, one)):
        raise TenanciesThere(server=one.name, count=count)
    if one.state == "open":
        advance(session, one, "drain", caller, reason)
    audit.record(session, caller, "server:retire", one.id, reason=reason, server=one.name, gone=gone)
    was_enrolled = one.host_key is not None and not gone
    operations.submit(session, RETIRE if was_enrolled else FORGET, one.id, PLATFORM, caller.id, reason=reason)
    return one


def seen_by(session: Session, caller: Caller, server: str) -> Server:
    """The server with this id, or with this name where only one pool has one of that name.

    Raises:
        NotPermitted: the caller may not look at servers.
        NoSuchServer.
    """
    caller.must("server:read")
    return _named(session, server)


def listed(
    session: Session,
    caller: Caller,
    *,
    pool: str | None = None,
    state: str | None = None,
    after: str | None = None,
    limit: int = 50,
) -> list[Server]:
    """Servers in the order of their ids; `after` is the id of the last one already read.

    Raises:
        NotPermitted: the caller may not look at servers.
        NoSuchPool.
    """
    caller.must("server:read")
    query = select(Server).order_by(Server.id).limit(limit)
    if pool is not None:
        query = query.where(Server.pool_id == pools.named(session, pool).id)
    for condition, given in ((Server.state == state, state), (Server.id > (after or ""), after)):
        query = query.where(condition) if given else query
    return list(session.scalars(query))


def tenancies_on(session: Session, server: Server) -> list[str]:
    """Ids of the tenancies that have something on a server, or may have."""
    return [row.id for row, _, _ in tenancies.on_pool(session, server.pool_id) if row.server_id == server.id]


def advance(session: Session, server: Server, event: str, by: Actor, reason: str | None = None, **figures: Any) -> None:
    """Move a server along its lifecycle, with event and audit entry.

    Raises:
        NotAllowed: it is in another state; names what is possible.
    """
    server.state = SERVER.next(server.state, event)
    _told(session, server, event, by, reason, **figures)


def changed(session: Session, pool: Pool, server: Server) -> None:
    """Tell the ledger what a server, and with it its pool, can give from now on. The pool is locked.

    Raises:
        LimitBelowUse: more is held and used.
    """
    session.flush()
    pool.inventory = capacity.total(one.inventory for one in pools.servers_of(session, pool.id))
    pools.touched(session, pool)
    pools.offer(session, pool, [server])


def _moved(session: Session, caller: Caller, server: str, event: str, reason: str | None) -> Server:
    caller.must(f"server:{event}")
    one = _locked(session, server)
    advance(session, one, event, caller, reason)
    pools.offer(session, pools.named(session, one.pool_id, lock=True), [one])
    return one


def _pool_of_servers(session: Session, pool: str) -> Pool:
    found = pools.named(session, pool, lock=True)
    if found.driver != pools.SERVERS:
        raise InventoryOfServers(field="pool", pool=found.name)
    return found


def _new(session: Session, pool: Pool, name: str, address: str, **values: Any) -> Server | None:
    row = insert(Server).values(id=ids.new("srv"), pool_id=pool.id, name=name, address=address, **values)
    new = row.on_conflict_do_nothing(index_elements=["pool_id", "name"]).returning(Server)
    server: Server | None = session.scalar(new)
    return server


def _named(session: Session, server: str, *, lock: bool = False) -> Server:
    query = (
        select(Server).where(or_(Server.id == server, Server.name == server)).execution_options(populate_existing=True)
    )
    found: Sequence[Server] = session.scalars(query.with_for_update() if lock else query).all()
    if len(found) != 1:
        raise NoSuchServer(server=server)
    return found[0]


def _locked(session: Session, server: str) -> Server:
    """A server, locked after its pool: that is the order of locks everywhere."""
    pools.named(session, _named(session, server).pool_id, lock=True)
    return _named(session, server, lock=True)


def _told(session: Session, server: Server, event: str, by: Actor, reason: str | None = None, **figures: Any) -> None:
    named = {"server": server.name, "address": server.address, "state": server.state, **figures}
    audit.record(session, by, f"server:{event}", server.id, reason=reason, **named)
    events.record(session, server.id, f"server-{event}", by.id, **named)


def _note(session: Session, caller: Caller, verb: str, pool: Pool, server: Server) -> None:
    pools.note(session, caller, verb, pool, server=server.name, address=server.address, state=server.state)

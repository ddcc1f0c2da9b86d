"""The ledger: what departments may have and places can give. A claim is held, then committed, then released.

Every booking is one call of a function in `ledger.sql`, all or nothing, and keeps its accounts locked until the
transaction ends. A transaction that books for the same holders more than once begins with `lock`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Double,
    FromClause,
    String,
    bindparam,
    case,
    cast,
    func,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB, aggregate_order_by, insert
from sqlalchemy.orm import InstrumentedAttribute, Session

from cloudctl.kernel import ids
from cloudctl.kernel.clock import now
from cloudctl.kernel.database import Size
from cloudctl.kernel.errors import Conflict, Exhausted, all_or_none
from tenancy.models import Account, Claim, ClaimLine, Department, LedgerEntry
from tenancy.resources import amount_problems

Side = Literal["quota", "capacity"]
State = Literal["held", "committed"]

SERVER_RANK, POOL_RANK = 1, 2  # locked before every department
_ROOT_RANK = 1000  # a department's rank is this less its depth: the root, which everybody wants, is locked last


@dataclass(frozen=True)
class Wanted:
    """A claim to be: `size` of each of `owners`, which are a department and its ancestors, or a server and its pool.

    Owners stand nearest first: the order in which a refusal looks at them.
    """

    holder: str
    side: Side
    owners: Sequence[str]
    size: Mapping[str, int]


@dataclass(frozen=True)
class Balance:
    """One account, in the unit of its resource class."""

    limit: int
    held: int
    used: int

    @property
    def free(self) -> int:
        return self.limit - self.held - self.used


@dataclass(frozen=True)
class OpenClaim:
    """A claim that is held or committed, with what it takes of each of its owners."""

    id: str
    holder: str
    side: Side
    state: State
    owners: Sequence[str]
    size: Size
    created_at: datetime


class OverLimit(Exhausted):
    """A claim would take an account over its limit; names the first one that is short, and the most that would fit."""


class MovedMeanwhile(Conflict):
    """The department got other ancestors since they were read; the same call will work now."""


class LessThanThat(Conflict):
    """A holder has committed less of a class than shall be taken off."""


class LimitBelowUse(Conflict):
    """A limit cannot fall below what is held and used."""


class ChildOverParent(Conflict):
    """A department's limit cannot be above its parent's."""


def hold(session: Session, *wanted: Wanted) -> list[OpenClaim]:
    """Hold everything that is wanted, or nothing; a claim for each.

    Raises:
        OverLimit: an account has no room, or does not exist, which is a limit of 0.
        MovedMeanwhile: `owners` are no longer a department's chain.
    """
    claims = [_claim(each) for each in wanted]
    moment = now()
    held = text("SELECT ledger_hold(CAST(:wanted AS jsonb), :moment)")
    _refuse(session, session.connection().scalar(held, {"wanted": json.dumps(claims), "moment": moment}))
    return [
        OpenClaim(claim["id"], each.holder, each.side, "held", tuple(each.owners), dict(each.size), moment)
        for claim, each in zip(claims, wanted, strict=True)
    ]


def shortfall(session: Session, *wanted: Wanted) -> OverLimit | None:
    """What `hold` would say now, without holding: None where all fits."""
    claims = json.dumps([_claim(each) for each in wanted])
    short = session.scalar(text("SELECT ledger_shortfall(CAST(:wanted AS jsonb))"), {"wanted": claims})
    return short and _over_limit(session, short)


def fits(*wanted: Wanted) -> ColumnElement[bool]:
    """The same as a condition, for a query that has more to ask."""
    return func.ledger_shortfall(cast([_claim(each) for each in wanted], JSONB)).is_(None)


def commit(session: Session, *holders: str, into: str | None = None) -> int:
    """What these hold becomes used, under the name of `into` where given; how many claims that were."""
    return _settle(session, holders, None, ["held"], "committed", into)


def release(session: Session, *holders: str, side: Side | None = None, state: State | None = None) -> int:
    """Give back what these hold and use, or only one side or state of it; how many claims that were."""
    return _settle(session, holders, side, [state] if state else ["held", "committed"], "released", None)


def shrink(session: Session, holder: str, side: Side, size: Mapping[str, int]) -> None:
    """Take `size` off what the holder has committed, newest claims first.

    Raises:
        LessThanThat: it has committed less; nothing is taken.
    """
    call = "ledger_shrink(:holder, :side, CAST(:size AS jsonb), :moment)"
    lacking = _call(session, call, holder=holder, side=side, size=json.dumps(dict(size)))
    if lacking:
        raise LessThanThat(holder=holder, **lacking)


def lock(session: Session, *holders: str) -> None:
    """Lock every account that these holders' open claims stand in, so that bookings after this cannot deadlock."""
    session.execute(text("SELECT ledger_lock(:holders)"), {"holders": list(holders)})


def claims_of(session: Session, *holders: str) -> list[OpenClaim]:
    """The open claims of these holders, oldest first."""
    return [
        OpenClaim(row.id, row.holder, row.side, row.state, tuple(dict.fromkeys(row.owners)), row.size, row.created_at)
        for row in session.connection().execute(_OPEN_CLAIMS, {"holders": list(holders)})
    ]


_OPEN_CLAIMS = (
    select(
        *(Claim.id, Claim.holder, Claim.side, Claim.state, Claim.created_at),
        func.array_agg(aggregate_order_by(Account.owner, Account.rank)).label("owners"),
        func.jsonb_object_agg(Account.resource, ClaimLine.amount).label("size"),
    )
    .join(ClaimLine, ClaimLine.claim_id == Claim.id)
    .join(Account, Account.id == ClaimLine.account_id)
    .where(Claim.holder == func.any(bindparam("holders", type_=ARRAY(String))), Claim.state != "released")
    .group_by(Claim.id)
    .order_by(Claim.created_at, Claim.id)
)


def balances(session: Session, owners: Sequence[str]) -> dict[str, dict[str, Balance]]:
    """Every account of these owners: owner -> resource class -> balance."""
    accounts = select(Account.owner, Account.resource, Account.limit, Account.held, Account.used)
    accounts = accounts.where(Account.owner.in_(owners)).order_by(Account.resource)
    found: dict[str, dict[str, Balance]] = {owner: {} for owner in owners}
    for owner, resource, *amounts in session.execute(accounts):
        found[owner][resource] = Balance(*amounts)
    return found


def room(session: Session, owners: Sequence[str]) -> Size:
    """The most of each class, by itself, that could be held on all of these owners now."""
    accounts = balances(session, owners).values()
    classes = {resource for account in accounts for resource in account}
    return {each: min(a[each].free if each in a else 0 for a in accounts) for each in sorted(classes)}


def offer(
    owner: InstrumentedAttribute[str], size: Mapping[str, int], of: Literal["room", "limit"] = "room"
) -> FromClause:
    """For the queries of other rooms: what a place offers of `size`, by what is free there or is there in all.

    To be joined to a query over places; of a place that lacks a class there is no row. Columns: `fits`, whether all of
    it has room; `share`, how much of it has (1 and more: all); `left`, what would be left of the place's limits, summed
    over the classes: the less, the better the fit.
    """
    has = Account.room if of == "room" else Account.limit
    wanted = case(dict(size), value=Account.resource)
    left = cast(has - wanted, Double) / func.nullif(Account.limit, 0)
    return (
        select(
            func.bool_and(has >= wanted).label("fits"),
            func.min(cast(has, Double) / wanted).label("share"),
            func.sum(left).label("left"),
        )
        .where(Account.owner == owner, Account.resource.in_(size))
        .having(func.count() == len(size))
        .lateral()
    )


def set_limit(session: Session, department_id: str, resource: str, limit: int) -> None:
    """Say how much of a class a department, with all below it, may have.

    Raises:
        UnknownResource, BadAmount: not a class, or not an amount.
        LimitBelowUse: more is held and used already.
        ChildOverParent: above the parent's limit, or below a child's.
    """
    all_or_none(amount_problems({resource: limit}, "limits", least=0))
    _take_turns(session)
    department = session.execute(
        select(Department.id, Department.path, Department.parent_id).where(Department.id == department_id)
    ).one()
    if department.parent_id:
        _must_cover(session, resource, department.parent_id, None, department_id, limit)
    children = select(Account.owner, Account.limit).join(Department, Department.id == Account.owner)
    children = children.where(Department.parent_id == department_id, Account.resource == resource)
    largest = session.execute(children.order_by(Account.limit.desc(), Account.owner).limit(1)).one_or_none()
    if largest:
        _must_cover(session, resource, department_id, limit, *largest)
    _write_limit(session, department_id, resource, limit, _ROOT_RANK - len(department.path))


def set_capacity(session: Session, place: str, limits: Mapping[str, int], rank: int) -> None:
    """Say how much a pool or server can give of each class; of a class not named, nothing.

    Raises:
        LimitBelowUse: more is held and used already.
    """
    _take_turns(session)
    gone = dict.fromkeys(balances(session, [place])[place], 0)
    for resource, limit in sorted({**gone, **limits}.items()):
        _write_limit(session, place, resource, limit, rank)


def move(session: Session, department_id: str, old_path: Sequence[str], new_path: Sequence[str]) -> None:
    """Re-book the open claims of a moved department and all below it from its old ancestors to its new ones.

    Paths run from the root to the department. Nothing else is booked until the transaction ends.

    Raises:
        OverLimit: a new ancestor has no room for what is held and used.
        ChildOverParent: the department's limit is above its new parent's.
    """
    session.execute(text("SELECT pg_advisory_xact_lock(8801)"))
    _take_turns(session)
    for resource, account in balances(session, [department_id])[department_id].items() if new_path[:-1] else ():
        _must_cover(session, resource, new_path[-2], None, department_id, account.limit)
    figures = {
        "moved": department_id,
        "leaving": [owner for owner in old_path if owner not in new_path],
        "joining": [owner for owner in reversed(new_path) if owner not in old_path],
        "deeper": len(new_path) - len(old_path),
    }
    _refuse(session, _call(session, "ledger_move(:moved, :leaving, :joining, :deeper, :moment)", **figures))


def _claim(wanted: Wanted) -> dict[str, Any]:
    owners = list(wanted.owners)
    place = {"owners": owners, "path": owners[::-1], "size": dict(wanted.size)}
    return {"id": ids.new("clm"), "holder": wanted.holder, "side": wanted.side, **place}


def _call(session: Session, call: str, **figures: Any) -> Any:
    return session.connection().scalar(text(f"SELECT {call}"), {**figures, "moment": now()})


def _settle(
    session: Session, holders: Sequence[str], side: Side | None, states: list[str], outcome: str, into: str | None
) -> int:
    call = "ledger_settle(:holders, CAST(:side AS text), :states, :outcome, CAST(:into AS text), :moment)"
    return int(_call(session, call, holders=list(holders), side=side, states=states, outcome=outcome, into=into))


def _refuse(session: Session, refusal: dict[str, Any] | None) -> None:
    if refusal and "moved" in refusal:
        raise MovedMeanwhile(department=refusal["moved"])
    if refusal:
        raise _over_limit(session, refusal)


def _over_limit(session: Session, figures: dict[str, Any]) -> OverLimit:
    parent = select(Department.parent_id).where(Department.id == figures["owner"]).scalar_subquery()
    changed_by = session.scalar(select(Department.name).where(Department.id == parent)) or "operator"
    return OverLimit(name=_name(session, figures["owner"]), changed_by=changed_by, **figures)


def _take_turns(session: Session) -> None:
    """Limits are changed one at a time, and never while a department moves; only then is what was compared still so."""
    session.execute(text("SELECT pg_advisory_xact_lock_shared(8801), pg_advisory_xact_lock(8802)"))


def _must_cover(
    session: Session, resource: str, parent: str, parent_limit: int | None, child: str, child_limit: int
) -> None:
    """Refuse a child's limit above its parent's; the parent's is looked up where it is None."""
    if parent_limit is None:
        account = balances(session, [parent])[parent].get(resource)
        parent_limit = account.limit if account else 0
    if child_limit > parent_limit:
        names = {"parent": _name(session, parent), "child": _name(session, child)}
        raise ChildOverParent(resource=resource, **names, parent_limit=parent_limit, child_limit=child_limit)


def _name(session: Session, owner: str) -> str:
    return session.scalar(select(Department.name).where(Department.id == owner)) or owner


def _write_limit(session: Session, owner: str, resource: str, limit: int, rank: int) -> None:
    new = insert(Account).values(owner=owner, resource=resource, rank=rank, limit=0)
    session.execute(new.on_conflict_do_nothing(index_elements=["owner", "resource"]))
    account = session.execute(
        select(Account.id, Account.limit, Account.held, Account.used)
        .where(Account.owner == owner, Account.resource == resource)
        .with_for_update()
    ).one()
    if limit < account.held + account.used:
        figures = {"resource": resource, "limit": limit, "held": account.held, "used": account.used}
        raise LimitBelowUse(owner=owner, name=_name(session, owner), **figures)
    session.execute(update(Account).where(Account.id == account.id).values(limit=limit))
    entry = insert(LedgerEntry).values(account_id=account.id, limit_change=limit - account.limit, at=now())
    session.execute(entry)

"""Tenancies: their lifecycle, their terms, and what their owners see of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from cloudctl.kernel import audit, clock, events, ids
from cloudctl.kernel.database import Size
from cloudctl.kernel.errors import Conflict, Invalid, NotFound, must_be_at
from cloudctl.kernel.lifecycle import Lifecycle, NotAllowed
from tenancy import callers, departments, projects
from tenancy.callers import Caller
from tenancy.models import Department, Project
from tenancy.models import Endpoint as Endpoint
from tenancy.models import Tenancy as Tenancy

TENANCY = Lifecycle(
    "tenancy",
    {
        "waiting": {"place": "creating", "withdraw": "withdrawn", "fail": "failed"},
        "creating": {"succeed": "active", "fail": "failed"},
        "active": {"resize": "changing", "suspend": "suspended", "end": "quarantined"},
        "changing": {"succeed": "active", "fail": "active"},
        "suspended": {"resume": "active", "end": "quarantined"},
        "quarantined": {"restore": "active", "erase": "erased"},
        "failed": {},
        "withdrawn": {},
        "erased": {},
    },
)


class NoSuchTenancy(NotFound):
    """No such tenancy, or none the caller may see."""


class NoSuchEndpoint(NotFound):
    """The tenancy has no such endpoint."""


class Protected(Conflict):
    """Delete protection is on; take it off first."""


class HoldInThePast(Invalid):
    """A hold ends later than now; says when it would have ended."""


class NotHeld(Conflict):
    """There is no hold that could be ended."""


class Held(Conflict):
    """Somebody works on the tenancy by hand; end the hold first."""


class AccessAlreadyRead(Conflict):
    """Access is handed over once; rotate it to get another."""


@dataclass(frozen=True)
class Ordered:
    """A tenancy as it was asked for and approved."""

    id: str
    name: str
    size: Size
    architectures: Sequence[str]
    zone: str
    level: int
    keys: Sequence[str]
    term_days: int
    protected: bool


def create(session: Session, project: Project, ordered: Ordered) -> Tenancy:
    """Enter an approved tenancy; it waits for a place."""
    tenancy = Tenancy(
        id=ordered.id,
        project_id=project.id,
        department_id=project.department_id,
        name=ordered.name,
        state=TENANCY.initial,
        size=dict(ordered.size),
        approved_size=dict(ordered.size),
        architectures=list(ordered.architectures),
        zone=ordered.zone,
        level=ordered.level,
        keys=list(ordered.keys),
        protected=ordered.protected,
        limits=[],
        term_days=ordered.term_days,
    )
    session.add(tenancy)
    session.flush()
    return tenancy


def advance(
    session: Session, tenancy: Tenancy, event: str, by: audit.Actor, reason: str | None = None, **figures: Any
) -> None:
    """Move the tenancy along its lifecycle, with its event and audit entry. The only place that writes its state.

    Raises:
        NotAllowed: no such move from its state.
    """
    before, tenancy.state = tenancy.state, TENANCY.next(tenancy.state, event)
    tenancy.version += 1
    session.flush()
    events.record(session, tenancy.id, f"tenancy-{event}", by.id, before=before, state=tenancy.state, **figures)
    audit.record(
        session,
        by,
        f"tenancy:{event}",
        tenancy.id,
        reason=reason,
        department=tenancy.department_id,
        state=tenancy.state,
    )


def note(session: Session, by: audit.Actor, tenancy: Tenancy, action: str, reason: str | None) -> None:
    """Enter into the audit log what somebody asked to be done to the tenancy, and why."""
    audit.record(session, by, action.replace(".", ":"), tenancy.id, reason=reason, department=tenancy.department_id)


def get(session: Session, tenancy_id: str, *, lock: bool = False) -> Tenancy:
    tenancy = session.get(Tenancy, tenancy_id, with_for_update=lock or None, populate_existing=lock)
    if tenancy is None:
        raise NoSuchTenancy(tenancy=tenancy_id)
    return tenancy


def seen_by(session: Session, caller: Caller, tenancy_id: str, *, lock: bool = False) -> Tenancy:
    """The tenancy, if the caller may know of it.

    Raises:
        NoSuchTenancy: there is none, or it is not the caller's to see.
    """
    query = select(Tenancy).join(Department, Department.id == Tenancy.department_id)
    query = query.where(Tenancy.id == tenancy_id, callers.sees(caller))
    query = query.with_for_update(of=Tenancy).execution_options(populate_existing=True) if lock else query
    tenancy = session.scalar(query)
    if tenancy is None:
        raise NoSuchTenancy(tenancy=tenancy_id)
    return tenancy


def listed(
    session: Session,
    caller: Caller,
    *,
    department: str | None = None,
    project: str | None = None,
    state: str | None = None,
    pool: str | None = None,
    after: str | None = None,
    limit: int = 50,
) -> list[Tenancy]:
    """Tenancies the caller may see, newest first.

    Args:
        department: id or code; its own and those of departments below it.
        project: id or code.
        after: the id of the last one already read.

    Raises:
        NoSuchDepartment, NoSuchProject: the caller cannot see them.
    """
    query = select(Tenancy).join(Department, Department.id == Tenancy.department_id).where(callers.sees(caller))
    if department:
        below = departments.seen_by(session, caller, department, field="department").id
        query = query.where(callers.covered_by([below]))
    if project:
        query = query.where(Tenancy.project_id == projects.seen_by(session, caller, project, field="project").id)
    for condition, given in (
        (Tenancy.state == state, state),
        (Tenancy.pool_id == pool, pool),
        (Tenancy.id < (after or ""), after),
    ):
        query = query.where(condition) if given else query
    return list(session.scalars(query.order_by(Tenancy.id.desc()).limit(limit)))


def ending(session: Session, before: datetime) -> list[str]:
    """Ids of the tenancies whose term or quarantine ends before that moment, and is not over with."""
    due = or_(Tenancy.ends_at < before, Tenancy.erase_at < before)
    live = Tenancy.state.in_(["active", "suspended", "quarantined"])
    return list(session.scalars(select(Tenancy.id).where(due, live).order_by(Tenancy.id)))


def alive(session: Session) -> list[str]:
    """Ids of the tenancies that exist on a pool and are in use."""
    return list(
        session.scalars(select(Tenancy.id).where(Tenancy.state.in_(["active", "changing"])).order_by(Tenancy.id))
    )


def remind(session: Session, tenancy: Tenancy) -> None:
    """Tell the owner, once a term, that it ends soon."""
    tenancy.reminded_at = clock.now()
    events.record(session, tenancy.id, "term-ending", ends_at=tenancy.ends_at.isoformat() if tenancy.ends_at else None)


def department_of(session: Session, tenancy: Tenancy) -> Department:
    return session.get_one(Department, tenancy.department_id)


def project_of(session: Session, tenancy: Tenancy) -> Project:
    return session.get_one(Project, tenancy.project_id)


def protect(session: Session, caller: Caller, tenancy_id: str, protected: bool, version: int | None = None) -> Tenancy:
    """Turn delete protection on or off.

    Raises:
        NoSuchTenancy, NotPermitted: it is not the caller's to see, or to change.
        Outdated: it is no longer at `version`.
        NotAllowed: it is quarantined; its quota is given back, and protection would keep its capacity for ever.
    """
    tenancy = seen_by(session, caller, tenancy_id, lock=True)
    caller.must("tenancy:protect", department_of(session, tenancy))
    must_be_at(version, tenancy.version)
    if protected and tenancy.state == "quarantined":
        raise NotAllowed("tenancy", tenancy.state, "protect", sorted(TENANCY.table[tenancy.state]))
    tenancy.protected, tenancy.version = protected, tenancy.version + 1
    audit.record(session, caller, "tenancy:protect", tenancy.id, department=tenancy.department_id, protected=protected)
    return tenancy


def must_not_be_protected(tenancy: Tenancy) -> None:
    if tenancy.protected:
        raise Protected(tenancy=tenancy.id, name=tenancy.name)


def hold(session: Session, caller: Caller, tenancy_id: str, until: datetime | None, reason: str) -> Tenancy:
    """Have nothing of the tenancy repaired until then, because somebody works on it by hand; None ends the hold.

    Raises:
        NoSuchTenancy, NotPermitted: it is not the caller's to see, or to hold.
        HoldInThePast: `until` is over already.
        NotHeld: there is no hold to end.
    """
    tenancy = seen_by(session, caller, tenancy_id, lock=True)
    caller.must("tenancy:hold", department_of(session, tenancy))
    if until and until <= clock.now():
        raise HoldInThePast(field="until", until=until.isoformat())
    if until is None and tenancy.held_until is None:
        raise NotHeld(tenancy=tenancy.id)
    tenancy.held_until, tenancy.held_because = until, reason if until else None
    tenancy.version += 1
    session.flush()
    told = "tenancy-held" if until else "tenancy-released"
    events.record(session, tenancy.id, told, caller.id, until=until and until.isoformat(), reason=reason)
    note(session, caller, tenancy, "tenancy.hold", reason)
    return tenancy


def is_held(tenancy: Tenancy) -> bool:
    """Whether somebody works on it by hand."""
    return tenancy.held_until is not None and tenancy.held_until > clock.now()


def must_not_be_held(tenancy: Tenancy) -> None:
    if is_held(tenancy) and tenancy.held_until:
        raise Held(tenancy=tenancy.id, until=tenancy.held_until.isoformat(), reason=tenancy.held_because)


def on_pool(session: Session, pool_id: str) -> list[tuple[Tenancy, str, str]]:
    """Every tenancy that has something on a pool, or may have, with the codes of its project and department."""
    query = _WITH_CODES.where(Tenancy.pool_id == pool_id, Tenancy.state.not_in(TENANCY.final)).order_by(Tenancy.id)
    return [(tenancy, project, department) for tenancy, project, department in session.execute(query)]


def with_codes(session: Session, tenancy_id: str) -> tuple[Tenancy, str, str]:
    """A tenancy with the codes of its project and department."""
    found = session.execute(_WITH_CODES.where(Tenancy.id == tenancy_id)).one_or_none()
    if found is None:
        raise NoSuchTenancy(tenancy=tenancy_id)
    tenancy, project, department = found
    return tenancy, project, department


_WITH_CODES = (
    select(Tenancy, Project.code, Department.code)
    .join(Project, Project.id == Tenancy.project_id)
    .join(Department, Department.id == Tenancy.department_id)
)


def activated(tenancy: Tenancy, ends_in: timedelta) -> None:
    """Note when the tenancy became the tenant's and when its term ends."""
    tenancy.activated_at = clock.now()
    tenancy.ends_at = tenancy.activated_at + ends_in


def extend(session: Session, by: audit.Actor, tenancy_id: str, days: int) -> Tenancy:
    """Add calendar days to the term; it will be reminded of again."""
    tenancy = get(session, tenancy_id, lock=True)
    tenancy.term_days += days
    tenancy.ends_at = (tenancy.ends_at or clock.now()) + timedelta(days=days)
    tenancy.reminded_at, tenancy.version = None, tenancy.version + 1
    events.record(session, tenancy.id, "tenancy-extended", by.id, days=days, ends_at=tenancy.ends_at.isoformat())
    audit.record(session, by, "tenancy:extend", tenancy.id, department=tenancy.department_id, days=days)
    return tenancy


def hand_over(session: Session, caller: Caller, tenancy_id: str) -> tuple[Tenancy, str | None]:
    """The sealed access, once: reading it takes it away.

    Raises:
        AccessAlreadyRead: it was read before.
    """
    tenancy = seen_by(session, caller, tenancy_id, lock=True)
    caller.must("tenancy:access", department_of(session, tenancy))
    if tenancy.access is None:
        raise AccessAlreadyRead(tenancy=tenancy.id, state=tenancy.state)
    sealed, tenancy.access = tenancy.access, None
    audit.record(session, caller, "tenancy:access", tenancy.id, department=tenancy.department_id)
    events.record(session, tenancy.id, "access-handed-over", caller.id)
    return tenancy, sealed


def endpoints_of(session: Session, tenancy_id: str, *, confirmed: bool = False) -> list[Endpoint]:
    """Its endpoints; only those that count (reported by the driver or confirmed by an operator) if `confirmed`."""
    query = select(Endpoint).where(Endpoint.tenancy_id == tenancy_id).order_by(Endpoint.id)
    if confirmed:
        query = query.where(or_(Endpoint.reported, Endpoint.confirmed_at.is_not(None)))
    return list(session.scalars(query))


def report_endpoints(session: Session, tenancy_id: str, found: Sequence[tuple[str, int | None]]) -> None:
    """Make the driver's endpoints exactly these; those that people entered stay."""
    known = {(one.host, one.port): one for one in endpoints_of(session, tenancy_id)}
    for address, endpoint in known.items():
        if endpoint.reported and address not in found:
            session.delete(endpoint)
    for host, port in found:
        if (host, port) in known:
            known[host, port].reported = True
        else:
            session.add(Endpoint(id=ids.new("end"), tenancy_id=tenancy_id, host=host, port=port, reported=True))


def add_endpoint(session: Session, caller: Caller, tenancy_id: str, host: str, port: int | None) -> Endpoint:
    """Enter an address; it counts only once an operator has confirmed it."""
    tenancy = seen_by(session, caller, tenancy_id)
    caller.must("endpoint:add", department_of(session, tenancy))
    for known in endpoints_of(session, tenancy_id):
        if (known.host, known.port) == (host, port):
            return known
    endpoint = Endpoint(id=ids.new("end"), tenancy_id=tenancy_id, host=host, port=port, reported=False)
    session.add(endpoint)
    session.flush()
    audit.record(session, caller, "endpoint:add", endpoint.id, department=tenancy.department_id, host=host, port=port)
    return endpoint


def confirm_endpoint(session: Session, caller: Caller, tenancy_id: str, endpoint_id: str) -> Endpoint:
    """An operator vouches that the address is the tenancy's."""
    tenancy = seen_by(session, caller, tenancy_id)
    caller.must("endpoint:confirm", department_of(session, tenancy))
    endpoint = session.get(Endpoint, endpoint_id, with_for_update=True)
    if endpoint is None or endpoint.tenancy_id != tenancy.id:
        raise NoSuchEndpoint(tenancy=tenancy.id, endpoint=endpoint_id)
    endpoint.confirmed_by, endpoint.confirmed_at = caller.id, clock.now()
    audit.record(session, caller, "endpoint:confirm", endpoint.id, department=tenancy.department_id)
    return endpoint


def counted(session: Session) -> dict[str, int]:
    """How many tenancies there are in each state."""
    rows = session.execute(select(Tenancy.state, func.count()).group_by(Tenancy.state))
    return dict.fromkeys(TENANCY.table, 0) | {state: count for state, count in rows}


def answering(session: Session) -> list[tuple[Tenancy, str, str, Endpoint]]:
    """Every endpoint that counts, of tenancies in use, with the codes of project and department."""
    query = select(Tenancy, Project.code, Department.code, Endpoint).join(Endpoint, Endpoint.tenancy_id == Tenancy.id)
    query = query.join(Project, Project.id == Tenancy.project_id).join(
        Department, Department.id == Tenancy.department_id
    )
    counts = or_(Endpoint.reported, Endpoint.confirmed_at.is_not(None))
    query = query.where(counts, Tenancy.state.in_(["active", "changing"])).order_by(Endpoint.id)
    return [(one, project, department, at) for one, project, department, at in session.execute(query)]

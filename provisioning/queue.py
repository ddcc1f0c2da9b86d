"""The queue: approved items that wait for capacity, first come first served where they want the same pools."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from cloudctl.kernel import jobs, operations, sweeps
from cloudctl.kernel.errors import Exhausted
from cloudctl.kernel.settings import Settings
from provisioning import placement
from provisioning.placement import Demand
from tenancy import applications, ledger, requests, tenancies
from tenancy.callers import SYSTEM
from tenancy.requests import Item
from tenancy.rules import Rules
from tenancy.tenancies import Tenancy

ADMIT = "admit"


def enter_create(session: Session, rules: Rules, item: Item) -> None:
    """An approved tenancy: enter it, and have it placed as soon as a pool has room."""
    spec = applications.CreateSpec.model_validate(item.spec)
    project = item.request.project
    assert project, "a tenancy is asked for within a project"
    ordered = tenancies.Ordered(
        id=item.subject or "",
        name=spec.name,
        size=spec.size,
        architectures=spec.architectures,
        zone=spec.zone,
        level=spec.level or project.level,
        keys=spec.keys,
        term_days=spec.term_days,
        protected=spec.protected,
    )
    tenancies.create(session, project, ordered)
    _wait(session, item)


def enter_resize(session: Session, rules: Rules, item: Item) -> None:
    """An approved change of size; a growth waits until the tenancy's own pool has room."""
    _wait(session, item)


def _wait(session: Session, item: Item) -> None:
    requests.wait(session, item)
    wake(session)


def leave_create(session: Session, item: Item) -> None:
    """The applicant does not wait any longer."""
    assert item.subject, "a tenancy has its id from the start"
    tenancies.advance(session, tenancies.get(session, item.subject, lock=True), "withdraw", SYSTEM)


def fits_create(session: Session, item: Item) -> bool:
    """Whether some pool has room for the tenancy now."""
    return placement.fits(session, _asked_for(item))


def why_not_create(session: Session, item: Item) -> dict[str, Any]:
    """Why no pool has room for the tenancy now."""
    return placement.why_nowhere(session, _asked_for(item))


def _asked_for(item: Item) -> Demand:
    spec = applications.CreateSpec.model_validate(item.spec)
    return Demand(spec.size, tuple(spec.architectures), spec.zone, requests.level_of(item))


def fits_resize(session: Session, item: Item) -> bool:
    """Whether the tenancy's own pool has room for its growth now."""
    tenancy = tenancies.get(session, item.subject or "")
    growth = applications.growth(tenancy, item.spec["size"])
    return ledger.shortfall(session, *_growth(tenancy, item.id, growth)) is None


def why_not_resize(session: Session, item: Item) -> dict[str, Any]:
    """Why the tenancy cannot grow where it is: not now, or never."""
    tenancy = tenancies.get(session, item.subject or "")
    size = applications.new_size(tenancy, item.spec["size"])
    ever = placement.could_ever_grow(session, tenancy.pool_id or "", tenancy.server_id, size)
    growth = applications.growth(tenancy, item.spec["size"])
    return {"slug": "no-growth-now" if ever else "no-growth-ever", "figures": {"growth": growth, "size": size}}


def demand_of(tenancy: Tenancy) -> Demand:
    """What a tenancy asks of a pool."""
    return Demand(size=tenancy.size, architectures=tuple(tenancy.architectures), zone=tenancy.zone, level=tenancy.level)


def wake(session: Session) -> None:
    """Look through the queue once this transaction commits: something came, or something was given back."""
    jobs.defer(session, ADMIT, queue="periodic", lock=ADMIT, timestamp=0)


def admit(engine: Engine, settings: Settings) -> None:
    """Give places to those who wait, in order.

    Whoever does not fit now keeps the pools it could ever fit on for itself: a small late request
    does not starve a large early one. One that breaks stalls nobody else.
    """
    kept: set[str] = set()
    with Session(engine) as session, session.begin():
        jobs.answered(session, ADMIT)
        waiting = [item.id for item in requests.waiting(session)]

    def look(session: Session, item_id: str) -> None:
        session.execute(select(func.pg_advisory_xact_lock(func.hashtext(ADMIT))))
        item = requests.item_of(session, item_id)
        if item.state == "waiting":
            kept.update(_ADMIT[item.kind](session, item, kept))

    sweeps.each_booked(engine, waiting, look)


def _admit_create(session: Session, item: Item, kept: set[str]) -> set[str]:
    """Place a tenancy and promise its operation; else the pools that it keeps for itself."""
    tenancy = tenancies.get(session, item.subject or "", lock=True)
    demand = demand_of(tenancy)
    try:
        placed = placement.place(session, tenancy.id, demand, without=kept)
    except Exhausted as problem:
        item.reason = problem.reason
        return placement.ever_fits(session, demand)
    tenancy.pool_id, tenancy.server_id = placed.pool_id, placed.server_id
    tenancies.advance(session, tenancy, "place", SYSTEM, pool=placed.pool_id)
    requests.begin(session, item)
    operations.submit(
        session, "tenancy.create", tenancy.id, tenancy.department_id, requests.submitter_of(session, item), item=item.id
    )
    return set()


def _admit_resize(session: Session, item: Item, kept: set[str]) -> set[str]:
    """Hold a tenancy's growth on its own pool and promise the operation; else it keeps that pool for itself."""
    tenancy = tenancies.get(session, item.subject or "", lock=True)
    size = applications.new_size(tenancy, item.spec["size"])
    growth = applications.growth(tenancy, item.spec["size"])
    pool = {tenancy.pool_id or ""}
    if growth and pool & kept:
        return set()
    try:
        hold_growth(session, tenancy, item.id, size)
    except Exhausted as problem:
        item.reason = problem.reason
        return pool if placement.could_ever_grow(session, tenancy.pool_id or "", tenancy.server_id, size) else set()
    requests.begin(session, item)
    operations.submit(
        session,
        "tenancy.resize",
        tenancy.id,
        tenancy.department_id,
        requests.submitter_of(session, item),
        item=item.id,
        size=size,
        automatic=bool(item.automatic),
    )
    return set()


def hold_growth(session: Session, tenancy: Tenancy, item_id: str, size: Mapping[str, int]) -> None:
    """Hold on the tenancy's place what it grows by, once.

    Raises:
        OverLimit: its pool or server has no room.
    """
    growth = applications.growth(tenancy, size)
    held = any(claim.side == "capacity" for claim in ledger.claims_of(session, item_id))
    if growth and not held:
        ledger.hold(session, *_growth(tenancy, item_id, growth))


def _growth(tenancy: Tenancy, item_id: str, growth: Mapping[str, int]) -> list[ledger.Wanted]:
    owners = [owner for owner in (tenancy.server_id, tenancy.pool_id) if owner]
    return [ledger.Wanted(item_id, "capacity", owners, dict(growth))] if growth else []


_ADMIT = {"create": _admit_create, "resize": _admit_resize}

"""Terms: a tenancy's owner is reminded, then it is suspended, quarantined and erased. Periodic, and without input."""

from datetime import datetime

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from cloudctl.kernel import clock, operations, sweeps
from cloudctl.kernel.operations import Operation
from cloudctl.kernel.settings import Settings
from provisioning.operations import ERASE, QUARANTINE, SUSPEND
from tenancy import tenancies
from tenancy.callers import SYSTEM
from tenancy.tenancies import Tenancy


def enforce(engine: Engine, settings: Settings) -> None:
    """Do what is due to every tenancy whose term or quarantine is ending; one that breaks stalls no other."""
    moment = clock.now()
    with Session(engine) as session:
        ending = tenancies.ending(session, moment + settings.reminder)

    def look(session: Session, tenancy_id: str) -> None:
        _enforce(session, tenancies.get(session, tenancy_id, lock=True), settings, moment)

    sweeps.each_booked(engine, ending, look)


def _enforce(session: Session, tenancy: Tenancy, settings: Settings, moment: datetime) -> None:
    if operations.under_way(session, tenancy.id) or tenancies.is_held(tenancy):
        return
    if due := _due(tenancy, settings, moment):
        what, when = ("quarantine", tenancy.erase_at) if due is ERASE else ("term", tenancy.ends_at)
        reason = f"{what} ended {when:%Y-%m-%d}"
        operations.submit(session, due.kind, tenancy.id, tenancy.department_id, SYSTEM.id, reason=reason)
        tenancies.note(session, SYSTEM, tenancy, due.kind, reason)
    elif tenancy.state == "active" and tenancy.reminded_at is None:
        tenancies.remind(session, tenancy)


def _due(tenancy: Tenancy, settings: Settings, moment: datetime) -> Operation | None:
    """The operation whose time has come; delete protection holds off everything after the suspension."""
    at, operation = {
        "active": (tenancy.ends_at, SUSPEND),
        "suspended": (tenancy.ends_at and tenancy.ends_at + settings.grace, QUARANTINE),
        "quarantined": (tenancy.erase_at, ERASE),
    }.get(tenancy.state, (None, SUSPEND))
    kept = tenancy.protected and operation is not SUSPEND
    return operation if at and moment >= at and not kept else None

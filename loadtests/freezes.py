"""Freezes: times in which the authority wants no load tests on anything. They override everything else."""

from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from cloudctl.kernel import audit, clock, ids
from cloudctl.kernel.errors import Conflict, Invalid, NotFound
from loadtests.models import Freeze as Freeze
from tenancy.callers import Caller


class NoSuchFreeze(NotFound):
    """There is no freeze with this id."""


class EndsBeforeItStarts(Invalid):
    """A freeze ends after it starts, and later than now."""


class Frozen(Conflict):
    """The authority wants no load tests at this time; tells until when, and why."""


def declare(session: Session, caller: Caller, starts_at: datetime, ends_at: datetime, reason: str) -> Freeze:
    """Have nothing tried in that time; what runs when it begins is stopped by nobody but the operator.

    Raises:
        NotPermitted, EndsBeforeItStarts.
    """
    caller.must("freeze:declare")
    if ends_at <= max(starts_at, clock.now()):
        raise EndsBeforeItStarts(field="ends_at", starts_at=starts_at.isoformat(), ends_at=ends_at.isoformat())
    freeze = Freeze(id=ids.new("frz"), starts_at=starts_at, ends_at=ends_at, reason=reason, created_by=caller.id)
    session.add(freeze)
    session.flush()
    told: dict[str, Any] = {"starts_at": starts_at.isoformat(), "ends_at": ends_at.isoformat()}
    audit.record(session, caller, "freeze:declare", freeze.id, reason=reason, **told)
    return freeze


def lift(session: Session, caller: Caller, freeze_id: str) -> None:
    """End a freeze before its time, or take it back.

    Raises:
        NotPermitted, NoSuchFreeze.
    """
    caller.must("freeze:lift")
    freeze = session.get(Freeze, freeze_id)
    if freeze is None:
        raise NoSuchFreeze(freeze=freeze_id)
    session.delete(freeze)
    audit.record(session, caller, "freeze:lift", freeze_id, reason=freeze.reason)


def listed(session: Session) -> list[Freeze]:
    """Those that are not over, the first to begin first."""
    return list(session.scalars(select(Freeze).where(Freeze.ends_at > clock.now()).order_by(Freeze.starts_at)))


def must_not_be(session: Session, begins: datetime, ends: datetime) -> None:
    """Raise Frozen where a freeze reaches into this time."""
    within = select(Freeze).where(Freeze.starts_at < ends, Freeze.ends_at > begins).order_by(Freeze.starts_at).limit(1)
    if freeze := session.scalar(within):
        raise Frozen(freeze=freeze.id, until=freeze.ends_at.isoformat(), reason=freeze.reason)

"""Evidence: measured facts that policy may rest on. Others write it; nothing old or absent ever counts."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from cloudctl.kernel import audit, clock
from cloudctl.kernel.errors import Invalid, Problem, all_or_none
from tenancy import tenancies
from tenancy.callers import Caller
from tenancy.models import Evidence
from tenancy.resources import MOST, UNITS, UnknownResource


class BadUse(Invalid):
    """What is used is a number from 0 to the most there can be, in the unit of its class."""


class BadPeriod(Invalid):
    """Evidence was measured at the latest now, has not expired, and does not count for longer than evidence may."""


def record(
    session: Session,
    kind: str,
    subject: str,
    value: Mapping[str, Any],
    source: str,
    measured_at: datetime,
    expires_at: datetime,
) -> None:
    """Keep the newest measurement of a kind about a subject; one that arrives late does not replace a newer one."""
    row = insert(Evidence).values(
        kind=kind, subject=subject, value=dict(value), source=source, measured_at=measured_at, expires_at=expires_at
    )
    new = row.excluded
    session.execute(
        row.on_conflict_do_update(
            index_elements=[Evidence.kind, Evidence.subject],
            set_={name: new[name] for name in ("value", "source", "measured_at", "expires_at")},
            where=Evidence.measured_at <= new.measured_at,
        )
    )


def submit(
    session: Session,
    caller: Caller,
    kind: str,
    subject: str,
    value: dict[str, float],
    measured_at: datetime,
    expires_at: datetime | None,
    longest: timedelta,
) -> datetime:
    """Enter what a robot of the caller's measured about a tenancy, and tell until when it counts: for the `longest`
    time unless less is said.

    Raises:
        NotPermitted: the caller may not enter evidence.
        NoSuchTenancy: the subject is none.
        UnknownResource, BadUse, BadPeriod: Several where more than one is wrong.
    """
    caller.must("evidence:write")
    tenancy = tenancies.seen_by(session, caller, subject)
    problems: list[Problem] = []
    for resource, used in value.items():
        if resource not in UNITS:
            problems.append(UnknownResource(resource, f"value.{resource}"))
        elif not 0 <= used <= MOST:
            problems.append(BadUse(field=f"value.{resource}", resource=resource, used=used, most=MOST))
    now, latest = clock.now(), measured_at + longest
    expires_at = expires_at or latest
    if not measured_at <= now < expires_at <= latest:
        moments = {
            "measured_at": measured_at.isoformat(),
            "expires_at": expires_at.isoformat(),
            "latest": latest.isoformat(),
        }
        problems.append(BadPeriod(field="measured_at", now=now.isoformat(), **moments))
    all_or_none(problems)
    record(session, kind, subject, value, f"user:{caller.name}", measured_at, expires_at)
    audit.record(session, caller, "evidence:write", subject, department=tenancy.department_id, kind=kind, value=value)
    return expires_at


def fresh(session: Session, kind: str, subject: str) -> Evidence | None:
    """The newest evidence of a kind about a subject, unless it has expired."""
    found = session.get(Evidence, (kind, subject), populate_existing=True)
    return found if found and found.expires_at > clock.now() else None

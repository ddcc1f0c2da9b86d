"""Evidence: measured facts that policy may rest on. Others write it; nothing old or absent ever counts."""

from datetime import datetime
from typing import Any

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from cloudctl.kernel import clock
from tenancy.models import Evidence


def record(
    session: Session,
    kind: str,
    subject: str,
    value: dict[str, Any],
    source: str,
    measured_at: datetime,
    expires_at: datetime,
) -> None:
    """Keep the newest measurement of a kind about a subject; one that arrives late does not replace a newer one."""
    row = insert(Evidence).values(
        kind=kind, subject=subject, value=value, source=source, measured_at=measured_at, expires_at=expires_at
    )
    new = row.excluded
    session.execute(
        row.on_conflict_do_update(
            index_elements=[Evidence.kind, Evidence.subject],
            set_={name: new[name] for name in ("value", "source", "measured_at", "expires_at")},
            where=Evidence.measured_at <= new.measured_at,
        )
    )


def fresh(session: Session, kind: str, subject: str) -> Evidence | None:
    """The newest evidence of a kind about a subject, unless it has expired."""
    found = session.get(Evidence, (kind, subject), populate_existing=True)
    return found if found and found.expires_at > clock.now() else None

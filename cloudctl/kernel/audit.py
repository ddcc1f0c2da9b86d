"""Audit: who did what to which object, from where, with which result; appended in the caller's transaction.

The application's role can neither change nor delete an entry. `audit_seals` chains and signs them.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import CheckConstraint, Index, select
from sqlalchemy.orm import Mapped, Session

from cloudctl.kernel import clock
from cloudctl.kernel.database import Base, Serial

Result = Literal["ok", "refused", "failed"]


@dataclass(frozen=True, kw_only=True)
class Actor:
    """Whoever does something, as the floor knows them: a person, a robot or a part of the platform."""

    id: str
    name: str
    address: str | None = None  # from where, as the edge saw it
    request_id: str | None = None  # of the call, as it stands in the logs


class AuditEntry(Base):
    """One deed, or one that was refused. Never changed, never deleted."""

    __tablename__ = "audit_entries"
    __table_args__ = (
        CheckConstraint("result IN ('ok', 'refused', 'failed')", name="result"),
        Index("ix_audit_entries_department_id", "department", "id"),
        Index("ix_audit_entries_object_id", "object", "id"),
        Index("ix_audit_entries_actor_id", "actor", "id"),
    )

    id: Mapped[Serial]
    at: Mapped[datetime]
    actor: Mapped[str]
    actor_name: Mapped[str]
    address: Mapped[str | None]
    request_id: Mapped[str | None]
    action: Mapped[str]
    object: Mapped[str]
    department: Mapped[str | None]
    result: Mapped[str]
    reason: Mapped[str | None]
    seen: Mapped[str | None]
    figures: Mapped[dict[str, Any]]


def record(
    session: Session,
    actor: Actor,
    action: str,
    object: str,
    *,
    result: Result = "ok",
    reason: str | None = None,
    department: str | None = None,
    seen: str | None = None,
    **figures: Any,
) -> None:
    """Append an entry to the caller's transaction; a refusal or a log-in gets a transaction of its own at the edge.

    Args:
        action: what was done, as its permission is written (`request:submit`).
        object: the id of what it was done to.
        reason: why, in the actor's words; of a refusal, the slug of the problem.
        department: whose object it is; that department may read the entry.
        seen: the digest of what the actor was shown when deciding.
        figures: JSON values that matter later; never a secret.
    """
    session.connection().execute(
        _APPEND,
        {
            "at": clock.now(),
            "actor": actor.id,
            "actor_name": actor.name,
            "address": actor.address,
            "request_id": actor.request_id,
            "action": action,
            "object": object,
            "department": department,
            "result": result,
            "reason": reason,
            "seen": seen,
            "figures": figures,
        },
    )


_APPEND = AuditEntry.__table__.insert().inline()  # type: ignore[attr-defined] # of the table, and nobody asks its id


def entries(
    session: Session,
    *,
    department: str | None = None,
    object: str | None = None,
    actor: str | None = None,
    action: str | None = None,
    after: int | None = None,
    limit: int = 100,
) -> list[AuditEntry]:
    """Entries, newest first, that match everything named; `after` is the id of the last one already read."""
    wanted = {"department": department, "object": object, "actor": actor, "action": action}
    query = select(AuditEntry).filter_by(**{name: value for name, value in wanted.items() if value is not None})
    if after is not None:
        query = query.where(AuditEntry.id < after)
    return list(session.scalars(query.order_by(AuditEntry.id.desc()).limit(limit)))

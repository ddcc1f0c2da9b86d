"""Events: what happened to a subject, appended in the caller's transaction and numbered per subject.

People watch them (`--wait`, server-sent events), and mail and webhooks read the same rows. NOTIFY wakes
whoever listens on CHANNEL, with the subject, when the transaction commits.
"""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Index, Select, select, text
from sqlalchemy.orm import Mapped, Session

from cloudctl.kernel import clock
from cloudctl.kernel.database import Base, Ref, Serial

CHANNEL = "cloudctl_events"


class Event(Base):
    """One thing that happened. `sequence` counts 1, 2, 3, … within the subject, without a gap."""

    __tablename__ = "events"
    __table_args__ = (Index("uq_events_subject_sequence", "subject", "sequence", unique=True),)

    id: Mapped[Serial]
    subject: Mapped[Ref]
    sequence: Mapped[int]
    slug: Mapped[str]
    figures: Mapped[dict[str, Any]]
    actor: Mapped[str | None]
    at: Mapped[datetime]


def record(session: Session, subject: str, slug: str, actor: str | None = None, **figures: Any) -> None:
    """Append an event and wake whoever listens (`events.sql`). `figures` are JSON values."""
    session.connection().execute(
        _RECORD,
        {
            "channel": CHANNEL,
            "subject": subject,
            "slug": slug,
            "figures": json.dumps(figures),
            "actor": actor,
            "at": clock.now(),
        },
    )


_RECORD = text("SELECT record_event(:channel, :subject, :slug, CAST(:figures AS jsonb), :actor, :at)")


def after(session: Session, subjects: Sequence[str], sequence: int = 0, limit: int = 200) -> list[Event]:
    """The events of one subject later than `sequence`, oldest first; of several subjects, all of them by time."""
    query = select(Event).where(Event.subject.in_(subjects), Event.sequence > sequence).order_by(Event.id)
    return list(session.scalars(query.limit(limit)))


def who_did(slug: str) -> Select[str, str | None]:
    """Who did this to what, for others to build on: rows of `subject` and `actor`."""
    return select(Event.subject, Event.actor).where(Event.slug == slug)

"""The tables of monitoring: alerts as Alertmanager last told them, and silences. Only this room reads them."""

from datetime import datetime
from typing import Any

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from cloudctl.kernel.database import Base, Id


class Alert(Base):
    """One alert, as it last stood. `labels` say what it speaks of; `subject` is the id of that, where we know it."""

    __tablename__ = "alerts"

    fingerprint: Mapped[str] = mapped_column(primary_key=True)  # Alertmanager's, of the labels
    name: Mapped[str]
    labels: Mapped[dict[str, Any]]
    summary: Mapped[str]
    subject: Mapped[str | None] = mapped_column(String(30))
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    seen_at: Mapped[datetime]


class Silence(Base):
    """Alerts of which nobody is told for a while: all whose labels are these (`matchers`)."""

    __tablename__ = "silences"

    id: Mapped[Id]
    matchers: Mapped[dict[str, Any]]  # label -> value
    reason: Mapped[str]
    made_by: Mapped[str]
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime] = mapped_column(index=True)

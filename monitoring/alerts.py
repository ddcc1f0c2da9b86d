"""Alerts, as they come back from Alertmanager: each becomes an event on the pool, server or tenancy it speaks of."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import httpx
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from cloudctl.kernel import audit, clock, events
from cloudctl.kernel.errors import NotFound
from cloudctl.kernel.settings import Settings
from monitoring.models import Alert as Alert
from provisioning import pool_servers, pools
from tenancy import tenancies
from tenancy.callers import SYSTEM, Caller

log = logging.getLogger(__name__)

_PATIENCE = 5.0  # seconds that Alertmanager has for an answer
_FORGOTTEN = timedelta(minutes=5)  # Prometheus tells a fresh Alertmanager every minute what fires


@dataclass(frozen=True)
class Told:
    """One alert of a notification; `ended_at` is None while it fires."""

    fingerprint: str
    labels: Mapping[str, str]
    summary: str
    started_at: datetime
    ended_at: datetime | None


def report(session: Session, caller: Caller, told: Sequence[Told]) -> int:
    """Take what Alertmanager tells. It repeats itself, so only what has changed becomes an event; tells how many did.

    Raises:
        NotPermitted: the caller may not report alerts.
    """
    caller.must("alert:report")
    changed = sum(_take(session, caller, one) for one in told)
    audit.record(session, caller, "alert:report", "alerts", alerts=len(told), changed=changed)
    return changed


def firing(session: Session) -> list[Alert]:
    """The alerts that fire, the oldest first."""
    return list(session.scalars(select(Alert).where(Alert.ended_at.is_(None)).order_by(Alert.started_at)))


def settle(engine: Engine, settings: Settings) -> None:
    """End the alerts of which Alertmanager has not known for a while. Periodic: one that was killed forgets whom it
    told, and then never tells that an alert is over."""
    if not settings.alertmanager_url:
        return
    try:
        answer = httpx.get(f"{settings.alertmanager_url}/api/v2/alerts", timeout=_PATIENCE).raise_for_status()
        known = {str(one["fingerprint"]) for one in answer.json()}
    except (httpx.HTTPError, ValueError) as error:
        log.warning("alerts are not settled", extra={"reason": str(error) or type(error).__name__})
        return
    now = clock.now()
    with Session(engine) as session, session.begin():
        for alert in session.scalars(select(Alert).where(Alert.ended_at.is_(None)).with_for_update()):
            if alert.fingerprint in known:
                alert.seen_at = now
            elif now - alert.seen_at > _FORGOTTEN:
                alert.ended_at = now
                if alert.subject:
                    figures = {"alert": alert.name, "summary": alert.summary, "since": alert.started_at.isoformat()}
                    events.record(session, alert.subject, "alert-resolved", SYSTEM.id, **figures)


def _take(session: Session, caller: Caller, told: Told) -> bool:
    known = session.get(Alert, told.fingerprint, with_for_update=True)
    if known and told.started_at < known.started_at:  # of an older firing, and late
        return False
    was = (known.started_at, known.ended_at is None) if known else None
    alert = known or Alert(fingerprint=told.fingerprint, subject=_subject(session, told.labels))
    alert.name, alert.labels = told.labels.get("alertname", ""), dict(told.labels)
    alert.summary, alert.seen_at = told.summary, clock.now()
    alert.started_at, alert.ended_at = told.started_at, told.ended_at
    session.add(alert)
    session.flush()
    if was == (told.started_at, told.ended_at is None) or (was is None and told.ended_at):
        return False
    if alert.subject:
        figures: dict[str, Any] = {"alert": alert.name, "summary": told.summary, "since": told.started_at.isoformat()}
        if told.ended_at:
            events.record(session, alert.subject, "alert-resolved", caller.id, **figures)
        else:
            events.record(session, alert.subject, "alert-firing", caller.id, **figures)
    return True


def _subject(session: Session, labels: Mapping[str, str]) -> str | None:
    """What an alert speaks of: the narrowest thing it names that exists."""
    try:
        if tenancy := labels.get("tenancy"):
            return tenancies.get(session, tenancy).id
        if server := labels.get("server"):
            return pool_servers.seen_by(session, SYSTEM, server).id
        if pool := labels.get("pool"):
            return pools.named(session, pool).id
    except NotFound:
        return None
    return None

"""Status: what is wrong now, worst first, for whoever is woken at night. One line a trouble: slug and figures say
what it is and what to type next."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from cloudctl.kernel import audit_seals, clock
from cloudctl.kernel.events import Event
from cloudctl.kernel.operations import OperationRow
from cloudctl.kernel.settings import Settings
from monitoring import alerts, silences, usage
from provisioning import conditions, pools
from provisioning.pools import Pool
from tenancy import approvals, departments, requests, tenancies
from tenancy.callers import SYSTEM, Caller

_UNSEEN = timedelta(minutes=10)  # a pool is looked at every minute, the log sealed as often
_NO_USAGE = timedelta(minutes=40)  # it is measured every 15 minutes
_ALL = 10_000
_NAMED = 5  # departments in one line


@dataclass(frozen=True)
class Trouble:
    """Something that is wrong. `wakes`: it does not wait for the morning. `who` suffers: a pool, a department, …"""

    slug: str
    wakes: bool
    since: datetime | None
    who: str
    next: str
    figures: dict[str, Any] = field(default_factory=dict)


def troubles(session: Session, caller: Caller, settings: Settings, beside: Iterable[Trouble] = ()) -> list[Trouble]:
    """Everything that is wrong: what wakes before what waits, and of each the oldest first.

    Args:
        beside: what rooms above this one know; read once it is seen that the caller may look.

    Raises:
        NotPermitted: the caller may not look at it.
    """
    caller.must("status:read")
    found = [
        *_alerts(session),
        *_pools(session),
        *_operations(session, caller),
        *_waiting(session),
        *_seals(session),
        *_usage(session, settings),
        *beside,
    ]
    return sorted(found, key=lambda one: (not one.wakes, one.since or clock.now()))


def _alerts(session: Session) -> Iterator[Trouble]:
    """Alerts that fire and that nobody has silenced."""
    silenced = silences.standing(session)
    for alert in alerts.firing(session):
        if any(silences.covers(one, alert.labels) for one in silenced):
            continue
        labels = alert.labels
        who = next((str(labels[name]) for name in ("department", "tenancy", "server", "pool") if labels.get(name)), "")
        yield Trouble(
            "trouble-alert",
            labels.get("severity") == "critical",
            alert.started_at,
            who,
            f"docs/operations.md#{alert.name.lower()}",
            {"alert": alert.name, "summary": alert.summary},
        )


def _pools(session: Session) -> Iterator[Trouble]:
    """What reconciling found of pools, and pools at which nobody looks."""
    for pool in pools.listed(session, SYSTEM, limit=_ALL):
        looked_at = datetime.fromisoformat(pool.condition["looked_at"]) if "looked_at" in pool.condition else None
        look = f"cloudctl pool show {pool.name}"
        if breaker := conditions.open_breaker(pool):
            figures = {"drifted": breaker["drifted"], "of": breaker["of"]}
            since = datetime.fromisoformat(breaker["since"])
            yield Trouble("trouble-breaker", True, since, _on(session, pool), look, {"pool": pool.name, **figures})
        if away := conditions.unreachable(pool):
            figures = {"pool": pool.name, "places": sorted(away)}
            began = _last(session, pool.id, "pool-unreachable") or looked_at
            yield Trouble("trouble-unreachable", True, began, _on(session, pool), look, figures)
        if clock.now() - (looked_at or pool.created_at) > _UNSEEN:
            worker = "cloudctl admin worker"
            yield Trouble("trouble-unseen", True, looked_at or pool.created_at, pool.name, worker, {"pool": pool.name})


def _on(session: Session, pool: Pool) -> str:
    """A pool, and the codes of the first departments that have something there."""
    there = sorted({department for _, _, department in tenancies.on_pool(session, pool.id)})
    named = there[:_NAMED] + ["…"] * (len(there) > _NAMED)
    return f"{pool.name} ({', '.join(named)})" if there else pool.name


def _last(session: Session, subject: str, slug: str) -> datetime | None:
    """When this last happened to the subject."""
    happened = select(Event.at).where(Event.subject == subject, Event.slug == slug)
    return session.scalar(happened.order_by(Event.id.desc()).limit(1))


def _operations(session: Session, caller: Caller) -> Iterator[Trouble]:
    """Operations that wait for an operator."""
    parked = select(OperationRow).where(OperationRow.state == "parked").order_by(OperationRow.number)
    for row in session.scalars(parked):
        figures = {"operation": row.id, "kind": row.kind, "step": row.current}
        who = departments.seen_by(session, caller, row.department).name if row.department else row.subject
        yield Trouble("trouble-parked", False, row.rests_since, who, f"cloudctl operation show {row.id}", figures)


def _waiting(session: Session) -> Iterator[Trouble]:
    """Decisions that are late, and what waits for capacity."""
    for request, step in approvals.overdue(session):
        figures: dict[str, Any] = {
            "request": request.number,
            "step": step.name,
            "due_at": step.due_at.isoformat() if step.due_at else None,
        }
        look = f"cloudctl request show {request.number}"
        yield Trouble("trouble-overdue", False, step.due_at, request.department.name, look, figures)
    waiting = requests.waiting(session)
    if waiting:
        waiting_for = sorted({item.request.department.name for item in waiting})
        since = min((item.queued_at for item in waiting if item.queued_at), default=None)
        figures = {"count": len(waiting), "first": waiting[0].request.number}
        look = f"cloudctl request show {waiting[0].request.number}"
        yield Trouble("trouble-no-capacity", False, since, ", ".join(waiting_for), look, figures)


def _seals(session: Session) -> Iterator[Trouble]:
    """An audit log that is not sealed proves nothing."""
    since = audit_seals.unsealed_since(session)
    if since and clock.now() - since > _UNSEEN:
        yield Trouble("trouble-unsealed", True, since, "", "cloudctl admin doctor")


def _usage(session: Session, settings: Settings) -> Iterator[Trouble]:
    """Without usage nothing breaks, but what rests on it has to be decided by people."""
    last = usage.last_measured(session)
    if settings.prometheus_url and (last is None or clock.now() - last > _NO_USAGE):
        figures = {"since": last.isoformat() if last else None, "prometheus": settings.prometheus_url}
        yield Trouble("trouble-no-usage", False, last, "", f"curl {settings.prometheus_url}/-/ready", figures)

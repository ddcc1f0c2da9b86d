"""Troubles: what an operator has to know now, worst first, each with what to type next."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy.orm import Session

from cloudctl.kernel import clock, operations
from provisioning import conditions, pools
from provisioning.pools import Pool
from tenancy import ledger, requests
from tenancy.callers import SYSTEM, Caller

Weight = Literal["wake", "soon", "note"]
WEIGHTS: tuple[Weight, ...] = ("wake", "soon", "note")

UNSEEN = timedelta(minutes=10)  # a pool is looked at every minute
STUCK = timedelta(minutes=30)  # that an operation may be tried again and again
WAITING = timedelta(hours=1)  # for capacity
FULL, NEARLY = 5, 15  # percent of a class that are still free


@dataclass(frozen=True)
class Trouble:
    """One of them: slug and figures say what and who suffers; `command` is what to type next."""

    slug: str
    weight: Weight
    since: datetime
    command: str
    figures: dict[str, Any] = field(default_factory=dict)


def found(session: Session, caller: Caller) -> list[Trouble]:
    """Everything that is not as it should be, the worst first, and of the same weight what has lasted longest.

    Raises:
        NotPermitted: the caller does not run the platform.
    """
    caller.must("status:read")
    troubles = [*_operations(session), *_pools(session), *_queue(session)]
    return sorted(troubles, key=lambda trouble: (WEIGHTS.index(trouble.weight), trouble.since))


def _operations(session: Session) -> Iterator[Trouble]:
    """Parked ones hold what they hold until somebody decides; others only come back ever again."""
    for row in operations.listed(session, state="parked", limit=1000):
        figures = {"operation": row.id, "kind": row.kind, "subject": row.subject, "reason": row.reason}
        yield Trouble("trouble-parked", "wake", row.rests_since, f"cloudctl operation show {row.id}", figures)
    for row in operations.listed(session, state="running", limit=1000):
        if row.retry_at and clock.now() - row.created_at > STUCK:
            figures = {"operation": row.id, "kind": row.kind, "subject": row.subject, "reason": row.reason}
            yield Trouble("trouble-stuck", "soon", row.created_at, f"cloudctl operation show {row.id}", figures)


def _pools(session: Session) -> Iterator[Trouble]:
    everyone = pools.listed(session, SYSTEM, limit=10_000)
    accounts = ledger.balances(session, [pool.id for pool in everyone])
    for pool in everyone:
        yield from _condition(pool)
        for resource, balance in accounts[pool.id].items():
            percent = 100 * balance.free // balance.limit if balance.limit else 100
            if percent < NEARLY:
                weight: Weight = "soon" if percent < FULL else "note"
                figures = {"pool": pool.name, "resource": resource, "free": balance.free, "percent": percent}
                yield Trouble("trouble-full", weight, clock.now(), f"cloudctl pool show {pool.name}", figures)


def _condition(pool: Pool) -> Iterator[Trouble]:
    look = f"cloudctl pool show {pool.name}"
    said = pool.condition.get("looked_at")
    looked_at = datetime.fromisoformat(said) if said else pool.created_at
    if breaker := conditions.open_breaker(pool):
        figures = {"pool": pool.name, **{each: breaker[each] for each in ("drifted", "of", "empty")}}
        yield Trouble("trouble-breaker", "wake", datetime.fromisoformat(breaker["since"]), look, figures)
    for place, reason in conditions.unreachable(pool).items():
        figures = {"pool": pool.name, "place": place, "reason": reason}
        yield Trouble("trouble-unreachable", "wake", looked_at, look, figures)
    for name in ("short", "strangers"):
        if there := pool.condition.get(name):
            yield Trouble(f"trouble-{name}", "note", looked_at, look, {"pool": pool.name, "found": sorted(there)})
    if clock.now() - looked_at > UNSEEN:
        yield Trouble("trouble-unseen", "wake", looked_at, "cloudctl admin doctor", {"pool": pool.name})


def _queue(session: Session) -> Iterator[Trouble]:
    """Approved, and no pool has room for it."""
    for item in requests.waiting(session):
        if item.queued_at and clock.now() - item.queued_at > WAITING:
            figures = {"item": item.id, "reason": item.reason}
            yield Trouble(
                "trouble-waiting", "soon", item.queued_at, f"cloudctl request show {item.request_id}", figures
            )

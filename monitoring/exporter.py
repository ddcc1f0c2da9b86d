"""The exporter: what the books say, as Prometheus reads it, read at the moment it asks.

No series names a tenancy or a request, so their number depends on pools, classes and states alone. A read that
fails fails the scrape: no figures are better than old ones.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from cloudctl.kernel import audit_seals, clock, telemetry
from cloudctl.kernel.operations import OPERATION, OperationRow
from cloudctl.kernel.settings import Settings
from monitoring import capacity, usage
from provisioning import conditions
from tenancy import approvals, requests, tenancies
from tenancy.callers import Caller

_POOL = ("pool", "arch", "zone")


def scrape(session: Session, caller: Caller, settings: Settings) -> bytes:
    """All that the platform tells of itself: this machine's processes, and the books.

    Raises:
        NotPermitted: the caller may not read metrics.
    """
    caller.must("metrics:read")
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Read([*_pools(session, settings), *_work(session), *_ages(session)]))
    return telemetry.exposition() + generate_latest(registry)


class _Read(Collector):
    """What was read already, for a registry to write."""

    def __init__(self, families: Iterable[GaugeMetricFamily]) -> None:
        self._families = list(families)

    def collect(self) -> Iterable[GaugeMetricFamily]:
        return self._families

    def describe(self) -> Iterable[GaugeMetricFamily]:
        return []


def _pools(session: Session, settings: Settings) -> Iterator[GaugeMetricFamily]:
    """Per pool, architecture and class what there is; per pool how many more fit, and how it was last found."""
    amounts = {
        name: GaugeMetricFamily(f"cloudctl_pool_{name}", about, labels=[*_POOL, "resource"])
        for name, about in {
            "total": "What a pool can give, the reserve included, in the unit of the class.",
            "reserve": "What is kept back (loss of a host, surges).",
            "held": "What is promised and not in use yet.",
            "used": "What tenancies have.",
            "free": "What can still be promised.",
        }.items()
    }
    room = GaugeMetricFamily("cloudctl_pool_headroom_tenancies", "How many more standard ones fit.", labels=_POOL)
    states = {
        name: GaugeMetricFamily(f"cloudctl_pool_{name}", about, labels=_POOL)
        for name, about in {
            "breaker_open": "1 while nothing is repaired until a person has looked.",
            "places_unreachable": "Servers, or the pool itself, that did not answer when last looked at.",
            "drifted_tenancies": "Tenancies that were found otherwise than they shall be, those under repair included.",
            "strangers": "Things there that belong to no tenancy.",
            "looked_timestamp_seconds": "When it was last looked at.",
        }.items()
    }
    for pool, found in capacity.of_pools(session, settings.standard_tenancy):
        at = [found.pool, found.arch, found.zone]
        for one in found.classes:
            for name, family in amounts.items():
                family.add_metric([*at, one.resource], getattr(one, name))
        room.add_metric(at, found.headroom)
        states["breaker_open"].add_metric(at, conditions.open_breaker(pool) is not None)
        states["places_unreachable"].add_metric(at, len(conditions.unreachable(pool)))
        states["drifted_tenancies"].add_metric(at, pool.condition.get("drifted", 0))
        states["strangers"].add_metric(at, len(pool.condition.get("strangers", ())))
        if looked_at := pool.condition.get("looked_at"):
            states["looked_timestamp_seconds"].add_metric(at, datetime.fromisoformat(looked_at).timestamp())
    yield from (*amounts.values(), room, *states.values())


def _work(session: Session) -> Iterator[GaugeMetricFamily]:
    """Tenancies, decisions and operations, by where they stand."""
    yield _family("cloudctl_tenancies", "Tenancies by state.", "state", tenancies.counted(session))
    yield _family("cloudctl_request_steps_open", "Decisions waited for.", "light", approvals.lights(session))
    unfinished = select(OperationRow.kind, OperationRow.state, func.count())
    unfinished = unfinished.where(OperationRow.state.not_in(OPERATION.final))
    found = GaugeMetricFamily("cloudctl_operations_unfinished", "Operations under way.", labels=["operation", "state"])
    for kind, state, count in session.execute(unfinished.group_by(OperationRow.kind, OperationRow.state)):
        found.add_metric([kind, state], count)
    yield found
    parked = select(func.count()).where(OperationRow.state == "parked")
    yield GaugeMetricFamily(
        "cloudctl_operations_parked", "Operations that wait for an operator.", value=session.scalar(parked) or 0
    )
    waiting = len(requests.waiting(session))
    yield GaugeMetricFamily("cloudctl_request_items_waiting", "Approved items that wait for capacity.", value=waiting)


def _ages(session: Session) -> Iterator[GaugeMetricFamily]:
    """For how long what is waited for most has been waited for; 0 where nothing waits."""
    now = clock.now()

    def age(since: datetime | None) -> float:
        return max(0.0, (now - since).total_seconds()) if since else 0.0

    queued = [item.queued_at for item in requests.waiting(session) if item.queued_at]
    due = text(
        "SELECT min(coalesce(j.scheduled_at, e.at)) FROM procrastinate_jobs j JOIN procrastinate_events e"
        " ON e.job_id = j.id AND e.type = 'deferred' WHERE j.status = 'todo' AND j.queue_name = 'operations'"
        " AND coalesce(j.scheduled_at, now()) <= now()"
    )
    ages = {"capacity": age(min(queued, default=None)), "steps": age(session.scalar(due))}
    yield _family("cloudctl_queue_age_seconds", "Age of what waits longest: for capacity, for a worker.", "queue", ages)
    lag = age(audit_seals.unsealed_since(session))
    yield GaugeMetricFamily("cloudctl_audit_unsealed_age_seconds", "Age of the oldest entry without a seal.", value=lag)
    if last := usage.last_measured(session):
        at = last.timestamp()
        yield GaugeMetricFamily("cloudctl_usage_measured_timestamp_seconds", "When use was last measured.", value=at)


def _family(name: str, about: str, label: str, values: Mapping[str, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, about, labels=[label])
    for each, value in values.items():
        family.add_metric([each], value)
    return family

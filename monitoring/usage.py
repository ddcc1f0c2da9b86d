"""Usage: what each tenancy uses of its share, kept as evidence with its age. Periodic, and without input.

Prometheus knows of a time (mean, p95, peak); where it knows nothing of a tenancy, its driver tells what is used now.
"""

import logging
from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from cloudctl.kernel import clock, sweeps
from cloudctl.kernel.operations import PLATFORM, GiveUp, RetryLater
from cloudctl.kernel.settings import Settings
from monitoring.prometheus import NoPrometheus, Prometheus, PrometheusAway
from provisioning import drivers, snapshots
from tenancy import evidence, tenancies

log = logging.getLogger(__name__)

SERIES = {
    "vcpu": "tenancy:vcpu_used:cores",
    "memory_gib": "tenancy:memory_used:gib",
    "storage_gib.ssd": "tenancy:storage_used:gib",
}
"""Resource class -> the recorded series that tells its use, by tenancy (`rules/usage.rules.yml`)."""

SPAN = "7d"
OVER = {
    "mean": f"avg_over_time({{series}}[{SPAN}])",
    "p95": f"quantile_over_time(0.95, {{series}}[{SPAN}])",
    "peak": f"max_over_time({{series}}[{SPAN}])",
}
USAGE, PROFILE, ASKED = "usage", "usage-profile", "usage-asked"  # kinds of evidence

Profile = dict[str, dict[str, float]]  # resource class -> mean, p95, peak


def measure(engine: Engine, settings: Settings) -> None:
    """Measure every tenancy in use. One that cannot be measured keeps its older evidence until that expires."""
    known: dict[str, Profile] = {}
    try:
        prometheus = Prometheus(settings)
        known, peaks = _profiles(prometheus), _peaks(prometheus)
        with Session(engine) as session, session.begin():
            _keep(session, settings, ASKED, PLATFORM, {"tenancies": len(known), "peaks": peaks}, "prometheus")
    except (NoPrometheus, PrometheusAway) as problem:
        log.warning("no usage from Prometheus", extra={"reason": problem.reason})
    with Session(engine) as session:
        alive = tenancies.alive(session)
    sweeps.each(alive, lambda tenancy_id: _measure(engine, settings, tenancy_id, known.get(tenancy_id, {})))


def last_measured(session: Session) -> datetime | None:
    """When Prometheus was last asked and answered; None where that is so long ago that it no longer counts."""
    found = evidence.fresh(session, ASKED, PLATFORM)
    return found.measured_at if found else None


def peaks(session: Session) -> dict[str, dict[str, float]]:
    """The most that all tenancies of a zone used at the same time: zone -> resource class -> amount."""
    found = evidence.fresh(session, ASKED, PLATFORM)
    return dict(found.value.get("peaks", {})) if found else {}


def _peaks(prometheus: Prometheus) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for resource, series in SERIES.items():
        query = f"max_over_time({series.replace('tenancy:', 'zone:')}[{SPAN}])"
        for labels, value in prometheus.values(query):
            found.setdefault(labels.get("zone", ""), {})[resource] = round(value, 3)
    return found


def _profiles(prometheus: Prometheus) -> dict[str, Profile]:
    found: dict[str, Profile] = {}
    for resource, series in SERIES.items():
        for figure, query in OVER.items():
            for labels, value in prometheus.values(query.format(series=series)):
                if tenancy := labels.get("tenancy"):
                    found.setdefault(tenancy, {}).setdefault(resource, {})[figure] = round(value, 3)
    return found


def _measure(engine: Engine, settings: Settings, tenancy_id: str, profile: Profile) -> None:
    used = {resource: figures["p95"] for resource, figures in profile.items()}
    source = "prometheus"
    with Session(engine) as session:
        tenancy = snapshots.of(session, tenancy_id)
    try:
        told = drivers.of(tenancy.place).usage(tenancy).used
        used = {**told, **used}
        source = f"driver:{tenancy.place.driver}" if not profile else f"prometheus,driver:{tenancy.place.driver}"
    except (RetryLater, GiveUp) as reason:
        log.warning("no usage", extra={"tenancy": tenancy_id, "reason": reason.reason})
    with Session(engine) as session, session.begin():
        if used:
            _keep(session, settings, USAGE, tenancy_id, used, source)
        if profile:
            _keep(session, settings, PROFILE, tenancy_id, profile, "prometheus")


def _keep(
    session: Session, settings: Settings, kind: str, subject: str, value: Mapping[str, object], source: str
) -> None:
    at = clock.now()
    evidence.record(
        session,
        kind=kind,
        subject=subject,
        value=dict(value),
        source=source,
        measured_at=at,
        expires_at=at + settings.evidence_age,
    )

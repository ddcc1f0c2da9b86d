"""Usage: what each tenancy uses of its share, asked of its driver and kept as evidence. Periodic, and without input."""

import logging

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from cloudctl.kernel import clock, sweeps
from cloudctl.kernel.operations import GiveUp, RetryLater
from cloudctl.kernel.settings import Settings
from provisioning import drivers, snapshots
from tenancy import evidence, tenancies

log = logging.getLogger(__name__)


def measure(engine: Engine, settings: Settings) -> None:
    """Measure every tenancy in use. One that cannot be measured keeps its older evidence until that expires."""
    with Session(engine) as session:
        alive = tenancies.alive(session)
    sweeps.each(alive, lambda tenancy_id: _measure(engine, settings, tenancy_id))


def _measure(engine: Engine, settings: Settings, tenancy_id: str) -> None:
    with Session(engine) as session:
        tenancy = snapshots.of(session, tenancy_id)
    try:
        usage = drivers.of(tenancy.place).usage(tenancy)
    except (RetryLater, GiveUp) as reason:
        log.warning("no usage", extra={"tenancy": tenancy_id, "reason": reason.reason})
        return
    measured_at = clock.now()
    with Session(engine) as session, session.begin():
        evidence.record(
            session,
            kind="usage",
            subject=tenancy_id,
            value=dict(usage.used),
            source=f"driver:{tenancy.place.driver}",
            measured_at=measured_at,
            expires_at=measured_at + settings.evidence_age,
        )

"""Engines as Jobs of a generator pool: one each, there while their run is under way and no longer."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from cloudctl.kernel import sweeps
from cloudctl.kernel.engine import Run as Step
from cloudctl.kernel.operations import GiveUp, RetryLater
from cloudctl.kernel.settings import Settings
from loadtests import crews
from loadtests.crews import Pass
from loadtests.engines import Engine as LocalEngine
from loadtests.engines import Start
from loadtests.models import Run
from loadtests.orders import Order
from loadtests.remote import STARTS_WITHIN, RemoteEngines
from provisioning import generator_pools
from provisioning.drivers import Place
from provisioning.kubernetes import jobs

log = logging.getLogger(__name__)


def must_be_possible(session: Session, settings: Settings, pool: str | None) -> None:
    """See that engines can run where the campaign says.

    Raises:
        NoGeneratorPool: the pool is none for that any more.
        GiveUp: `generators-not-set-up`: names the settings that are missing.
    """
    if pool is None:
        return
    generator_pools.named(session, pool)
    needed = {"CLOUDCTL_LOAD_IMAGE": settings.load_image, "CLOUDCTL_LOAD_API_URL": _api(settings)}
    if lacking := [name for name, value in needed.items() if not value]:
        raise GiveUp("generators-not-set-up", names=lacking)


@contextmanager
def engines_of(step: Step, order: Order) -> Iterator[Start]:
    """How engines are started for a run: here, or as Jobs on its pool. Those are gone when the block ends.

    Raises:
        GiveUp: `generators-unavailable`: the cluster did not take them; nothing was sent.
    """
    if order.on is None:
        yield LocalEngine
        return
    with step.read() as session:
        place = generator_pools.named(session, order.on)
    with RemoteEngines(step.database, order) as crew:
        try:
            _start(place, step.settings, order, crew.passes)
            yield crew.start
        finally:
            crew.dismiss()
            remove(place, order.run)


def dismiss(step: Step) -> None:
    """Nothing of the run goes on, whatever became of who drove it."""
    run, pool = step.arguments["run"], step.memory["order"].get("on")
    with step.write() as session:
        crews.dismiss(session, run)
        place = generator_pools.everyone(session).get(pool)
    if place:
        remove(place, run)


def remove(place: Place, run: str) -> None:
    """Have a run's Jobs gone. They have ended already; where the cluster does not answer, the next sweep does it."""
    try:
        jobs.remove(place, run)
    except (RetryLater, GiveUp) as later:
        log.warning("the Jobs of %s are left to the sweep: %s", run, later)


def sweep(engine: Engine, settings: Settings) -> None:
    """Remove whatever is left of runs that are not under way, on every generator pool."""
    with Session(engine) as session, session.begin():
        crews.expire(session)
        places = generator_pools.everyone(session)

    def swept(pool: str) -> None:
        left = jobs.runs(places[pool])
        with Session(engine) as session:
            live = set(session.scalars(select(Run.id).where(Run.id.in_(left), Run.outcome.is_(None))))
        for run in left - live:
            jobs.remove(places[pool], run)

    sweeps.each(places, swept)


def _start(place: Place, settings: Settings, order: Order, passes: Sequence[Pass]) -> None:
    assert settings.load_image
    seconds = int(STARTS_WITHIN + order.lasts)
    made = [
        jobs.Job(
            name=known.engine.replace("_", "-"),
            image=settings.load_image,
            command=("python", "-m", "loadtests.agent"),
            secret=known.secret,
            seconds=seconds,
            environment={
                "CLOUDCTL_ENGINE_URL": f"{_api(settings)}/v1/engines/{known.engine}",
                "CLOUDCTL_ENGINE_TOKEN_FILE": jobs.SECRET,
            },
        )
        for known in passes
    ]
    try:
        jobs.start(place, order.run, made)
    except (RetryLater, GiveUp) as lacking:  # late load would hit another hour: it is not tried again
        raise GiveUp("generators-unavailable", pool=place.pool, because=str(lacking)[:500]) from None


def _api(settings: Settings) -> str | None:
    url = settings.load_api_url or settings.public_url
    return url.rstrip("/") if url else None

"""The roof: puts the rooms together. What a lower room needs of a higher one is entered into its tables here."""

from dataclasses import replace
from zoneinfo import ZoneInfo

from sqlalchemy import Engine

from cloudctl import migrations
from cloudctl.api import idempotency
from cloudctl.api.platform import Platform
from cloudctl.kernel import database, messages, operations
from cloudctl.kernel.audit_seals import Sealer
from cloudctl.kernel.engine import Periodic
from cloudctl.kernel.secrets import Vault
from cloudctl.kernel.settings import Settings
from loadtests import engine_jobs, runs
from monitoring import alerts, silences, usage
from provisioning import drivers, enrolment, orders, queue, reconcile, terms
from provisioning import operations as changes
from provisioning.kubernetes import KubernetesDriver
from provisioning.servers import ServersDriver
from tenancy import applications, deadlines, kinds, resources, rules


def _seal(engine: Engine, settings: Settings) -> None:
    Sealer(settings).seal(engine)


# Seconds come last in a cron here.
DUTIES = (
    Periodic(queue.ADMIT, "* * * * * */10", queue.admit),
    Periodic("deadlines", "* * * * * 20", deadlines.watch),
    Periodic("terms", "* * * * * 40", terms.enforce),
    Periodic("reconcile", "* * * * * 30", reconcile.sweep),
    Periodic("campaigns", "* * * * * */10", runs.fire),
    Periodic("engines", "* * * * * */30", engine_jobs.sweep),
    Periodic("usage", "*/15 * * * *", usage.measure),
    Periodic("silences", "* * * * * */30", silences.post),
    Periodic("alerts", "* * * * * 10", alerts.settle),
    Periodic("seal", "* * * * * 50", _seal),
    Periodic("idempotency", "17 * * * *", idempotency.expire),
)


def prepare(settings: Settings) -> Platform:
    """Everything that a serving process or a worker needs, on a database of the right revision.

    Raises:
        WrongRevision: the database is at another revision than this program.
        BadPolicy, BadCalendar: a file of the authority breaks its schema.
    """
    register(settings)
    url = database.application_url(settings)
    engine = database.connect(url, settings.database_connections)
    migrations.require_current(engine)
    return Platform(settings=settings, engine=engine, url=url, rules=rules.read(settings), vault=Vault(settings))


def register(settings: Settings) -> None:
    """Enter drivers, operations and kinds of requests into the tables of the rooms that use them, and the zone in
    which sentences tell times."""
    resources.declare(settings.resources)
    messages.tell_times_in(ZoneInfo(settings.zone))
    drivers.DRIVERS["servers"] = ServersDriver(settings.data_dir / "ansible")
    drivers.DRIVERS["kubernetes"] = KubernetesDriver(settings.kubeconfig_life)
    operations.register(*changes.ALL, *enrolment.ALL, runs.RUN)
    kinds.register(
        applications.PROJECT,
        applications.QUOTA,
        applications.EXTEND,
        replace(
            applications.CREATE,
            start=queue.enter_create,
            leave=queue.leave_create,
            fits=queue.fits_create,
            why_not=queue.why_not_create,
        ),
        replace(applications.RESIZE, start=queue.enter_resize, fits=queue.fits_resize, why_not=queue.why_not_resize),
        replace(applications.RETURN, start=orders.start_return),
    )

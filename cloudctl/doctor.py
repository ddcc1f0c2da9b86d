"""The doctor: is everything as it should be? It changes nothing, and says of each finding what to do."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import Connection, create_engine, select, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from cloudctl import migrations
from cloudctl.kernel import clock, database
from cloudctl.kernel.audit_seals import Sealer
from cloudctl.kernel.errors import Problem, Unavailable
from cloudctl.kernel.operations import OperationRow
from cloudctl.kernel.settings import Settings
from provisioning import conditions, pools
from provisioning.pools import Pool
from tenancy import books, rules
from tenancy.callers import SYSTEM

_UNSEEN = timedelta(minutes=10)  # a pool is looked at every minute

APPEND_ONLY = ("audit_entries", "audit_links", "audit_seals", "ledger_entries")


class DatabaseAway(Unavailable):
    """The database does not answer at the address in the settings."""


class DatabaseStopped(Unavailable):
    """The embedded database of the data folder does not run, and whoever only looks does not start it."""


@dataclass(frozen=True)
class Finding:
    """Something that is wrong, or that an operator should know. Slug and figures say what, and what to do."""

    slug: str
    weight: Literal["wrong", "warning"] = "wrong"
    figures: dict[str, Any] = field(default_factory=dict)


def examine(settings: Settings) -> list[Finding]:
    """Everything that is not as it should be; an older schema hides the rest.

    Raises:
        DatabaseAway, DatabaseStopped: there is no database to look into.
    """
    url = database.running_url(settings)
    if url is None:
        raise DatabaseStopped(folder=str(settings.data_dir))
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://", 1))
    try:
        migrations.require_current(engine)
        with Session(engine) as session, session.begin():
            session.execute(text("SET TRANSACTION READ ONLY, ISOLATION LEVEL REPEATABLE READ"))
            return [
                *_files(settings),
                *_books(session),
                *_rights(session.connection()),
                *_operations(session),
                *_pools(session),
            ]
    except migrations.WrongRevision as problem:
        return [Finding(problem.slug, figures=problem.figures)]
    except OperationalError as error:
        raise DatabaseAway(error=str(error.orig).strip().splitlines()[0]) from None
    finally:
        engine.dispose()


def _files(settings: Settings) -> Iterator[Finding]:
    """Policy, calendar, and the key and anchor of the audit log."""
    try:
        calendar = rules.read(settings).calendar
        for year in calendar.unknown_years(clock.now()):
            yield Finding("doctor-calendar-unknown", "warning", {"year": year})
        if (settings.data_dir / "audit.key").exists():  # who seals for the first time makes it
            Sealer(settings)
    except Problem as problem:
        yield Finding(problem.slug, figures=problem.figures)


def _books(session: Session) -> Iterator[Finding]:
    for difference in books.differences(session):
        yield Finding("doctor-books", figures=vars(difference))


def _rights(connection: Connection) -> Iterator[Finding]:
    """The application's role must not be able to change what is append-only."""
    may = text("SELECT has_table_privilege(:role, :table, 'UPDATE') OR has_table_privilege(:role, :table, 'DELETE')")
    for table in APPEND_ONLY:
        if connection.scalar(may, {"role": database.APPLICATION_ROLE, "table": table}):
            yield Finding("doctor-rights", figures={"table": table, "role": database.APPLICATION_ROLE})


def _operations(session: Session) -> Iterator[Finding]:
    """Operations that wait for an operator, and those that nobody will ever advance."""
    for row in session.scalars(
        select(OperationRow).where(OperationRow.state == "parked").order_by(OperationRow.number)
    ):
        figures = {"operation": row.id, "kind": row.kind, "step": row.current, "reason": row.reason}
        yield Finding("doctor-parked", figures=figures)
    orphaned = text("""
        SELECT id, kind FROM operations o WHERE state = 'running' AND NOT EXISTS (
            SELECT FROM procrastinate_jobs WHERE task_name = 'advance' AND status IN ('todo', 'doing')
                   AND args->>'operation' = o.id AND (args->>'ticket')::bigint = o.ticket)
        ORDER BY number""")
    for operation, kind in session.execute(orphaned):
        yield Finding("doctor-without-job", figures={"operation": operation, "kind": kind})


def _pools(session: Session) -> Iterator[Finding]:
    """What reconciling found of pools, and pools at which nobody looks."""
    for pool in pools.listed(session, SYSTEM, limit=10_000):
        yield from _condition(pool)


def _condition(pool: Pool) -> Iterator[Finding]:
    condition, name = pool.condition, {"pool": pool.name}
    if breaker := conditions.open_breaker(pool):
        counts = {each: breaker[each] for each in ("since", "drifted", "of", "empty")}
        yield Finding("doctor-breaker", figures={**name, **counts})
    for place, reason in conditions.unreachable(pool).items():
        yield Finding("doctor-unreachable", figures={**name, "place": place, "reason": reason})
    for place, short in condition.get("short", {}).items():
        entered, found = ({each: pair[which] for each, pair in short.items()} for which in (0, 1))
        yield Finding("doctor-short", "warning", {**name, "place": place, "entered": entered, "found": found})
    if strangers := condition.get("strangers"):
        yield Finding("doctor-strangers", "warning", {**name, "found": strangers})
    looked_at = condition.get("looked_at")
    if clock.now() - (datetime.fromisoformat(looked_at) if looked_at else pool.created_at) > _UNSEEN:
        yield Finding("doctor-unseen", figures={**name, "looked_at": looked_at})

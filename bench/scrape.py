"""How long a scrape takes, and how much it tells, with 100, 1,000 and 10,000 tenancies."""

import tempfile
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from bench.figures import Figure, fresh_database
from cloudctl import app
from cloudctl.kernel import database, ids
from cloudctl.kernel.settings import Settings
from monitoring import exporter
from provisioning import pool_servers, pools
from tenancy import departments, projects
from tenancy.callers import SYSTEM

COUNTS = (100, 1_000, 10_000)
GOAL_MS = 250
ROUNDS = 9


def figures() -> Iterator[Figure]:
    """`scrape-N`: milliseconds of one scrape; `scrape-memory-N`: MiB that it takes at most."""
    with fresh_database() as url, tempfile.TemporaryDirectory() as folder:
        settings = Settings(data_dir=Path(folder), database_url=url)
        app.register(settings)
        engine = database.connect(url)
        with Session(engine) as session, session.begin():
            _pools(session)
        for before, count in zip((0, *COUNTS), COUNTS, strict=False):
            with Session(engine) as session, session.begin():
                _add(session, count - before)
            assert f'cloudctl_tenancies{{state="active"}} {float(count)}' in _told(engine, settings)
            times = [_scrape(engine, settings) for _ in range(ROUNDS)]
            goal = count == COUNTS[-1]
            met = median(times) <= GOAL_MS if goal else None
            yield Figure(f"scrape-{count}", median(times), None, "ms", None, f"<= {GOAL_MS}" if goal else None, met)
            tracemalloc.start()
            _scrape(engine, settings)
            yield Figure(f"scrape-memory-{count}", tracemalloc.get_traced_memory()[1] / 2**20, None, "MiB", None)
            tracemalloc.stop()
        engine.dispose()


def _scrape(engine: Engine, settings: Settings) -> float:
    began = time.perf_counter()
    with Session(engine) as session:
        exporter.scrape(session, SYSTEM, settings)
    return (time.perf_counter() - began) * 1000


def _told(engine: Engine, settings: Settings) -> str:
    with Session(engine) as session:
        return exporter.scrape(session, SYSTEM, settings).decode()


def _pools(session: Session) -> None:
    """Ten pools of twenty servers each, and the project that has all tenancies."""
    about = {"provider": "here", "driver": "servers", "zone": "extranet", "level": 3}
    chip = {"architecture": "amd64", "abi": "x86-64", "cpu_family": "any"}
    here = {"connection": "local", "folder": "/nowhere"}
    amounts = {"vcpu": 10_000, "memory_gib": 10_000, "storage_gib.ssd": 100_000}
    for number in range(10):
        pool = pools.add(session, SYSTEM, name=f"pool-{number}", connection=here, **about, **chip)
        for each in range(20):
            pool_servers.add(session, SYSTEM, pool.id, name=f"s-{each}", address="localhost", inventory=amounts)
    unit = departments.create(session, SYSTEM, code="52", name="省", name_en="Province")
    projects.create(session, SYSTEM, unit.id, name="查分", name_en="Scores", owner="王", funding="财政", level=2)


def _add(session: Session, count: int) -> None:
    """So many tenancies, each with an operation that ended and an entry of the audit log."""
    session.execute(
        text("""
        INSERT INTO tenancies (id, project_id, department_id, name, state, size, approved_size, architectures,
                               zone, level, keys, protected, term_days, version, created_at)
        SELECT :id, p.id, p.department_id, :id, 'active', '{}', '{}', '{amd64}', 'extranet', 2, '{}', false, 365, 1,
               now()
        FROM projects p"""),
        [{"id": ids.new("ten")} for _ in range(count)],
    )
    session.execute(
        text("""
        INSERT INTO operations (id, kind, subject, owner, steps, arguments, memory, step, direction, state, ticket,
                                begun, attempts, requested_by, created_at)
        SELECT :id, 'tenancy.create', :id, 'platform', '{}', '{}', '{}', 0, 1, 'done', 0, -1, 0, 'system', now()"""),
        [{"id": ids.new("op")} for _ in range(count)],
    )

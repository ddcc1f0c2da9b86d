"""The world of the tests: a real PostgreSQL of their own, and one fresh database per test, cloned from a template."""

import fcntl
import os
import shutil
import tempfile
import zlib
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from cloudctl.kernel import database
from cloudctl.kernel.settings import Settings
from tests.beds import NOT_RUN

pytest_plugins = (
    "tests.beds.kubernetes.fixtures",
    "tests.beds.prometheus.fixtures",
    "tests.beds.servers.fixtures",
)

SPOKEN_TO = pytest.StashKey[dict[str, str]]()
"""The real back ends that drivers were tried on: name -> version and address."""

ROOT_FOLDER = Path("/var/lib/cloudctl/tests") if os.geteuid() == 0 else Path(tempfile.gettempdir())


def _databases() -> Path:
    """Where PostgreSQL's data lies: in memory where there is room, as a copy of the template takes a tenth there."""
    memory = Path("/dev/shm")
    has_room = os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 4 << 30
    return memory if has_room else ROOT_FOLDER


DATABASES = _databases()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever needs a database says so by its fixtures; `make check` leaves it out.

    What measures is measured again where it comes out wrong: a method that is wrong is so every time. What takes long
    comes first, so that nobody waits for it alone at the end, and in an order of chance that is always the same: tests
    that wait (for load, for clocks) and tests that compute would else stand together, and leave the machine idle.
    """
    for item in items:
        if "server" in getattr(item, "fixturenames", ()):
            item.add_marker("database")
        if item.get_closest_marker("measures"):
            item.add_marker(pytest.mark.flaky(reruns=2))
    items.sort(key=_turn)


def _turn(item: pytest.Item) -> tuple[bool, int]:
    takes_long = any(map(item.get_closest_marker, ("slow", "measures")))
    is_one_of_a_group = item.get_closest_marker("xdist_group")
    return not takes_long, zlib.crc32(item.nodeid.encode()) if takes_long and not is_one_of_a_group else 0


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A process of several tells the one that prints which back ends it spoke to."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["spoken_to"] = session.config.stash.get(SPOKEN_TO, {})


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    found = getattr(node, "workeroutput", {}).get("spoken_to", {})
    node.config.stash.setdefault(SPOKEN_TO, {}).update(found)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    for name, about in sorted(config.stash.get(SPOKEN_TO, {}).items()):
        terminalreporter.write_line(f"driver {name} was held to its contract on {about}")
    skipped = (report.longrepr for report in terminalreporter.stats.get("skipped", ()))
    reasons = Counter(where[2].removeprefix("Skipped: ") for where in skipped if isinstance(where, tuple))
    for reason, count in sorted(reasons.items()):
        if reason.startswith(NOT_RUN):
            terminalreporter.write_line(f"{count} tests {reason}")


@contextmanager
def first() -> Iterator[None]:
    """What is started here comes before what else this machine is doing, where that is allowed: to be late is wrong."""
    usual = os.getpriority(os.PRIO_PROCESS, 0)
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, -20)
    yield
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, usual)


@pytest.fixture
def before_others() -> Iterator[None]:
    """The same for a test that takes no time itself."""
    with first():
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    if not item.get_closest_marker("measures"):
        return (yield)
    with first():
        return (yield)


@pytest.fixture(scope="session")
def server() -> Iterator[dict[str, str]]:
    """A PostgreSQL server for this test process, its template migrated to the newest schema; gone afterwards."""
    DATABASES.mkdir(parents=True, exist_ok=True)
    _sweep()
    folder = Path(tempfile.mkdtemp(prefix=f"pg-{os.getpid()}-", dir=DATABASES))
    folder.chmod(0o755)
    urls = database.embedded(folder)
    with psycopg.connect(urls["owner"], autocommit=True) as connection:
        for knob in ("fsync = off", "synchronous_commit = off", "full_page_writes = off", "max_wal_size = '128MB'"):
            connection.execute(f"ALTER SYSTEM SET {knob}")  # type: ignore[call-overload]
        connection.execute("SELECT pg_reload_conf()")
    from cloudctl import migrations

    migrations.upgrade(urls["owner"])
    yield urls
    database.stop_embedded(folder)
    shutil.rmtree(folder, ignore_errors=True)


def _sweep() -> None:
    """End and remove the servers of test processes that were killed before they could; one process at a time does."""
    with (DATABASES / f"cloudctl-sweep-{os.geteuid()}.lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        for folder in DATABASES.glob("pg-*-*"):
            owner = folder.name.split("-")[1]
            with suppress(FileNotFoundError):  # its owner, ending only now, was quicker
                if folder.stat().st_uid == os.geteuid() and not Path("/proc", owner).exists():
                    database.stop_embedded(folder)
                    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def urls(server: dict[str, str]) -> Iterator[dict[str, str]]:
    """The addresses, by role, of a fresh database."""
    name = f"test_{os.urandom(4).hex()}"
    with psycopg.connect(server["owner"].replace("@/cloudctl", "@/postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE cloudctl STRATEGY file_copy")  # type: ignore[call-overload]
    yield {role: url.replace("@/cloudctl", f"@/{name}") for role, url in server.items()}
    with psycopg.connect(server["owner"].replace("@/cloudctl", "@/postgres"), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")  # type: ignore[call-overload]


@pytest.fixture
def settings(urls: dict[str, str], tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data", database_url=urls["application"], database_owner_url=urls["owner"])


@pytest.fixture
def engine(urls: dict[str, str]) -> Iterator[Engine]:
    """The platform's own pool, as the application's role."""
    engine = database.connect(urls["application"], connections=24)
    yield engine
    engine.dispose()


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    """A session on the fresh database; what the test did not commit is rolled back."""
    with Session(engine, expire_on_commit=False) as session:
        yield session

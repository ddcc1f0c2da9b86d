"""A terminal on a real server: the API over HTTP on loopback, on a fresh database with the example organisation."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
import uvicorn
from sqlalchemy.orm import Session
from typer.testing import CliRunner

from cloudctl import app, seed
from cloudctl.api.application import build
from cloudctl.cli import app as command_line
from cloudctl.cli import client
from cloudctl.kernel import database
from cloudctl.kernel.settings import Settings
from tenancy import members, tokens
from tenancy.callers import SYSTEM


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Terminal:
    """A user's shell: each call is one command, in English and in UTC."""

    environment: dict[str, str]

    def __call__(self, *words: str, given: str | None = None, **environment: str) -> Done:
        client.api.cache_clear()
        done = CliRunner().invoke(command_line, list(words), input=given, env={**self.environment, **environment})
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        return Done(done.exit_code, done.stdout, done.stderr)


@dataclass(frozen=True)
class Cloud:
    """A served platform, and terminals of people who are logged in."""

    address: str
    settings: Settings
    session: Session
    folder: Path

    def secret_of(self, login: str) -> str:
        user = members.seen_by(self.session, SYSTEM, login)
        _, secret = tokens.create(self.session, SYSTEM, self.settings, name="test", user=user.id)
        self.session.commit()
        return secret

    def terminal(self, login: str | None = None) -> Terminal:
        """Of somebody who is logged in, or of a stranger."""
        home = self.folder / (login or "stranger")
        terminal = Terminal({"XDG_CONFIG_HOME": str(home), "CLOUDCTL_LANG": "en", "TZ": "UTC", "CLOUDCTL_CONTEXT": ""})
        if login:
            assert terminal("login", self.address, given=self.secret_of(login)).code == 0
        return terminal


@pytest.fixture(scope="session")
def served(server: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Settings]]:
    """The address of a served platform with the example organisation, which the tests here share, and its settings."""
    with psycopg.connect(server["owner"].replace("@/cloudctl", "@/postgres"), autocommit=True) as owner:
        owner.execute("CREATE DATABASE terminals TEMPLATE cloudctl STRATEGY file_copy")
    urls = {role: url.replace("@/cloudctl", "@/terminals") for role, url in server.items()}
    folder = tmp_path_factory.mktemp("served")
    settings = Settings(data_dir=folder, database_url=urls["application"], database_owner_url=urls["owner"])
    platform = app.prepare(settings)
    with Session(platform.engine) as session, session.begin():
        seed.load(session)
    uvicorn_server = uvicorn.Server(config := uvicorn.Config(build(platform), port=0, log_config=None))
    socket = config.bind_socket()
    thread = threading.Thread(target=uvicorn_server.run, args=([socket],))
    thread.start()
    yield f"http://127.0.0.1:{socket.getsockname()[1]}", settings
    uvicorn_server.should_exit = True
    thread.join()
    platform.engine.dispose()


@pytest.fixture
def cloud(served: tuple[str, Settings], tmp_path: Path) -> Iterator[Cloud]:
    address, settings = served
    engine = database.connect(settings.database_url or "", connections=2)
    with Session(engine, expire_on_commit=False) as session:
        yield Cloud(address, settings, session, tmp_path)
    engine.dispose()

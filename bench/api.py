"""How many calls a second: ours beside a bare FastAPI endpoint that does the same two statements, and nothing else."""

import http.client
import json
import multiprocessing
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI
from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from bench.figures import Figure, fresh_database, side_by_side
from cloudctl import app
from cloudctl.api import build
from cloudctl.kernel import clock, database, ids
from cloudctl.kernel.audit import AuditEntry
from cloudctl.kernel.settings import Settings
from tenancy import departments, members, tokens
from tenancy.callers import SYSTEM
from tenancy.models import Department, Token

CLIENTS = 4
SECONDS = 2.0
READ_GOAL, WRITE_GOAL = 0.6, 0.4

Call = tuple[str, str, bytes | None, dict[str, str]]  # method, path, body, headers


def figures() -> Iterator[Figure]:
    """`api-read` (a department) and `api-write` (a token, with its audit entry): calls a second of four clients."""
    with fresh_database() as url, tempfile.TemporaryDirectory() as folder:
        settings = Settings(data_dir=Path(folder), database_url=url)
        department, user, token, secret = _seed(settings)
        headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
        body = json.dumps({"name": "bench"}).encode()
        bare_body = json.dumps({"name": "bench", "user": user}).encode()
        with _served(_ours, settings) as ours, _served(_bare, settings) as bare:
            for name, goal, mine, theirs in (
                (
                    "api-read",
                    READ_GOAL,
                    ("GET", f"/v1/departments/{department}", None, headers),
                    ("GET", f"/departments/{department}?token={token}", None, {}),
                ),
                (
                    "api-write",
                    WRITE_GOAL,
                    ("POST", "/v1/tokens", body, headers),
                    ("POST", "/tokens", bare_body, {"Content-Type": "application/json"}),
                ),
            ):
                rates = side_by_side(partial(_per_second, ours, mine), partial(_per_second, bare, theirs))
                ratio = rates[0] / rates[1]
                yield Figure(name, *rates, "1/s", ratio, f">= {goal}", ratio >= goal)


def _seed(settings: Settings) -> tuple[str, str, str, str]:
    engine = database.connect(settings.database_url or "")
    with Session(engine, expire_on_commit=False) as session, session.begin():
        unit = departments.create(session, SYSTEM, code="522300", name="州", name_en="Prefecture")
        user = members.bootstrap(session, "bench", "bench", "operator")
        token, secret = tokens.create(session, SYSTEM, settings, name="bench", user=user.id)
    engine.dispose()
    return unit.id, user.id, token.id, secret


def _ours(settings: Settings) -> FastAPI:
    return build(app.prepare(settings))


def _bare(settings: Settings) -> FastAPI:
    """What FastAPI and SQLAlchemy cost by themselves."""
    engine = database.connect(settings.database_url or "", settings.database_connections)
    api = FastAPI()

    @api.get("/departments/{id}")
    def show(id: str, token: str) -> dict[str, Any]:
        with Session(engine) as session:
            session.execute(select(Token.digest, Token.user_id).where(Token.id == token)).one()
            found = session.scalars(select(Department).where(Department.id == id)).one()
            return {"id": found.id, "code": found.code, "name": found.name, "path": found.path}

    @api.post("/tokens")
    def create(body: dict[str, str]) -> dict[str, str]:
        id, moment = ids.new("tok"), clock.now()
        with Session(engine) as session, session.begin():
            token = {"id": id, "user_id": body["user"], "name": body["name"], "digest": "", "scope": "write"}
            session.execute(insert(Token).values(**token, failures=0, created_at=moment, expires_at=moment))
            entry = {"actor": "bench", "actor_name": "bench", "action": "token:create", "object": id, "result": "ok"}
            session.execute(insert(AuditEntry).values(**entry, at=moment, figures={}))
        return {"id": id}

    return api


@contextmanager
def _served(make: Callable[[Settings], FastAPI], settings: Settings) -> Iterator[int]:
    """A serving process of its own; gives its port once it answers."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(make, settings, port), daemon=True)
    process.start()
    try:
        deadline = time.monotonic() + 30
        while not _answers(port):
            if time.monotonic() > deadline:
                raise TimeoutError(f"port {port} does not answer")
            time.sleep(0.1)
        yield port
    finally:
        process.terminate()
        process.join()


def _serve(make: Callable[[Settings], FastAPI], settings: Settings, port: int) -> None:
    uvicorn.run(make(settings), host="127.0.0.1", port=port, log_level="warning", access_log=False)


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _per_second(port: int, call: Call) -> float:
    counts: list[int] = []
    end = time.monotonic() + SECONDS
    crew = [threading.Thread(target=_client, args=(port, call, end, counts)) for _ in range(CLIENTS)]
    for thread in crew:
        thread.start()
    for thread in crew:
        thread.join()
    return sum(counts) / SECONDS


def _client(port: int, call: Call, end: float, counts: list[int]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    done = 0
    while time.monotonic() < end:
        method, path, body, headers = call
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        said = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{answer.status}: {said[:200]!r}")
        done += 1
    connection.close()
    counts.append(done)

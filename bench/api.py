"""How many calls a second: ours beside a bare FastAPI endpoint that does the same two statements, and nothing else."""

import json
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI
from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from bench import load
from bench.figures import Figure, fresh_database, side_by_side
from cloudctl import app
from cloudctl.api.application import build
from cloudctl.kernel import clock, database, ids
from cloudctl.kernel.audit import AuditEntry
from cloudctl.kernel.settings import Settings
from tenancy import departments, members, tokens
from tenancy.callers import SYSTEM
from tenancy.models import Department, Token

CLIENTS = 4
SECONDS = 2.0
READ_GOAL, WRITE_GOAL = 0.6, 0.4


def figures() -> Iterator[Figure]:
    """`api-read` (a department) and `api-write` (a token, with its audit entry): calls a second of four clients."""
    with fresh_database() as url, tempfile.TemporaryDirectory() as folder:
        settings = Settings(data_dir=Path(folder), database_url=url)
        department, user, token, secret = _seed(settings)
        headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
        body = json.dumps({"name": "bench"}).encode()
        bare_body = json.dumps({"name": "bench", "user": user}).encode()
        with load.served(_serve_ours, settings) as ours, load.served(_serve_bare, settings) as bare:
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
                rates = side_by_side(partial(_rate, ours, mine), partial(_rate, bare, theirs))
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


def _rate(port: int, call: load.Call) -> float:
    return load.per_second(port, lambda: call, CLIENTS, SECONDS)


def _serve_ours(settings: Settings) -> None:
    _serve(build(app.prepare(settings)), settings)


def _serve_bare(settings: Settings) -> None:
    _serve(_bare(settings), settings)


def _serve(api: FastAPI, settings: Settings) -> None:
    uvicorn.run(api, host=settings.host, port=settings.port, log_level="warning", access_log=False)


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

"""A small government behind its API: departments A and B under a root, with people, and one of everything in each."""

from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from fastapi import FastAPI
from httpx import Response
from sqlalchemy import Connection, Engine, select
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from cloudctl import app
from cloudctl.api.application import build
from cloudctl.api.platform import Platform
from cloudctl.kernel import clock, ids, operations
from cloudctl.kernel.audit import AuditEntry
from cloudctl.kernel.parsing import parsed
from cloudctl.kernel.secrets import Vault
from cloudctl.kernel.settings import Settings
from loadtests import campaigns, crews, locustfiles, runs, targets
from loadtests import models as load_models
from loadtests.orders import Result
from monitoring import silences
from provisioning import breaker, pool_servers, pools
from tenancy import (
    approvals,
    attachments,
    decisions,
    departments,
    ledger,
    members,
    projects,
    rules,
    submissions,
    tenancies,
    tokens,
)
from tenancy.applications import Application
from tenancy.callers import SYSTEM, Caller
from tenancy.models import Project, Request
from tests.world import KEY, in_use

SIZE = {"vcpu": 2, "memory_gib": 4, "storage_gib.ssd": 10}
PLENTY = {"vcpu": 400, "memory_gib": 800, "storage_gib.ssd": 4000, "storage_gib.hdd": 4000}

ROLES = ("clerk", "approver", "authority", "operator", "security", "auditor", "reader")
"""Who calls in the proofs: the clerk and the approver are of A, the authority is the root's approver, and the reader
is the clerk with a token for reading."""


@dataclass
class World:
    """The platform, whom to log in as, and what exists: `a` and `b` are ids by noun."""

    platform: Platform
    secrets: dict[str, str] = field(default_factory=dict)
    a: dict[str, str] = field(default_factory=dict)
    b: dict[str, str] = field(default_factory=dict)

    authority: Caller = SYSTEM

    def __post_init__(self) -> None:
        self.app: FastAPI = build(self.platform)
        self.http = TestClient(self.app, raise_server_exceptions=False)

    def serving(self) -> AbstractContextManager[Any]:
        return self.http

    def call(self, role: str | None, method: str, path: str, **options: Any) -> Response:
        """One call, as somebody in this role, in English; nobody where there is none."""
        headers = {"Accept-Language": "en", **options.pop("headers", {})}
        if role:
            headers["Authorization"] = f"Bearer {self.secrets[role]}"
        return self.http.request(method, path, headers=headers, **options)

    def entries(self) -> int:
        """How many entries the audit log has."""
        with Session(self.platform.engine) as session:
            return len(session.scalars(select(AuditEntry.id)).all())


def world_on(engine: Engine | Connection, settings: Settings, url: str) -> World:
    """A world that has just been seeded."""
    app.register(settings)
    platform = Platform(
        settings=settings,
        engine=engine,
        rules=rules.read(settings),
        vault=Vault(settings),
        url=url,  # type: ignore[arg-type]
    )
    world = World(platform)
    with Session(engine, expire_on_commit=False) as session, session.begin():
        _seed(session, world)
    return world


def _seed(session: Session, world: World) -> None:
    root = departments.create(session, SYSTEM, code="522300", name="州", name_en="Prefecture")
    _limit(session, "522300")
    people = {}
    for role in ("operator", "security", "auditor"):
        people[role] = members.bootstrap(session, role, role, role).id
        world.secrets[role] = _token(session, world, people[role])
    for login in ("deputy", "authority"):
        person = members.create(session, SYSTEM, login=login, name=login)
        members.grant_membership(session, SYSTEM, person.id, root.id, "approver")
    world.secrets["authority"] = _token(session, world, person.id)
    world.authority = Caller(id=person.id, name="authority", memberships=frozenset({(root.id, "approver")}))
    operator = Caller(id="seed", name="seed", platform_role="operator")
    pool = pools.add(
        session,
        operator,
        name="local",
        provider="here",
        driver="servers",
        connection={"connection": "local", "folder": str(world.platform.settings.data_dir / "pool")},
        zone="extranet",
        architecture="amd64",
        abi="x86-64",
        cpu_family="any",
        level=3,
    )
    looked = breaker.Found(frozenset({"ten_1", "ten_2"}), 2, frozenset({"here"}))
    pool.condition = {"breaker": {**(breaker.after(None, looked, 5) or {}), "digest": "digest"}}
    server = pool_servers.add(session, operator, pool.id, name="here", address="localhost", inventory=PLENTY)
    silence = silences.create(session, operator, {"pool": "far"}, "works", clock.now() + timedelta(hours=1))
    shared = {"pool": pool.id, "silence": silence.id, "server": server.id, "drained": _drained(session, operator)}
    for letter, there in (("a", world.a), ("b", world.b)):
        there |= {**shared, "root": root.id, "auditor": people["auditor"]}
        _furnish(session, world, letter, there)
    world.secrets |= {"clerk": world.secrets["clerk-a"], "approver": world.secrets["approver-a"]}
    world.secrets["reader"] = _token(session, world, world.a["user"], scope="read")


def _drained(session: Session, operator: Caller) -> str:
    """A pool whose servers are reached by SSH, with one that takes nobody."""
    about = {"name": "remote", "provider": "here", "driver": "servers", "zone": "internet", "level": 2}
    chip = {"architecture": "arm64", "abi": "arm64", "cpu_family": "Kunpeng-920"}
    way_in = {"connection": "ssh", "user": "admin", "private_key": "/etc/cloudctl/key"}
    pool = pools.add(session, operator, **about, **chip, connection=way_in)
    server = pool_servers.add(session, operator, pool.id, name="node-07", address="10.0.0.7", inventory=PLENTY)
    return pool_servers.drain(session, operator, server.id).id


def _furnish(session: Session, world: World, letter: str, there: dict[str, str]) -> None:
    code = f"522300-{letter.upper()}"
    unit = departments.create(session, SYSTEM, code=code, name="局", name_en="Bureau", parent="522300")
    _limit(session, unit.id)
    there["department"] = unit.id
    for role in ("approver", "clerk"):
        user = members.create(session, SYSTEM, login=f"{role}-{letter}", name=f"{role} {letter}")
        members.grant_membership(session, SYSTEM, user.id, unit.id, role)
        world.secrets[f"{role}-{letter}"] = _token(session, world, user.id)
    clerk = Caller(id=user.id, name=user.login, memberships=frozenset({(unit.id, "clerk")}))
    there |= {"user": user.id, "role": "clerk"}
    made, _ = tokens.create(session, clerk, world.platform.settings, name="spare")
    there["token"] = made.id
    project = projects.create(
        session, SYSTEM, unit.id, name="查分", name_en="Scores", owner="王", funding="财政", level=2
    )
    there["project"] = project.id
    for noun, events in {
        "tenancy": (),
        "busy": (),
        "stuck": (),
        "suspended": ("suspend",),
        "quarantined": ("end",),
    }.items():
        there[noun] = _tenancy(session, world, project, f"{noun}-{letter}", *events)
    endpoint = tenancies.add_endpoint(session, clerk, there["tenancy"], "10.0.0.1", 443)
    there["endpoint"] = endpoint.id
    there |= _load_tests(session, clerk, unit.id, project.id, there["tenancy"])
    requests = {}
    for number, noun in enumerate(("request", "accepted", "returned")):
        item = {"kind": "create", "name": f"new-{letter}-{number}", "size": SIZE, "keys": [KEY]}
        asked = {"department": unit.id, "project": project.id, "purpose": "查分", "items": [item]}
        application = parsed(Application, asked)
        requests[noun] = submissions.submit(session, clerk, world.platform.rules, application).request
        there[noun] = requests[noun].id
    _decide(session, world, there, requests)
    paper = attachments.attach(
        session, clerk, world.platform.rules, there["request"], "plan.pdf", "application/pdf", b"plan"
    )
    there["attachment"] = paper.id
    there["digest"] = approvals.shown(session, world.platform.rules, requests["request"])["digest"]
    running = operations.submit(session, "tenancy.suspend", there["busy"], unit.id, SYSTEM.id)
    parked = operations.submit(session, "tenancy.suspend", there["stuck"], unit.id, SYSTEM.id)
    parked.state, parked.reason = "parked", {"slug": "lost", "figures": {}}
    called_off = operations.submit(session, "tenancy.quarantine", there["busy"], unit.id, clerk.id, item="itm_none")
    there["returning"] = called_off.id
    there |= {"operation": running.id, "parked": parked.id}


def _load_tests(session: Session, clerk: Caller, unit: str, project: str, tenancy: str) -> dict[str, str]:
    """Targets, and campaigns in every state, and runs: one under way, one that measured."""
    about = {"project": project, "tenancy": tenancy, "contacts": ["王"], "ceiling": 500.0, "production": True}
    needs = [{"name": "identity", "department": unit}]
    target = targets.register(session, clerk, **about, name="查分", base_url="https://a.example", depends=needs)
    busy = targets.register(session, clerk, **about, name="报名", base_url="https://b.example")
    there = {"target": target.id}
    look = {"journeys": [{"name": "look", "requests": [{"path": "/scores"}]}]}
    for noun, events in {"campaign": (), "approved": ("approve",), "pausing": ("approve", "pause")}.items():
        wanted = {"target": target.id, "name": noun, "journeys": look, "profile": {"kind": "search"}, "forecast": 400}
        campaign = campaigns.submit(session, clerk, campaigns.Wanted.model_validate(wanted))
        for event in events:
            campaigns.advance(session, campaign, event, SYSTEM)
        there[noun] = campaign.id
    wanted = {"target": busy.id, "name": "busy", "journeys": look, "profile": {"kind": "smoke"}}
    campaign = campaigns.submit(session, clerk, campaigns.Wanted.model_validate(wanted))
    campaigns.advance(session, campaign, "approve", SYSTEM)
    there["run"] = runs.start(session, clerk, campaign.id).id
    there["engine"] = crews.gather(session, there["run"], 1, timedelta(hours=1))[0].engine
    result = Result(outcome="fail", capacity=300.0, planning=270.0, comparable="same").model_dump(mode="json")
    measured = load_models.Run(
        id=ids.new("run"), campaign_id=there["approved"], target_id=target.id, department_id=unit, size=SIZE
    )
    measured.outcome, measured.result = "fail", result
    measured.started_at = measured.finished_at = _NOW
    measured.proposal = {
        "headroom": 0.67,
        "planning": 270.0,
        "peak": 400.0,
        "assumed": True,
        "size": {**SIZE, "vcpu": 4},
    }
    session.add(measured)
    code = load_models.Locustfile(
        id=ids.new("loc"),
        name="look",
        text=LOCUSTFILE,
        sha256=locustfiles.digest(LOCUSTFILE),
        department_id=unit,
        reason="seed",
        registered_by="seed",
    )
    session.add(code)
    freeze = load_models.Freeze(
        id=ids.new("frz"), starts_at=_LATER, ends_at=_LATER + timedelta(days=1), reason="exam", created_by="seed"
    )
    session.add(freeze)
    session.flush()
    return {**there, "measured": measured.id, "freeze": freeze.id, "locustfile": code.id}


LOCUSTFILE = """from locust import FastHttpUser, task


class Visitor(FastHttpUser):
    @task
    def look(self):
        self.client.get("/scores")
"""
_NOW, _LATER = datetime(2026, 3, 2, tzinfo=UTC), datetime(2098, 1, 1, tzinfo=UTC)


def _decide(session: Session, world: World, there: dict[str, str], requests: dict[str, Request]) -> None:
    """One request is accepted, one returned, one waits."""
    rules = world.platform.rules
    digests = {noun: approvals.shown(session, rules, request)["digest"] for noun, request in requests.items()}
    decisions.accept(session, world.authority, rules, there["accepted"], digests["accepted"])
    decisions.send_back(session, world.authority, rules, there["returned"], digests["returned"], "incomplete")
    there["accepted_digest"] = approvals.shown(session, rules, requests["accepted"])["digest"]


def _tenancy(session: Session, world: World, project: Project, name: str, *events: str) -> str:
    made = in_use(session, project, name, SIZE, *events)
    made.access = world.platform.vault.seal('{"how": {"host": "10.0.0.1"}, "secret": null}')
    return made.id


def _limit(session: Session, department: str) -> None:
    unit = departments.seen_by(session, SYSTEM, department)
    for resource, limit in PLENTY.items():
        ledger.set_limit(session, unit.id, resource, limit)


def _token(session: Session, world: World, user: str, **options: Any) -> str:
    _, secret = tokens.create(session, SYSTEM, world.platform.settings, name="test", user=user, **options)
    return secret

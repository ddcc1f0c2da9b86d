"""A small government in domain words, for tests of whole flows on a real database and a real back end."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubernetes import client
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from cloudctl import app
from cloudctl.kernel import engine as walker
from cloudctl.kernel import ids, operations
from cloudctl.kernel.operations import OperationRow
from cloudctl.kernel.parsing import parsed
from cloudctl.kernel.settings import Settings
from provisioning import pool_servers, pools, queue
from provisioning.kubernetes import manifests
from tenancy import (
    approvals,
    books,
    decisions,
    departments,
    ledger,
    members,
    projects,
    requests,
    rules,
    submissions,
    tenancies,
)
from tenancy.applications import Application
from tenancy.callers import SYSTEM, Caller
from tenancy.ledger import Balance
from tenancy.models import Department, Item, Project, Request, Tenancy
from tests.beds.kubernetes.worker import CPU_FAMILIES

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBpP5q6sJ7c0yJ0uJY0m9gk1x0Xw2vJkq0bqk5d9yV3u clerk@bureau"
PLENTY = {"vcpu": 400, "memory_gib": 800, "storage_gib.ssd": 4000, "storage_gib.hdd": 4000}


@dataclass
class World:
    """A prefecture with one bureau, its people, a project, and a pool: this machine, or the cluster that is named.

    On this machine each call of the driver is a play, which takes a second; on a cluster it takes a tenth.
    """

    engine: Engine
    settings: Settings
    folder: Path
    kubeconfig: str | None = None

    def __post_init__(self) -> None:
        app.register(self.settings)
        self.rules = rules.read(self.settings)
        with Session(self.engine, expire_on_commit=False) as session, session.begin():
            self.root = departments.create(session, SYSTEM, code="522300", name="州", name_en="Prefecture")
            self.bureau = departments.create(
                session, SYSTEM, code="522300-JYJ", name="教育局", name_en="Education", parent="522300"
            )
            self.project = projects.create(
                session, SYSTEM, self.bureau.id, name="查分", name_en="Scores", owner="王", funding="财政", level=2
            )
            for resource, limit in PLENTY.items():
                ledger.set_limit(session, self.root.id, resource, limit)
                ledger.set_limit(session, self.bureau.id, resource, limit)
            self.clerk = self._person(session, "clerk", "clerk", self.bureau)
            self.head = self._person(session, "head", "approver", self.bureau)
            self.authority = self._person(session, "authority", "approver", self.root)
            operator = members.bootstrap(session, "operator", "operator", "operator")
            self.operator = Caller(id=operator.id, name="operator", platform_role="operator")

    def _person(self, session: Session, login: str, role: str, department: Department) -> Caller:
        user = members.create(session, SYSTEM, login=login, name=login)
        members.grant_membership(session, SYSTEM, user.id, department.id, role)
        return Caller(id=user.id, name=login, memberships=frozenset({(department.id, role)}))

    def add_pool(self, name: str = "local", inventory: Mapping[str, int] = PLENTY, **other: Any) -> str:
        """A pool of one server, which is this machine, in a folder of the test's own; or of the world's cluster."""
        if self.kubeconfig:
            return self.add_cluster(self.kubeconfig, inventory, name=name, architecture="amd64", **other)
        with Session(self.engine) as session, session.begin():
            pool = pools.add(
                session,
                self.operator,
                name=name,
                provider="here",
                driver="servers",
                connection={"connection": "local", "folder": str(self.folder / name)},
                zone="extranet",
                architecture="amd64",
                abi="x86-64",
                cpu_family="any",
                level=3,
                **other,
            )
            pool_servers.add(session, self.operator, pool.id, name="here", address="localhost", inventory=inventory)
            return pool.id

    def add_cluster(
        self,
        kubeconfig: str,
        inventory: Mapping[str, int] = PLENTY,
        name: str = "kunpeng",
        architecture: str = "arm64",
        **other: Any,
    ) -> str:
        """A pool that is a Kubernetes cluster's nodes of one architecture."""
        family = CPU_FAMILIES[architecture]
        connection = {"kubeconfig": kubeconfig, "storage_classes": {"ssd": "ssd"}, "cpu_family": family}
        about = {"name": name, "provider": "here", "driver": "kubernetes", "zone": "extranet", "level": 3}
        chip = {"architecture": architecture, "abi": architecture, "cpu_family": family}
        inventory = {resource: amount for resource, amount in inventory.items() if resource != "storage_gib.hdd"}
        with Session(self.engine) as session, session.begin():
            made = pools.add(
                session, self.operator, **about, **chip, connection=connection, inventory=inventory, **other
            )
            return made.id

    def let_go(self, core: client.CoreV1Api) -> None:
        """Have the namespaces of all tenancies deleted."""
        with Session(self.engine) as session:
            for tenancy in session.scalars(select(Tenancy.id)):
                let_go(core, tenancy)

    def submit(self, *items: dict[str, Any], by: Caller | None = None) -> str:
        application = parsed(
            Application,
            {"department": self.bureau.id, "project": self.project.id, "purpose": "考试查分", "items": list(items)},
        )
        with Session(self.engine) as session, session.begin():
            return submissions.submit(session, by or self.clerk, self.rules, application).request.id

    def approve(self, request_id: str) -> None:
        """Every step of it, each by whoever must act."""
        people = {person.id: person for person in (self.head, self.authority)}
        while True:
            with Session(self.engine) as session, session.begin():
                request = requests.seen_by(session, self.operator, request_id)
                step = approvals.open_step(request)
                if step is None:
                    return
                caller = people[approvals.acting(session, request, step)[0].id]
                digest = approvals.shown(session, self.rules, request)["digest"]
                verb = decisions.accept if step.name == approvals.ACCEPT else decisions.approve
                verb(session, caller, self.rules, request_id, digest)

    def admit(self) -> None:
        queue.admit(self.engine, self.settings)

    def walk(self, limit: int = 200) -> None:
        """What a worker would do, without waiting: the queue, and every operation until it rests."""
        for _ in range(limit):
            self.admit()
            with Session(self.engine) as session:
                running = session.scalars(select(OperationRow).where(OperationRow.state == "running")).all()
            if not running:
                return
            for row in running:
                walker.advance(self.engine, self.settings, row.id, row.ticket)
        raise AssertionError("operations do not come to rest")

    def create(self, size: Mapping[str, int], name: str = "web", **other: Any) -> str:
        """A tenancy, from the request until it is active."""
        request = self.submit({"kind": "create", "name": name, "size": dict(size), "keys": [KEY], **other})
        self.approve(request)
        self.walk()
        with Session(self.engine) as session:
            return session.scalars(select(Item.subject).where(Item.request_id == request)).one() or ""

    def promise(self, kind: str, tenancy_id: str, **arguments: Any) -> str:
        with Session(self.engine) as session, session.begin():
            return operations.submit(session, kind, tenancy_id, self.bureau.id, SYSTEM.id, **arguments).id

    def tenancy(self, tenancy_id: str) -> Tenancy:
        with Session(self.engine, expire_on_commit=False) as session:
            return session.get_one(Tenancy, tenancy_id)

    def request(self, request_id: str) -> Request:
        with Session(self.engine, expire_on_commit=False) as session:
            return session.get_one(Request, request_id)

    def operation(self, operation_id: str) -> OperationRow:
        with Session(self.engine, expire_on_commit=False) as session:
            return operations.get(session, operation_id)

    def balances(self) -> dict[str, dict[str, Balance]]:
        """Every account that holds or uses something, by owner."""
        with Session(self.engine) as session:
            from tenancy.models import Account

            rows = session.scalars(select(Account).where(Account.held + Account.used > 0)).all()
        found: dict[str, dict[str, Balance]] = {}
        for row in rows:
            found.setdefault(row.owner, {})[row.resource] = Balance(row.limit, row.held, row.used)
        return found

    def differences(self) -> list[Any]:
        with Session(self.engine) as session:
            return books.differences(session)

    def tree(self) -> dict[str, int]:
        """What exists on the back end: every path below the pool's folder, with its size."""
        return {
            str(path.relative_to(self.folder)): path.stat().st_size if path.is_file() else 0
            for path in sorted(self.folder.rglob("*"))
        }


def let_go(core: client.CoreV1Api, tenancy: str) -> None:
    """Have its namespace deleted, whatever is in it; nobody waits until it is, which takes a cluster five seconds."""
    try:
        core.delete_namespace(manifests.namespace(tenancy))
    except client.ApiException as refused:
        if refused.status not in (404, 409):  # it lives elsewhere, or is going already
            raise


def at_once(count: int, act: Any) -> list[Any]:
    """Call `act(number)` in as many threads; what each returned, or the slug of its problem."""

    def one(number: int) -> Any:
        try:
            return act(number)
        except Exception as problem:
            return getattr(problem, "slug", repr(problem))

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


def in_use(session: Session, project: Project, name: str, size: Mapping[str, int], *events: str) -> Tenancy:
    """A tenancy that is in use in the books alone: nothing of it is on any pool. `events` lead on from there."""
    ordered = tenancies.Ordered(
        id=ids.new("ten"),
        name=name,
        size=dict(size),
        architectures=["amd64"],
        zone="extranet",
        level=2,
        keys=[KEY],
        term_days=365,
        protected=False,
    )
    made = tenancies.create(session, project, ordered)
    for event in ("place", "succeed", *events):
        tenancies.advance(session, made, event, SYSTEM)
    return made

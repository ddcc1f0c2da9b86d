"""Kubernetes: tenancies that come through the platform beside the same manifests sent by a bare loop of the client."""

import os
import tempfile
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from statistics import median
from typing import Any

from kubernetes import client, dynamic
from sqlalchemy import Engine, func, insert, select
from sqlalchemy.orm import Session

from bench import load
from bench.figures import Figure, fresh_database
from cloudctl import app
from cloudctl.kernel import clock, database, ids
from cloudctl.kernel.operations import Attempt
from cloudctl.kernel.settings import Settings
from provisioning import pools, reconcile
from provisioning.drivers import Place, Tenancy
from provisioning.kubernetes import KubernetesDriver, manifests
from tenancy import departments, projects
from tenancy.callers import SYSTEM, Caller
from tenancy.models import Tenancy as Row
from tests.beds.kubernetes.cluster import Cluster
from tests.world import World

COUNT, ROUNDS = 100, 3
SIZE = {"vcpu": 2, "memory_gib": 4, "storage_gib.ssd": 10}
GOAL = 1.2
FEW, MANY = 100, 1000
MOST_CALLS = 40
OPERATOR = Caller(id="bench", name="bench", platform_role="operator")


def figures() -> Iterator[Figure]:
    """`kubernetes-100`: seconds until 100 are active; `reconcile-1000`: for a look at 1,000 beside one at 100."""
    with Cluster() as cluster:
        cluster.add_nodes(2, "arm64")
        connection = {"kubeconfig": str(cluster.kubeconfig("cloudctl")), "storage_classes": {"ssd": "ssd"}}
        place = Place("kunpeng", "kubernetes", "arm64", connection)
        theirs = median(_bare(cluster, place) for _ in range(ROUNDS))
        ours = _ours(cluster)
        yield Figure(f"kubernetes-{COUNT}", ours, theirs, "s", ours / theirs, f"<= {GOAL}", ours <= GOAL * theirs)
        yield from _reconciling(cluster, connection)


def _tenancies(place: Place) -> list[Tenancy]:
    return [Tenancy(ids.new("ten"), "web", "prj-1", "dep-1", SIZE, place) for _ in range(COUNT)]


def _quiet(slug: str, **figures: Any) -> None:
    """A log that nobody reads."""


def _ours(cluster: Cluster) -> float:
    """From the first step of an operation to the last, by one worker process with its usual concurrency.

    All is approved beforehand, and the pool was looked at before, as every pool is each minute.
    """
    with fresh_database() as url, tempfile.TemporaryDirectory() as folder:
        settings = Settings(data_dir=Path(folder), database_url=url)
        engine = database.connect(url)
        world = World(engine, settings, Path(folder) / "servers")
        world.add_cluster(str(cluster.kubeconfig("cloudctl")))
        items = [{"kind": "create", "name": f"web-{n}", "size": SIZE, "architectures": ["arm64"]} for n in range(COUNT)]
        for start in range(0, COUNT, 50):
            world.approve(world.submit(*items[start : start + 50]))
        _look(engine, settings)
        try:
            with load.worker(url, folder):
                while _active(engine) < COUNT:
                    time.sleep(0.5)
            with Session(engine) as session:
                first, last = session.execute(select(func.min(Attempt.started_at), func.max(Attempt.ended_at))).one()
            return float((last - first).total_seconds())
        finally:
            engine.dispose()


def _active(engine: Engine) -> int:
    with Session(engine) as session:
        return session.scalar(select(func.count()).where(Row.state == "active")) or 0


def _bare(cluster: Cluster, place: Place) -> float:
    """The same objects by server-side apply, and the same token, by the client's own dynamic interface."""
    anything = dynamic.DynamicClient(cluster.api)
    core, wanted, began = client.CoreV1Api(cluster.api), _tenancies(place), time.perf_counter()
    for tenancy in wanted:
        for manifest in manifests.of(tenancy):
            kind = anything.resources.get(api_version=manifest["apiVersion"], kind=manifest["kind"])
            metadata = manifest["metadata"]
            kind.server_side_apply(
                body=manifest, name=metadata["name"], namespace=metadata.get("namespace"), field_manager="bare"
            )
        space = manifests.namespace(tenancy.id)
        core.create_namespaced_service_account_token("tenant", space, {"spec": {"expirationSeconds": 3600}})
    return time.perf_counter() - began


def _reconciling(cluster: Cluster, connection: dict[str, Any]) -> Iterator[Figure]:
    """A look at a pool with 100 and with 1,000 tenancies: its time, and how many questions it asks the cluster."""
    with fresh_database() as url, tempfile.TemporaryDirectory() as folder:
        settings = Settings(data_dir=Path(folder), database_url=url)
        app.register(settings)
        engine = database.connect(url)
        seconds, calls = {}, {}
        with Session(engine) as session, session.begin():
            project = _project(session)
            pool = _pool(session, connection)
        there = 0
        for count in (FEW, MANY):
            place = Place("many", "kubernetes", "arm64", connection)
            for _ in range(count - there):
                _enter(engine, project, pool, place)
            there = count
            asked = len(cluster.requests("cloudctl"))
            seconds[count] = median(_look(engine, settings) for _ in range(ROUNDS))
            calls[count] = (len(cluster.requests("cloudctl")) - asked) / ROUNDS
        engine.dispose()
    growth = seconds[MANY] / seconds[FEW]
    most = MANY / FEW * 1.5
    yield Figure(f"reconcile-{MANY}", seconds[MANY], seconds[FEW], "s", growth, f"<= {most:.0f}", growth <= most)
    ratio = calls[MANY] / calls[FEW]
    met = calls[MANY] <= MOST_CALLS
    yield Figure("reconcile-calls", calls[MANY], calls[FEW], "calls", ratio, f"<= {MOST_CALLS} calls", met)


def _look(engine: Engine, settings: Settings) -> float:
    began = time.perf_counter()
    reconcile.sweep(engine, settings)
    return time.perf_counter() - began


def _project(session: Session) -> tuple[str, str]:
    unit = departments.create(session, SYSTEM, code="522300", name="州", name_en="Prefecture")
    about = {"name": "查分", "name_en": "Scores", "owner": "王", "funding": "财政"}
    return projects.create(session, SYSTEM, unit.id, **about, level=2).id, unit.id


def _pool(session: Session, connection: dict[str, Any]) -> str:
    about = {"name": "many", "provider": "here", "driver": "kubernetes", "zone": "extranet", "level": 3}
    chip = {"architecture": "arm64", "abi": "arm64", "cpu_family": "Kunpeng-920"}
    return pools.add(session, OPERATOR, **about, **chip, connection=connection).id


def _enter(engine: Engine, project: tuple[str, str], pool: str, place: Place) -> None:
    """An active tenancy in our books and on the cluster, without the road that leads there."""
    tenancy = Tenancy(ids.new("ten"), f"web-{os.urandom(4).hex()}", "p", "d", SIZE, place)
    KubernetesDriver().provision(tenancy, _quiet, timedelta(minutes=1))
    row = {"project_id": project[0], "department_id": project[1], "pool_id": pool, "name": tenancy.name}
    row |= {"architectures": ["arm64"], "zone": "extranet", "level": 2, "keys": [], "term_days": 365, "limits": []}
    state = {"state": "active", "size": SIZE, "approved_size": SIZE, "protected": False, "version": 1}
    with engine.begin() as connection:
        connection.execute(insert(Row).values(id=tenancy.id, created_at=clock.now(), **row, **state))

"""A storm: 200 operations on real back ends, workers killed or frozen at random until all are done."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, func, select, text
from sqlalchemy.orm import Session

from cloudctl.kernel import operations
from cloudctl.kernel.operations import Attempt, OperationRow
from cloudctl.kernel.settings import Settings
from provisioning.kubernetes import manifests
from tests.beds.kubernetes import rights
from tests.beds.kubernetes.cluster import Cluster
from tests.world import World

ON_THE_SERVER, ON_THE_CLUSTER = 4, 36
AFTER_CREATE = ("tenancy.suspend", "tenancy.resume", "tenancy.quarantine")
SIZE = {"vcpu": 1, "memory_gib": 1, "storage_gib.ssd": 1}
STALLED = 4  # seconds
LONGEST = 900  # seconds


class Workers:
    """Two worker processes that are replaced when they are killed."""

    def __init__(self, settings: Settings, log: Path) -> None:
        self.environment = {
            **os.environ,
            "CLOUDCTL_DATABASE_URL": settings.database_url or "",
            "CLOUDCTL_DATA_DIR": str(settings.data_dir),
            "CLOUDCTL_HEARTBEAT_SECONDS": "1",
            "CLOUDCTL_STALLED_SECONDS": str(STALLED),
            "CLOUDCTL_WORKER_CONCURRENCY": "2",
        }
        self.log = log.open("ab")
        self.running = [self.start(), self.start()]

    def start(self) -> subprocess.Popen[bytes]:
        code = "from cloudctl import worker; from cloudctl.kernel.settings import Settings; worker.run(Settings())"
        return subprocess.Popen([sys.executable, "-c", code], env=self.environment, stderr=self.log)

    def kill_one(self) -> None:
        victim = random.randrange(2)
        self.running[victim].kill()
        self.running[victim].wait()
        self.running[victim] = self.start()

    def freeze_one(self) -> None:
        """Long enough that the other takes over; then it wakes up and believes that nothing happened."""
        victim = random.choice(self.running)
        victim.send_signal(signal.SIGSTOP)
        time.sleep(STALLED + 8)
        victim.send_signal(signal.SIGCONT)

    def end(self) -> None:
        for worker in self.running:
            worker.terminate()
        for worker in self.running:
            worker.wait(60)


@pytest.fixture
def world(engine: Engine, settings: Settings, tmp_path: Path, cluster: Cluster) -> Iterator[World]:
    world = World(engine, settings, tmp_path / "servers")
    world.add_pool()
    world.add_cluster(str(rights.platform(cluster)))
    yield world
    world.let_go(cluster.core)


def unfinished(world: World) -> int:
    with Session(world.engine) as session:
        return session.scalar(select(func.count()).where(OperationRow.state.not_in(["done", "undone"]))) or 0


def test_a_storm_of_killed_workers_loses_and_doubles_nothing(
    world: World, settings: Settings, tmp_path: Path, cluster: Cluster
) -> None:
    here, there = _ordered(world, "amd64", ON_THE_SERVER), _ordered(world, "arm64", ON_THE_CLUSTER)
    tenancies = [*here, *there]
    for number, tenancy in enumerate(tenancies):
        for kind in (*AFTER_CREATE, "tenancy.erase" if number % 4 == 0 else "tenancy.restore"):
            world.promise(kind, tenancy, reason="storm")
    erased = {tenancy for number, tenancy in enumerate(tenancies) if number % 4 == 0}
    workers, began, blows = Workers(settings, tmp_path / "workers.log"), time.time(), Counter()
    try:
        while unfinished(world) and time.time() - began < LONGEST:
            time.sleep(random.uniform(2, 5))
            blow = random.choice(["kill", "kill", "freeze"]) if blows.total() > 1 else ["kill", "freeze"][blows.total()]
            if blows.total() < 15 and unfinished(world):
                workers.kill_one() if blow == "kill" else workers.freeze_one()
                blows[blow] += 1
    finally:
        workers.end()
    print(f"{len(tenancies) * 5} operations, {dict(blows)}, {time.time() - began:.0f} s")

    assert blows["kill"]
    assert blows["freeze"]
    with Session(world.engine) as session:
        assert Counter(session.scalars(select(OperationRow.state))) == {"done": len(tenancies) * 5}
        done = select(Attempt.operation_id, Attempt.step).where(Attempt.outcome == "done")
        assert Counter(Counter(map(tuple, session.execute(done))).values()).keys() == {1}
        assert session.scalar(text("SELECT count(*) FROM procrastinate_jobs WHERE queue_name = 'operations'")) == 0
        for tenancy in tenancies:
            order = session.execute(
                select(Attempt.operation_id)
                .join(OperationRow)
                .where(OperationRow.subject == tenancy)
                .order_by(Attempt.id)
            ).scalars()
            runs = list(dict.fromkeys(order))
            by_promise = select(OperationRow.id).where(OperationRow.subject == tenancy).order_by(OperationRow.number)
            assert runs == list(session.scalars(by_promise))
    assert {tenancy: world.tenancy(tenancy).state for tenancy in tenancies} == {
        tenancy: "erased" if tenancy in erased else "active" for tenancy in tenancies
    }
    alive = len(tenancies) - len(erased)
    assert {name: b.used for name, b in world.balances()[world.bureau.id].items()} == {
        name: amount * alive for name, amount in SIZE.items()
    }
    assert all(b.held == 0 for account in world.balances().values() for b in account.values())
    assert world.differences() == []
    assert _shares(world) == set(here) - erased
    assert _with_a_space(cluster, there) == set(there) - erased
    files = Counter(
        Path(path).name for path in world.tree() if "ten_" in path and Path(path).suffix in (".ext4", ".slice")
    )
    assert files["ssd.ext4"] == len(set(here) - erased)
    assert operations.OPERATION.final == {"done", "undone"}


def _ordered(world: World, architecture: str, count: int) -> list[str]:
    """Approved tenancies of that architecture, which have their places; their ids."""
    asked = {"kind": "create", "size": SIZE, "architectures": [architecture]}
    request = world.submit(*({**asked, "name": f"{architecture}-{number}"} for number in range(count)))
    world.approve(request)
    world.admit()
    return [item.subject or "" for item in world.request(request).items]


def _shares(world: World) -> set[str]:
    """What lies on the server: the folders of tenancies."""
    return {Path(path).parts[1] for path in world.tree() if len(Path(path).parts) > 1 and "ten_" in Path(path).parts[1]}


def _with_a_space(cluster: Cluster, tenancies: list[str]) -> set[str]:
    """Those of them that have a namespace on the cluster."""
    names = {space.metadata.name for space in cluster.core.list_namespace().items}
    return {tenancy for tenancy in tenancies if manifests.namespace(tenancy) in names}

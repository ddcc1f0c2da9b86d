"""A storm: 200 operations on the real back end, workers killed or frozen at random until all are done."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import Engine, func, select, text
from sqlalchemy.orm import Session

from cloudctl.kernel import operations
from cloudctl.kernel.operations import Attempt, OperationRow
from cloudctl.kernel.settings import Settings
from tests.world import World

TENANCIES = 40
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
def world(engine: Engine, settings: Settings, tmp_path: Path) -> World:
    world = World(engine, settings, tmp_path / "servers")
    world.add_pool()
    return world


def unfinished(world: World) -> int:
    with Session(world.engine) as session:
        return session.scalar(select(func.count()).where(OperationRow.state.not_in(["done", "undone"]))) or 0


@pytest.mark.slow
def test_a_storm_of_killed_workers_loses_and_doubles_nothing(world: World, settings: Settings, tmp_path: Path) -> None:
    items = [{"kind": "create", "name": f"web-{n}", "size": SIZE} for n in range(TENANCIES)]
    request = world.submit(*items)
    world.approve(request)
    world.admit()
    tenancies = [item.subject or "" for item in world.request(request).items]
    for number, tenancy in enumerate(tenancies):
        for kind in (*AFTER_CREATE, "tenancy.erase" if number % 4 == 0 else "tenancy.restore"):
            world.promise(kind, tenancy, reason="storm")
    erased = {tenancy for number, tenancy in enumerate(tenancies) if number % 4 == 0}
    workers, began, blows = Workers(settings, tmp_path / "workers.log"), time.time(), Counter()
    try:
        while unfinished(world) and time.time() - began < LONGEST:
            time.sleep(random.uniform(2, 5))
            blow = random.choice(["kill", "kill", "freeze"])
            if blows.total() < 15 and unfinished(world):
                workers.kill_one() if blow == "kill" else workers.freeze_one()
                blows[blow] += 1
    finally:
        workers.end()
    print(f"{TENANCIES * 5} operations, {dict(blows)}, {time.time() - began:.0f} s")

    with Session(world.engine) as session:
        assert Counter(session.scalars(select(OperationRow.state))) == {"done": TENANCIES * 5}
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
    there = {
        Path(path).parts[1] for path in world.tree() if len(Path(path).parts) > 1 and "ten_" in Path(path).parts[1]
    }
    assert there == set(tenancies) - erased
    files = Counter(
        Path(path).name for path in world.tree() if "ten_" in path and Path(path).suffix in (".ext4", ".slice")
    )
    assert files["ssd.ext4"] == alive
    assert operations.OPERATION.final == {"done", "undone"}

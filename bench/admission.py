"""How many claims a second: quota of a five-level chain and a pool's capacity, three classes each, with entries."""

import multiprocessing
import time
from collections.abc import Callable, Iterator
from functools import partial

from sqlalchemy import text
from sqlalchemy.orm import Session

from bench.figures import Figure, fresh_database, side_by_side
from cloudctl.kernel import database, ids
from tenancy import ledger
from tenancy.ledger import Wanted
from tenancy.models import Department

CLIENTS = (1, 4, 16)
SECONDS = 1.0
LEVELS, POOLS = 5, 4
SIZE = {"vcpu": 4, "memory_gib": 8, "storage_gib.ssd": 100}
LIMITS = dict.fromkeys(SIZE, 10**9)
GOAL = 0.45  # at 16 clients

Work = Callable[[Session, int, int], None]  # the client's number, how often it worked before


def figures() -> Iterator[Figure]:
    """`admission-N`: transactions a second of N clients, beside as many that update one own and one common row."""
    with fresh_database() as url:
        chains, pools = _seed(url)
        for clients in CLIENTS:
            ours, bare = side_by_side(
                partial(_per_second, url, partial(_hold, chains, pools), clients),
                partial(_per_second, url, _update_two_rows, clients),
            )
            ratio, counts = ours / bare, clients == max(CLIENTS)
            goal, met = (f">= {GOAL}", ratio >= GOAL) if counts else (None, None)
            yield Figure(f"admission-{clients}", ours, bare, "1/s", ratio, goal, met)


def _seed(url: str) -> tuple[list[list[str]], list[str]]:
    """A tree in which every department above the leaves has two children, four pools, and the rows of the reference."""
    engine = database.connect(url)
    pools = [ids.new("pol") for _ in range(POOLS)]
    with Session(engine) as session, session.begin():
        paths: list[list[str]] = [[]]
        for level in range(LEVELS):
            paths = [[*path, ids.new("dep")] for path in paths for _ in range(2 if level else 1)]
            for path in paths:
                parent = path[-2] if level else None
                session.add(
                    Department(id=path[-1], code=path[-1], name="处", name_en="unit", parent_id=parent, path=path)
                )
                session.flush()
                for resource, limit in LIMITS.items():
                    ledger.set_limit(session, path[-1], resource, limit)
        for pool in pools:
            ledger.set_capacity(session, pool, LIMITS, ledger.POOL_RANK)
        session.execute(text("CREATE TABLE bare (id int PRIMARY KEY, n bigint NOT NULL DEFAULT 0)"))
        session.execute(text("INSERT INTO bare (id) SELECT generate_series(0, :last)"), {"last": max(CLIENTS)})
    engine.dispose()
    return [path[::-1] for path in paths], pools


def _hold(chains: list[list[str]], pools: list[str], session: Session, client: int, turn: int) -> None:
    holder = f"ten_{client}_{turn}"
    quota = Wanted(holder, "quota", chains[client % len(chains)], SIZE)
    ledger.hold(session, quota, Wanted(holder, "capacity", [pools[client % len(pools)]], SIZE))


def _update_two_rows(session: Session, client: int, _turn: int) -> None:
    session.execute(text("UPDATE bare SET n = n + 1 WHERE id = :id"), {"id": client + 1})
    session.execute(text("UPDATE bare SET n = n + 1 WHERE id = 0"))


def _per_second(url: str, work: Work, clients: int) -> float:
    """Each client is a process of its own: threads of one Python would wait for each other and not for the database."""
    fork = multiprocessing.get_context("fork")
    start, counts = fork.Barrier(clients), fork.SimpleQueue()
    crew = [fork.Process(target=_client, args=(url, work, number, start, counts)) for number in range(clients)]
    for process in crew:
        process.start()
    total: int = sum(counts.get() for _ in crew)
    for process in crew:
        process.join()
    return total / SECONDS


def _client(url: str, work: Work, number: int, start, counts) -> None:  # type: ignore[no-untyped-def]
    engine = database.connect(url, connections=1)
    with Session(engine) as session:
        for turn in range(-10, 0):  # warm: connection, prepared statements
            with session.begin():
                work(session, number, turn)
    start.wait()
    done, end = 0, time.monotonic() + SECONDS
    with Session(engine) as session:
        while time.monotonic() < end:
            with session.begin():
                work(session, number, done)
            done += 1
    engine.dispose()
    counts.put(done)

"""How long one placement takes among many pools and servers, and how that grows."""

import time
from collections.abc import Iterator
from statistics import median
from typing import Any

from sqlalchemy import insert, text
from sqlalchemy.orm import Session

from bench.figures import Figure, fresh_database
from cloudctl.kernel import database, ids
from provisioning import placement
from provisioning.models import Pool, Server
from provisioning.placement import Demand
from tenancy import ledger
from tenancy.models import Account

COUNTS = (1000, 10_000)
ROUNDS = 40
GROWTH = 12.0
SERVERS = 10  # in each pool of servers
HAS = {"vcpu": 64, "memory_gib": 256, "storage_gib.ssd": 2000, "storage_gib.hdd": 20_000}
SIZE = {"vcpu": 4, "memory_gib": 8, "storage_gib.ssd": 100}
ZONES, ARCHITECTURES = ("extranet", "internet"), ("amd64", "arm64", "loong64")


def figures() -> Iterator[Figure]:
    """`placement-N`: milliseconds of one placement among N places, committed; from the second N on beside the first."""
    first: float | None = None
    for count in COUNTS:
        with fresh_database() as url:
            ours = _milliseconds(url, count)
        if first is None:
            first = ours
            yield Figure(f"placement-{count}", ours, None, "ms", None)
        else:
            yield Figure(f"placement-{count}", ours, first, "ms", ours / first, f"<= {GROWTH}", ours / first <= GROWTH)


def _milliseconds(url: str, count: int) -> float:
    engine = database.connect(url)
    with Session(engine) as session, session.begin():
        _seed(session, count)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE"))
    spent = []
    for turn in range(ROUNDS):
        demand = Demand(SIZE, ARCHITECTURES[turn % 2 :], ZONES[turn % 2], level=2)
        begin = time.perf_counter()
        with Session(engine) as session, session.begin():
            placement.place(session, f"ten_{turn}", demand)
        spent.append((time.perf_counter() - begin) * 1000)
    engine.dispose()
    return median(spent)


def _seed(session: Session, count: int) -> None:
    """`count` places: half of them pools that are one place, half of them servers in pools."""
    pools = [_pool("cloud", number) for number in range(count // 2)]
    pools += [_pool("servers", number) for number in range(count // 2 // SERVERS)]
    servers = [
        {"id": ids.new("srv"), "pool_id": pool["id"], "name": str(number), "address": "localhost", "inventory": HAS}
        for pool in pools
        if pool["driver"] == "servers"
        for number in range(SERVERS)
    ]
    session.execute(insert(Pool), pools)
    session.execute(insert(Server), servers)
    of_pools = [_account(pool["id"], ledger.POOL_RANK, each, SERVERS * HAS[each]) for pool in pools for each in HAS]
    of_servers = [_account(server["id"], ledger.SERVER_RANK, each, HAS[each]) for server in servers for each in HAS]
    session.execute(insert(Account), of_pools + of_servers)


def _pool(driver: str, number: int) -> dict[str, Any]:
    kind = {"provider": "here", "connection": {}, "abi": "any", "cpu_family": "any", "level": 3, "traits": []}
    what = {"zone": ZONES[number % len(ZONES)], "architecture": ARCHITECTURES[number % len(ARCHITECTURES)]}
    has = {"overcommit": {}, "reserve": {}, "inventory": HAS}
    return {"id": ids.new("pol"), "name": f"{driver}-{number}", "driver": driver, **kind, **what, **has}


def _account(owner: str, rank: int, resource: str, limit: int) -> dict[str, Any]:
    return {"owner": owner, "rank": rank, "resource": resource, "limit": limit}

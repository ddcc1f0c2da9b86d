"""A pool whose servers are those of a bed, for tests that enrol them."""

import time
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.orm import Session

from cloudctl.kernel import engine as walker
from cloudctl.kernel.operations import OperationRow, listed
from provisioning import pool_servers, pools
from provisioning.pool_servers import Server
from tenancy import ledger
from tests.beds.servers.bed import Bed
from tests.beds.servers.server import ADMIN
from tests.beds.servers.server import Server as Machine
from tests.world import World

X86 = {"architecture": "amd64", "abi": "x86-64", "cpu_family": "any"}
CHIPS = {
    "x86": X86,
    "hygon": {**X86, "cpu_family": "C86"},
    "zhaoxin": {**X86, "cpu_family": "KaiSheng KH-37800D"},
    "kunpeng": {"architecture": "arm64", "abi": "aapcs64", "cpu_family": "Kunpeng-920"},
    "phytium": {"architecture": "arm64", "abi": "arm64", "cpu_family": "FT-2000+"},
    "loongson": {"architecture": "loong64", "abi": "lp64d", "cpu_family": "3C5000"},
}
"""Of the pool that a bed's server with this processor belongs to."""


@dataclass
class Fleet:
    """Pools by the kind of their servers, and what operators and workers do."""

    world: World
    bed: Bed
    pools: dict[str, str] = field(default_factory=dict)

    def pool(self, kind: str) -> str:
        """The pool of servers with this processor; entered when first asked for."""
        if kind not in self.pools:
            about = {"name": kind, "provider": "here", "driver": "servers", "zone": "extranet", "level": 3}
            way_in = {"connection": "ssh", "user": ADMIN, "private_key": str(self.bed.key)}
            with Session(self.world.engine) as session, session.begin():
                made = pools.add(session, self.world.operator, **about, **CHIPS[kind], connection=way_in)
                self.pools[kind] = made.id
        return self.pools[kind]

    def enroll(self, machine: Machine, kind: str | None = None, **other: Any) -> Server:
        """Promise it; `walk` carries it out."""
        asked = {"name": machine.name, "address": machine.address, "host_key": machine.host_key, **other}
        pool = self.pool(kind or machine.kind)
        with Session(self.world.engine, expire_on_commit=False) as session, session.begin():
            return pool_servers.enroll(session, self.world.operator, pool, **asked)

    def order(self, verb: Any, server: Server, *more: Any, **other: Any) -> Server:
        """Drain, reopen or retire it."""
        with Session(self.world.engine, expire_on_commit=False) as session, session.begin():
            return verb(session, self.world.operator, server.id, *more, **other)

    def walk(self, server: Server, patience: int = 4, before: str | None = None) -> OperationRow:
        """Carry out what is promised of a server until it rests, stands `before` a step, or has waited too often.

        Returns: the newest operation.

        An emulated server on a busy machine may be too slow to be let in at once.
        """
        for _ in range(20):
            row = self.operation(server)
            if row.retry_at:
                patience -= 1
                time.sleep(1)
            if row.state != "running" or row.current == before or patience < 0:
                return row
            self.step(row)
        raise AssertionError("the operation does not come to rest")

    def step(self, row: OperationRow) -> None:
        with self.bed.network():
            walker.advance(self.world.engine, self.world.settings, row.id, row.ticket)

    def operation(self, server: Server) -> OperationRow:
        with Session(self.world.engine, expire_on_commit=False) as session:
            return listed(session, subject=server.id, limit=1)[0]

    def server(self, server: Server) -> Server:
        with Session(self.world.engine, expire_on_commit=False) as session:
            return session.get_one(Server, server.id)

    def enrolled(self, machine: Machine) -> Server:
        """A server that is open."""
        server = self.enroll(machine)
        ended = self.walk(server)
        assert ended.state == "done", ended.reason
        return self.server(server)


def limits(fleet: Fleet, owner: str) -> dict[str, int]:
    with Session(fleet.world.engine) as session:
        accounts = ledger.balances(session, [owner])[owner]
    return {resource: balance.limit for resource, balance in accounts.items() if balance.limit}

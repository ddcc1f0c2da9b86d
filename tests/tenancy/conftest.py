"""Worlds: for the ledger a tree with limits and the test's own sums of its tables; for requests a bureau."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from cloudctl.kernel import database, ids
from cloudctl.kernel.settings import Settings
from tenancy import kinds, ledger
from tenancy.models import Department
from tests.tenancy.bureau import Bureau


@dataclass
class Unit:
    """A department of the test, with its chain from itself to the root."""

    id: str
    chain: list[str]

    def wanted(self, holder: str, **size: int) -> ledger.Wanted:
        return ledger.Wanted(holder, "quota", self.chain, size)


class World:
    """Departments and places whose limits and claims are made by the test."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def unit(self, above: Unit | None = None, **limits: int) -> Unit:
        """A new department, named after its id, with these limits."""
        new = ids.new("dep")
        chain = [new, *(above.chain if above else [])]
        with Session(self.engine) as session, session.begin():
            parent = above and above.id
            names = {"code": new, "name": new, "name_en": new}
            session.add(Department(id=new, **names, parent_id=parent, path=chain[::-1]))
            session.flush()
            for resource, limit in limits.items():
                ledger.set_limit(session, new, resource, limit)
        return Unit(new, chain)

    def chain_of(self, levels: int, **limits: int) -> list[Unit]:
        """Departments below one another, the root first, each with these limits."""
        units: list[Unit] = []
        for _ in range(levels):
            units.append(self.unit(units[-1] if units else None, **limits))
        return units

    def place(self, rank: int = ledger.POOL_RANK, **limits: int) -> str:
        new = ids.new("pol")
        with Session(self.engine) as session, session.begin():
            ledger.set_capacity(session, new, limits, rank)
        return new

    def do(self, verb: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """One verb of the ledger in a transaction of its own."""
        with Session(self.engine) as session, session.begin():
            return verb(session, *arguments, **named)

    def balance(self, owner: Unit | str, resource: str = "vcpu") -> ledger.Balance:
        name = owner if isinstance(owner, str) else owner.id
        with Session(self.engine) as session:
            return ledger.balances(session, [name])[name][resource]

    def wrong(self) -> list[Any]:
        """Accounts whose balance is not the sum of the open claims, or is over its limit, by SQL of the test's own."""
        with Session(self.engine) as session:
            return list(session.execute(text(_WRONG)))


_WRONG = """
    SELECT * FROM (
        SELECT owner, resource, "limit", held, used,
               (SELECT coalesce(sum(amount), 0) FROM claim_lines JOIN claims ON claims.id = claim_id
                WHERE account_id = accounts.id AND state = 'held') AS held_by_claims,
               (SELECT coalesce(sum(amount), 0) FROM claim_lines JOIN claims ON claims.id = claim_id
                WHERE account_id = accounts.id AND state = 'committed') AS used_by_claims,
               (SELECT sum(limit_change) FROM ledger_entries WHERE account_id = accounts.id) AS limit_by_entries,
               (SELECT sum(held_change) FROM ledger_entries WHERE account_id = accounts.id) AS held_by_entries,
               (SELECT sum(used_change) FROM ledger_entries WHERE account_id = accounts.id) AS used_by_entries
        FROM accounts
    ) sums
    WHERE held + used > "limit" OR "limit" <> limit_by_entries OR held <> held_by_claims OR held <> held_by_entries
       OR used <> used_by_claims OR used <> used_by_entries
"""


@pytest.fixture
def world(engine: Engine) -> World:
    return World(engine)


@pytest.fixture(scope="session")
def shared(server: dict[str, str]) -> Iterator[Engine]:
    """A database that tests share which commit nothing."""
    with psycopg.connect(server["owner"].replace("@/cloudctl", "@/postgres"), autocommit=True) as owner:
        owner.execute("CREATE DATABASE bureaus TEMPLATE cloudctl STRATEGY file_copy")
    engine = database.connect(server["application"].replace("@/cloudctl", "@/bureaus"), connections=1)
    yield engine
    engine.dispose()


@pytest.fixture
def own_kinds() -> Iterator[None]:
    """The kinds of request are afterwards as they were."""
    before = dict(kinds.KINDS)
    yield
    kinds.KINDS.clear()
    kinds.KINDS.update(before)


@pytest.fixture
def bureau(shared: Engine, own_kinds: None, tmp_path: Path) -> Iterator[Bureau]:
    """A bureau with its people; all that happens to it is taken back."""
    with shared.connect() as connection, connection.begin() as everything:
        with Session(connection, expire_on_commit=False) as session:
            yield Bureau(session, Settings(data_dir=tmp_path))
        everything.rollback()


@pytest.fixture
def at_once() -> Callable[[int, Callable[[int], Any]], list[Any]]:
    """Run something in many threads at the same time; its results, or the names of the errors it raised."""

    def run(times: int, act: Callable[[int], Any]) -> list[Any]:
        def outcome(number: int) -> Any:
            try:
                return act(number)
            except Exception as error:
                return type(error).__name__

        with ThreadPoolExecutor(16) as threads:
            return list(threads.map(outcome, range(times)))

    return run

"""Many at once on one tree: nothing goes over a limit, nothing deadlocks, and afterwards the books are right."""

import random
from collections import Counter

from sqlalchemy import text
from sqlalchemy.orm import Session

from tenancy import books, ledger
from tenancy.ledger import Wanted
from tenancy.models import Department

REFUSALS = (ledger.OverLimit, ledger.LessThanThat, ledger.MovedMeanwhile, ledger.ChildOverParent, ledger.LimitBelowUse)


def tree(world, levels=5, **limits):
    """Every department above the last level has two below it; by level."""
    rows = [[world.unit(**limits)]]
    while len(rows) < levels:
        rows.append([world.unit(unit, **limits) for unit in rows[-1] for _ in range(2)])
    return rows


class Life:
    """What one thread does to tenancies of its own, at random; `held` and `used` are what it believes to have."""

    def __init__(self, world, leaves, places, seed):
        self.world, self.leaves, self.places, self.chance = world, leaves, places, random.Random(seed)
        self.seed, self.count, self.refused = seed, 0, Counter()
        self.active: dict[str, tuple[list[str], list[str]]] = {}  # tenancy -> chain, owners of its place

    def size(self):
        classes = self.chance.sample(["vcpu", "memory_gib"], self.chance.randint(1, 2))
        return {each: self.chance.randint(1, 3) for each in classes}

    def create(self):
        self.count += 1
        item, tenancy = f"itm_{self.seed}_{self.count}", f"ten_{self.seed}_{self.count}"
        chain, owners, size = self.chance.choice(self.leaves).chain, self.chance.choice(self.places), self.size()
        self.world.do(ledger.hold, Wanted(item, "quota", chain, size))
        end = self.chance.choice(["active", "withdrawn", "failed", "active", "active"])
        if end == "withdrawn":
            self.world.do(ledger.release, item)
            return
        try:
            self.world.do(ledger.hold, Wanted(tenancy, "capacity", owners, size))
        except ledger.OverLimit:
            self.world.do(ledger.release, item)
            raise
        if end == "failed":
            self.world.do(ledger.release, item, tenancy)
        else:
            self.world.do(ledger.commit, item, tenancy, into=tenancy)
            self.active[tenancy] = chain, owners

    def grow(self):
        tenancy, (chain, owners) = self.chance.choice(list(self.active.items()))
        item, size = f"grow_{tenancy}", self.size()
        quota, capacity = Wanted(item, "quota", chain, size), Wanted(item, "capacity", owners, size)
        self.world.do(ledger.hold, quota, capacity)
        if self.chance.random() < 0.7:
            self.world.do(ledger.commit, item, into=tenancy)
        else:
            self.world.do(ledger.release, item)

    def shrink(self):
        tenancy = self.chance.choice(list(self.active))
        size = self.size()

        def both(session):
            ledger.lock(session, tenancy)
            for side in ("quota", "capacity"):
                ledger.shrink(session, tenancy, side, size)

        self.world.do(both)

    def end(self):
        tenancy = self.chance.choice(list(self.active))
        self.world.do(ledger.release, tenancy, side="quota")
        self.world.do(ledger.release, tenancy)
        del self.active[tenancy]

    def limit(self):
        unit = self.chance.choice(self.leaves)
        self.world.do(ledger.set_limit, unit.id, "vcpu", self.chance.randint(2, 14))

    def live(self, acts):
        for _ in range(acts):
            act = self.chance.choices([self.create, self.grow, self.shrink, self.end, self.limit], [5, 2, 2, 2, 1])[0]
            if self.active or act in (self.create, self.limit):
                try:
                    act()
                except REFUSALS as refusal:
                    self.refused[type(refusal).__name__] += 1


def test_a_storm_on_five_levels_leaves_the_books_right(world, at_once):
    rows = tree(world, vcpu=12, memory_gib=30)
    pools = [world.place(vcpu=10, memory_gib=10) for _ in range(2)]
    servers = [world.place(ledger.SERVER_RANK, vcpu=6, memory_gib=9) for _ in range(4)]
    places = [[server, pools[number % 2]] for number, server in enumerate(servers)]
    lives = [Life(world, rows[-1], places, seed) for seed in range(16)]
    watched = at_once(17, lambda n: lives[n].live(30) if n < 16 else [world.wrong() for _ in range(20)])
    assert watched[:16] == [None] * 16
    assert not any(watched[16])
    assert sum((life.refused for life in lives), Counter())["OverLimit"] > 0
    assert world.wrong() == []
    with Session(world.engine) as session:
        assert books.differences(session) == []
    for life in lives:
        for tenancy in life.active:
            world.do(ledger.release, tenancy)
    with Session(world.engine) as session:
        assert session.scalar(text("SELECT sum(held + used) FROM accounts")) == 0


def test_of_many_requests_at_limit_one_each_department_gets_exactly_one(world, at_once):
    root = world.unit(vcpu=100)
    units = [world.unit(root, vcpu=1) for _ in range(6)]
    outcomes = at_once(48, lambda n: len(world.do(ledger.hold, units[n % 6].wanted(f"itm_{n}", vcpu=1))))
    assert Counter(outcomes) == {1: 6, "OverLimit": 42}
    assert world.balance(root) == ledger.Balance(100, 6, 0)


def test_the_last_vcpu_of_the_root_goes_to_exactly_one_of_sixteen(world, at_once):
    rows = tree(world, vcpu=1)
    outcomes = at_once(16, lambda n: len(world.do(ledger.hold, rows[-1][n].wanted(f"itm_{n}", vcpu=1))))
    assert Counter(outcomes) == {1: 1, "OverLimit": 15}


def test_settling_the_same_claims_at_once_settles_them_once(world, at_once):
    unit = world.unit(vcpu=64)
    for number in range(8):
        world.do(ledger.hold, unit.wanted(f"itm_{number}", vcpu=4))

    def settle(number):
        item = f"itm_{number % 8}"
        if number % 3:
            return world.do(ledger.commit, item, into=f"ten_{number % 8}")
        return world.do(ledger.release, item)

    assert sum(at_once(48, settle)) == 8
    assert world.balance(unit).held == 0
    assert world.wrong() == []


def test_departments_move_while_their_claims_come_and_go(world, at_once):
    root = world.unit(vcpu=200)
    counties = [world.unit(root, vcpu=60) for _ in range(2)]
    bureau = world.unit(counties[0], vcpu=60)
    offices = [world.unit(bureau, vcpu=30) for _ in range(2)]

    def move(session):
        path = session.get_one(Department, bureau.id, with_for_update=True).path
        new = [root.id, counties[path[1] == counties[0].id].id, bureau.id]
        session.execute(
            text("UPDATE departments SET parent_id = :parent, path = :path WHERE id = :id"),
            {"parent": new[1], "path": new, "id": bureau.id},
        )
        for office in offices:
            session.execute(
                text("UPDATE departments SET path = :path WHERE id = :id"), {"path": [*new, office.id], "id": office.id}
            )
        ledger.move(session, bureau.id, path, new)

    def hold(number):
        """Again with the new chain, where the department moved since its chain was read."""
        while True:
            with Session(world.engine) as session:
                chain = session.get_one(Department, offices[number % 2].id).path[::-1]
            try:
                return world.do(ledger.hold, Wanted(f"itm_{number}", "quota", chain, {"vcpu": 1 + number % 3}))
            except ledger.MovedMeanwhile:
                continue

    def claim(number):
        hold(number)
        if number % 4:
            world.do(ledger.commit, f"itm_{number}", into=f"ten_{number}")
        if number % 4 == 1:
            world.do(ledger.release, f"ten_{number}")

    outcomes = at_once(90, lambda n: world.do(move) if n % 9 == 0 else claim(n))
    assert set(outcomes) <= {None, "OverLimit"}
    assert outcomes.count(None) > 40
    assert world.wrong() == []
    with Session(world.engine) as session:
        assert books.differences(session) == []
        above = session.get_one(Department, bureau.id).path[1]
        left = next(county.id for county in counties if county.id != above)
        found = ledger.balances(session, [root.id, above, left, bureau.id])
        assert found[left]["vcpu"] == ledger.Balance(60, 0, 0)
        assert len({(b["vcpu"].held, b["vcpu"].used) for owner, b in found.items() if owner != left}) == 1

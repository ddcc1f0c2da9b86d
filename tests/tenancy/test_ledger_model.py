"""The ledger against a model that anybody can check: dictionaries of what is held and used, summed up the tree."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from sqlalchemy.orm import Session

from cloudctl.kernel import ids
from tenancy import books, ledger
from tenancy.ledger import Balance, Wanted

CLASSES = ("vcpu", "memory_gib")
sizes = st.dictionaries(st.sampled_from(CLASSES), st.integers(1, 4), min_size=1)


class Ledger(RuleBasedStateMachine):
    """Every example has departments and holders of its own, in one database."""

    world: Any  # of the fixture
    holders = Bundle("holders")

    def __init__(self) -> None:
        super().__init__()
        world = self.world
        root = world.unit(vcpu=12, memory_gib=12)
        middle = [world.unit(root, vcpu=8, memory_gib=9) for _ in range(2)]
        self.units = [root, *middle, *(world.unit(one, vcpu=6, memory_gib=6) for one in middle)]
        self.pool = world.place(vcpu=9, memory_gib=7)
        self.limits = {unit.id: dict(self._limits(unit.id)) for unit in self.units}
        self.limits[self.pool] = dict(self._limits(self.pool))
        self.claims: list[dict[str, Any]] = []  # holder, side, state, owners, size; oldest first

    def _limits(self, owner):
        with Session(self.world.engine) as session:
            found = ledger.balances(session, [owner])[owner]
        return {resource: balance.limit for resource, balance in found.items()}

    def taken(self, owner, resource, state=None):
        open_ = (one for one in self.claims if owner in one["owners"] and state in (None, one["state"]))
        return sum(one["size"].get(resource, 0) for one in open_)

    def free(self, owner, resource):
        return self.limits[owner][resource] - self.taken(owner, resource)

    def book(self, *wanted: Wanted):
        total = Counter()
        for one in wanted:
            total.update({(owner, each): amount for owner in one.owners for each, amount in one.size.items()})
        short = {spot for spot, amount in total.items() if amount > self.free(*spot)}
        if not short:
            self.world.do(ledger.hold, *wanted)
            for one in wanted:
                claim = {"holder": one.holder, "side": one.side, "state": "held", "owners": one.owners}
                self.claims.append({**claim, "size": dict(one.size)})
            return
        with pytest.raises(ledger.OverLimit) as refused:
            self.world.do(ledger.hold, *wanted)
        figures = refused.value.figures
        spot = figures["owner"], figures["resource"]
        owners = next(one.owners for one in wanted if spot[0] in one.owners)
        assert spot in short
        assert figures["wanted"] == total[spot]
        assert figures["fits"] == min(self.free(each, spot[1]) for each in owners)

    def of(self, holder, side=None):
        return [one for one in self.claims if one["holder"] == holder and side in (None, one["side"])]

    @rule(target=holders, unit=st.integers(0, 4), size=sizes)
    def hold_quota(self, unit, size):
        holder = ids.new("itm")
        self.book(Wanted(holder, "quota", self.units[unit].chain, size))
        return holder

    @rule(holder=holders, unit=st.integers(0, 4), size=sizes)
    def hold_both(self, holder, unit, size):
        quota = Wanted(holder, "quota", self.units[unit].chain, size)
        self.book(quota, Wanted(holder, "capacity", [self.pool], size))

    @rule(holder=holders)
    def commit(self, holder):
        held = [one for one in self.of(holder) if one["state"] == "held"]
        assert self.world.do(ledger.commit, holder) == len(held)
        for one in held:
            one["state"] = "committed"

    @rule(item=holders, tenancy=holders)
    def commit_into_another(self, item, tenancy):
        held = [one for one in self.of(item) if one["state"] == "held"]
        assert self.world.do(ledger.commit, item, into=tenancy) == len(held)
        for one in held:
            one.update(state="committed", holder=tenancy)

    @rule(holder=holders, side=st.sampled_from([None, "quota", "capacity"]), state=st.sampled_from([None, "held"]))
    def release(self, holder, side, state):
        gone = [one for one in self.of(holder, side) if state in (None, one["state"])]
        assert self.world.do(ledger.release, holder, side=side, state=state) == len(gone)
        self.claims = [one for one in self.claims if one not in gone]

    @rule(holder=holders, size=sizes)
    def shrink_capacity(self, holder, size):
        mine = [one for one in self.of(holder, "capacity") if one["state"] == "committed"]
        enough = all(sum(one["size"].get(each, 0) for one in mine) >= amount for each, amount in size.items())
        try:
            self.world.do(ledger.shrink, holder, "capacity", size)
        except ledger.LessThanThat:
            assert not enough
            return
        assert enough
        for each, amount in size.items():
            for one in reversed(mine):
                cut = min(amount, one["size"].get(each, 0))
                one["size"][each] = one["size"].get(each, 0) - cut
                amount -= cut

    @rule(unit=st.integers(0, 4), resource=st.sampled_from(CLASSES), limit=st.integers(0, 14))
    def set_limit(self, unit, resource, limit):
        owner, *above = self.units[unit].chain
        below = [each.chain[0] for each in self.units if owner in each.chain[1:2]]
        crossing = (above and limit > self.limits[above[0]][resource]) or any(
            self.limits[each][resource] > limit for each in below
        )
        try:
            self.world.do(ledger.set_limit, owner, resource, limit)
        except ledger.ChildOverParent:
            assert crossing
        except ledger.LimitBelowUse:
            assert limit < self.taken(owner, resource)
        else:
            assert not crossing
            assert limit >= self.taken(owner, resource)
            self.limits[owner][resource] = limit

    @invariant()
    def balances_are_those_of_the_model(self):
        with Session(self.world.engine) as session:
            found = ledger.balances(session, list(self.limits))
            assert books.differences(session) == []
        for owner, limits in self.limits.items():
            for resource, limit in limits.items():
                amounts = (self.taken(owner, resource, state) for state in ("held", "committed"))
                assert found[owner][resource] == Balance(limit, *amounts)


def test_the_ledger_agrees_with_its_model(world):
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large]
    limits = settings(max_examples=20, stateful_step_count=25, deadline=None, suppress_health_check=checks)
    run_state_machine_as_test(type("Ledger", (Ledger,), {"world": world}), settings=limits)

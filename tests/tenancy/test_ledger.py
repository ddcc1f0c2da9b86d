"""What a claim does to its accounts, and what is refused."""

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from tenancy import books, ledger
from tenancy.ledger import Balance, Wanted


def test_a_held_claim_counts_in_every_ancestor(world):
    units = world.chain_of(5, vcpu=10)
    world.do(ledger.hold, units[-1].wanted("itm_1", vcpu=4))
    assert [world.balance(unit) for unit in units] == [Balance(10, 4, 0)] * 5


def test_a_committed_claim_is_used_under_its_new_holder(world):
    unit = world.unit(vcpu=10)
    world.do(ledger.hold, unit.wanted("itm_1", vcpu=4))
    assert world.do(ledger.commit, "itm_1", into="ten_1") == 1
    assert world.balance(unit) == Balance(10, 0, 4)
    assert world.do(ledger.claims_of, "itm_1") == []
    (claim,) = world.do(ledger.claims_of, "ten_1")
    assert (claim.side, claim.state, claim.size, claim.owners) == ("quota", "committed", {"vcpu": 4}, (unit.id,))


def test_releasing_twice_is_releasing_once(world):
    unit = world.unit(vcpu=10)
    world.do(ledger.hold, unit.wanted("ten_1", vcpu=4))
    world.do(ledger.hold, unit.wanted("ten_2", vcpu=1))
    assert [world.do(ledger.release, "ten_1") for _ in range(2)] == [1, 0]
    assert world.balance(unit) == Balance(10, 1, 0)


def test_quota_and_capacity_are_released_apart(world):
    unit, pool = world.unit(vcpu=10), world.place(vcpu=8)
    world.do(ledger.hold, unit.wanted("ten_1", vcpu=4), Wanted("ten_1", "capacity", [pool], {"vcpu": 4}))
    world.do(ledger.commit, "ten_1")
    world.do(ledger.release, "ten_1", side="quota")
    assert (world.balance(unit), world.balance(pool)) == (Balance(10, 0, 0), Balance(8, 0, 4))


def test_only_what_is_held_is_released_where_only_that_is_asked(world):
    unit = world.unit(vcpu=10)
    world.do(ledger.hold, unit.wanted("ten_1", vcpu=4))
    world.do(ledger.commit, "ten_1")
    world.do(ledger.hold, unit.wanted("ten_1", vcpu=3))
    world.do(ledger.release, "ten_1", state="held")
    assert world.balance(unit) == Balance(10, 0, 4)


def test_shrinking_takes_the_newest_claim_first(world):
    unit = world.unit(vcpu=10)
    for amount in (4, 3):
        world.do(ledger.hold, unit.wanted("ten_1", vcpu=amount))
        world.do(ledger.commit, "ten_1")
    world.do(ledger.shrink, "ten_1", "quota", {"vcpu": 5})
    assert [claim.size for claim in world.do(ledger.claims_of, "ten_1")] == [{"vcpu": 2}, {"vcpu": 0}]
    assert world.balance(unit) == Balance(10, 0, 2)
    with pytest.raises(ledger.LessThanThat) as refused:
        world.do(ledger.shrink, "ten_1", "quota", {"vcpu": 3})
    assert refused.value.figures == {"holder": "ten_1", "resource": "vcpu", "wanted": 3, "committed": 2}
    assert world.wrong() == []


def test_a_refusal_names_only_the_first_violated_account_and_who_can_change_it(world):
    root = world.unit(vcpu=6, memory_gib=100)
    bureau = world.unit(root, vcpu=5, memory_gib=8)
    world.do(ledger.hold, root.wanted("ten_0", vcpu=2, memory_gib=1))
    with pytest.raises(ledger.OverLimit) as refused:
        world.do(ledger.hold, bureau.wanted("itm_1", vcpu=1, memory_gib=9))
    figures = {"owner": bureau.id, "name": bureau.id, "changed_by": root.id, "resource": "memory_gib"}
    assert refused.value.figures == {**figures, "limit": 8, "held": 0, "used": 0, "wanted": 9, "fits": 8}
    with pytest.raises(ledger.OverLimit) as refused:
        world.do(ledger.hold, bureau.wanted("itm_1", vcpu=5, memory_gib=1))
    figures = {"owner": root.id, "name": root.id, "changed_by": "operator", "resource": "vcpu"}
    assert refused.value.figures == {**figures, "limit": 6, "held": 2, "used": 0, "wanted": 5, "fits": 4}


def test_more_storage_is_granted_while_memory_is_full(world):
    unit = world.unit(**{"memory_gib": 8, "storage_gib.ssd": 100})
    world.do(ledger.hold, unit.wanted("ten_1", memory_gib=8))
    world.do(ledger.hold, Wanted("ten_2", "quota", unit.chain, {"storage_gib.ssd": 100}))
    assert world.balance(unit, "storage_gib.ssd").free == 0


def test_a_class_without_an_account_has_a_limit_of_zero(world):
    with pytest.raises(ledger.OverLimit) as refused:
        world.do(ledger.hold, world.unit(vcpu=1).wanted("itm_1", gpu=1))
    assert (refused.value.figures["resource"], refused.value.figures["limit"]) == ("gpu", 0)


def test_of_several_claims_all_are_held_or_none(world):
    unit, pool = world.unit(vcpu=10), world.place(vcpu=3)
    one, other = unit.wanted("itm_1", vcpu=6), unit.wanted("itm_2", vcpu=5)
    with pytest.raises(ledger.OverLimit) as refused:
        world.do(ledger.hold, one, other)
    assert refused.value.figures["wanted"] == 11
    with pytest.raises(ledger.OverLimit) as refused:
        world.do(ledger.hold, one, Wanted("itm_1", "capacity", [pool], {"vcpu": 4}))
    assert refused.value.figures["owner"] == pool
    assert world.balance(unit) == Balance(10, 0, 0)
    assert len(world.do(ledger.hold, one, Wanted("itm_1", "capacity", [pool], {"vcpu": 3}))) == 2


def test_after_a_refusal_the_transaction_goes_on(world, session):
    unit = world.unit(vcpu=2)
    with pytest.raises(ledger.OverLimit):
        ledger.hold(session, unit.wanted("itm_1", vcpu=3))
    held = ledger.hold(session, unit.wanted("itm_1", vcpu=2))
    session.commit()
    assert world.balance(unit) == Balance(2, 2, 0)
    assert held == ledger.claims_of(session, "itm_1")


def test_what_would_be_refused_is_told_without_holding_anything(world, session):
    unit = world.unit(vcpu=2)
    assert ledger.shortfall(session, unit.wanted("itm_1", vcpu=2)) is None
    short = ledger.shortfall(session, unit.wanted("itm_1", vcpu=3))
    assert short is not None
    assert short.figures["fits"] == 2
    assert ledger.room(session, unit.chain) == {"vcpu": 2}


def test_a_limit_stays_between_what_is_used_and_what_the_parent_has(world):
    root = world.unit(vcpu=10)
    bureau = world.unit(root, vcpu=8)
    world.do(ledger.hold, bureau.wanted("ten_1", vcpu=5))
    with pytest.raises(ledger.ChildOverParent) as refused:
        world.do(ledger.set_limit, bureau.id, "vcpu", 11)
    limits = {"resource": "vcpu", "parent": root.id, "parent_limit": 10, "child": bureau.id}
    assert refused.value.figures == {**limits, "child_limit": 11}
    with pytest.raises(ledger.ChildOverParent) as refused:
        world.do(ledger.set_limit, root.id, "vcpu", 7)
    assert refused.value.figures == {**limits, "parent_limit": 7, "child_limit": 8}
    with pytest.raises(ledger.LimitBelowUse) as low:
        world.do(ledger.set_limit, bureau.id, "vcpu", 4)
    assert (low.value.figures["held"], low.value.figures["limit"]) == (5, 4)
    world.do(ledger.set_limit, bureau.id, "vcpu", 5)
    assert world.balance(bureau) == Balance(5, 5, 0)


def test_parent_and_child_limits_changed_at_once_never_cross(world, at_once):
    root = world.unit(vcpu=10)
    bureau = world.unit(root, vcpu=5)

    def change(number: int) -> None:
        if number % 2:
            world.do(ledger.set_limit, bureau.id, "vcpu", 5 if world.balance(bureau).limit > 5 else 9)
        else:
            world.do(ledger.set_limit, root.id, "vcpu", 10 if world.balance(root).limit < 10 else 6)

    outcomes = at_once(60, change)
    assert set(outcomes) <= {None, "ChildOverParent"}
    assert world.balance(bureau).limit <= world.balance(root).limit


def test_the_books_name_every_figure_that_somebody_has_falsified(world, urls, session):
    unit = world.unit(vcpu=10, memory_gib=10)
    world.do(ledger.hold, unit.wanted("ten_1", vcpu=4, memory_gib=2))
    assert books.differences(session) == []
    session.execute(text("UPDATE accounts SET used = 1, \"limit\" = 11 WHERE resource = 'vcpu'"))
    session.execute(text("UPDATE claim_lines SET amount = 3 WHERE amount = 2"))
    assert books.differences(session) == [
        books.Difference(unit.id, "memory_gib", "held", 2, 2, 3),
        books.Difference(unit.id, "vcpu", "limit", 11, 10, None),
        books.Difference(unit.id, "vcpu", "used", 1, 0, 0),
    ]


def test_the_database_itself_refuses_an_account_over_its_limit(world, session):
    world.unit(vcpu=10)
    with pytest.raises(Exception, match="within_limit"):
        session.execute(text("UPDATE accounts SET held = 11"))


def test_entries_cannot_be_changed_by_the_platform(world, engine):
    world.unit(vcpu=10)
    with Session(engine) as session, pytest.raises(Exception, match="permission denied"):
        session.execute(text("UPDATE ledger_entries SET limit_change = 0"))

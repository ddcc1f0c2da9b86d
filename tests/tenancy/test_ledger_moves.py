"""What becomes of open claims when a department is moved."""

import pytest

from tenancy import ledger
from tenancy.ledger import Balance


def test_open_claims_leave_the_old_ancestors_for_the_new_ones(world):
    root = world.unit(vcpu=20)
    old, new = world.unit(root, vcpu=9), world.unit(root, vcpu=9)
    bureau = world.unit(old, vcpu=8)
    office = world.unit(bureau, vcpu=8)
    for holder in ("ten_1", "ten_2", "ten_3"):
        world.do(ledger.hold, office.wanted(holder, vcpu=2))
    world.do(ledger.commit, "ten_1")
    world.do(ledger.release, "ten_3")
    world.do(ledger.move, bureau.id, [root.id, old.id, bureau.id], [root.id, new.id, bureau.id])
    assert [world.balance(unit) for unit in (root, old, new)] == [Balance(20, 2, 2), Balance(9, 0, 0), Balance(9, 2, 2)]
    world.do(ledger.release, "ten_1", "ten_2")
    assert [world.balance(unit).free for unit in (root, old, new, bureau, office)] == [20, 9, 9, 8, 8]
    assert world.wrong() == []


def test_a_move_is_refused_with_figures_where_the_new_chain_has_no_room(world):
    root = world.unit(vcpu=20)
    old, new = world.unit(root, vcpu=9), world.unit(root, vcpu=9)
    bureau = world.unit(old, vcpu=5)
    world.do(ledger.hold, bureau.wanted("ten_1", vcpu=5))
    world.do(ledger.hold, new.wanted("ten_2", vcpu=6))
    with pytest.raises(ledger.OverLimit) as refused:
        world.do(ledger.move, bureau.id, [root.id, old.id, bureau.id], [root.id, new.id, bureau.id])
    figures = {key: refused.value.figures[key] for key in ("owner", "wanted", "fits", "held")}
    assert figures == {"owner": new.id, "wanted": 5, "fits": 3, "held": 6}
    assert world.balance(old) == Balance(9, 5, 0)


def test_a_move_below_a_parent_with_a_lower_limit_is_refused(world):
    root = world.unit(vcpu=20)
    old, new = world.unit(root, vcpu=9), world.unit(root, vcpu=4)
    bureau = world.unit(old, vcpu=5)
    with pytest.raises(ledger.ChildOverParent) as refused:
        world.do(ledger.move, bureau.id, [root.id, old.id, bureau.id], [root.id, new.id, bureau.id])
    figures = {"resource": "vcpu", "parent": new.id, "parent_limit": 4, "child": bureau.id, "child_limit": 5}
    assert refused.value.figures == figures


def test_a_claim_on_a_chain_that_is_no_longer_the_departments_is_refused(world):
    root = world.unit(vcpu=20)
    bureau = world.unit(root, vcpu=5)
    stranger = world.unit(vcpu=5)
    with pytest.raises(ledger.MovedMeanwhile):
        world.do(ledger.hold, ledger.Wanted("itm_1", "quota", [bureau.id, stranger.id], {"vcpu": 1}))

"""Departments form a tree of any depth; what is wrong is told, and a move takes everything below along."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from cloudctl.kernel import audit, events
from cloudctl.kernel.errors import Outdated, Problem, Several
from tenancy import departments, ledger
from tenancy.callers import Caller, NotPermitted
from tenancy.departments import (
    BadDepartmentCode,
    BadName,
    BelowItself,
    DepartmentCodeTaken,
    NoSuchDepartment,
)
from tenancy.models import Department

OPERATOR = Caller(id="usr_operator", name="运维", platform_role="operator")


def make(session: Session, code: str, parent: str | None = None) -> Department:
    return departments.create(session, OPERATOR, code=code, name=f"单位{code}", name_en=f"Unit {code}", parent=parent)


@pytest.fixture
def five_levels(session: Session) -> list[Department]:
    codes = ["l1", "l2", "l3", "l4", "l5"]
    return [make(session, code, parent) for code, parent in zip(codes, [None, *codes], strict=False)]


def codes_on_path(session: Session, code: str) -> list[str]:
    path = session.scalars(select(Department.path).where(Department.code == code)).one()
    names = {unit.id: unit.code for unit in session.scalars(select(Department))}
    return [names[id] for id in path]


def test_a_department_knows_the_way_from_the_root_at_any_depth(session: Session, five_levels: list[Department]) -> None:
    assert codes_on_path(session, "l5") == ["l1", "l2", "l3", "l4", "l5"]
    assert [unit.depth for unit in five_levels] == [1, 2, 3, 4, 5]


def test_moving_a_department_takes_everything_below_it_along(session: Session, five_levels: list[Department]) -> None:
    make(session, "other", "l1")
    moved = departments.move(session, OPERATOR, "l3", parent="other")
    assert (moved.depth, moved.version) == (3, 2)
    assert moved.parent_id == departments.seen_by(session, OPERATOR, "other").id
    assert codes_on_path(session, "l3") == ["l1", "other", "l3"]
    assert codes_on_path(session, "l5") == ["l1", "other", "l3", "l4", "l5"]
    assert five_levels[4].depth == 5
    assert codes_on_path(session, "l2") == ["l1", "l2"]


def test_moving_to_another_depth_makes_the_paths_longer_or_shorter(
    session: Session, five_levels: list[Department]
) -> None:
    departments.move(session, OPERATOR, "l4", parent="l1")
    assert codes_on_path(session, "l5") == ["l1", "l4", "l5"]
    departments.move(session, OPERATOR, "l4", parent="l3")
    assert codes_on_path(session, "l5") == ["l1", "l2", "l3", "l4", "l5"]


@pytest.mark.parametrize("parent", ["l2", "l3", "l5"])
def test_nothing_moves_below_itself(session: Session, five_levels: list[Department], parent: str) -> None:
    with pytest.raises(BelowItself) as refusal:
        departments.move(session, OPERATOR, "l2", parent=parent)
    assert refusal.value.figures == {"department": "l2", "parent": parent}
    assert codes_on_path(session, "l5") == ["l1", "l2", "l3", "l4", "l5"]


def test_moving_re_books_what_the_department_holds(session: Session, five_levels: list[Department]) -> None:
    other = make(session, "other", "l1")
    for unit in (*five_levels, other):
        ledger.set_limit(session, unit.id, "vcpu", 8)
    chain = list(reversed(five_levels[4].path))
    ledger.hold(session, ledger.Wanted("req_x", "quota", chain, {"vcpu": 3}))
    departments.move(session, OPERATOR, "l3", parent="other")
    held = {unit.code: balance["vcpu"].held for unit in (*five_levels, other) if (balance := balances(session, unit))}
    assert held == {"l1": 3, "l2": 0, "other": 3, "l3": 3, "l4": 3, "l5": 3}


def balances(session: Session, unit: Department) -> dict[str, ledger.Balance]:
    return ledger.balances(session, [unit.id])[unit.id]


def test_children_registered_while_their_parent_moves_get_its_new_path(
    engine: Engine, session: Session, five_levels: list[Department]
) -> None:
    make(session, "other", "l1")
    session.commit()

    def one(number: int) -> None:
        with Session(engine) as mine, mine.begin():
            if number % 4:
                make(mine, f"new-{number}", "l5")
            else:
                departments.move(mine, OPERATOR, "l3", parent="other" if number % 8 else "l2")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(one, range(16)))
    session.expire_all()
    for unit in session.scalars(select(Department).where(Department.parent_id.is_not(None))):
        parent = session.get_one(Department, unit.parent_id)
        assert unit.path == [*parent.path, unit.id]


@pytest.mark.parametrize("code", ["", "a", "-a", "a b", "数据局", "a\n", "ab\n", "x" * 33, "a_b", "a\x00b"])
def test_a_bad_code_is_refused(session: Session, code: str) -> None:
    with pytest.raises(BadDepartmentCode) as refusal:
        departments.create(session, OPERATOR, code=code, name="单位", name_en="Unit")
    assert refusal.value.field == "code"


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "a\x00", "长" * 101])
def test_bad_names_are_told_both_at_once(session: Session, name: str) -> None:
    with pytest.raises(Several) as refusal:
        departments.create(session, OPERATOR, code="ok", name=name, name_en=name)
    assert [(type(each), each.field) for each in refusal.value.problems] == [(BadName, "name"), (BadName, "name_en")]


def test_a_code_is_given_once(engine: Engine, session: Session) -> None:
    def outcome(_: int) -> str:
        try:
            with Session(engine) as mine, mine.begin():
                make(mine, "522300")
        except DepartmentCodeTaken as problem:
            return problem.slug
        return "made"

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(outcome, range(8))) == ["department-code-taken"] * 7 + ["made"]


def test_a_parent_that_does_not_exist_is_named_as_the_wrong_field(session: Session) -> None:
    with pytest.raises(NoSuchDepartment) as refusal:
        make(session, "ok", "nowhere")
    assert (refusal.value.field, refusal.value.figures) == ("parent", {"department": "nowhere"})


def test_renaming_changes_only_what_is_given_and_counts_the_version(session: Session) -> None:
    make(session, "ok")
    renamed = departments.rename(session, OPERATOR, "ok", name=" 新名 ", version=1)
    assert (renamed.name, renamed.name_en, renamed.version) == ("新名", "Unit ok", 2)
    with pytest.raises(Outdated) as refusal:
        departments.rename(session, OPERATOR, "ok", name="别名", version=1)
    assert refusal.value.figures == {"expected": 1, "version": 2}
    with pytest.raises(BadName):
        departments.rename(session, OPERATOR, "ok", name="")


def test_what_a_caller_may_not_see_does_not_exist_for_them(session: Session, five_levels: list[Department]) -> None:
    clerk = Caller(id="usr_c", name="c", memberships=frozenset({(five_levels[2].id, "clerk")}))
    assert departments.seen_by(session, clerk, "l5") is five_levels[4]
    assert departments.seen_by(session, clerk, five_levels[2].id) is five_levels[2]
    for hidden in ("l2", five_levels[0].id, "nowhere"):
        with pytest.raises(NoSuchDepartment):
            departments.seen_by(session, clerk, hidden)
    assert [unit.code for unit in departments.listed(session, clerk)] == ["l3", "l4", "l5"]
    assert [unit.code for unit in departments.listed(session, clerk, below="l4", after="l4")] == ["l5"]
    assert departments.is_seen(session, clerk, five_levels[4].id)
    assert not departments.is_seen(session, clerk, five_levels[1].id)


def test_only_operators_change_the_tree(session: Session, five_levels: list[Department]) -> None:
    both = frozenset({(five_levels[0].id, "clerk"), (five_levels[0].id, "approver")})
    member = Caller(id="usr_c", name="c", memberships=both)
    attempts: tuple[Callable[[], Department], ...] = (
        lambda: departments.create(session, member, code="ok", name="a", name_en="a", parent="l1"),
        lambda: departments.rename(session, member, "l2", name="a"),
        lambda: departments.move(session, member, "l3", parent="l1"),
    )
    for attempt in attempts:
        with pytest.raises(NotPermitted):
            attempt()


def test_every_change_is_audited_and_can_be_watched(session: Session) -> None:
    make(session, "root")
    unit = make(session, "ok", "root")
    make(session, "other", "root")
    departments.rename(session, OPERATOR, "ok", name="新名")
    departments.move(session, OPERATOR, "ok", parent="other")
    entries = audit.entries(session, object=unit.id)
    assert [entry.action for entry in entries] == ["department:move", "department:update", "department:create"]
    assert {(entry.actor, entry.department) for entry in entries} == {(OPERATOR.id, unit.id)}
    slugs = [event.slug for event in events.after(session, [unit.id])]
    assert slugs == ["department-created", "department-updated", "department-moved"]


def test_a_problem_with_the_code_hides_no_other(session: Session) -> None:
    with pytest.raises(Several) as refusal:
        departments.create(session, OPERATOR, code="?", name="", name_en="ok")
    problems: list[Problem] = refusal.value.problems
    assert [problem.field for problem in problems] == ["code", "name"]

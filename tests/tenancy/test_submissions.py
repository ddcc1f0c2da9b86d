"""What a department asks for is held, previewed and told truthfully, and can be taken back."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from cloudctl.kernel.errors import Problem
from cloudctl.kernel.lifecycle import NotAllowed
from cloudctl.kernel.settings import Settings
from tenancy import submissions
from tenancy.applications import ChangePending
from tenancy.callers import NotPermitted
from tenancy.departments import NoSuchDepartment
from tenancy.ledger import Balance
from tenancy.projects import NoSuchProject
from tenancy.submissions import AskedTwice, NotMissing, NotPending, OverQuota
from tests.tenancy.bureau import Bureau, create, resize


def test_an_application_gets_a_number_and_holds_quota_all_the_way_up(bureau: Bureau) -> None:
    request = bureau.submit(create("web", vcpu=4), create("store", **{"storage_gib.ssd": 100}))
    assert re.fullmatch(r"20\d\d-\d{6}", request.number)
    assert [item.state for item in request.items] == ["pending", "pending"]
    for department in (bureau.bureau, bureau.county, bureau.prefecture):
        assert bureau.account("vcpu", department) == Balance(limit=200, held=4, used=0)
        assert bureau.account("storage_gib.ssd", department).held == 100


def test_what_is_refused_takes_no_number(bureau: Bureau) -> None:
    def number() -> int:
        return int(bureau.submit(create(f"web-{len(numbers)}", vcpu=1)).number[5:])

    numbers: list[int] = []
    numbers.append(number())
    for refused in (create("large", vcpu=1000), create("x" * 50), create("web-0", vcpu=1)):
        with pytest.raises(Problem):
            bureau.submit(refused)
    numbers.append(number())
    assert numbers[1] == numbers[0] + 1


def test_only_a_clerk_of_the_department_submits_for_it(bureau: Bureau) -> None:
    with pytest.raises(NotPermitted) as refused:
        bureau.submit(create(), by=bureau.head)
    assert refused.value.figures["roles"] == ["clerk"]
    other = bureau._department("522301-wjj", "卫健局", bureau.county)
    stranger = bureau.person("stranger", "clerk", other)
    with pytest.raises(NoSuchDepartment):
        bureau.submit(create(), by=stranger)
    with pytest.raises(NoSuchProject) as unknown:
        bureau.submit(create(), by=stranger, department=other.code)
    assert unknown.value.field == "project"


def test_a_preview_says_who_must_approve_and_by_when_and_writes_nothing(bureau: Bureau) -> None:
    (foreseen,) = bureau.preview(create())
    assert [
        (step.name, step.department.code, [user.login for user in step.approvers], step.days) for step in foreseen.steps
    ] == [
        ("accept", "522300", ["authority"], 3),
        ("department-head", "522301-jyj", ["head"], 2),
        ("authority-review", "522300", ["authority"], 2),
    ]
    due = [step.deadline.at for step in foreseen.steps]
    assert due == sorted(due)
    assert (foreseen.judgement.automatic, foreseen.fits, foreseen.over) == (None, True, None)
    assert not bureau.session.new
    assert bureau.account() == Balance(limit=200, held=0, used=0)


def test_a_preview_says_that_a_return_needs_nobody(bureau: Bureau) -> None:
    tenancy = bureau.tenancy(vcpu=4)
    (foreseen,) = bureau.preview({"kind": "return", "tenancy": tenancy.id})
    assert (foreseen.judgement.automatic, foreseen.steps) == ("return", [])


def test_over_quota_is_refused_with_the_nearest_size_and_the_request_that_helps(bureau: Bureau) -> None:
    bureau.submit(create("web", vcpu=150))
    with pytest.raises(OverQuota) as refused:
        bureau.submit(create("more", vcpu=60, memory_gib=8))
    figures = refused.value.figures
    assert refused.value.field == "items.0.size.vcpu"
    assert {name: figures[name] for name in ("name", "resource", "limit", "held", "used", "wanted", "fits")} == {
        "name": "教育局",
        "resource": "vcpu",
        "limit": 200,
        "held": 150,
        "used": 0,
        "wanted": 60,
        "fits": 50,
    }
    assert figures["changed_by"] == "兴义市"
    assert figures["nearest"] == {"vcpu": 50, "memory_gib": 8}
    assert figures["quota_request"] == {
        "department": "522301-jyj",
        "purpose": "",
        "items": [{"kind": "quota", "limits": {"vcpu": 210}}],
    }


def test_a_preview_sees_items_that_fit_singly_but_not_together(bureau: Bureau) -> None:
    first, second = bureau.preview(create("one", vcpu=150), create("two", vcpu=100))
    assert first.over is None
    assert second.over is not None
    assert (second.over.field, second.over.figures["wanted"]) == ("items.1.size.vcpu", 250)


def test_a_root_that_is_short_has_nobody_to_ask(bureau: Bureau) -> None:
    for department in (bureau.bureau, bureau.county):
        bureau.session.execute(_raise_limit(department.id))
    with pytest.raises(OverQuota) as refused:
        bureau.submit(create("web", vcpu=300))
    assert (refused.value.figures["name"], refused.value.figures["changed_by"]) == ("黔西南州", "operator")
    assert refused.value.figures["quota_request"] is None


def _raise_limit(owner: str):
    from sqlalchemy import update

    from tenancy.models import Account

    return update(Account).where(Account.owner == owner, Account.resource == "vcpu").values(limit=500)


def test_two_items_about_the_same_thing_are_refused(bureau: Bureau) -> None:
    with pytest.raises(AskedTwice) as names:
        bureau.submit(create("web"), create("web"))
    assert names.value.field == "items.1.name"
    tenancy = bureau.tenancy(vcpu=4)
    with pytest.raises(AskedTwice) as same:
        bureau.submit(resize(tenancy, vcpu=5), {"kind": "return", "tenancy": tenancy.id})
    assert same.value.field == "items.1.tenancy"


def test_a_tenancy_is_changed_by_one_request_at_a_time(bureau: Bureau) -> None:
    tenancy = bureau.tenancy(vcpu=4)
    first = bureau.submit(resize(tenancy, vcpu=40))
    with pytest.raises(ChangePending) as pending:
        bureau.submit(resize(tenancy, vcpu=50))
    assert pending.value.figures["request"] == first.number
    submissions.withdraw(bureau.session, bureau.clerk, first.id)
    assert bureau.submit(resize(tenancy, vcpu=50)).state == "examining"


@pytest.mark.usefixtures("own_kinds")
def test_of_sixteen_who_ask_for_the_same_name_at_once_one_gets_it(
    session: Session, engine: Engine, settings: Settings, at_once: Callable[[int, Callable[[int], Any]], list[Any]]
) -> None:
    bureau = Bureau(session, settings)
    session.commit()

    def ask(_: int) -> str:
        with Session(engine) as own, own.begin():
            application = bureau.application(create("web"))
            return submissions.submit(own, bureau.clerk, bureau.rules, application).request.state

    assert sorted(at_once(16, ask)) == ["NameTaken"] * 15 + ["examining"]


def test_what_is_withdrawn_holds_nothing_and_waits_for_nobody(bureau: Bureau) -> None:
    request = bureau.submit(create())
    submissions.withdraw(bureau.session, bureau.clerk, request.number)
    assert (request.state, [item.state for item in request.items]) == ("withdrawn", ["withdrawn"])
    assert {step.state for step in request.steps} == {"done", "skipped"}
    assert bureau.account() == Balance(limit=200, held=0, used=0)
    with pytest.raises(NotAllowed) as over:
        submissions.withdraw(bureau.session, bureau.clerk, request.id)
    assert over.value.figures["allowed"] == []


def test_what_has_come_about_cannot_be_withdrawn(bureau: Bureau) -> None:
    request = bureau.approve_all(bureau.submit(create()))
    with pytest.raises(NotAllowed):
        submissions.withdraw(bureau.session, bureau.clerk, request.id)
    assert bureau.account().used == 4


def test_a_changed_item_holds_what_it_needs_now(bureau: Bureau) -> None:
    request = bureau.submit(create("web", vcpu=4))
    item = request.items[0].id
    supplement(bureau, request.id, changes={item: {"size": {"vcpu": 6}}})
    assert (request.items[0].spec["size"], bureau.account().held) == ({"vcpu": 6}, 6)
    with pytest.raises(OverQuota) as refused:
        supplement(bureau, request.id, changes={item: {"size": {"vcpu": 201}}})
    assert refused.value.field == "items.0.size.vcpu"


def test_a_change_to_a_large_size_is_examined_as_a_large_one(bureau: Bureau) -> None:
    request = bureau.submit(create("web", vcpu=4))
    assert [step.name for step in request.steps] == ["accept", "department-head", "authority-review"]
    supplement(bureau, request.id, changes={request.items[0].id: {"size": {"vcpu": 100}}})
    assert [step.name for step in request.steps][-1] == "large-or-sensitive"


def test_a_change_keeps_to_its_tenancy_and_kind(bureau: Bureau) -> None:
    one, two = bureau.tenancy("one", vcpu=4), bureau.tenancy("two", vcpu=4)
    request = bureau.submit(resize(one, vcpu=40))
    with pytest.raises(submissions.AnotherSubject) as refused:
        supplement(bureau, request.id, changes={request.items[0].id: {"tenancy": two.id}})
    assert refused.value.field == "items.0.tenancy"


def test_a_supplement_names_what_nobody_asked_for(bureau: Bureau) -> None:
    request = bureau.submit(create())
    with pytest.raises(NotMissing) as document:
        supplement(bureau, request.id, provided=["预算批复"])
    assert (document.value.field, document.value.figures["missing"]) == ("provided.0", [])
    with pytest.raises(NotPending) as item:
        supplement(bureau, request.id, changes={"itm_x": {"size": {"vcpu": 1}}})
    assert item.value.figures["pending"] == [request.items[0].id]


def supplement(bureau: Bureau, request: str, **what):
    return submissions.supplement(bureau.session, bureau.clerk, bureau.rules, request, **what)

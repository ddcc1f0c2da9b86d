"""What each kind of item means: what is wrong with it, what it holds, what its approval does, what needs nobody."""

from datetime import timedelta
from typing import Any

import pytest

from cloudctl.kernel.errors import Problem, Several
from tenancy import ledger, projects, submissions, tenancies
from tenancy.applications import WrongState
from tenancy.callers import SYSTEM
from tenancy.models import Project, Request, Tenancy
from tests.tenancy.bureau import Bureau, create, resize


def refusal(bureau: Bureau, *items: dict[str, Any], **other: Any) -> Problem:
    with pytest.raises(Problem) as refused:
        bureau.submit(*items, **other)
    return refused.value


def done(request: Request) -> tuple[str, str | None]:
    """How a request that should need nobody came out: its state, and the rule."""
    return request.state, request.items[0].automatic


def test_a_project_gets_its_code_when_it_is_approved(bureau: Bureau) -> None:
    item = {"kind": "project", "name": "预约挂号", "name_en": "Booking", "owner": "李", "funding": "财政", "level": 3}
    request = bureau.approve_all(bureau.submit(item, project=None))
    project = bureau.session.get_one(Project, request.items[0].subject)
    assert (project.name, project.level, project.department_id) == ("预约挂号", 3, bureau.bureau.id)
    assert project.code.startswith("522301-jyj-")


def test_a_quota_request_raises_the_limit_when_the_parent_has_approved_it(bureau: Bureau) -> None:
    ledger.set_limit(bureau.session, bureau.bureau.id, "vcpu", 100)
    request = bureau.submit({"kind": "quota", "limits": {"vcpu": 150}}, project=None)
    assert [step.name for step in request.steps] == ["accept", "parent"]
    assert bureau.account().limit == 100
    bureau.approve_all(request)
    assert bureau.account().limit == 150


def test_a_quota_above_the_parents_is_refused_at_once_with_figures(bureau: Bureau) -> None:
    problem = refusal(bureau, {"kind": "quota", "limits": {"vcpu": 201}}, project=None)
    assert (problem.slug, problem.field) == ("child-over-parent", "items.0.limits.vcpu")
    assert problem.figures == {
        "resource": "vcpu",
        "parent": "兴义市",
        "child": "教育局",
        "parent_limit": 200,
        "child_limit": 201,
    }
    unknown = refusal(bureau, {"kind": "quota", "limits": {"gpu": 1}}, project=None)
    assert unknown.figures["parent_limit"] == 0


def test_a_quota_below_what_is_used_is_refused_with_figures(bureau: Bureau) -> None:
    bureau.tenancy(vcpu=10)
    problem = refusal(bureau, {"kind": "quota", "limits": {"vcpu": 9}}, project=None)
    assert (problem.slug, problem.figures["used"], problem.figures["limit"]) == ("limit-below-use", 10, 9)


def test_a_root_has_nobody_to_ask_for_quota(bureau: Bureau) -> None:
    clerk = bureau.person("rootclerk", "clerk", bureau.prefecture)
    item = {"kind": "quota", "limits": {"vcpu": 1000}}
    problem = refusal(bureau, item, by=clerk, department="522300", project=None)
    assert problem.slug == "nobody-above"


def test_a_tenancy_needs_a_project_of_at_least_its_level_and_a_free_name(bureau: Bureau) -> None:
    missing = refusal(bureau, create(), project=None)
    assert (missing.slug, missing.field) == ("missing-field", "project")
    high = refusal(bureau, {**create(), "level": 3})
    assert (high.slug, high.field, high.figures) == ("level-too-high", "items.0.level", {"level": 3, "project": 2})
    bureau.submit(create("web"))
    taken = refusal(bureau, create("web"))
    assert (taken.slug, taken.field) == ("name-taken", "items.0.name")


def test_a_name_is_free_again_once_its_tenancy_is_gone(bureau: Bureau) -> None:
    tenancy = bureau.tenancy("web", vcpu=4)
    assert refusal(bureau, create("web")).slug == "name-taken"
    tenancies.advance(bureau.session, tenancy, "end", SYSTEM)
    assert refusal(bureau, create("web")).slug == "name-taken"  # it can still be restored
    tenancies.advance(bureau.session, tenancy, "erase", SYSTEM)
    assert bureau.tenancy("web", vcpu=4).id != tenancy.id


def test_everything_wrong_with_every_item_is_told_at_once(bureau: Bureau) -> None:
    ill_formed = refusal(bureau, create("one", vcpu=0), create("2", vcpu=10**10, warp=1), {**create(), "keys": ["x"]})
    assert isinstance(ill_formed, Several)
    assert [(each.slug, each.field) for each in ill_formed.problems] == [
        ("bad-amount", "items.0.size.vcpu"),
        ("bad-value", "items.1.name"),
        ("bad-amount", "items.1.size.vcpu"),
        ("unknown-resource", "items.1.size.warp"),
        ("bad-key", "items.2.keys.0"),
    ]
    against_rules = refusal(bureau, {**create(), "level": 4}, resize(Tenancy(id="ten_x"), vcpu=1))
    assert isinstance(against_rules, Several)
    assert [(each.slug, each.field) for each in against_rules.problems] == [
        ("level-too-high", "items.0.level"),
        ("no-such-tenancy", "items.1.tenancy"),
    ]


def test_a_tenancy_of_another_department_is_not_there(bureau: Bureau) -> None:
    tenancy = bureau.tenancy(vcpu=4)
    other = bureau._department("522301-wjj", "卫健局", bureau.county)
    clerk = bureau.person("clerk2", "clerk", other)
    project = projects.create(
        bureau.session, SYSTEM, other.id, name="预约", name_en="Booking", owner="李", funding="财政", level=2
    )
    problem = refusal(bureau, resize(tenancy, vcpu=5), by=clerk, department=other.code, project=project.code)
    assert (problem.slug, problem.field) == ("no-such-tenancy", "items.0.tenancy")
    above = bureau.person("clerk3", "clerk", bureau.county)  # sees it, but it is not the county's own
    problem = refusal(bureau, resize(tenancy, vcpu=5), by=above, department="522301", project=None)
    assert problem.slug == "no-such-tenancy"


def test_only_storage_is_a_tenancy_too(bureau: Bureau) -> None:
    tenancy = bureau.tenancy("store", **{"storage_gib.ssd": 100})
    assert tenancy.size == {"storage_gib.ssd": 100}
    assert bureau.account("storage_gib.ssd").used == 100


def test_a_resize_holds_only_what_it_grows_by(bureau: Bureau) -> None:
    tenancy = bureau.tenancy(vcpu=4, memory_gib=8)
    request = bureau.submit(resize(tenancy, vcpu=6, memory_gib=4))
    assert (bureau.account("vcpu").held, bureau.account("memory_gib").held) == (2, 0)
    bureau.approve_all(request)
    assert (tenancy.size, tenancy.approved_size) == ({"vcpu": 6, "memory_gib": 4}, {"vcpu": 6, "memory_gib": 4})
    assert (bureau.account("vcpu").used, bureau.account("memory_gib").used) == (6, 4)


def test_a_resize_to_the_same_size_and_one_of_a_suspended_tenancy_are_refused(bureau: Bureau) -> None:
    tenancy = bureau.tenancy(vcpu=4)
    assert refusal(bureau, resize(tenancy, vcpu=4)).slug == "nothing-changes"
    tenancies.advance(bureau.session, tenancy, "suspend", SYSTEM)
    problem = refusal(bureau, resize(tenancy, vcpu=5))
    assert (problem.slug, problem.figures["state"], problem.figures["allowed"]) == (
        "wrong-state",
        "suspended",
        ["active"],
    )


def test_a_decrease_is_automatic_only_with_fresh_evidence_that_it_fits(bureau: Bureau) -> None:
    tenancy = bureau.tenancy(vcpu=10)
    by_hand = bureau.submit(resize(tenancy, vcpu=5))
    assert done(by_hand) == ("examining", None)
    submissions.withdraw(bureau.session, bureau.clerk, by_hand.id)
    bureau.uses(tenancy, timedelta(days=8), vcpu=1.0)  # measured too long ago
    (foreseen,) = bureau.preview(resize(tenancy, vcpu=5))
    assert foreseen.judgement.hindrances[0]["slug"] == "rule-no-evidence"
    bureau.uses(tenancy, vcpu=4.6)  # more than 90 % of 5
    (foreseen,) = bureau.preview(resize(tenancy, vcpu=5))
    assert foreseen.judgement.hindrances[0]["figures"] == {
        "rule": "decrease-below-use",
        "resource": "vcpu",
        "use": 4.6,
        "most": 4.5,
    }
    bureau.uses(tenancy, vcpu=4.5)
    assert done(bureau.submit(resize(tenancy, vcpu=5))) == ("finished", "decrease-below-use")
    assert (tenancy.size, tenancy.approved_size, bureau.account().used) == ({"vcpu": 5}, {"vcpu": 10}, 5)


def test_of_ten_increases_by_half_only_one_needs_no_human(bureau: Bureau) -> None:
    tenancy = bureau.tenancy(vcpu=10)
    automatic = []
    for _ in range(10):
        bureau.uses(tenancy, vcpu=float(tenancy.size["vcpu"]))
        request = bureau.submit(resize(tenancy, vcpu=tenancy.size["vcpu"] * 149 // 100))
        automatic.append(request.items[0].automatic)
        if request.state == "examining":
            submissions.withdraw(bureau.session, bureau.clerk, request.id)
            (foreseen,) = bureau.preview(resize(tenancy, vcpu=request.items[0].spec["size"]["vcpu"]))
            assert foreseen.judgement.hindrances[-1]["slug"] == "rule-above-approved"
    assert automatic == ["small-increase", *[None] * 9]
    assert (tenancy.size, bureau.account().used) == ({"vcpu": 14}, 14)


def test_what_a_human_approved_is_what_later_increases_are_measured_by(bureau: Bureau) -> None:
    tenancy = bureau.tenancy(vcpu=10)
    bureau.uses(tenancy, vcpu=9.0)
    bureau.approve_all(bureau.submit(resize(tenancy, vcpu=20)))
    bureau.uses(tenancy, vcpu=18.0)
    assert done(bureau.submit(resize(tenancy, vcpu=30))) == ("finished", "small-increase")


def test_a_return_needs_nobody_but_no_protection(bureau: Bureau) -> None:
    tenancy = bureau.tenancy(vcpu=4)
    tenancies.protect(bureau.session, bureau.clerk, tenancy.id, True)
    problem = refusal(bureau, {"kind": "return", "tenancy": tenancy.id})
    assert (problem.slug, problem.field) == ("protected", "items.0.tenancy")
    tenancies.protect(bureau.session, bureau.clerk, tenancy.id, False)
    assert done(bureau.submit({"kind": "return", "tenancy": tenancy.id})) == ("finished", "return")
    assert bureau.account().used == 0


def test_an_extension_lengthens_the_term_once_the_head_has_approved(bureau: Bureau) -> None:
    tenancy = bureau.tenancy(vcpu=4)
    assert tenancy.ends_at
    ends_at = tenancy.ends_at
    request = bureau.submit({"kind": "extend", "tenancy": tenancy.id, "days": 30})
    assert [step.name for step in request.steps] == ["accept", "department-head"]
    bureau.approve_all(request)
    assert (tenancy.ends_at - ends_at, tenancy.term_days) == (timedelta(days=30), 395)


def test_an_extension_of_what_was_taken_back_meanwhile_is_not_approved(bureau: Bureau) -> None:
    tenancy = bureau.tenancy(vcpu=4)
    request = bureau.accept(bureau.submit({"kind": "extend", "tenancy": tenancy.id, "days": 30}))
    tenancy.state = "quarantined"
    with pytest.raises(WrongState) as refused:
        bureau.approve(request, bureau.head)
    assert refused.value.figures["state"] == "quarantined"

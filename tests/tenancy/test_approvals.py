"""Who must act and by when: lights, escalation, the clock that stops, and a year whose holidays nobody knows."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from cloudctl.api.request_views import AwaitedView
from cloudctl.kernel import clock
from cloudctl.kernel.settings import Settings
from tenancy import approvals, deadlines, decisions, members, progress, requests, rules, submissions
from tenancy.callers import SYSTEM, Caller, NotPermitted
from tenancy.decisions import NotYours
from tenancy.models import ApprovalStep, Request
from tests.tenancy.bureau import Bureau, create


def at(month: int, day: int, hour: int = 9, year: int = 2026) -> datetime:
    """A moment in China."""
    return datetime(year, month, day, hour - 8 if hour >= 8 else 0, tzinfo=UTC)


def end_of(month: int, day: int, year: int = 2026) -> datetime:
    return datetime(year, month, day, 15, 59, 59, tzinfo=UTC)


def watch(bureau: Bureau, request: Request) -> ApprovalStep:
    """What the periodic task does to the open step."""
    step = bureau.open(request)
    assert step
    approvals.watch(bureau.session, bureau.rules, step, clock.now())
    return step


def test_a_step_is_due_at_the_end_of_its_last_working_day(bureau: Bureau) -> None:
    with clock.at(at(3, 5)):  # a Thursday; acceptance has three days: Friday, Monday, Tuesday
        step = bureau.open(bureau.submit(create()))
    assert step
    assert (step.name, step.due_at, step.light, step.due_provisional) == ("accept", end_of(3, 10), "green", False)


def test_holidays_do_not_count_and_make_up_workdays_do(bureau: Bureau) -> None:
    with clock.at(at(9, 29)):  # 1 to 7 October 2026 are holidays
        step = bureau.open(bureau.submit(create()))
    assert step
    assert step.due_at
    assert step.due_at >= end_of(10, 8)


def test_a_light_turns_amber_on_the_last_day_and_red_after_it_and_then_it_is_escalated(bureau: Bureau) -> None:
    with clock.at(at(3, 5)):
        request = bureau.submit(create())
    with clock.at(at(3, 9, 23)):
        assert watch(bureau, request).light == "green"
    with clock.at(at(3, 10, 8)):
        assert watch(bureau, request).light == "amber"
        assert bureau.open(request).escalated_at is None
    with clock.at(at(3, 11, 8)):
        assert watch(bureau, request).light == "red"
        watch(bureau, request)
    happened = bureau.happened(request.id)
    assert [slug for slug in happened if slug in ("step-amber", "step-red", "step-escalated")] == [
        "step-amber",
        "step-red",
        "step-escalated",
    ]


def test_once_a_step_is_overdue_those_above_may_decide_it_too(bureau: Bureau) -> None:
    with clock.at(at(3, 5)):
        request = bureau.accept(bureau.submit(create()))
        with pytest.raises(NotYours) as refused:
            bureau.approve(request, bureau.parent)
        assert refused.value.figures["waits_for"] == ["head"]
    with clock.at(at(3, 12)):
        step = watch(bureau, request)
        assert [user.login for user in approvals.acting(bureau.session, request, step)] == [
            "authority",
            "head",
            "parent",
        ]
        bureau.approve(request, bureau.parent)
    assert bureau.open(request).name == "authority-review"


def test_the_clock_stands_still_while_the_applicant_supplements(bureau: Bureau) -> None:
    with clock.at(at(3, 5)):
        request = bureau.submit(create())
    with clock.at(at(3, 9)):  # Friday and Monday are spent, one day is left
        decisions.send_back(
            bureau.session, bureau.authority, bureau.rules, request.id, bureau.digest(request), "缺建设方案"
        )
        assert bureau.open(request) is None
        assert request.steps[0].days_spent == 2
    with clock.at(at(3, 25)):
        submissions.supplement(bureau.session, bureau.clerk, bureau.rules, request.id, purpose="中考查分")
        step = bureau.open(request)
    assert step
    assert (step.name, step.due_at, step.light) == ("accept", end_of(3, 26), "green")


def test_over_a_year_that_nobody_knows_a_date_is_provisional_and_never_red(bureau: Bureau, tmp_path: Path) -> None:
    with clock.at(at(12, 29)):
        request = bureau.submit(create())
        step = bureau.open(request)
        assert step
        assert (step.due_at, step.due_provisional) == (end_of(1, 1, 2027), True)
        (foreseen,) = bureau.preview(create("other"))
        assert all(each.deadline.provisional for each in foreseen.steps)
    with clock.at(at(1, 20, year=2027)):
        assert watch(bureau, request).light == "amber"
        assert step.escalated_at is None
    file = tmp_path / "calendar.yaml"
    file.write_text("complete: [2027]\nholidays: [2027-01-01]\n")
    bureau.rules = rules.read(bureau.rules.settings.model_copy(update={"calendar_file": file}))
    with clock.at(at(1, 4, year=2027)):  # published: the first of January is off, so the fourth is the last day
        assert (watch(bureau, request).light, step.due_at, step.due_provisional) == ("amber", end_of(1, 4, 2027), False)
    with clock.at(at(1, 5, year=2027)):
        assert watch(bureau, request).light == "red"
        assert step.escalated_at


def test_a_department_without_an_approver_is_decided_by_those_above(bureau: Bureau) -> None:
    empty = bureau._department("522301-wjj", "卫健局", bureau.county)
    clerk = bureau.person("clerk2", "clerk", empty)
    project = {"kind": "project", "name": "预约", "name_en": "Booking", "owner": "李", "funding": "财政", "level": 2}
    request = bureau.accept(bureau.submit(project, by=clerk, department=empty.code, project=None))
    step = bureau.open(request)
    assert step
    assert [user.login for user in approvals.acting(bureau.session, request, step)] == ["authority", "parent"]
    bureau.approve(request, bureau.parent)


def test_whoever_supplements_is_passed_over_and_those_above_decide(bureau: Bureau) -> None:
    request = bureau.accept(bureau.submit(create()))
    both = {(bureau.bureau.id, "clerk"), (bureau.bureau.id, "approver")}
    head = replace(bureau.head, memberships=frozenset(both))
    submissions.supplement(bureau.session, head, bureau.rules, request.id, purpose="中考查分")
    step = bureau.open(request)
    assert step
    assert [user.login for user in approvals.acting(bureau.session, request, step)] == ["authority", "parent"]
    (told,) = progress.summaries(bureau.session, bureau.clerk, bureau.rules, [request])
    assert told.awaited
    assert [user.login for user in told.awaited.people] == ["authority", "parent"]
    assert waiting_for(bureau, head) == []
    assert waiting_for(bureau, bureau.parent) == [request.number]
    bureau.approve(request, bureau.parent)


def test_where_nobody_else_exists_a_step_waits_for_somebody_to_be_appointed(bureau: Bureau) -> None:
    root = bureau.prefecture
    both = frozenset({(root.id, "clerk"), (root.id, "approver")})
    alone = replace(bureau.authority, memberships=both)
    project = {"kind": "project", "name": "预约", "name_en": "Booking", "owner": "李", "funding": "财政", "level": 2}
    request = bureau.submit(project, by=alone, department=root.code, project=None)
    (told,) = progress.summaries(bureau.session, alone, bureau.rules, [request])
    assert told.awaited
    assert list(told.awaited.people) == []
    shown = AwaitedView.of(told.awaited, "zh")
    assert shown.hindrance
    assert "cloudctl user grant" in shown.hindrance.sentence
    second = bureau.person("second", "approver", root)
    assert waiting_for(bureau, second) == [request.number]


def test_a_delegate_who_is_disabled_or_supplements_does_not_act(bureau: Bureau) -> None:
    deputy = bureau.person("deputy", "clerk", bureau.bureau)
    one, two = bureau.accept(bureau.submit(create("one"))), bureau.accept(bureau.submit(create("two")))
    for request in (one, two):
        decisions.delegate(bureau.session, bureau.head, bureau.rules, request.id, "deputy")
    submissions.supplement(bureau.session, deputy, bureau.rules, one.id, purpose="中考查分")
    step, other = bureau.open(one), bureau.open(two)
    assert step
    assert other
    assert [user.login for user in approvals.acting(bureau.session, one, step)] == ["head"]
    assert [user.login for user in approvals.acting(bureau.session, two, other)] == ["head", "deputy"]
    assert waiting_for(bureau, deputy) == [two.number]
    members.disable(bureau.session, SYSTEM, "deputy")
    assert [user.login for user in approvals.acting(bureau.session, two, other)] == ["head"]


def test_a_delegate_who_left_the_department_does_not_act_and_one_who_is_back_does(bureau: Bureau) -> None:
    deputy = bureau.person("deputy", "clerk", bureau.bureau)
    request = bureau.accept(bureau.submit(create("web")))
    decisions.delegate(bureau.session, bureau.head, bureau.rules, request.id, "deputy")
    step = bureau.open(request)
    assert step
    members.grant_membership(bureau.session, SYSTEM, "deputy", bureau.bureau.path[0], "clerk")
    members.withdraw_membership(bureau.session, SYSTEM, "deputy", bureau.bureau.id, "clerk")
    assert [user.login for user in approvals.acting(bureau.session, request, step)] == ["head"]
    elsewhere = replace(deputy, memberships=frozenset({(bureau.bureau.path[0], "clerk")}))
    assert waiting_for(bureau, elsewhere) == []
    digest = approvals.shown(bureau.session, bureau.rules, request)["digest"]
    with pytest.raises(NotPermitted):
        decisions.approve(bureau.session, elsewhere, bureau.rules, request.id, digest)
    members.grant_membership(bureau.session, SYSTEM, "deputy", bureau.bureau.id, "clerk")
    assert waiting_for(bureau, deputy) == [request.number]
    assert [user.login for user in approvals.acting(bureau.session, request, step)] == ["head", "deputy"]


def waiting_for(bureau: Bureau, caller: Caller) -> list[str]:
    found = requests.all_seen_by(bureau.session, caller, only=approvals.waits_for(caller))
    return [request.number for request in found]


def test_what_waits_for_somebody_is_what_they_may_act_on(bureau: Bureau) -> None:
    people = [bureau.clerk, bureau.head, bureau.parent, bureau.authority, bureau.operator]
    deputy = bureau.person("deputy", "clerk", bureau.bureau)
    with clock.at(at(3, 5)):
        one, two, three = (bureau.submit(create(name)) for name in ("one", "two", "three"))
        bureau.accept(two)
        bureau.accept(three)
        decisions.delegate(bureau.session, bureau.head, bureau.rules, two.id, "deputy")
    with clock.at(at(3, 12)):
        watch(bureau, three)
    bureau.session.flush()
    for caller in [*people, deputy]:
        expected = [
            request.number
            for request in (three, two, one)
            if caller.id in [user.id for user in approvals.acting(bureau.session, request, bureau.open(request))]
        ]
        assert waiting_for(bureau, caller) == expected, caller.name
    assert waiting_for(bureau, deputy) == [two.number]
    assert waiting_for(bureau, bureau.parent) == [three.number]


@pytest.mark.usefixtures("own_kinds")
def test_a_step_that_breaks_stalls_no_other(session: Session, engine: Engine, settings: Settings) -> None:
    bureau = Bureau(session, settings)
    with clock.at(at(3, 5)):
        poison, other = bureau.submit(create("poison")), bureau.submit(create("other"))
        bureau.open(poison).opened_at = None
        bureau.session.commit()
    with clock.at(at(3, 20)):
        deadlines.watch(engine, settings)
    with Session(engine) as session:
        steps = select(ApprovalStep).where(ApprovalStep.request_id == other.id, ApprovalStep.state == "open")
        assert session.scalars(steps).one().light == "red"

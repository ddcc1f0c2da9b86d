"""Submissions: what a department asks for, from the preview to the moment that it takes it back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from cloudctl.kernel import audit, clock, events, ids
from cloudctl.kernel.errors import Exhausted, Invalid, Problem, all_or_none
from cloudctl.kernel.parsing import parsed
from tenancy import approvals, departments, ledger, projects, requests
from tenancy.applications import Application
from tenancy.callers import POLICY, Caller
from tenancy.kinds import KINDS, Asker, Plan
from tenancy.models import NUMBERS, Department, Item, Project, Request
from tenancy.policy import Judgement
from tenancy.requests import ITEM, REQUEST
from tenancy.rules import Rules


class OverQuota(Exhausted):
    """An item asks for more than the quota of the department, or of one above it, has room for."""


class NotMissing(Invalid):
    """Nobody asked for this document."""


class NotPending(Invalid):
    """The item is decided, or is none of the request's."""


class AskedTwice(Invalid):
    """Two items of one application are about the same tenancy."""


@dataclass(frozen=True)
class Preview:
    """What would become of one item if the application were submitted now."""

    plan: Plan
    judgement: Judgement
    steps: Sequence[approvals.Foreseen]
    fits: bool | None
    over: OverQuota | None


def preview(session: Session, caller: Caller, rules: Rules, application: Application) -> list[Preview]:
    """Who would have to approve each item, by when, and whether quota and capacity have room. Writes nothing.

    Raises: as `submit`, but for OverQuota, which it tells.
    """
    department, project = _parties(session, caller, application)
    previews: list[Preview] = []
    for plan, spec in zip(_plans(session, caller, department, project, application), application.items, strict=True):
        judgement = rules.policy.judge(plan.facts)
        item = Item(id=ids.new("itm"), position=len(previews), kind=spec.kind, spec=spec.model_dump(), subject=plan.subject)
        short = ledger.shortfall(session, *_wanted(department, [(item, plan)]))
        over = _over_quota(session, department, [(item, plan)], short) if short else None
        foreseen = approvals.foresee(session, rules, department, judgement.steps)
        fits = KINDS[spec.kind].fits
        previews.append(Preview(plan, judgement, foreseen, fits(session, item) if fits else None, over))
    return previews


def submit(session: Session, caller: Caller, rules: Rules, application: Application) -> Request:
    """Submit an application: hold its quota and ask whoever must decide; what needs no human starts at once.

    Raises:
        NoSuchDepartment, NoSuchProject: the caller cannot see them.
        NotPermitted: the caller may not submit for the department.
        Several: what is wrong with each item, with its field.
        OverQuota: an account in the department's chain has no room; names it, the nearest size, and whom to ask.
    """
    department, project = _parties(session, caller, application)
    caller.must("request:submit", department)
    plans = _plans(session, caller, department, project, application)
    request = Request(
        id=ids.new("req"),
        number=_next_number(session, rules),
        department_id=department.id,
        project_id=project.id if project else None,
        state=REQUEST.initial,
        purpose=application.purpose,
        submitted_by=caller.id,
        policy_version=rules.policy.version,
    )
    judged = []
    for position, (spec, plan) in enumerate(zip(application.items, plans, strict=True)):
        item = Item(
            id=ids.new("itm"),
            position=position,
            kind=spec.kind,
            spec=spec.model_dump(),
            state=ITEM.initial,
            subject=plan.subject,
        )
        judged.append((item, plan, rules.policy.judge(plan.facts)))
        request.items.append(item)
    session.add(request)
    session.flush()
    _hold(session, department, [(item, plan) for item, plan, _ in judged])
    approvals.lay_out(session, request, department, [(item, judgement.steps) for item, _, judgement in judged])
    events.record(session, request.id, "request-submitted", caller.id, number=request.number)
    audit.record(session, caller, "request:submit", request.id, department=department.id, number=request.number)
    for item, _, judgement in judged:
        if judgement.automatic:
            item.automatic = judgement.automatic
            requests.approve_item(session, rules, item, by=POLICY)
    approvals.open_next(session, rules, request)
    requests.conclude(session, request)
    return request


def withdraw(session: Session, caller: Caller, request_id: str) -> Request:
    """Take back what is not decided or still waits for capacity; everything held for it is free again.

    Raises:
        NotAllowed: nothing of it can be withdrawn any more.
    """
    request = requests.seen_by(session, caller, request_id, lock=True)
    caller.must("request:withdraw", session.get_one(Department, request.department_id))
    left = [item for item in request.items if ITEM.allows(item.state, "withdraw")]
    if not left:
        REQUEST.next(request.state, "withdraw")
    for item in left:
        leave = KINDS[item.kind].leave
        if item.state == "waiting" and leave:
            leave(session, item)
        requests.drop_item(session, item, "withdraw", by=caller)
    audit.record(session, caller, "request:withdraw", request.id, department=request.department_id)
    approvals.skip_idle(session, request)
    requests.conclude(session, request)
    return request


def change_item(session: Session, caller: Caller, request: Request, item: Item, change: Mapping[str, Any]) -> None:
    """Put another specification in the item's place, and hold what that needs instead.

    Raises: as `submit`, with fields below `items.<position>`.
    """
    department = session.get_one(Department, request.department_id)
    project = session.get(Project, request.project_id) if request.project_id else None
    field = f"items.{item.position}"
    spec = parsed(KINDS[item.kind].schema, {**item.spec, **change}, field)
    plan = KINDS[item.kind].plan(session, Asker(caller, department, project, field), spec)
    all_or_none(list(plan.problems))
    ledger.release(session, item.id)
    _hold(session, department, [(item, plan)])
    item.spec = spec.model_dump()


def supplement(
    session: Session,
    caller: Caller,
    rules: Rules,
    request_id: str,
    *,
    purpose: str | None = None,
    changes: Mapping[str, Mapping[str, Any]] | None = None,
    provided: Sequence[str] = (),
) -> Request:
    """Complete an application: change what is asked for, or provide documents that were still missing.

    Approvals given before are asked for again where something was changed; the clock of a returned
    application goes on where it was stopped.

    Raises:
        NotAllowed: the request is decided.
        NotMissing: a document is provided that nobody asked for.
        NotPending: an item is changed that is decided.
    """
    request = requests.seen_by(session, caller, request_id, lock=True)
    caller.must("request:supplement", session.get_one(Department, request.department_id))
    if request.state != "examining":
        REQUEST.next(request.state, "supplement")
    for position, document in enumerate(provided):
        if document not in request.missing:
            raise NotMissing(field=f"provided.{position}", given=document, missing=request.missing)
    request.missing = [document for document in request.missing if document not in provided]
    items = {item.id: item for item in request.items if item.state == "pending"}
    for item_id, change in (changes or {}).items():
        if item_id not in items:
            raise NotPending(field=f"changes.{item_id}", item=item_id, pending=sorted(items))
        change_item(session, caller, request, items[item_id], change)
    if purpose:
        request.purpose = purpose
    if purpose or changes:
        approvals.supersede(session, request)
    if request.state == "returned":
        request.state = REQUEST.next(request.state, "supplement")
        request.version += 1
    events.record(session, request.id, "request-supplemented", caller.id, provided=list(provided))
    audit.record(session, caller, "request:supplement", request.id, department=request.department_id)
    session.flush()
    approvals.carry_out(session, caller, rules, request)
    return request


def _parties(session: Session, caller: Caller, application: Application) -> tuple[Department, Project | None]:
    department = departments.seen_by(session, caller, application.department, field="department")
    if application.project is None:
        return department, None
    project = projects.seen_by(session, caller, application.project, field="project")
    if project.department_id != department.id:
        raise projects.NoSuchProject(application.project, "project")
    return department, project


def _plans(
    session: Session, caller: Caller, department: Department, project: Project | None, application: Application
) -> list[Plan]:
    """The plans of all items, or all that is wrong with them."""
    plans: list[Plan] = []
    problems: list[Problem] = []
    for position, spec in enumerate(application.items):
        plan = KINDS[spec.kind].plan(session, Asker(caller, department, project, f"items.{position}"), spec)
        plans.append(plan)
        problems += plan.problems
    problems += _twice(plans)
    all_or_none(problems)
    return plans


def _twice(plans: Sequence[Plan]) -> list[Problem]:
    seen: set[str] = set()
    found: list[Problem] = []
    for position, plan in enumerate(plans):
        if plan.subject and plan.subject.startswith("ten_") and plan.subject in seen:
            found.append(AskedTwice(field=f"items.{position}.tenancy", tenancy=plan.subject))
        seen.add(plan.subject or "")
    return found


def _wanted(department: Department, planned: Sequence[tuple[Item, Plan]]) -> list[ledger.Wanted]:
    chain = department.path[::-1]
    return [ledger.Wanted(item.id, "quota", chain, dict(plan.quota)) for item, plan in planned if plan.quota]


def _hold(session: Session, department: Department, planned: Sequence[tuple[Item, Plan]]) -> None:
    """Hold the quota of all items in one round trip."""
    try:
        if wanted := _wanted(department, planned):
            ledger.hold(session, *wanted)
    except ledger.OverLimit as over:
        raise _over_quota(session, department, planned, over) from None


def _over_quota(
    session: Session, department: Department, planned: Sequence[tuple[Item, Plan]], over: ledger.OverLimit
) -> OverQuota:
    """The refusal with what helps: the nearest size that fits, and the request for more quota, filled in."""
    total: dict[str, int] = {}
    for _, plan in planned:
        for resource, amount in plan.quota.items():
            total[resource] = total.get(resource, 0) + amount
    room = ledger.room(session, department.path)
    nearest = {each: fits for each, amount in total.items() if (fits := min(amount, room.get(each, 0))) > 0}
    own = ledger.balances(session, [department.id])[department.id]
    lacking = {each: amount for each, amount in total.items() if each not in own or own[each].free < amount}
    limits = {each: amount + (own[each].limit - own[each].free if each in own else 0) for each, amount in lacking.items()}
    resource = over.figures["resource"]
    position = next(item.position for item, plan in planned if resource in plan.quota)
    quota = {"kind": "quota", "limits": limits or {resource: total[resource]}}
    return OverQuota(
        field=f"items.{position}.size.{resource}",
        **over.figures,
        nearest=nearest,
        quota_request={"department": department.code, "purpose": "", "items": [quota]},
    )


def _next_number(session: Session, rules: Rules) -> str:
    year = clock.now().astimezone(rules.calendar.zone).year
    return f"{year}-{session.scalar(select(NUMBERS.next_value())):06}"

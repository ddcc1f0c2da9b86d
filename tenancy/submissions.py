"""Submissions: what a department asks for, from the preview to the moment that it takes it back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import case, select, text
from sqlalchemy.orm import Session

from cloudctl.kernel import audit, clock, database, events, ids
from cloudctl.kernel.errors import Conflict, Exhausted, Forbidden, Invalid, Problem, all_or_none
from cloudctl.kernel.parsing import parsed
from tenancy import approvals, departments, ledger, projects, requests
from tenancy.applications import Application, CreateSpec
from tenancy.approvals import Approvers
from tenancy.callers import POLICY, Caller
from tenancy.kinds import KINDS, Asker, Plan
from tenancy.ledger import OpenClaim
from tenancy.models import NUMBERS, Department, Item, Project, Request
from tenancy.policy import Judgement
from tenancy.requests import ITEM, REQUEST
from tenancy.rules import Rules


class OverQuota(Exhausted):
    """An item asks for more than the quota of the department, or of one above it, has room for."""


class NotMissing(Invalid):
    """Nobody asked for this document."""


class NothingAttached(Conflict):
    """A missing document is there once it is attached; a word is not enough."""


class TenantsOwn(Forbidden):
    """Only who asks may say this, not who decides."""


class NotPending(Invalid):
    """The item is decided, or is none of the request's."""


class AskedTwice(Invalid):
    """Two items of one application are about the same tenancy, or give two the same name."""


class AnotherSubject(Invalid):
    """A change to an item cannot make it about another tenancy."""


@dataclass(frozen=True)
class Submitted:
    """A request that has come in, and what it takes to tell of it.

    That was read before its quota was held: whoever reads more before the transaction ends keeps everybody else waiting
    for the root's account.
    """

    request: Request
    approvers: Approvers
    claims: Sequence[OpenClaim]


@dataclass(frozen=True)
class Preview:
    """What would become of one item if the application were submitted now."""

    plan: Plan
    judgement: Judgement
    steps: Sequence[approvals.Foreseen]
    fits: bool | None
    why_not: Mapping[str, Any] | None
    over: OverQuota | None


def preview(session: Session, caller: Caller, rules: Rules, application: Application) -> list[Preview]:
    """Who would have to approve each item, by when, and whether quota and capacity have room. Writes nothing.

    Raises: as `submit`, but for OverQuota, which it tells.
    """
    department, project = _parties(session, caller, application)
    request = _request(caller, rules, department, project, application)
    planned: list[tuple[Item, Plan]] = []
    previews: list[Preview] = []
    for plan, item in zip(_plans(session, caller, rules, department, project, application), request.items, strict=True):
        item.subject = plan.subject
        planned.append((item, plan))
        judgement = rules.policy.judge(plan.facts)
        short = ledger.shortfall(session, *_wanted(department, planned))
        over = _over_quota(session, department, planned, short) if short and plan.quota else None
        foreseen = approvals.foresee(session, rules, caller, department, judgement.steps)
        previews.append(Preview(plan, judgement, foreseen, *_fits(session, item), over))
    return previews


def _fits(session: Session, item: Item) -> tuple[bool | None, Mapping[str, Any] | None]:
    """Whether some pool has room for the item now, and why not."""
    kind = KINDS[item.kind]
    fits = kind.fits(session, item) if kind.fits else None
    return fits, kind.why_not(session, item) if kind.why_not and fits is False else None


def submit(session: Session, caller: Caller, rules: Rules, application: Application) -> Submitted:
    """Submit an application: hold its quota and ask whoever must decide; what needs no human starts at once.

    Raises:
        NoSuchDepartment, NoSuchProject: the caller cannot see them.
        NotPermitted: the caller may not submit for the department.
        Several: what is wrong with each item, with its field.
        OverQuota: an account in the department's chain has no room; names it, the nearest size, and whom to ask.
    """
    department, project = _parties(session, caller, application)
    caller.must("request:submit", department)
    _take_turns(session, project, application)
    plans = _plans(session, caller, rules, department, project, application)
    request = _request(caller, rules, department, project, application)
    judged = [(item, plan, rules.policy.judge(plan.facts)) for item, plan in zip(request.items, plans, strict=True)]
    for item, plan, _ in judged:
        item.subject = plan.subject
    request.number = _number(session, rules, department, [(item, plan) for item, plan, _ in judged])
    for item, _, judgement in judged:
        approvals.require(session, rules, request, item, judgement.steps)
    with database.together(session):
        events.record(session, request.id, "request-submitted", caller.id, number=request.number)
        audit.record(session, caller, "request:submit", request.id, department=department.id, number=request.number)
        approvals.open_next(session, rules, request)
        session.add(request)
        session.flush()
    approvers = Approvers.read(session, [step.department for step in request.steps], [request])
    # As late as can be: it locks the root's account, for which everybody waits until this transaction ends.
    claims = _hold(session, department, [(item, plan) for item, plan, _ in judged])
    automatic = [(item, judgement.automatic) for item, _, judgement in judged if judgement.automatic]
    for item, rule in automatic:
        item.automatic = rule
        requests.approve_item(session, rules, item, by=POLICY)
    requests.conclude(session, request)
    if automatic:  # what starts at once may book, too
        claims = ledger.claims_of(session, *(item.id for item in request.items))
    return Submitted(request, approvers, claims)


def withdraw(session: Session, caller: Caller, request_id: str) -> Request:
    """Take back what is not decided or still waits for capacity; everything held for it is free again.

    Raises:
        NotAllowed: nothing of it can be withdrawn any more.
    """
    request = requests.seen_by(session, caller, request_id, lock=True)
    caller.must("request:withdraw", request.department)
    left = [item for item in request.items if ITEM.allows(item.state, "withdraw")]
    if not left:
        REQUEST.next(request.state, "withdraw")
    for item in left:
        leave = KINDS[item.kind].leave
        if item.state == "waiting" and leave:
            leave(session, item)
    requests.drop_items(session, left, "withdraw", by=caller)
    audit.record(session, caller, "request:withdraw", request.id, department=request.department_id)
    approvals.skip_idle(request)
    requests.conclude(session, request)
    return request


def change_item(
    session: Session, caller: Caller, rules: Rules, request: Request, item: Item, change: Mapping[str, Any]
) -> None:
    """Put another specification in the item's place: hold what that needs instead, and ask whom policy wants asked.

    Raises: as `submit`, with fields below `items.<position>`.
    """
    department = request.department
    project = request.project
    field = f"items.{item.position}"
    schema = KINDS[item.kind].schema
    for name in schema.tenants_own & set(change) if caller.id != request.submitted_by else ():
        if not caller.may("request:supplement", department):
            raise TenantsOwn(field=f"{field}.{name}", name=name)
    spec = parsed(schema, {**item.spec, **change, "kind": item.kind}, field)
    if spec.about != (item.subject if spec.about else None):
        raise AnotherSubject(field=f"{field}.tenancy", tenancy=item.subject, given=spec.about)
    plan = KINDS[item.kind].plan(session, Asker(caller, department, project, field, item.id), spec)
    all_or_none(list(plan.problems))
    ledger.release(session, item.id)
    _hold(session, department, [(item, plan)])
    item.spec = spec.model_dump()
    approvals.require(session, rules, request, item, rules.policy.judge(plan.facts).steps)


def supplement(
    session: Session,
    caller: Caller,
    rules: Rules,
    request_id: str,
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
        NothingAttached: nothing was attached since the request was accepted without the document.
        NotPending: an item is changed that is decided.
    """
    request = requests.seen_by(session, caller, request_id, lock=True)
    caller.must("request:supplement", request.department)
    if request.state != "examining":
        REQUEST.next(request.state, "supplement")
    for position, document in enumerate(provided):
        if document not in request.missing:
            raise NotMissing(field=f"provided.{position}", given=document, missing=request.missing)
    if provided and not _attached_since_accepted(request):
        raise NothingAttached(field="provided", request=request.number, provided=list(provided))
    request.missing = [document for document in request.missing if document not in provided]
    items = {item.id: item for item in request.items if item.state == "pending"}
    for item_id, change in (changes or {}).items():
        if item_id not in items:
            raise NotPending(field=f"changes.{item_id}", item=item_id, pending=sorted(items))
        change_item(session, caller, rules, request, items[item_id], change)
    if purpose:
        request.purpose = purpose
    if purpose or changes:
        approvals.supersede(session, rules, request)
    if request.state == "returned":
        request.state = REQUEST.next(request.state, "supplement")
        request.version += 1
    events.record(session, request.id, "request-supplemented", caller.id, provided=list(provided))
    audit.record(session, caller, "request:supplement", request.id, department=request.department_id)
    session.flush()
    approvals.carry_out(session, caller, rules, request)
    return request


def _attached_since_accepted(request: Request) -> bool:
    accepted = [step.closed_at for step in request.steps if step.name == approvals.ACCEPT and step.closed_at]
    return any(paper.created_at >= moment for paper in request.attachments for moment in accepted)


def _parties(session: Session, caller: Caller, application: Application) -> tuple[Department, Project | None]:
    if application.project is None:
        return departments.seen_by(session, caller, application.department, field="department"), None
    try:
        project = projects.seen_by(session, caller, application.project, field="project")
        if application.department not in (project.department.id, project.department.code):
            raise projects.NoSuchProject(application.project, "project")
    except projects.NoSuchProject:
        departments.seen_by(session, caller, application.department, field="department")  # is told of first
        raise
    return project.department, project


def _request(
    caller: Caller, rules: Rules, department: Department, project: Project | None, application: Application
) -> Request:
    """The application as a request that has no number yet."""
    items = [
        Item(id=ids.new("itm"), position=position, kind=spec.kind, spec=spec.model_dump(), state=ITEM.initial)
        for position, spec in enumerate(application.items)
    ]
    return Request(
        id=ids.new("req"),
        department_id=department.id,
        department=department,
        project_id=project.id if project else None,
        project=project,
        state=REQUEST.initial,
        purpose=application.purpose,
        submitted_by=caller.id,
        policy_version=rules.policy.version,
        missing=[],
        attachments=[],
        steps=[],
        items=items,
    )


def _take_turns(session: Session, project: Project | None, application: Application) -> None:
    """Submissions about the same project or tenancy take turns: each sees what the one before it asked for."""
    about = {spec.about for spec in application.items if spec.about} | ({project.id} if project else set())
    for each in sorted(about):
        session.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:about, 8))"), {"about": each})


def _plans(
    session: Session,
    caller: Caller,
    rules: Rules,
    department: Department,
    project: Project | None,
    application: Application,
) -> list[Plan]:
    """The plans of all items, or all that is wrong with them, the quota included."""
    plans: list[Plan] = []
    problems: list[Problem] = []
    for position, spec in enumerate(application.items):
        plan = KINDS[spec.kind].plan(session, Asker(caller, department, project, f"items.{position}"), spec)
        plans.append(plan)
        problems += plan.problems
    problems += _twice(application)
    if problems:
        items = _request(caller, rules, department, project, application).items
        planned = list(zip(items, plans, strict=True))
        if (wanted := _wanted(department, planned)) and (short := ledger.shortfall(session, *wanted)):
            problems.append(_over_quota(session, department, planned, short))
    all_or_none(problems)
    return plans


def _twice(application: Application) -> list[Problem]:
    """Items that are about the same tenancy, or ask for tenancies of the same name."""
    seen: set[tuple[str, str]] = set()
    found: list[Problem] = []
    for position, spec in enumerate(application.items):
        field = "name" if isinstance(spec, CreateSpec) else "tenancy"
        about = spec.name if isinstance(spec, CreateSpec) else spec.about
        if about and (field, about) in seen:
            found.append(AskedTwice(field=f"items.{position}.{field}", tenancy=about))
        seen.add((field, about or ""))
    return found


def _wanted(department: Department, planned: Sequence[tuple[Item, Plan]]) -> list[ledger.Wanted]:
    chain = department.path[::-1]
    return [ledger.Wanted(item.id, "quota", chain, dict(plan.quota)) for item, plan in planned if plan.quota]


def _hold(session: Session, department: Department, planned: Sequence[tuple[Item, Plan]]) -> list[OpenClaim]:
    """Hold the quota of all items in one round trip."""
    try:
        wanted = _wanted(department, planned)
        return ledger.hold(session, *wanted) if wanted else []
    except ledger.OverLimit as over:
        raise _over_quota(session, department, planned, over) from None


def _over_quota(
    session: Session, department: Department, planned: Sequence[tuple[Item, Plan]], over: ledger.OverLimit
) -> OverQuota:
    """The refusal with what helps: the nearest size that fits, and the request for more quota, filled in.

    The request is one of the department that is short; a root is short of what nobody can be asked for.
    """
    total: dict[str, int] = {}
    for _, plan in planned:
        for resource, amount in plan.quota.items():
            total[resource] = total.get(resource, 0) + amount
    room = ledger.room(session, department.path)
    nearest = {each: fits for each, amount in total.items() if (fits := min(amount, room.get(each, 0))) > 0}
    short = session.get_one(Department, over.figures["owner"])
    has = ledger.balances(session, [short.id])[short.id]
    taken = {each: has[each].held + has[each].used if each in has else 0 for each in total}
    limit = {each: has[each].limit if each in has else 0 for each in total}
    limits = {each: taken[each] + total[each] for each in total if taken[each] + total[each] > limit[each]}
    quota = {"department": short.code, "purpose": "", "items": [{"kind": "quota", "limits": limits}]}
    resource = over.figures["resource"]
    position = next(item.position for item, plan in reversed(planned) if resource in plan.quota)
    return OverQuota(
        field=f"items.{position}.size.{resource}",
        **over.figures,
        nearest=nearest,
        quota_request=quota if short.parent_id else None,
    )


def _number(session: Session, rules: Rules, department: Department, planned: Sequence[tuple[Item, Plan]]) -> str:
    """The next number, unless quota refuses what is planned: what is refused takes none.

    Somebody else may still be faster between this and the hold; then a number is left out. To exclude that, everybody
    would have to wait for everybody else's numbers.
    """
    wanted = _wanted(department, planned)
    number = NUMBERS.next_value()
    taken = session.scalar(select(case((ledger.fits(*wanted), number)) if wanted else number))
    if taken is None:
        if short := ledger.shortfall(session, *wanted):
            raise _over_quota(session, department, planned, short)
        taken = session.scalar(select(number))
    return f"{clock.now().astimezone(rules.calendar.zone).year}-{taken:06}"

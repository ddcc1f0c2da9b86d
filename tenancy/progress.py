"""Progress: where a request stands, told truthfully: who must act and by when, what was decided, what came out."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from cloudctl.kernel import clock
from cloudctl.kernel.clock import Deadline, Light
from tenancy import approvals, ledger, requests
from tenancy.callers import Caller
from tenancy.ledger import OpenClaim
from tenancy.models import ApprovalStep, Decision, Department, Item, Project, Request, User
from tenancy.requests import ITEM
from tenancy.rules import Rules


@dataclass(frozen=True)
class Awaited:
    """Who must act next. An approval has a deadline; the applicant, whose clock stands still, has none."""

    who: Literal["approvers", "applicant"]
    step: str | None
    department: Department
    people: Sequence[User]
    due_at: datetime | None
    provisional: bool
    light: Light
    escalated: bool


@dataclass(frozen=True)
class Decided:
    """One decision and who made it."""

    decision: Decision
    by: User


@dataclass(frozen=True)
class StepProgress:
    """One step of the approval: who may decide it, how its deadline stands now, and what was decided."""

    step: ApprovalStep
    department: Department
    people: Sequence[User]
    light: Light
    decided: Sequence[Decided]


@dataclass(frozen=True)
class ItemProgress:
    """One item: what is held for it and, if it waits for capacity, its place in the queue, from 1."""

    item: Item
    holds: Sequence[OpenClaim]
    position: int | None


@dataclass(frozen=True)
class Summary:
    """A request in a few words; `outcome` is slug and figures."""

    request: Request
    department: Department
    awaited: Awaited | None
    outcome: Mapping[str, Any]


@dataclass(frozen=True)
class Progress(Summary):
    """A whole request. `digest` is of what is shown to whoever must decide, and None for everybody else."""

    project: Project | None
    submitted_by: User
    steps: Sequence[StepProgress]
    items: Sequence[ItemProgress]
    digest: str | None


def summary(session: Session, rules: Rules, request: Request) -> Summary:
    """A request in a few words."""
    department = request.department
    return Summary(request, department, awaited(session, rules, request), outcome(request))


def of(session: Session, caller: Caller, rules: Rules, request: Request) -> Progress:
    """Everything about a request that the caller can see."""
    decided: dict[str, list[Decided]] = defaultdict(list)
    own = select(Decision, User).join(User, User.id == Decision.decided_by).order_by(Decision.decided_at, Decision.id)
    for decision, user in session.execute(own.where(Decision.step_id.in_([step.id for step in request.steps]))):
        decided[decision.step_id].append(Decided(decision, user))
    short = summary(session, rules, request)
    next_ = short.awaited
    mine = next_ is not None and next_.who == "approvers" and caller.id in [user.id for user in next_.people]
    return Progress(
        request=request,
        department=short.department,
        project=request.project,
        submitted_by=session.get_one(User, request.submitted_by),
        awaited=next_,
        outcome=short.outcome,
        steps=_steps(session, rules, request, decided, next_),
        items=[_item(session, item) for item in request.items],
        digest=approvals.shown(session, rules, request)["digest"] if mine else None,
    )


def awaited(session: Session, rules: Rules, request: Request) -> Awaited | None:
    """Who must act next on a request; None where nobody must."""
    step = approvals.open_step(request)
    if step:
        department = step.department
        people = approvals.acting(session, request, step)
        escalated = step.escalated_at is not None
        due = step.due_at, step.due_provisional
        return Awaited("approvers", step.name, department, people, *due, _light(rules, step), escalated)
    if request.state == "returned" or (request.missing and any(item.state == "pending" for item in request.items)):
        department = request.department
        people = [session.get_one(User, request.submitted_by)]
        return Awaited("applicant", None, department, people, None, False, "green", False)
    return None


def outcome(request: Request) -> dict[str, Any]:
    """How the items stand, as slug and figures: what is done, and of what is not, why."""
    parts = []
    for state in ITEM.table:
        items = [item for item in request.items if item.state == state]
        reasons: list[Any] = []
        for item in items:
            if item.reason and item.reason not in reasons:
                reasons.append(item.reason)
        if items:
            told = f"items-{state}-because" if reasons else f"items-{state}"
            parts.append({"slug": told, "figures": {"count": len(items), "because": reasons}})
    return {"slug": "outcome", "figures": {"total": len(request.items), "parts": parts}}


def _steps(
    session: Session, rules: Rules, request: Request, decided: Mapping[str, Sequence[Decided]], next_: Awaited | None
) -> list[StepProgress]:
    """The steps of a request; those that stand alike with one department ask once who may decide."""
    people: dict[tuple[str, bool, str | None], Sequence[User]] = {}
    found = []
    for step in request.steps:
        alike = step.department_id, step.escalated_at is not None, step.delegate_id
        if step.state == "open" and next_:
            people[alike] = next_.people
        elif step.state == "waiting" and alike not in people:
            people[alike] = approvals.acting(session, request, step)
        department = step.department
        may = people[alike] if step.state in ("open", "waiting") else []
        found.append(StepProgress(step, department, may, _light(rules, step), decided[step.id]))
    return found


def _item(session: Session, item: Item) -> ItemProgress:
    position = requests.position(session, item) if item.state == "waiting" else None
    return ItemProgress(item, ledger.claims_of(session, item.id), position)


def _light(rules: Rules, step: ApprovalStep) -> Light:
    """As it is now; the periodic task writes it down a little later."""
    if step.state != "open" or step.due_at is None:
        return "green"
    return rules.calendar.light(Deadline(step.due_at, step.due_provisional), clock.now())

"""Progress: where a request stands, told truthfully: who must act and by when, what was decided, what came out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy.orm import Session

from cloudctl.kernel import clock, operations
from cloudctl.kernel.clock import Deadline, Light
from cloudctl.kernel.operations import OperationRow
from tenancy import approvals, ledger, oversight, requests
from tenancy.approvals import Approvers
from tenancy.callers import Caller
from tenancy.ledger import OpenClaim
from tenancy.models import ApprovalStep, Department, Item, Request, User
from tenancy.requests import ITEM
from tenancy.rules import Rules
from tenancy.submissions import Submitted


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
class StepProgress:
    """One step of the approval: who may decide it, and how its deadline stands now."""

    step: ApprovalStep
    people: Sequence[User]
    light: Light


@dataclass(frozen=True)
class ItemProgress:
    """One item: why it is as it is, what is held for it and, waiting for capacity, its place in the queue, from 1."""

    item: Item
    reason: Mapping[str, Any] | None
    holds: Sequence[OpenClaim]
    position: int | None


@dataclass(frozen=True)
class Summary:
    """A request in a few words; `outcome` is slug and figures."""

    request: Request
    awaited: Awaited | None
    outcome: Mapping[str, Any]


@dataclass(frozen=True)
class Progress(Summary):
    """A whole request. `digest` is of what is shown to whoever must decide, and None for everybody else."""

    submitter: User
    steps: Sequence[StepProgress]
    items: Sequence[ItemProgress]
    digest: str | None


def summaries(session: Session, caller: Caller, rules: Rules, found: Sequence[Request]) -> list[Summary]:
    """Requests in a few words each, as the caller may read them."""
    steps = [approvals.open_step(request) for request in found]
    approvers = Approvers.read(session, [step.department for step in steps if step], found)
    reasons = _reasons(session, caller, found)
    return [Summary(request, _awaited(rules, request, approvers), outcome(request, reasons)) for request in found]


def of(session: Session, caller: Caller, rules: Rules, request: Request) -> Progress:
    """Everything about a request that the caller can see."""
    undone = [step.department for step in request.steps if step.state in ("open", "waiting")]
    approvers = Approvers.read(session, undone, [request])
    claims = ledger.claims_of(session, *(item.id for item in request.items))
    return of_new(session, caller, rules, Submitted(request, approvers, claims))


def of_new(session: Session, caller: Caller, rules: Rules, submitted: Submitted) -> Progress:
    """The same of one that has just come in, with what was read of it then."""
    request, approvers, claims = submitted.request, submitted.approvers, submitted.claims
    next_ = _awaited(rules, request, approvers)
    mine = next_ is not None and next_.who == "approvers" and caller.id in [user.id for user in next_.people]
    reasons = _reasons(session, caller, [request])
    return Progress(
        request=request,
        submitter=request.submitter,  # read with the approvers
        awaited=next_,
        outcome=outcome(request, reasons),
        steps=[_step(rules, request, step, approvers) for step in request.steps],
        items=[_item(session, item, reasons, claims) for item in request.items],
        digest=approvals.shown(session, rules, request)["digest"] if mine else None,
    )


def _awaited(rules: Rules, request: Request, approvers: Approvers) -> Awaited | None:
    """Who must act next on a request; None where nobody must."""
    if step := approvals.open_step(request):
        escalated = step.escalated_at is not None
        due = step.due_at, step.due_provisional
        people = approvers.acting(request, step)
        return Awaited("approvers", step.name, step.department, people, *due, _light(rules, step), escalated)
    if request.state == "returned" or (request.missing and any(item.state == "pending" for item in request.items)):
        return Awaited("applicant", None, request.department, [request.submitter], None, False, "green", False)
    return None


def _reasons(session: Session, caller: Caller, found: Sequence[Request]) -> dict[str, Mapping[str, Any]]:
    """Why items are as they are, by id: their own reason; of those being carried out, where the operation stands."""
    items = [item for request in found for item in request.items]
    subjects = {item.subject for item in items if item.state == "working" and item.subject}
    acting = operations.all_under_way(session, subjects)
    return {item.id: reason for item in items if (reason := _reason(caller, item, acting.get(item.subject or "")))}


def _reason(caller: Caller, item: Item, acting: OperationRow | None) -> Mapping[str, Any] | None:
    if item.state == "working" and acting and acting.reason:
        return oversight.standing(caller, acting)
    reason: dict[str, Any] | None = oversight.told_to(caller, item.reason)
    return reason


def outcome(request: Request, reason_of: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """How the items stand, as slug and figures: what is done, and of what is not, why."""
    parts = []
    for state in ITEM.table:
        items = [item for item in request.items if item.state == state]
        reasons: list[Any] = []
        for item in items:
            if (reason := reason_of.get(item.id)) and reason not in reasons:
                reasons.append(reason)
        if items:
            told = f"items-{state}-because" if reasons else f"items-{state}"
            parts.append({"slug": told, "figures": {"count": len(items), "because": reasons}})
    return {"slug": "outcome", "figures": {"total": len(request.items), "parts": parts}}


def _step(rules: Rules, request: Request, step: ApprovalStep, approvers: Approvers) -> StepProgress:
    people = approvers.acting(request, step) if step.state in ("open", "waiting") else []
    return StepProgress(step, people, _light(rules, step))


def _item(
    session: Session, item: Item, reasons: Mapping[str, Mapping[str, Any]], claims: Sequence[OpenClaim]
) -> ItemProgress:
    position = requests.position(session, item) if item.state == "waiting" else None
    return ItemProgress(item, reasons.get(item.id), [claim for claim in claims if claim.holder == item.id], position)


def _light(rules: Rules, step: ApprovalStep) -> Light:
    """As it is now; the periodic task writes it down a little later."""
    if step.state != "open" or step.due_at is None:
        return "green"
    return rules.calendar.light(Deadline(step.due_at, step.due_provisional), clock.now())

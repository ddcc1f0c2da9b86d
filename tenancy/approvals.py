"""Approvals: the steps of a request: who must decide next, by when, and what they are shown. One is open at a time."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from cloudctl.kernel import clock, events, ids
from cloudctl.kernel.clock import Deadline
from tenancy import ledger, requests
from tenancy.callers import Caller
from tenancy.kinds import KINDS
from tenancy.models import ApprovalStep, Decision, Department, Item, Membership, Request, User
from tenancy.policy import Approval
from tenancy.rules import Rules

ACCEPT = "accept"


@dataclass(frozen=True)
class Foreseen:
    """A step that an application would have to go through, and when it would be due if each took all its time."""

    name: str
    department: Department
    approvers: Sequence[User]
    days: int
    deadline: Deadline


def foresee(session: Session, rules: Rules, department: Department, steps: Sequence[Approval]) -> list[Foreseen]:
    """The steps before they exist: who, and by when at the latest."""
    foreseen, at = [], clock.now()
    for step in steps:
        whose = _whose(session, department, step.by)
        deadline = rules.calendar.deadline(at, step.days)
        foreseen.append(Foreseen(step.name, whose, approvers_of(session, whose.id), step.days, deadline))
        at = deadline.at
    return foreseen


def lay_out(
    session: Session, request: Request, department: Department, needed: Sequence[tuple[Item, Sequence[Approval]]]
) -> None:
    """Write the steps that the items of a new request need, in the policy's order, none of them open yet."""
    merged: dict[tuple[str, str], tuple[Approval, list[str]]] = {}
    for item, steps in needed:
        for step in steps:
            merged.setdefault((step.name, step.by), (step, []))[1].append(item.id)
    for position, (step, items) in enumerate(merged.values()):
        request.steps.append(
            ApprovalStep(
                id=ids.new("stp"),
                position=position,
                name=step.name,
                department_id=_whose(session, department, step.by).id,
                item_ids=items,
                days=step.days,
                state="waiting",
            )
        )
    session.flush()


def open_next(session: Session, rules: Rules, request: Request) -> None:
    """Open the first step that still has something to decide, unless one is open, and start its clock."""
    if request.state != "examining" or open_step(request):
        return
    for step in request.steps:
        if step.state == "waiting" and undecided(session, request, step):
            step.state, step.opened_at = "open", clock.now()
            deadline = rules.calendar.deadline(step.opened_at, max(step.days - step.days_spent, 0))
            step.due_at, step.due_provisional = deadline.at, deadline.provisional
            step.light = rules.calendar.light(deadline, step.opened_at)
            events.record(session, request.id, "step-opened", step=step.name, due_at=step.due_at.isoformat())
            return


def open_step(request: Request) -> ApprovalStep | None:
    return next((step for step in request.steps if step.state == "open"), None)


def approvers_of(session: Session, department_id: str) -> list[User]:
    """Who may decide for a department."""
    mine = Membership.department_id == department_id, Membership.role == "approver", User.disabled_at.is_(None)
    return list(session.scalars(select(User).join(Membership, Membership.user_id == User.id).where(*mine)))


def acting(session: Session, request: Request, step: ApprovalStep) -> list[User]:
    """Who may decide an open step now: the approvers of its department and the delegate, never the submitter."""
    people = approvers_of(session, step.department_id)
    if step.escalated_at:
        for above in session.get_one(Department, step.department_id).path[:-1]:
            people += approvers_of(session, above)
    if step.delegate_id:
        people.append(session.get_one(User, step.delegate_id))
    return [user for user in {user.id: user for user in people}.values() if user.id != request.submitted_by]


def undecided(session: Session, request: Request, step: ApprovalStep) -> list[Item]:
    """The items on which a step still has to decide."""
    mine = Decision.step_id == step.id, Decision.superseded.is_(False), Decision.verdict.in_(["approve", "accept"])
    decided = set(session.scalars(select(Decision.item_id).where(*mine)))
    return [
        item
        for item in request.items
        if item.id in step.item_ids and item.state == "pending" and item.id not in decided
    ]


def shown(session: Session, rules: Rules, request: Request) -> dict[str, Any]:
    """What an approver decides on, and nothing of anybody else's; `digest` stands for all of it."""
    items = []
    for item in request.items:
        fits = KINDS[item.kind].fits
        items.append(
            {
                "id": item.id,
                "kind": item.kind,
                "spec": item.spec,
                "state": item.state,
                "holds": [[claim.side, claim.size] for claim in ledger.claims_of(session, item.id)],
                "fits": fits(session, item) if fits and item.state == "pending" else None,
            }
        )
    seen = {
        "version": request.version,
        "purpose": request.purpose,
        "attachments": [[attachment.name, attachment.digest] for attachment in request.attachments],
        "items": items,
        "policy": rules.policy.version,
    }
    content = json.dumps(seen, sort_keys=True, ensure_ascii=False).encode()
    return {**seen, "digest": hashlib.sha256(content).hexdigest()}


def supersede(session: Session, request: Request) -> None:
    """What was decided on has changed: approvals given before are asked for again."""
    request.version += 1
    for step in request.steps:
        if step.name != ACCEPT and step.state in ("done", "open"):
            step.state, step.closed_at = "waiting", None
    given = select(Decision).join(ApprovalStep, ApprovalStep.id == Decision.step_id)
    for decision in session.scalars(given.where(ApprovalStep.request_id == request.id, Decision.verdict == "approve")):
        decision.superseded = True
    session.flush()


def skip_idle(session: Session, request: Request) -> None:
    """Close the steps that have nothing left to decide."""
    for step in request.steps:
        if step.state in ("open", "waiting") and not undecided(session, request, step):
            step.state = "done" if step.state == "open" else step.state
            step.closed_at = clock.now()


def watch(session: Session, rules: Rules, step: ApprovalStep, moment: datetime) -> None:
    """Turn an open step's light, and escalate it once it is overdue; a provisional date is counted again first."""
    assert step.opened_at and step.due_at, "an open step has been opened"
    if step.due_provisional:
        deadline = rules.calendar.deadline(step.opened_at, max(step.days - step.days_spent, 0))
        step.due_at, step.due_provisional = deadline.at, deadline.provisional
    light = rules.calendar.light(Deadline(step.due_at, step.due_provisional), moment)
    if light != step.light:
        step.light = light
        events.record(session, step.request_id, f"step-{light}", step=step.name, due_at=step.due_at.isoformat())
    if light == "red" and step.escalated_at is None:
        step.escalated_at = moment
        events.record(session, step.request_id, "step-escalated", step=step.name)


def _whose(session: Session, department: Department, by: str) -> Department:
    owner = {"own": department.id, "parent": department.parent_id or department.id, "authority": department.path[0]}[by]
    return session.get_one(Department, owner)


def carry_out(session: Session, caller: Caller, rules: Rules, request: Request) -> None:
    """Start every item that has all its approvals, unless documents are still missing, and open the next step."""
    for item in request.items:
        needed = [step for step in request.steps if item.id in step.item_ids]
        if item.state == "pending" and not any(item in undecided(session, request, step) for step in needed):
            if request.missing:
                item.reason = {"slug": "documents-missing", "figures": {"missing": request.missing}}
                continue
            requests.approve_item(session, rules, item, caller)
    open_next(session, rules, request)
    requests.conclude(session, request)

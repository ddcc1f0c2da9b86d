"""Approvals: the steps of a request: who must decide next, by when, and what they are shown. One is open at a time."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    String,
    bindparam,
    cast,
    exists,
    false,
    func,
    literal,
    or_,
    select,
    true,
    union_all,
)
from sqlalchemy.orm import QueryableAttribute, Session

from cloudctl.kernel import clock, events, ids
from cloudctl.kernel.clock import Deadline
from tenancy import ledger, requests
from tenancy.callers import Caller
from tenancy.kinds import KINDS
from tenancy.models import ApprovalStep, Department, Item, Membership, Request, User
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


def foresee(
    session: Session, rules: Rules, asker: Caller, department: Department, steps: Sequence[Approval]
) -> list[Foreseen]:
    """The steps before they exist: who, and by when at the latest."""
    foreseen, at = [], clock.now()
    approvers = Approvers.read(session, [department])
    for step in steps:
        whose = _whose(session, department, step.by)
        deadline = rules.calendar.deadline(at, step.days)
        foreseen.append(Foreseen(step.name, whose, approvers.of(whose, {asker.id}), step.days, deadline))
        at = deadline.at
    return foreseen


def require(session: Session, rules: Rules, request: Request, item: Item, steps: Sequence[Approval]) -> None:
    """See that the request has the steps that an item needs, in the policy's order, none of them open yet.

    Steps that it had before stay: whoever was asked goes on being asked.
    """
    order = [ACCEPT, *(step.name for step in rules.policy.steps)]
    has = {step.name: step for step in request.steps}
    whose = {step.by: _whose(session, request.department, step.by) for step in steps}
    for step in steps:
        if step.name not in has:
            has[step.name] = ApprovalStep(
                id=ids.new("stp"),
                position=order.index(step.name),
                name=step.name,
                department_id=whose[step.by].id,
                department=whose[step.by],
                item_ids=[],
                decisions=[],
                days=step.days,
                days_spent=0,
                state="waiting",
                due_provisional=False,
                light="green",
            )
            request.steps.append(has[step.name])
        if item.id not in has[step.name].item_ids:
            has[step.name].item_ids = [*has[step.name].item_ids, item.id]
    request.steps.sort(key=lambda step: step.position)


def open_next(session: Session, rules: Rules, request: Request) -> None:
    """Open the first step that still has something to decide, unless one is open, and start its clock."""
    if request.state != "examining" or open_step(request):
        return
    for step in request.steps:
        if step.state == "waiting" and undecided(request, step):
            step.state, step.opened_at = "open", clock.now()
            deadline = rules.calendar.deadline(step.opened_at, max(step.days - step.days_spent, 0))
            step.due_at, step.due_provisional = deadline.at, deadline.provisional
            step.light = rules.calendar.light(deadline, step.opened_at)
            events.record(session, request.id, "step-opened", step=step.name, due_at=step.due_at.isoformat())
            return


def open_step(request: Request) -> ApprovalStep | None:
    return next((step for step in request.steps if step.state == "open"), None)


@dataclass(frozen=True)
class Approvers:
    """The approvers of some departments and of all above them, and who wrote some requests: read at once, asked often.

    Nobody decides on what they wrote: who supplements a request is from then on one of its authors, and their steps
    go to whoever else may act, in the end to those above. Where there is nobody else, the step waits until the
    security administrator appoints somebody: an approval by the author would be none.
    """

    # by id of the department; of the request, its authors; of the step, its delegate while a member there
    people: Mapping[str, Sequence[User]]

    @classmethod
    def read(cls, session: Session, departments: Iterable[Department], about: Sequence[Request] = ()) -> "Approvers":
        """Read them in one round trip, with the authors of the requests in question."""
        places = sorted({place for department in departments for place in department.path})
        written = {"requests": [one.id for one in about], "submitters": [one.submitted_by for one in about]}
        people: dict[str, list[User]] = defaultdict(list)
        for place, user in session.execute(_APPROVERS, {"places": places, **written}):
            people[place].append(user)
        return cls(people)

    def of(self, department: Department, authors: Set[str], *, above: bool = False) -> list[User]:
        """Who may decide for a department, never an author; where it has nobody, or `above`, those above it too."""
        own = [user for user in self.people.get(department.id, ()) if user.id not in authors]
        if own and not above:
            return own
        chain = {user for place in department.path for user in self.people.get(place, ()) if user.id not in authors}
        return sorted(chain, key=lambda user: user.login)

    def authors_of(self, request: Request) -> set[str]:
        """Ids of those who submitted or supplemented it."""
        return {request.submitted_by, *(user.id for user in self.people.get(request.id, ()))}

    def acting(self, request: Request, step: ApprovalStep) -> list[User]:
        """Who may decide a step when it is open: approvers and the delegate; once it is overdue, also those above."""
        authors = self.authors_of(request)
        people = self.of(step.department, authors, above=step.escalated_at is not None)
        asked = [user for user in self.people.get(step.id, ()) if user not in people and user.id not in authors]
        return [*people, *asked]


_SUPPLEMENTED = events.who_did("request-supplemented").subquery()
_IN = func.any(bindparam("places", type_=ARRAY(String)))
_WHERE = union_all(
    select(Membership.department_id, Membership.user_id, true().label("decides")).where(
        Membership.role == "approver", Membership.department_id == _IN
    ),
    select(
        func.unnest(bindparam("requests", type_=ARRAY(String))),
        func.unnest(bindparam("submitters", type_=ARRAY(String))),
        false(),
    ),
    select(_SUPPLEMENTED.c.subject, _SUPPLEMENTED.c.actor, false()).where(
        _SUPPLEMENTED.c.subject == func.any(bindparam("requests", type_=ARRAY(String)))
    ),
    select(ApprovalStep.id, ApprovalStep.delegate_id, true()).where(
        ApprovalStep.request_id == func.any(bindparam("requests", type_=ARRAY(String))),
        exists().where(
            Membership.user_id == ApprovalStep.delegate_id, Membership.department_id == ApprovalStep.department_id
        ),
    ),
).subquery()
_APPROVERS = (
    select(_WHERE.c.department_id, User)
    .join(User, User.id == _WHERE.c.user_id)
    .where(User.disabled_at.is_(None) | ~_WHERE.c.decides)
    .order_by(User.login)
)


def acting(session: Session, request: Request, step: ApprovalStep) -> list[User]:
    """Who may decide an open step now."""
    return Approvers.read(session, [step.department], [request]).acting(request, step)


def waits_for(caller: Caller) -> ColumnElement[bool]:
    """The condition on `Request` that its open step waits for the caller, as `acting` says."""
    mine = [department for department, role in caller.memberships if role == "approver"]
    asked = (ApprovalStep.delegate_id == caller.id) & ApprovalStep.department_id.in_(caller.departments)
    may = Membership.role == "approver", User.disabled_at.is_(None), ~_is_author(User.id)
    own = select(User.id).join(Membership, Membership.user_id == User.id)
    own = own.where(Membership.department_id == ApprovalStep.department_id, *may)
    above = Department.path.bool_op("&&")(cast(mine, ARRAY(String))) & (
        ApprovalStep.escalated_at.is_not(None) | ~own.correlate(ApprovalStep, Request).exists()
    )
    step = select(ApprovalStep.id).join(Department, Department.id == ApprovalStep.department_id)
    step = step.where(ApprovalStep.request_id == Request.id, ApprovalStep.state == "open")
    step = step.where(or_(asked, ApprovalStep.department_id.in_(mine), above))
    return ~_is_author(literal(caller.id)) & step.correlate(Request).exists()


def _is_author(person: ColumnElement[str] | QueryableAttribute[str]) -> ColumnElement[bool]:
    """The condition on `Request` that this person submitted or supplemented it."""
    theirs = select(_SUPPLEMENTED.c.actor).where(_SUPPLEMENTED.c.subject == Request.id, _SUPPLEMENTED.c.actor == person)
    return or_(Request.submitted_by == person, theirs.correlate(Request, User).exists())


def undecided(request: Request, step: ApprovalStep) -> list[Item]:
    """The items on which a step still has to decide."""
    given = (each for each in step.decisions if each.verdict in ("approve", "accept") and not each.superseded)
    decided = {each.item_id for each in given}
    return [
        item
        for item in request.items
        if item.id in step.item_ids and item.state == "pending" and item.id not in decided
    ]


def shown(session: Session, rules: Rules, request: Request) -> dict[str, Any]:
    """What an approver decides on, and nothing of anybody else's; `digest` stands for all of it."""
    items = []
    held = ledger.claims_of(session, *(item.id for item in request.items))
    for item in request.items:
        fits = KINDS[item.kind].fits
        items.append(
            {
                "id": item.id,
                "kind": item.kind,
                "spec": item.spec,
                "state": item.state,
                "holds": [[claim.side, claim.size] for claim in held if claim.holder == item.id],
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


def stop_clock(rules: Rules, step: ApprovalStep) -> None:
    """Close an open step for now; opened again, it has only the days that are left."""
    assert step.opened_at, "an open step has been opened"
    step.days_spent += rules.calendar.working_days_between(step.opened_at, clock.now())
    step.state, step.due_at, step.due_provisional, step.light = "waiting", None, False, "green"


def supersede(session: Session, rules: Rules, request: Request) -> None:
    """What was decided on has changed: approvals given before are asked for again."""
    request.version += 1
    for step in request.steps:
        if step.name != ACCEPT and step.state == "open":
            stop_clock(rules, step)
        elif step.name != ACCEPT:
            step.state, step.closed_at = "waiting", None
        for decision in step.decisions:
            decision.superseded = decision.superseded or decision.verdict == "approve"
    session.flush()


def skip_idle(request: Request) -> None:
    """Close the steps that have nothing left to decide."""
    for step in request.steps:
        if step.state in ("open", "waiting") and not undecided(request, step):
            step.state = "done" if step.state == "open" else "skipped"
            step.closed_at = clock.now()


def watch(session: Session, rules: Rules, step: ApprovalStep, moment: datetime) -> None:
    """Turn an open step's light, and escalate it once it is overdue; a provisional date is counted again first."""
    assert step.opened_at, "an open step has been opened"
    assert step.due_at, "an open step has a deadline"
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
        if item.state == "pending" and not any(item in undecided(request, step) for step in needed):
            if request.missing:
                item.reason = {"slug": "documents-missing", "figures": {"missing": request.missing}}
                continue
            requests.approve_item(session, rules, item, caller)
    skip_idle(request)
    open_next(session, rules, request)
    requests.conclude(session, request)


def lights(session: Session) -> dict[str, int]:
    """How many decisions are waited for, by light."""
    counted = select(ApprovalStep.light, func.count()).where(ApprovalStep.state == "open").group_by(ApprovalStep.light)
    return dict.fromkeys(("green", "amber", "red"), 0) | {light: count for light, count in session.execute(counted)}


def overdue(session: Session) -> list[tuple[Request, ApprovalStep]]:
    """Decisions that are late, the latest first."""
    late = select(Request, ApprovalStep).join(ApprovalStep, ApprovalStep.request_id == Request.id)
    late = late.where(ApprovalStep.state == "open", ApprovalStep.light == "red").order_by(ApprovalStep.due_at)
    return [(request, step) for request, step in session.execute(late)]

"""Decisions: accept, approve, refuse, send back, delegate.

A decision binds to the digest of what was shown: if a version, an attachment, what is held, the policy
or the fit has changed since, the approver is asked again.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from cloudctl.kernel import audit, clock, events, ids
from cloudctl.kernel.errors import Conflict, Forbidden, Invalid
from tenancy import approvals, requests, submissions
from tenancy.approvals import ACCEPT, Approvers, undecided
from tenancy.callers import Caller
from tenancy.models import ApprovalStep, Decision, Item, Membership, Request, User
from tenancy.rules import Rules


class OwnRequest(Forbidden):
    """Nobody decides on what they submitted or supplemented themselves."""


class NotYours(Forbidden):
    """The step waits for others."""


class NothingToDecide(Conflict):
    """No step of the request is open, or it is not of this kind."""


class NotAsShown(Conflict):
    """What the decision was made on has changed; look again and decide again."""


class NoSuchItem(Invalid):
    """The open step does not decide on this item."""


class ReasonMissing(Invalid):
    """A refusal or return is worth nothing without its reason."""


class NotADelegate(Invalid):
    """The person is no member of the department that must decide, or submitted or supplemented the request."""


def accept(
    session: Session, caller: Caller, rules: Rules, request_id: str, digest: str, missing: Sequence[str] = ()
) -> Request:
    """受理: the application is complete enough to be examined; what is `missing` is due before it is carried out."""
    request, step = _deciding(session, caller, rules, request_id, digest, accepting=True)
    request.missing = list(missing)
    for item in undecided(request, step):
        _decide(session, caller, step, item, "accept", digest)
    return _proceed(session, caller, rules, request, step, "request:accept", digest, missing=list(missing))


def approve(
    session: Session,
    caller: Caller,
    rules: Rules,
    request_id: str,
    digest: str,
    items: Sequence[str] | None = None,
    changes: Mapping[str, Mapping[str, Any]] | None = None,
) -> Request:
    """Approve the items (all that the step decides on where None), some of them with changes to their specification.

    Raises:
        NotAsShown: the digest is not of what the request is now.
        OverQuota and the problems of `submit`: a change does not fit or breaks a rule.
    """
    request, step = _deciding(session, caller, rules, request_id, digest, accepting=False)
    chosen = _chosen(request, step, items)
    for item_id in (changes or {}).keys() - {item.id for item in chosen}:
        raise NoSuchItem(field=f"changes.{item_id}", item=item_id, open=sorted(item.id for item in chosen))
    for item in chosen:
        change = (changes or {}).get(item.id)
        if change:
            submissions.change_item(session, caller, rules, request, item, change)
        _decide(session, caller, step, item, "approve", digest, changes=change)
    return _proceed(session, caller, rules, request, step, "request:approve", digest)


def refuse(
    session: Session,
    caller: Caller,
    rules: Rules,
    request_id: str,
    digest: str,
    reason: str,
    items: Sequence[str] | None = None,
) -> Request:
    """Refuse the items (all that the step decides on where None), with the reason that the applicant reads."""
    request, step = _deciding(session, caller, rules, request_id, digest, accepting=None)
    _need(reason)
    refused = _chosen(request, step, items)
    for item in refused:
        _decide(session, caller, step, item, "refuse", digest, reason=reason)
    why = {"slug": "refused-by-approver", "figures": {"by": caller.name, "reason": reason, "step": step.name}}
    requests.drop_items(session, refused, "refuse", caller, why)
    return _proceed(session, caller, rules, request, step, "request:refuse", digest, reason=reason)


def send_back(session: Session, caller: Caller, rules: Rules, request_id: str, digest: str, reason: str) -> Request:
    """Return the application for supplement; the clock of the step stands still until it comes back."""
    request, step = _deciding(session, caller, rules, request_id, digest, accepting=None)
    _need(reason)
    for item in undecided(request, step):
        _decide(session, caller, step, item, "return", digest, reason=reason)
    approvals.stop_clock(rules, step)
    request.state = requests.REQUEST.next(request.state, "return")
    request.version += 1
    events.record(session, request.id, "request-returned", caller.id, reason=reason, step=step.name)
    audit.record(
        session, caller, "request:return", request.id, department=request.department_id, reason=reason, seen=digest
    )
    return request


def delegate(session: Session, caller: Caller, rules: Rules, request_id: str, login: str) -> Request:
    """Let another member of the department decide the open step too."""
    request = requests.seen_by(session, caller, request_id, lock=True)
    step = _open(request)
    approvers = _must_act(session, caller, request, step)
    user = session.scalar(
        select(User)
        .join(Membership, Membership.user_id == User.id)
        .where(User.login == login, User.disabled_at.is_(None), Membership.department_id == step.department_id)
    )
    if user is None or user.id in approvers.authors_of(request):
        raise NotADelegate(field="to", login=login)
    step.delegate_id = user.id
    events.record(session, request.id, "step-delegated", caller.id, step=step.name, to=user.login)
    audit.record(session, caller, "request:delegate", request.id, department=request.department_id, to=user.login)
    return request


def _open(request: Request) -> ApprovalStep:
    step = approvals.open_step(request)
    if step is None:
        raise NothingToDecide(request=request.number, state=request.state)
    return step


def _must_act(session: Session, caller: Caller, request: Request, step: ApprovalStep) -> Approvers:
    approvers = Approvers.read(session, [step.department], [request])
    if caller.id in approvers.authors_of(request):
        raise OwnRequest(request=request.number)
    people = approvers.acting(request, step)
    acts = caller.id in [user.id for user in people]
    if caller.scope == "read" or not (acts or caller.may_somewhere("request:decide")):
        caller.must("request:decide", step.department)
    if not acts:
        raise NotYours(request=request.number, step=step.name, waits_for=[user.name for user in people])
    return approvers


def _deciding(
    session: Session, caller: Caller, rules: Rules, request_id: str, digest: str, accepting: bool | None
) -> tuple[Request, ApprovalStep]:
    """The locked request and its open step, if the caller may decide it and has seen it as it is."""
    request = requests.seen_by(session, caller, request_id, lock=True)
    step = _open(request)
    _must_act(session, caller, request, step)
    if accepting is not None and accepting != (step.name == ACCEPT):
        raise NothingToDecide(request=request.number, state=request.state, step=step.name)
    now_shown = approvals.shown(session, rules, request)["digest"]
    if digest != now_shown:
        raise NotAsShown(field="digest", request=request.number, given=digest, current=now_shown)
    return request, step


def _chosen(request: Request, step: ApprovalStep, items: Sequence[str] | None) -> list[Item]:
    open_items = {item.id: item for item in undecided(request, step)}
    for position, item in enumerate(items or ()):
        if item not in open_items:
            raise NoSuchItem(field=f"items.{position}", item=item, open=sorted(open_items))
    return [open_items[item] for item in (open_items if items is None else dict.fromkeys(items))]


def _need(reason: str) -> None:
    if not reason.strip():
        raise ReasonMissing(field="reason")


def _decide(
    session: Session,
    caller: Caller,
    step: ApprovalStep,
    item: Item,
    verdict: str,
    digest: str,
    reason: str | None = None,
    changes: Mapping[str, Any] | None = None,
) -> None:
    decision = Decision(
        id=ids.new("dec"),
        item_id=item.id,
        verdict=verdict,
        changes=dict(changes) if changes else None,
        reason=reason,
        digest=digest,
        decided_by=caller.id,
        decided_at=clock.now(),
    )
    step.decisions.append(decision)
    session.flush()


def _proceed(
    session: Session,
    caller: Caller,
    rules: Rules,
    request: Request,
    step: ApprovalStep,
    action: str,
    digest: str,
    reason: str | None = None,
    **figures: Any,
) -> Request:
    """Close the step if it is through, carry out what is approved, and ask the next."""
    audit.record(
        session,
        caller,
        action,
        request.id,
        department=request.department_id,
        seen=digest,
        reason=reason,
        step=step.name,
        **figures,
    )
    told = "step-decided-because" if reason else "step-decided"
    events.record(session, request.id, told, caller.id, step=step.name, action=action, reason=reason)
    if not undecided(request, step):
        step.state, step.closed_at = "done", clock.now()
    request.version += 1
    session.flush()
    approvals.carry_out(session, caller, rules, request)
    return request

"""Requests: applications under way, and how each of their items comes out."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, or_, select
from sqlalchemy.orm import Session

from cloudctl.kernel import audit, clock, events
from cloudctl.kernel.errors import NotFound
from cloudctl.kernel.lifecycle import Lifecycle
from tenancy import callers, departments, ledger
from tenancy.callers import Caller
from tenancy.kinds import KINDS
from tenancy.models import Department
from tenancy.models import Item as Item
from tenancy.models import Request as Request
from tenancy.rules import Rules

REQUEST = Lifecycle(
    "request",
    {
        "examining": {"return": "returned", "approve": "approved", "refuse": "refused", "withdraw": "withdrawn"},
        "returned": {"supplement": "examining", "withdraw": "withdrawn"},
        "approved": {"finish": "finished", "withdraw": "withdrawn"},
        "finished": {},
        "refused": {},
        "withdrawn": {},
    },
)

ITEM = Lifecycle(
    "item",
    {
        "pending": {"approve": "approved", "refuse": "refused", "withdraw": "withdrawn"},
        "approved": {"wait": "waiting", "start": "working", "finish": "done"},
        "waiting": {"start": "working", "withdraw": "withdrawn", "fail": "failed"},
        "working": {"finish": "done", "fail": "failed"},
        "done": {},
        "failed": {},
        "refused": {},
        "withdrawn": {},
    },
)


class NoSuchRequest(NotFound):
    """No such request, or none the caller may see."""


def seen_by(session: Session, caller: Caller, request: str, *, lock: bool = False) -> Request:
    """The request with this id or number, if the caller may know of it.

    Raises:
        NoSuchRequest: there is none, or it is not the caller's to see.
    """
    query = _seen(caller).where(or_(Request.id == request, Request.number == request))
    query = query.with_for_update(of=Request).execution_options(populate_existing=True) if lock else query
    found = session.scalar(query)
    if found is None:
        raise NoSuchRequest(request=request)
    return found


def all_seen_by(
    session: Session,
    caller: Caller,
    *,
    department: str | None = None,
    state: str | None = None,
    only: ColumnElement[bool] | None = None,
    after: str | None = None,
    limit: int = 50,
) -> list[Request]:
    """Requests the caller may see, newest first.

    Args:
        department: id or code; its own and those of departments below it.
        only: a further condition, such as `approvals.waits_for(caller)`.
        after: the id of the last one already read.

    Raises:
        NoSuchDepartment: the caller cannot see `department`.
    """
    query = _seen(caller).order_by(Request.id.desc()).limit(limit)
    if department:
        below = departments.seen_by(session, caller, department, field="department").id
        query = query.where(callers.covered_by([below]))
    if only is not None:
        query = query.where(only)
    for condition, given in (
        (Request.state == state, state),
        (Request.id < (after or ""), after),
    ):
        query = query.where(condition) if given else query
    return list(session.scalars(query))


def approve_item(session: Session, rules: Rules, item: Item, by: Caller) -> None:
    """The item is approved: what its kind starts begins in this transaction."""
    item.state, item.reason = ITEM.next(item.state, "approve"), None
    told = "item-approved-by-rule" if item.automatic else "item-approved"
    events.record(session, item.request_id, told, by.id, item=item.id, rule=item.automatic)
    start = KINDS[item.kind].start
    assert start, "the registry takes no kind without it"
    start(session, rules, item)
    if item.state == "approved":
        finish_item(session, item)


def drop_items(
    session: Session, items: Sequence[Item], event: str, by: audit.Actor, reason: dict[str, Any] | None = None
) -> None:
    """The items end without having come about (`refuse`, `withdraw`, `fail`): nothing is held for them any more."""
    ledger.release(session, *(item.id for item in items))  # in one booking: two could deadlock with another's
    for item in items:
        item.state = ITEM.next(item.state, event)
        item.reason, item.finished_at, item.queued_at = reason or item.reason, clock.now(), None
        events.record(session, item.request_id, f"item-{item.state}", by.id, item=item.id, reason=reason)


def finish_item(session: Session, item: Item) -> None:
    """The item has come about."""
    item.state = ITEM.next(item.state, "finish")
    item.finished_at, item.queued_at, item.reason = clock.now(), None, None
    events.record(session, item.request_id, "item-done", item=item.id, about=item.subject)


def submitter_of(session: Session, item: Item) -> str:
    """Id of who submitted the request that an item is of."""
    return session.scalars(select(Request.submitted_by).where(Request.id == item.request_id)).one()


def item_ended(session: Session, item: Item) -> None:
    """An item that was carried out has ended, one way or the other: its request with it, if it was the last."""
    session.flush()
    others = select(Item.id).where(Item.request_id == item.request_id, Item.state.not_in(ITEM.final)).limit(1)
    if session.scalar(others) is None:
        conclude(session, item.request)


def conclude(session: Session, request: Request) -> None:
    """Move the request on as far as its items say: decided once none is pending, finished once all have ended."""
    states = {item.state for item in request.items}
    if request.state in ("examining", "returned") and "pending" not in states:
        if states <= {"refused", "withdrawn"}:
            _move(session, request, "withdraw" if "withdrawn" in states else "refuse")
        else:
            if request.state == "returned":
                _move(session, request, "supplement")
            _move(session, request, "approve")
    if request.state == "approved" and states <= ITEM.final:
        _move(session, request, "withdraw" if states == {"withdrawn"} else "finish")


def wait(session: Session, item: Item) -> None:
    """The approved item waits for capacity; its place in the queue counts from now."""
    item.state, item.queued_at = ITEM.next(item.state, "wait"), clock.now()
    events.record(session, item.request_id, "item-waiting", item=item.id)


def begin(session: Session, item: Item) -> None:
    """The item is being carried out."""
    item.state, item.queued_at, item.reason = ITEM.next(item.state, "start"), None, None
    events.record(session, item.request_id, "item-working", item=item.id)


def waiting(session: Session) -> list[Item]:
    """Everything that waits for capacity, in its order."""
    return list(session.scalars(select(Item).where(Item.state == "waiting").order_by(Item.queued_at, Item.id)))


def position(session: Session, item: Item) -> int | None:
    """The item's place in the queue, from 1; None if it does not wait."""
    return next((place for place, other in enumerate(waiting(session), 1) if other.id == item.id), None)


def level_of(item: Item) -> int:
    """The security level an item asks for: its own, or its project's."""
    project = item.request.project
    return int(item.spec.get("level") or (project.level if project else 1))


def item_of(session: Session, item_id: str) -> Item:
    """An item, locked, for the operation that carries it out."""
    return session.get_one(Item, item_id, with_for_update=True, populate_existing=True)


def _move(session: Session, request: Request, event: str) -> None:
    request.state = REQUEST.next(request.state, event)
    request.version += 1
    if request.state in REQUEST.final:
        request.finished_at = clock.now()
    events.record(session, request.id, f"request-{request.state}")


def _seen(caller: Caller) -> Select[Request]:
    return select(Request).join(Department, Department.id == Request.department_id).where(callers.sees(caller))

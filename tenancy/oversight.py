"""Oversight: what people may see of operations, and what they may do about them."""

from collections.abc import Sequence

from sqlalchemy.orm import Session

from cloudctl.kernel import operations
from cloudctl.kernel.operations import NoSuchOperation, OperationRow
from tenancy import departments, ledger
from tenancy.callers import PERMISSIONS, Caller
from tenancy.ledger import OpenClaim


def seen_by(session: Session, caller: Caller, operation_id: str) -> OperationRow:
    """The operation, if it is the affair of a department that the caller can see; the platform's, if they see all.

    Raises:
        NoSuchOperation: there is none, or it is not the caller's to see.
    """
    row = operations.get(session, operation_id)
    is_seen = departments.is_seen(session, caller, row.department) if row.department else caller.sees_everything
    if not is_seen:
        raise NoSuchOperation(operation=operation_id)
    return row


def listed(
    session: Session,
    caller: Caller,
    *,
    subject: str | None = None,
    state: str | None = None,
    after: str | None = None,
    limit: int = 50,
) -> list[OperationRow]:
    """Operations of the departments the caller can see, newest first; `after` is the id of the last one read."""
    owners = departments.all_seen(session, caller)
    return operations.listed(session, owners=owners, subject=subject, state=state, after=after, limit=limit)


def cancel(session: Session, caller: Caller, operation_id: str, reason: str) -> OperationRow:
    """Wish that the operation be undone; honoured between two steps.

    What no request of the department's asked for is cancelled by whoever could have asked for it: a clerk does
    not call off what an operator, or the end of the term, does to the tenancy.

    Raises:
        NoSuchOperation, NotPermitted: it is not the caller's to see, or to cancel.
        NotCancellable, NotAllowed: its kind or its state does not allow it.
    """
    row = _may(session, caller, operation_id, "operation:cancel")
    deed = row.kind.replace(".", ":")
    if "item" not in row.arguments and deed in PERMISSIONS:
        _may(session, caller, operation_id, deed)
    return operations.cancel(session, caller, operation_id, reason)


def retry(session: Session, caller: Caller, operation_id: str) -> OperationRow:
    """Try the parked step again.

    Raises:
        NoSuchOperation, NotPermitted: it is not the caller's to see, or to retry.
        NotAllowed: it is not parked.
    """
    _may(session, caller, operation_id, "operation:retry")
    return operations.retry(session, caller, operation_id)


def resolve(session: Session, caller: Caller, operation_id: str, outcome: str, reason: str) -> OperationRow:
    """Take the caller's word for what became of the parked step: `done` or `undone`.

    Raises:
        NoSuchOperation, NotPermitted: it is not the caller's to see, or to resolve.
        NotAllowed, CannotResolve, ReasonRequired: as the operation says.
    """
    _may(session, caller, operation_id, "operation:resolve")
    return operations.resolve(session, caller, operation_id, outcome, reason)


def held_for(session: Session, operation: OperationRow) -> Sequence[OpenClaim]:
    """What of quota and capacity is held or used in the operation's name: its subject's, and its request item's."""
    item = operation.arguments.get("item")
    claims = ledger.claims_of(session, operation.subject)
    return claims + (ledger.claims_of(session, item) if item else [])


def _may(session: Session, caller: Caller, operation_id: str, permission: str) -> OperationRow:
    row = seen_by(session, caller, operation_id)
    caller.must(permission, departments.seen_by(session, caller, row.department) if row.department else None)
    return row

"""Oversight: what people may see of operations, and what they may do about them."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy.orm import Session

from cloudctl.kernel import operations
from cloudctl.kernel.operations import NoSuchOperation, OperationRow
from tenancy import departments, ledger
from tenancy.callers import PERMISSIONS, Caller
from tenancy.ledger import OpenClaim

TENANTS_TOO = frozenset(
    {
        *("task", "part", "lost", "cancelled", "resolved", "timed-out", "busy", "terminating"),
        *("does-not-fit", "in-use", "not-offered", "not-as-ordered", "nothing-there"),
        *("address-outside", "no-token-there", "another-token-there", "redirected", "not-trusted", "not-resolved"),
        *("target-silent", "campaign-not-ready", "consent-missing", "too-late", "in-blackout", "frozen", "target-busy"),
        *("no-pool-fits", "over-limit", "over-quota", "documents-missing", "refused-by-approver"),
    }
)
"""The reasons that tenants read as they are. The figures of all others may name servers, paths, programs and what these
printed: only those who run the platform read them."""


def told_to(caller: Caller, figures: Any) -> Any:
    """These figures, or a reason, as the caller may read them."""
    match figures:
        case _ if caller.sees_everything:
            return figures
        case {"slug": str(slug), "figures": dict()} if slug not in TENANTS_TOO:
            return {"slug": "for-operators", "figures": {}}
        case dict():
            return {name: told_to(caller, value) for name, value in figures.items()}
        case list():
            return [told_to(caller, value) for value in figures]
    return figures


def standing(caller: Caller, row: OperationRow) -> dict[str, Any]:
    """Where an operation stands, as slug and figures: who is acting, and since when."""
    figures = {"kind": row.kind, "step": row.current, "since": row.rests_since.isoformat()}
    if row.reason:
        figures["reason"] = told_to(caller, row.reason)
    if row.state == "parked":
        return {"slug": "stands-parked", "figures": figures}
    return {"slug": "stands-waiting" if row.retry_at else f"stands-{row.state}", "figures": figures}


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

"""What people order to be done to a tenancy: who may, in which state, and the operation that is promised for it."""

from collections.abc import Sequence

from sqlalchemy.orm import Session

from cloudctl.kernel import operations
from cloudctl.kernel.errors import all_or_none
from cloudctl.kernel.operations import Operation, OperationRow
from provisioning.operations import ERASE, QUARANTINE, REPAIR, RESTORE, RESUME, ROTATE, SUSPEND, must_be_in_use
from tenancy import keys as ssh_keys
from tenancy import requests, tenancies
from tenancy.callers import SYSTEM, Caller
from tenancy.rules import Rules

_EVENTS = {SUSPEND: "suspend", RESUME: "resume", QUARANTINE: "end", RESTORE: "restore", ERASE: "erase"}


def start(
    session: Session, caller: Caller, operation: Operation, tenancy_id: str, reason: str | None = None
) -> OperationRow:
    """Promise one of the operations that need no size: suspend, resume, quarantine, restore, erase.

    Raises:
        NoSuchTenancy, NotPermitted: it is not the caller's to see, or to do this to; what an operator took away,
            only an operator gives back.
        ReasonRequired: to erase or take away needs a reason for the record.
        Protected: delete protection is on.
        Held: it is to be erased, and somebody works on it by hand.
        NotAllowed: the tenancy is in another state; names what is possible.
    """
    tenancy = tenancies.seen_by(session, caller, tenancy_id, lock=True)
    caller.must(operation.kind.replace("tenancy.", "tenancy:"), tenancies.department_of(session, tenancy))
    if operation in (SUSPEND, QUARANTINE, ERASE) and not (reason or "").strip():
        raise operations.ReasonRequired(field="reason", action=operation.kind)
    if operation in (QUARANTINE, ERASE):
        tenancies.must_not_be_protected(tenancy)
    if operation is ERASE:
        tenancies.must_not_be_held(tenancy)
    tenancies.TENANCY.next(tenancy.state, _EVENTS[operation])
    if operation is RESTORE and _was_taken_away(session, tenancy.id):
        caller.must("tenancy:resume", tenancies.department_of(session, tenancy))
    tenancies.note(session, caller, tenancy, operation.kind, reason)
    promised = operations.submit(session, operation.kind, tenancy.id, tenancy.department_id, caller.id, reason=reason)
    _let_repair_give_way(session, caller, tenancy.id, operation)
    return promised


def _let_repair_give_way(session: Session, caller: Caller, tenancy_id: str, operation: Operation) -> None:
    """What a person orders does not wait for a repair that waits itself, or that nobody has looked after yet."""
    before = operations.under_way(session, tenancy_id)
    if before is None or before.kind != REPAIR.kind:
        return
    if before.state == "parked":
        operations.resolve(session, caller, before.id, "undone", f"gives way to {operation.kind}")
    else:
        operations.cancel(session, caller, before.id, f"gives way to {operation.kind}")


def start_rotation(
    session: Session, caller: Caller, tenancy_id: str, keys: Sequence[str] | None, reason: str | None = None
) -> OperationRow:
    """Promise another access, for these public keys (None: those there are); every earlier one ends.

    Raises:
        NoSuchTenancy, NotPermitted: it is not the caller's to see, or to do this to.
        PrivateKey, BadKey: Several where more than one is wrong.
        NotAllowed: the tenancy is not in use.
    """
    tenancy = tenancies.seen_by(session, caller, tenancy_id, lock=True)
    caller.must("tenancy:rotate", tenancies.department_of(session, tenancy))
    all_or_none(ssh_keys.problems(keys or (), "keys"))
    must_be_in_use(tenancy)
    tenancies.note(session, caller, tenancy, ROTATE.kind, reason)
    wanted = [key.strip() for key in keys] if keys else None
    return operations.submit(session, ROTATE.kind, tenancy.id, tenancy.department_id, caller.id, keys=wanted)


def _was_taken_away(session: Session, tenancy_id: str) -> bool:
    """Whether an operator shut the tenant out, and none has let it in since; a term or a return did not."""
    for row in operations.ended_well(session, tenancy_id):
        if row.kind in (RESUME.kind, RESTORE.kind):
            return False
        by_hand = row.requested_by != SYSTEM.id and not row.arguments.get("item")
        if row.kind in (SUSPEND.kind, QUARANTINE.kind) and by_hand:
            return True
    return False


def start_return(session: Session, rules: Rules, item: requests.Item) -> None:
    """An approved return: the tenancy is quarantined."""
    tenancy = tenancies.get(session, item.subject or "", lock=True)
    requests.begin(session, item)
    by, why = item.request.submitted_by, item.request.purpose
    operations.submit(session, QUARANTINE.kind, tenancy.id, tenancy.department_id, by, item=item.id, reason=why)

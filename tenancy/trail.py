"""The trail (留痕): who may read the audit log, and that reading it is written down too."""

from sqlalchemy.orm import Session

from cloudctl.kernel import audit
from cloudctl.kernel.audit import AuditEntry
from cloudctl.kernel.errors import Invalid
from tenancy import departments
from tenancy.callers import Caller


class DepartmentMissing(Invalid):
    """Who sees not everything names the department whose trail they want."""


def read(
    session: Session,
    caller: Caller,
    *,
    department: str | None = None,
    object: str | None = None,
    actor: str | None = None,
    action: str | None = None,
    after: int | None = None,
    limit: int = 50,
) -> list[AuditEntry]:
    """Entries, newest first, that match everything named; `after` is the id of the last one already read.

    Args:
        department: id or code; only what was done to what is its own, not to what lies below it.

    Raises:
        NoSuchDepartment: the caller cannot see it.
        NotPermitted: the caller may not read the audit log there.
        DepartmentMissing: the caller may read it for departments only.
    """
    unit = departments.seen_by(session, caller, department, field="department") if department else None
    if unit is None and caller.departments and not caller.may("audit:read"):
        raise DepartmentMissing(field="department")
    caller.must("audit:read", unit)
    asked = {"department": unit and unit.id, "object": object, "actor": actor, "action": action}
    wanted = {name: value for name, value in asked.items() if value}
    found = audit.entries(session, **wanted, after=after, limit=limit)
    theirs = unit.id if unit else None
    audit.record(session, caller, "audit:read", theirs or "audit", department=theirs, filters=wanted)
    return found


def export(session: Session, caller: Caller) -> None:
    """Allow, and write down, that the caller takes the whole log away.

    Raises:
        NotPermitted: the caller may not.
    """
    caller.must("audit:export")
    audit.record(session, caller, "audit:export", "audit")

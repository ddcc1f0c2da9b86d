"""Locustfiles: code of visitors that operators answer for. Here it is read, and never run."""

import ast
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Select, or_, select
from sqlalchemy.orm import Session

from cloudctl.kernel import audit, clock, events, ids
from cloudctl.kernel.errors import Conflict, Invalid, NotFound
from cloudctl.kernel.operations import ReasonRequired
from loadtests.models import Locustfile as Locustfile
from loadtests.orders import digest as digest
from tenancy import departments
from tenancy.callers import Caller

MOST = 64 * 1024  # bytes


class NoSuchLocustfile(NotFound):
    """There is no locustfile with this id, or it is another department's."""


class LocustfileTooLong(Invalid):
    """A locustfile is larger than what may be registered; tells both, in bytes."""


class NotPython(Invalid):
    """A locustfile is not Python; tells in which line."""


class NoUserClass(Invalid):
    """A locustfile has no class of users that could come; tells the line of the first class that it has."""


class LocustfileRetired(Conflict):
    """The locustfile is retired; nothing is tried with it any more."""


def register(
    session: Session, caller: Caller, *, name: str, text: str, reason: str, department: str | None = None
) -> Locustfile:
    """Answer for a locustfile. It is looked at, and not run: that is done confined, in the run of a campaign.

    Args:
        department: id or code of whose targets it is for, with all below it; None: everybody's.

    Raises:
        NotPermitted, ReasonRequired, NoSuchDepartment.
        LocustfileTooLong, NotPython, NoUserClass.
    """
    caller.must("locustfile:register")
    if not reason.strip():
        raise ReasonRequired(field="reason", action="locustfile:register")
    owner = departments.seen_by(session, caller, department, field="department").id if department else None
    must_be_usable(text)
    found = Locustfile(
        id=ids.new("loc"),
        name=name,
        text=text,
        sha256=digest(text),
        department_id=owner,
        reason=reason,
        registered_by=caller.id,
    )
    session.add(found)
    session.flush()
    _note(session, caller, "register", found, reason)
    return found


def retire(session: Session, caller: Caller, locustfile_id: str, reason: str) -> Locustfile:
    """Have nothing tried with it any more; what runs with it runs to its end.

    Raises:
        NoSuchLocustfile, NotPermitted, ReasonRequired, LocustfileRetired.
    """
    found = seen_by(session, caller, locustfile_id, lock=True)
    caller.must("locustfile:retire")
    if not reason.strip():
        raise ReasonRequired(field="reason", action="locustfile:retire")
    must_be_in_use(found)
    found.retired_at = clock.now()
    session.flush()
    _note(session, caller, "retire", found, reason)
    return found


def seen_by(session: Session, caller: Caller, locustfile_id: str, *, lock: bool = False) -> Locustfile:
    """The locustfile, if it is everybody's or of a department that the caller sees.

    Raises:
        NoSuchLocustfile.
    """
    query = _seen(session, caller).where(Locustfile.id == locustfile_id)
    found = session.scalar(query.with_for_update().execution_options(populate_existing=True) if lock else query)
    if found is None:
        raise NoSuchLocustfile(locustfile=locustfile_id)
    return found


def listed(session: Session, caller: Caller, *, after: str | None = None, limit: int = 50) -> list[Locustfile]:
    """Those that the caller may see, retired ones included, newest first."""
    query = _seen(session, caller).order_by(Locustfile.id.desc()).limit(limit)
    return list(session.scalars(query.where(Locustfile.id < after) if after else query))


def for_target_of(session: Session, caller: Caller, department_id: str, locustfile_id: str) -> Locustfile:
    """The locustfile, if it may be used on targets of this department.

    Raises:
        NoSuchLocustfile: also where it is another department's.
        LocustfileRetired.
    """
    found = session.get(Locustfile, locustfile_id)
    path = departments.seen_by(session, caller, department_id).path
    if found is None or (found.department_id is not None and found.department_id not in path):
        raise NoSuchLocustfile(field="locustfile", locustfile=locustfile_id)
    must_be_in_use(found)
    return found


def must_be_in_use(locustfile: Locustfile) -> None:
    """Raise LocustfileRetired where it is not."""
    if locustfile.retired_at:
        raise LocustfileRetired(locustfile=locustfile.id, name=locustfile.name, at=locustfile.retired_at.isoformat())


def must_be_usable(text: str) -> None:
    """See that a text is Python with a class of users, without running any of it.

    Raises:
        LocustfileTooLong, NotPython, NoUserClass.
    """
    if (size := len(text.encode())) > MOST:
        raise LocustfileTooLong(field="text", bytes=size, most=MOST)
    try:
        tree = ast.parse(text, "locustfile.py")
    except SyntaxError as error:
        raise NotPython(field="text", line=error.lineno or 1, message=error.msg) from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise NotPython(field="text", line=1, message=str(error) or type(error).__name__) from None
    if not any(_users(tree)):
        first = next((node.lineno for node in ast.walk(tree) if isinstance(node, ast.ClassDef)), 1)
        raise NoUserClass(field="text", line=first)


def _users(tree: ast.Module) -> Iterator[ast.ClassDef]:
    """Classes that are made of one of Locust's users, or of such a class, and are not declared abstract."""
    known = {
        one.asname or one.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "locust"
        for one in node.names
        if one.name.endswith("User")
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and any(_is_user(base, known) for base in node.bases):
            known.add(node.name)
            if not any(_says_abstract(line) for line in node.body):
                yield node


def _is_user(base: ast.expr, known: set[str]) -> bool:
    if isinstance(base, ast.Attribute):  # as in locust.HttpUser
        return ast.unparse(base).startswith("locust.") and base.attr.endswith("User")
    return isinstance(base, ast.Name) and base.id in known


def _says_abstract(line: ast.stmt) -> bool:
    return (
        isinstance(line, ast.Assign)
        and ast.unparse(line.targets[0]) == "abstract"
        and isinstance(line.value, ast.Constant)
        and line.value.value is True
    )


def _seen(session: Session, caller: Caller) -> Select[Locustfile]:
    seen = departments.all_seen(session, caller)
    query = select(Locustfile)
    if seen is None:
        return query
    return query.where(or_(Locustfile.department_id.is_(None), Locustfile.department_id.in_(seen)))


def _note(session: Session, caller: Caller, verb: str, found: Locustfile, reason: str) -> None:
    told: dict[str, Any] = {"name": found.name, "sha256": found.sha256}
    audit.record(session, caller, f"locustfile:{verb}", found.id, reason=reason, department=found.department_id, **told)
    events.record(session, found.id, _TOLD[verb], caller.id, reason=reason, **told)


_TOLD = {"register": "locustfile-registered", "retire": "locustfile-retired-told"}

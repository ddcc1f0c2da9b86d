"""Departments: the tree of the administration, of any depth. `path` always holds the ids from the root to oneself."""

import re
from typing import Any

from sqlalchemy import func, literal, or_, select, text, update
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.orm import Session
from sqlalchemy.types import String

from cloudctl.kernel import audit, events, ids
from cloudctl.kernel.errors import Conflict, Invalid, NotFound, Problem, all_or_none, must_be_at
from tenancy import ledger
from tenancy.callers import Caller, covered_by, sees
from tenancy.models import Department

CODE = re.compile(r"^[0-9A-Za-z][0-9A-Za-z-]{1,31}\Z")
NAME_LENGTH = 100


class NoSuchDepartment(NotFound):
    """There is none with this id or code, or the caller may not know of it."""

    def __init__(self, department: str, field: str | None = None) -> None:
        super().__init__(department=department, field=field)


class BadDepartmentCode(Invalid):
    """A code is 2 to 32 letters, digits and hyphens, and does not begin with a hyphen."""

    def __init__(self, code: str, field: str = "code") -> None:
        super().__init__(code=code, field=field)


class BadName(Invalid):
    """A name is empty, too long, or has characters that cannot be printed."""

    def __init__(self, name: str, most: int, field: str) -> None:
        super().__init__(name=name[:NAME_LENGTH], length=len(name), most=most, field=field)


class DepartmentCodeTaken(Conflict):
    """Another department has this code."""

    def __init__(self, code: str) -> None:
        super().__init__(code=code, field="code")


class BelowItself(Conflict):
    """A department would come to lie below itself."""

    def __init__(self, department: str, parent: str) -> None:
        super().__init__(department=department, parent=parent, field="parent")


def create(
    session: Session, caller: Caller, *, code: str, name: str, name_en: str, parent: str | None = None
) -> Department:
    """Register a department below `parent` (id or code), or a root where there is none.

    Raises:
        NotPermitted: the caller may not register departments.
        BadDepartmentCode, BadName: Several where more than one is wrong.
        NoSuchDepartment: no such parent.
        DepartmentCodeTaken: the code is in use.
    """
    caller.must("department:create")
    all_or_none(faults(code, name, name_en))
    hold_tree(session)
    above = seen_by(session, caller, parent, field="parent") if parent else None
    return add(session, caller, code=code, name=name, name_en=name_en, above=above)


def rename(
    session: Session,
    caller: Caller,
    department: str,
    *,
    name: str | None = None,
    name_en: str | None = None,
    version: int | None = None,
) -> Department:
    """Rename a department; what is None stays. Its code never changes, as project codes begin with it.

    Raises:
        NoSuchDepartment: the caller cannot see it.
        NotPermitted: the caller may not change departments.
        BadName: Several where both are wrong.
        Outdated: it is no longer at `version`.
    """
    found = seen_by(session, caller, department, lock=True)
    caller.must("department:update", found)
    must_be_at(version, found.version)
    new, new_en = found.name if name is None else name, found.name_en if name_en is None else name_en
    all_or_none(name_faults(name=new, name_en=new_en))
    change = {"name": [found.name, new], "name_en": [found.name_en, new_en]}
    found.name, found.name_en, found.version = new.strip(), new_en.strip(), found.version + 1
    session.flush()
    _note(session, caller, "update", found, code=found.code, **change)
    return found


def move(session: Session, caller: Caller, department: str, *, parent: str, version: int | None = None) -> Department:
    """Put a department, with everything below it, below another; the ledger re-books its open claims.

    Raises:
        NoSuchDepartment: the caller cannot see it, or its new parent.
        NotPermitted: the caller may not move departments.
        Outdated: it is no longer at `version`.
        BelowItself: the new parent is the department or lies below it.
        OverLimit: the new chain has no room for what the department holds and uses.
    """
    hold_tree(session)
    found = seen_by(session, caller, department, lock=True)
    caller.must("department:move", found)
    must_be_at(version, found.version)
    above = seen_by(session, caller, parent, field="parent")
    if found.id in above.path:
        raise BelowItself(found.code, above.code)
    old, new = found.path, [*above.path, found.id]
    former = session.get(Department, found.parent_id) if found.parent_id else None
    below = Department.path[len(old) + 1 : func.cardinality(Department.path)]
    session.execute(
        update(Department)
        .where(covered_by([found.id]))
        .values(path=literal(new, ARRAY(String)) + below, version=Department.version + 1)
        .execution_options(synchronize_session="fetch")
    )
    found.parent_id = above.id
    session.flush()
    ledger.move(session, found.id, old, new)
    places = {"former_parent": former and former.code, "parent": above.code, "old_path": old, "new_path": new}
    _note(session, caller, "move", found, code=found.code, **places)
    return found


def seen_by(
    session: Session, caller: Caller, department: str, *, field: str | None = None, lock: bool = False
) -> Department:
    """The department with this id or code, locked against other changes where asked.

    Raises:
        NoSuchDepartment: there is none, or the caller may not know of it; names `field` where that is to blame.
    """
    query = select(Department).where(or_(Department.id == department, Department.code == department), sees(caller))
    if lock:
        query = query.with_for_update(key_share=True)
    found = session.scalar(query.execution_options(populate_existing=True))
    if found is None:
        raise NoSuchDepartment(department, field)
    return found


def listed(
    session: Session, caller: Caller, *, below: str | None = None, after: str | None = None, limit: int = 50
) -> list[Department]:
    """Departments the caller can see, by code; of `below` (id or code) only itself and what is under it.

    `after` is the code of the last one already read.

    Raises:
        NoSuchDepartment: the caller cannot see `below`.
    """
    query = select(Department).where(sees(caller)).order_by(Department.code).limit(limit)
    if below:
        query = query.where(covered_by([seen_by(session, caller, below, field="below").id]))
    if after:
        query = query.where(Department.code > after)
    return list(session.scalars(query))


def is_seen(session: Session, caller: Caller, department_id: str) -> bool:
    """Whether the caller can see the department, and with it all that belongs to it."""
    return session.scalar(select(Department.id).where(Department.id == department_id, sees(caller))) is not None


def all_seen(session: Session, caller: Caller) -> list[str] | None:
    """Ids of every department the caller can see; None where that is all there are."""
    return None if caller.sees_everything else list(session.scalars(select(Department.id).where(sees(caller))))


def faults(code: str, name: str, name_en: str) -> list[Problem]:
    """What is wrong with the words for a department."""
    problems: list[Problem] = [] if CODE.match(code) else [BadDepartmentCode(code)]
    return problems + name_faults(name=name, name_en=name_en)


def name_faults(most: int = NAME_LENGTH, /, **names: str) -> list[Problem]:
    """What is wrong with names that people read, each of at most `most` characters, by field."""
    return [
        BadName(name, most, field)
        for field, name in names.items()
        if not (name.strip() and name.isprintable() and len(name) <= most)
    ]


def hold_tree(session: Session) -> None:
    """Changes to the shape of the tree take turns, each for its whole transaction: no path is made from an old one."""
    session.execute(text("SELECT pg_advisory_xact_lock(hashtextextended('departments', 7))"))


def add(
    session: Session, caller: Caller, *, code: str, name: str, name_en: str, above: Department | None
) -> Department:
    """Insert a department whose words are right and whose parent exists; the tree is held.

    Raises:
        DepartmentCodeTaken: the code is in use.
    """
    new = ids.new("dep")
    row = {"id": new, "code": code, "name": name.strip(), "name_en": name_en.strip()}
    place = {"parent_id": above and above.id, "path": [*(above.path if above else []), new]}
    made: Department | None = session.scalar(
        insert(Department).values(**row, **place).on_conflict_do_nothing(index_elements=["code"]).returning(Department)
    )
    if made is None:
        raise DepartmentCodeTaken(code)
    _note(session, caller, "create", made, code=code, parent=above and above.code)
    return made


def _note(session: Session, caller: Caller, verb: str, department: Department, **figures: Any) -> None:
    audit.record(session, caller, f"department:{verb}", department.id, department=department.id, **figures)
    events.record(session, department.id, _HAPPENED[verb], caller.id, **figures)


_HAPPENED = {"create": "department-created", "update": "department-updated", "move": "department-moved"}

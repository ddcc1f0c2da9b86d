"""Projects: the information systems of departments. Each gets a code (赋码) that ties all its matters together."""

from zoneinfo import ZoneInfo

from sqlalchemy import Integer, Select, cast, func, or_, select, text
from sqlalchemy.orm import Session, contains_eager

from cloudctl.kernel import audit, clock, events, ids
from cloudctl.kernel.errors import Invalid, NotFound, Problem, all_or_none
from tenancy.callers import Caller, covered_by, sees
from tenancy.departments import name_faults
from tenancy.departments import seen_by as department_seen_by
from tenancy.models import Department, Project

LEVELS = range(1, 5)
FUNDING_LENGTH = 200
CHINA = ZoneInfo("Asia/Shanghai")  # the one zone of all authorities: the year in a code is theirs


class NoSuchProject(NotFound):
    """There is none with this id or code, or the caller may not know of it."""

    def __init__(self, project: str, field: str | None = None) -> None:
        super().__init__(project=project, field=field)


class BadLevel(Invalid):
    """Not a security level of GB/T 22239 that the platform serves."""

    def __init__(self, level: int, field: str = "level") -> None:
        super().__init__(level=level, least=LEVELS[0], most=LEVELS[-1], field=field)


def create(
    session: Session,
    caller: Caller,
    department: str,
    *,
    name: str,
    name_en: str,
    owner: str,
    funding: str,
    level: int,
) -> Project:
    """Register a project and give it its code; an approved request does so as POLICY.

    Args:
        department: id or code of whose it is.
        owner: the person who answers for the system.
        funding: where the money comes from.
        level: MLPS (GB/T 22239) security level, 1 to 4.

    Raises:
        NoSuchDepartment: the caller cannot see the department.
        NotPermitted: the caller may not register projects without a request.
        BadName, BadLevel: Several where more than one is wrong.
    """
    unit = department_seen_by(session, caller, department, field="department")
    caller.must("project:create", unit)
    all_or_none(faults(name=name, name_en=name_en, owner=owner, funding=funding, level=level))
    project = Project(
        id=ids.new("prj"),
        code=_next_code(session, unit, clock.now().astimezone(CHINA).year),
        department_id=unit.id,
        name=name.strip(),
        name_en=name_en.strip(),
        owner=owner.strip(),
        funding=funding.strip(),
        level=level,
    )
    session.add(project)
    session.flush()
    audit.record(session, caller, "project:create", project.id, department=unit.id, code=project.code)
    events.record(session, project.id, "project-created", caller.id, code=project.code)
    return project


def seen_by(session: Session, caller: Caller, project: str, *, field: str | None = None) -> Project:
    """The project with this id or code.

    Raises:
        NoSuchProject: there is none, or the caller may not know of it; names `field` where that is to blame.
    """
    query = _seen(caller).where(or_(Project.id == project, Project.code == project))
    found = session.scalar(query)
    if found is None:
        raise NoSuchProject(project, field)
    return found


def listed(
    session: Session, caller: Caller, *, department: str | None = None, after: str | None = None, limit: int = 50
) -> list[Project]:
    """Projects the caller can see, by code; of `department` (id or code) only its own and those below it.

    `after` is the code of the last one already read.

    Raises:
        NoSuchDepartment: the caller cannot see `department`.
    """
    query = _seen(caller).order_by(Project.code).limit(limit)
    if department:
        query = query.where(covered_by([department_seen_by(session, caller, department, field="department").id]))
    if after:
        query = query.where(Project.code > after)
    return list(session.scalars(query))


def faults(*, name: str, name_en: str, owner: str, funding: str, level: int) -> list[Problem]:
    """What is wrong with what somebody says about a project, for the form that asks for it."""
    problems: list[Problem] = [] if level in LEVELS else [BadLevel(level)]
    problems += name_faults(FUNDING_LENGTH, funding=funding)
    return name_faults(name=name, name_en=name_en, owner=owner) + problems


def _seen(caller: Caller) -> Select[Project]:
    return select(Project).join(Project.department).options(contains_eager(Project.department)).where(sees(caller))


def _next_code(session: Session, department: Department, year: int) -> str:
    """The department's code, the year and a number of at least four digits; the next one waits for this transaction."""
    stem = f"{department.code}-{year}-"
    session.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:stem, 7))"), {"stem": stem})
    own = Project.department_id == department.id, Project.code.startswith(stem, autoescape=True)
    last = session.scalar(select(func.max(cast(func.substr(Project.code, len(stem) + 1), Integer))).where(*own))
    return f"{stem}{(last or 0) + 1:04}"

"""A realistic organisation to begin with: Qianxinan prefecture, its counties and bureaus, their projects and people."""

import csv
from importlib import resources

from sqlalchemy.orm import Session

from tenancy import department_csv, departments, ledger, members, projects
from tenancy.callers import PLATFORM_ROLES, SYSTEM


def load(session: Session) -> dict[str, int]:
    """Enter what is not there yet, and tell how many of each noun that was; what is there stays as it is."""
    return {
        "departments": _load_departments(session),
        "projects": sum(_load_project(session, row) for row in _rows("projects.csv")),
        "people": sum(_load_person(session, row) for row in _rows("people.csv")),
        "limits": sum(_load_limits(session, row) for row in _rows("quotas.csv")),
    }


def _rows(file: str) -> list[dict[str, str]]:
    return list(csv.DictReader(_text(file).splitlines()))


def _text(file: str) -> str:
    return (resources.files(__name__) / file).read_text(encoding="utf-8")


def _load_departments(session: Session) -> int:
    header, *lines = _text("departments.csv").splitlines()
    known = {unit.code for unit in departments.listed(session, SYSTEM, limit=100_000)}
    missing = [line for line in lines if line.partition(",")[0] not in known]
    department_csv.import_csv(session, SYSTEM, "\n".join([header, *missing]).encode())
    return len(missing)


def _load_project(session: Session, row: dict[str, str]) -> bool:
    department, level = row.pop("department"), int(row.pop("level"))
    if row["name"] in [known.name for known in projects.listed(session, SYSTEM, department=department, limit=100_000)]:
        return False
    projects.create(session, SYSTEM, department, level=level, **row)
    return True


def _load_person(session: Session, row: dict[str, str]) -> bool:
    try:
        members.create(session, SYSTEM, login=row["login"], name=row["name"])
    except members.LoginTaken:
        return False
    if row["role"] in PLATFORM_ROLES:
        members.grant_role(session, SYSTEM, row["login"], row["role"])
    else:
        members.grant_membership(session, SYSTEM, row["login"], row["department"], row["role"])
    return True


def _load_limits(session: Session, row: dict[str, str]) -> int:
    department = departments.seen_by(session, SYSTEM, row.pop("department")).id
    known = ledger.balances(session, [department])[department]
    missing = {resource: int(limit) for resource, limit in row.items() if resource not in known}
    for resource, limit in missing.items():
        ledger.set_limit(session, department, resource, limit)
    return len(missing)

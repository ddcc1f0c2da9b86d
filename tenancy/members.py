"""Members: people, what they may do for departments, and the three administrators, of whom nobody can be two."""

import re
from typing import Any

from sqlalchemy import ColumnElement, delete, or_, select, true
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from cloudctl.kernel import audit, clock, events, ids
from cloudctl.kernel.errors import Conflict, Forbidden, Invalid, NotFound, Problem, all_or_none
from tenancy import departments
from tenancy.callers import DEPARTMENT_ROLES, PLATFORM_ROLES, ROBOT_ROLES, SYSTEM, Caller, covered_by
from tenancy.models import Department, Membership, PlatformRole, User

LOGIN = re.compile(r"^[a-z][a-z0-9._-]{1,31}\Z")


class NoSuchUser(NotFound):
    """Nobody has this id or login, or the caller may not know of them."""

    def __init__(self, user: str, field: str | None = None) -> None:
        super().__init__(user=user, field=field)


class BadLogin(Invalid):
    """A login is 2 to 32 small letters, digits, dots, hyphens and underscores, and begins with a letter."""

    def __init__(self, login: str) -> None:
        super().__init__(login=login[:40], field="login")


class LoginTaken(Conflict):
    """Somebody has this login."""

    def __init__(self, login: str) -> None:
        super().__init__(login=login, field="login")


class BadRole(Invalid):
    """No such role; names those there are."""

    def __init__(self, role: str, roles: tuple[str, ...]) -> None:
        super().__init__(role=role, roles=list(roles), field="role")


class GrantToOneself(Forbidden):
    """Nobody gives roles or memberships to themselves."""

    def __init__(self, login: str, role: str) -> None:
        super().__init__(login=login, role=role)


class RolesExclude(Conflict):
    """The person is another of the three administrators already."""

    def __init__(self, login: str, held: str, wanted: str) -> None:
        super().__init__(login=login, held=held, wanted=wanted, field="role")


def bootstrap(session: Session, login: str, name: str, role: str) -> User:
    """Make sure, from the server itself, that a person with a platform role exists: how the first administrator comes.

    Raises:
        BadLogin, BadName, BadRole: Several where more than one is wrong.
        RolesExclude: the person is another of the three administrators already.
    """
    user = session.scalar(select(User).where(User.login == login)) or create(session, SYSTEM, login=login, name=name)
    grant_role(session, SYSTEM, user.id, role)
    return user


def create(session: Session, caller: Caller, *, login: str, name: str) -> User:
    """Register a person, who can do nothing until somebody grants it.

    Raises:
        NotPermitted: the caller may not register people.
        BadLogin, BadName: Several where both are wrong.
        LoginTaken: somebody has this login.
    """
    caller.must("user:create")
    problems: list[Problem] = [] if LOGIN.match(login) else [BadLogin(login)]
    all_or_none(problems + departments.name_faults(name=name))
    row = {"id": ids.new("usr"), "login": login, "name": name.strip()}
    user: User | None = session.scalar(
        insert(User).values(**row).on_conflict_do_nothing(index_elements=["login"]).returning(User)
    )
    if user is None:
        raise LoginTaken(login)
    _note(session, caller, "user:create", user)
    return user


def disable(session: Session, caller: Caller, user: str) -> User:
    """Lock a person out, with all their tokens; what they did stays theirs. Repeating it changes nothing.

    Raises:
        NotPermitted: the caller may not disable people.
        NoSuchUser: there is nobody with this id or login.
    """
    caller.must("user:disable")
    found = _find(session, user)
    if found.disabled_at is None:
        found.disabled_at = clock.now()
        session.flush()
        _note(session, caller, "user:disable", found)
    return found


def grant_role(session: Session, caller: Caller, user: str, role: str) -> None:
    """Make a person one of the three administrators. Repeating it changes nothing.

    Raises:
        NotPermitted: the caller is not the security administrator.
        GrantToOneself: it would be the caller's own.
        NoSuchUser, BadRole: no such person or role.
        RolesExclude: the person is another of the three administrators already.
    """
    caller.must("role:grant")
    found = _grantee(session, caller, user, role, (*PLATFORM_ROLES, *ROBOT_ROLES))
    row = {"user_id": found.id, "role": role, "granted_by": caller.id}
    if session.scalar(insert(PlatformRole).values(**row).on_conflict_do_nothing().returning(PlatformRole.user_id)):
        _note(session, caller, "role:grant", found, role=role)
        return
    held = session.scalars(select(PlatformRole.role).where(PlatformRole.user_id == found.id)).one()
    if held != role:
        raise RolesExclude(found.login, held, role)


def withdraw_role(session: Session, caller: Caller, user: str) -> None:
    """Take a person's platform role away, if they have one.

    Raises:
        NotPermitted: the caller is not the security administrator.
        NoSuchUser: there is nobody with this id or login.
    """
    caller.must("role:grant")
    found = _find(session, user)
    gone = delete(PlatformRole).where(PlatformRole.user_id == found.id).returning(PlatformRole.role)
    if role := session.scalar(gone):
        _note(session, caller, "role:withdraw", found, role=role)


def grant_membership(session: Session, caller: Caller, user: str, department: str, role: str) -> None:
    """Let a person act as clerk or approver for a department and everything below it. Repeating it changes nothing.

    Raises:
        NotPermitted: the caller is not the security administrator.
        GrantToOneself: it would be the caller's own.
        NoSuchUser, NoSuchDepartment, BadRole: no such person, department or role.
    """
    caller.must("membership:grant")
    found = _grantee(session, caller, user, role, DEPARTMENT_ROLES)
    unit = departments.seen_by(session, caller, department, field="department")
    row = {"user_id": found.id, "department_id": unit.id, "role": role, "granted_by": caller.id}
    if session.scalar(insert(Membership).values(**row).on_conflict_do_nothing().returning(Membership.user_id)):
        _note(session, caller, "membership:grant", found, unit, role=role)


def withdraw_membership(session: Session, caller: Caller, user: str, department: str, role: str) -> None:
    """Take a membership away, if the person has it.

    Raises:
        NotPermitted: the caller is not the security administrator.
        NoSuchUser, NoSuchDepartment: no such person or department.
    """
    caller.must("membership:grant")
    found = _find(session, user)
    unit = departments.seen_by(session, caller, department, field="department")
    theirs = (Membership.user_id == found.id, Membership.department_id == unit.id, Membership.role == role)
    if session.scalar(delete(Membership).where(*theirs).returning(Membership.user_id)):
        _note(session, caller, "membership:withdraw", found, unit, role=role)


def seen_by(session: Session, caller: Caller, user: str, *, field: str | None = None) -> User:
    """The person with this id or login: oneself, the members of departments one sees, or, to administrators, anybody.

    Raises:
        NoSuchUser: there is nobody, or the caller may not know of them; names `field` where that is to blame.
    """
    found = session.scalar(select(User).where(or_(User.id == user, User.login == user), _visible(caller)))
    if found is None:
        raise NoSuchUser(user, field)
    return found


def listed(session: Session, caller: Caller, *, after: str | None = None, limit: int = 50) -> list[User]:
    """People the caller can see, by login; `after` is the login of the last one already read."""
    query = select(User).where(_visible(caller)).order_by(User.login).limit(limit)
    if after:
        query = query.where(User.login > after)
    return list(session.scalars(query))


def roles_of(session: Session, user: User) -> tuple[str | None, list[tuple[Department, str]]]:
    """The person's platform role, and their roles for departments, by the department's code."""
    role = session.scalar(select(PlatformRole.role).where(PlatformRole.user_id == user.id))
    query = select(Department, Membership.role).join(Membership, Membership.department_id == Department.id)
    theirs = session.execute(query.where(Membership.user_id == user.id).order_by(Department.code, Membership.role))
    return role, [(department, name) for department, name in theirs]


def _visible(caller: Caller) -> ColumnElement[bool]:
    if caller.may("user:read"):
        return true()
    colleagues = (
        select(Membership.user_id)
        .join(Department, Department.id == Membership.department_id)
        .where(covered_by(caller.departments))
    )
    return or_(User.id == caller.id, User.id.in_(colleagues))


def _find(session: Session, user: str) -> User:
    found = session.scalar(select(User).where(or_(User.id == user, User.login == user)))
    if found is None:
        raise NoSuchUser(user, "user")
    return found


def _grantee(session: Session, caller: Caller, user: str, role: str, roles: tuple[str, ...]) -> User:
    if role not in roles:
        raise BadRole(role, roles)
    found = _find(session, user)
    if found.id == caller.id:
        raise GrantToOneself(found.login, role)
    return found


def _note(
    session: Session, caller: Caller, action: str, user: User, department: Department | None = None, **figures: Any
) -> None:
    figures["login"] = user.login
    audit.record(session, caller, action, user.id, department=department.id if department else None, **figures)
    if department:
        figures["department"] = department.code
    events.record(session, user.id, _HAPPENED[action], caller.id, **figures)


_HAPPENED = {
    "user:create": "user-created",
    "user:disable": "user-disabled",
    "role:grant": "role-granted",
    "role:withdraw": "role-withdrawn",
    "membership:grant": "membership-granted",
    "membership:withdraw": "membership-withdrawn",
}

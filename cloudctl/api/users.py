"""Users: people, what they may do for departments, and the three administrators."""

from datetime import datetime
from typing import Literal

from pydantic import Field
from sqlalchemy.orm import Session

from cloudctl.api.calls import CallerDep, SessionDep, router
from cloudctl.api.views import After, Body, Limit, Page, View, page
from tenancy import members
from tenancy.callers import Caller

routes = router("/users", "users")

_ROLE = "`clerk` or `approver`, for the department and everything below it."
_PLATFORM_ROLE = "`operator`, `security`, `auditor`, or of a robot `monitor`; they exclude one another."


class UserView(View):
    id: str = Field(description="Id of the person.", examples=["usr_01k9xr3w8q7f5t2n6m4v0c1b8d"])
    login: str = Field(description="Short name: 2 to 32 small letters, digits, dots, hyphens.", examples=["wang.fang"])
    name: str = Field(description="Name of the person.", examples=["王芳"])
    disabled_at: datetime | None = Field(description="Since when the person is locked out; null if not.")


class MembershipView(View):
    department: str = Field(description="Id of the department.", examples=["dep_01k9xr3w8q7f5t2n6m4v0c1b8d"])
    code: str = Field(description="Code of the department.", examples=["522301"])
    name: str = Field(description="Chinese name of the department.", examples=["兴义市"])
    role: str = Field(description=_ROLE, examples=["clerk"])


class UserDetail(UserView):
    role: str | None = Field(description=_PLATFORM_ROLE + " Null for none.", examples=[None])
    memberships: list[MembershipView] = Field(description="What the person may do for which department.")


class NewUser(Body):
    login: str = Field(description="2 to 32 small letters, digits, dots, hyphens.", examples=["li.wei"])
    name: str = Field(description="Name of the person, at most 100 characters.", examples=["李伟"])


class RoleGrant(Body):
    role: Literal["operator", "security", "auditor", "monitor"] = Field(
        description=_PLATFORM_ROLE, examples=["auditor"]
    )


class NewMembership(Body):
    department: str = Field(description="Id or code of the department.", examples=["522301"])
    role: Literal["clerk", "approver"] = Field(description=_ROLE, examples=["clerk"])


@routes.get("")
def list_users(caller: CallerDep, session: SessionDep, after: After = None, limit: Limit = 50) -> Page[UserView]:
    """The people one can see, by login."""
    found = members.listed(session, caller, after=after, limit=limit + 1)
    return page(found, limit, UserView.model_validate, lambda row: row.login)


@routes.post("", status_code=201)
def create_user(new: NewUser, caller: CallerDep, session: SessionDep) -> UserDetail:
    """Register a person, who can do nothing until somebody grants it."""
    return _detail(session, caller, members.create(session, caller, login=new.login, name=new.name).id)


@routes.get("/{user}")
def show_user(user: str, caller: CallerDep, session: SessionDep) -> UserDetail:
    """A person, by id or login."""
    return _detail(session, caller, user)


@routes.post("/{user}/disable")
def disable_user(user: str, caller: CallerDep, session: SessionDep) -> UserDetail:
    """Lock a person out, with all their tokens."""
    return _detail(session, caller, members.disable(session, caller, user).id)


@routes.put("/{user}/role")
def grant_role(user: str, grant: RoleGrant, caller: CallerDep, session: SessionDep) -> UserDetail:
    """Make a person one of the three administrators."""
    members.grant_role(session, caller, user, grant.role)
    return _detail(session, caller, user)


@routes.delete("/{user}/role")
def withdraw_role(user: str, caller: CallerDep, session: SessionDep) -> None:
    """Take a person's platform role away."""
    members.withdraw_role(session, caller, user)


@routes.post("/{user}/memberships", status_code=201)
def grant_membership(user: str, grant: NewMembership, caller: CallerDep, session: SessionDep) -> UserDetail:
    """Let a person act for a department and everything below it."""
    members.grant_membership(session, caller, user, grant.department, grant.role)
    return _detail(session, caller, user)


@routes.delete("/{user}/memberships/{department}/{role}")
def withdraw_membership(user: str, department: str, role: str, caller: CallerDep, session: SessionDep) -> None:
    """Take a membership away."""
    members.withdraw_membership(session, caller, user, department, role)


def _detail(session: Session, caller: Caller, user: str) -> UserDetail:
    found = members.seen_by(session, caller, user)
    role, theirs = members.roles_of(session, found)
    return UserDetail(
        **UserView.model_validate(found).model_dump(),
        role=role,
        memberships=[
            MembershipView(department=unit.id, code=unit.code, name=unit.name, role=name) for unit, name in theirs
        ],
    )

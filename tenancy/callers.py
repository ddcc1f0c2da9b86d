"""Callers: who is asking, and what they may do. Permissions are a table; what one can see is one condition."""

from collections.abc import Iterable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from sqlalchemy import ColumnElement, true

from cloudctl.kernel.audit import Actor
from cloudctl.kernel.errors import Forbidden
from tenancy.models import Department

Scope = Literal["read", "write"]
DEPARTMENT_ROLES = ("clerk", "approver")
PLATFORM_ROLES = ("operator", "security", "auditor")
ROBOT_ROLES = ("monitor",)  # of programs: they see of departments nothing, and do what is named for them alone
AUTOMATIC = "automatic"  # the role of the platform itself: it may do everything, and no person can have it

_READING = frozenset({"read", "export"})


@dataclass(frozen=True)
class Permission:
    """Who may do one thing.

    `within`: roles that have it for the department of their membership and everything below it.
    `everywhere`: platform roles that have it for every department.
    `anyone`: everybody who is logged in has it, on what is their own or on what concerns nobody in particular.
    """

    within: frozenset[str] = frozenset()
    everywhere: frozenset[str] = frozenset()
    anyone: bool = False

    @property
    def roles(self) -> list[str]:
        """Every role that has it, in alphabetical order."""
        return sorted(self.within | self.everywhere)


def _granted(*roles: str) -> Permission:
    return Permission(frozenset(roles) & {*DEPARTMENT_ROLES}, frozenset(roles) & {*PLATFORM_ROLES, *ROBOT_ROLES})


_ANYONE = Permission(anyone=True)
_EVERY_ROLE = _granted(*DEPARTMENT_ROLES, *PLATFORM_ROLES)
_CLERK_OR_OPERATOR = _granted("clerk", "operator")
_OPERATOR = _granted("operator")
_SECURITY = _granted("security")

PERMISSIONS = MappingProxyType(
    {
        "department:read": _EVERY_ROLE,
        "department:create": _OPERATOR,
        "department:update": _OPERATOR,
        "department:move": _OPERATOR,
        "department:import": _OPERATOR,
        "project:read": _EVERY_ROLE,
        "project:create": _OPERATOR,  # departments get theirs by an approved request
        "user:read": _EVERY_ROLE,
        "user:create": _granted("operator", "security"),
        "user:disable": _SECURITY,
        "role:grant": _SECURITY,
        "membership:grant": _SECURITY,
        "token:create": _ANYONE,  # one's own
        "token:read": _ANYONE,
        "token:revoke": _ANYONE,
        "token:oversee": _SECURITY,  # see and revoke everybody's
        "token:issue": _granted(),  # for somebody else: on the server itself only
        "quota:read": _EVERY_ROLE,
        "quota:set": _OPERATOR,  # of a root; the others by an approved request
        "request:read": _EVERY_ROLE,
        "request:submit": _granted("clerk"),
        "request:supplement": _granted("clerk"),
        "request:withdraw": _granted("clerk"),
        "request:attach": _granted("clerk"),
        "request:decide": _granted("approver"),
        "request:delegate": _granted("approver"),
        "tenancy:read": _EVERY_ROLE,
        "tenancy:access": _granted("clerk"),  # what is handed over, once
        "tenancy:rotate": _CLERK_OR_OPERATOR,
        "tenancy:protect": _CLERK_OR_OPERATOR,
        "tenancy:return": _granted("clerk"),
        "tenancy:restore": _CLERK_OR_OPERATOR,
        "tenancy:suspend": _OPERATOR,
        "tenancy:resume": _OPERATOR,
        "tenancy:quarantine": _OPERATOR,
        "tenancy:erase": _OPERATOR,
        "tenancy:hold": _OPERATOR,
        "endpoint:add": _CLERK_OR_OPERATOR,
        "endpoint:confirm": _OPERATOR,
        "pool:read": _granted("operator", "auditor"),
        "pool:add": _OPERATOR,
        "pool:update": _OPERATOR,
        "pool:confirm": _OPERATOR,
        "server:read": _granted("operator", "auditor"),
        "server:enroll": _OPERATOR,
        "server:drain": _OPERATOR,
        "server:open": _OPERATOR,
        "server:retire": _OPERATOR,
        "target:read": _EVERY_ROLE,
        "target:register": _granted("clerk"),
        "target:update": _granted("clerk"),
        "target:consent": _granted("approver"),  # of the department that owns what is depended on
        "campaign:read": _EVERY_ROLE,
        "campaign:submit": _granted("clerk"),
        "campaign:approve": _granted("approver"),
        "campaign:run": _granted("clerk"),
        "campaign:stop": _granted("clerk", "approver", "operator"),
        "campaign:veto": _OPERATOR,
        "locustfile:register": _OPERATOR,  # code that runs here
        "locustfile:retire": _OPERATOR,
        "freeze:declare": _OPERATOR,
        "freeze:lift": _OPERATOR,
        "operation:read": _EVERY_ROLE,
        "operation:cancel": _CLERK_OR_OPERATOR,
        "operation:retry": _OPERATOR,
        "operation:resolve": _OPERATOR,
        "audit:read": _granted("clerk", "approver", "security", "auditor"),  # departments: what was done to theirs
        "audit:export": _granted("auditor"),
        "evidence:write": _OPERATOR,
        "metrics:read": _granted("operator", "auditor", "monitor"),  # and what Prometheus is to look at
        "alert:report": _granted("operator", "monitor"),
        "silence:read": _granted("operator", "auditor"),
        "silence:create": _OPERATOR,
        "silence:end": _OPERATOR,
        "status:read": _granted("operator", "auditor"),
        "policy:read": _ANYONE,
    }
)


class NotPermitted(Forbidden):
    """None of the caller's roles allows this here; names the roles that would."""

    def __init__(self, permission: str, roles: list[str]) -> None:
        super().__init__(permission=permission, roles=roles)


class ReadOnlyToken(Forbidden):
    """The caller's token is for reading only."""

    def __init__(self, permission: str) -> None:
        super().__init__(permission=permission, scope="read", needed="write")


@dataclass(frozen=True, kw_only=True)
class Caller(Actor):
    """A person, or the platform itself, with the roles that count for this call."""

    memberships: frozenset[tuple[str, str]] = frozenset()  # (department id, role)
    platform_role: str | None = None
    scope: Scope = "write"

    def may(self, permission: str, department: Department | None = None) -> bool:
        """Whether a role of the caller allows it on what belongs to `department`, or platform-wide where None."""
        granted = PERMISSIONS[permission]
        if self.scope == "read" and not is_reading(permission):
            return False
        if granted.anyone or self.platform_role in granted.everywhere or self.platform_role == AUTOMATIC:
            return True
        return department is not None and any(
            role in granted.within and place in department.path for place, role in self.memberships
        )

    def may_somewhere(self, permission: str) -> bool:
        """Whether a role of the caller allows it, be it on what belongs to some departments only."""
        within = PERMISSIONS[permission].within
        return self.may(permission) or (self.scope == "write" and any(role in within for _, role in self.memberships))

    def must(self, permission: str, department: Department | None = None) -> None:
        """Go on only if the caller may.

        Raises:
            ReadOnlyToken: the permission changes something and the token is for reading.
            NotPermitted: no role of the caller has the permission for that department.
        """
        if self.scope == "read" and not is_reading(permission):
            raise ReadOnlyToken(permission)
        if not self.may(permission, department):
            raise NotPermitted(permission, PERMISSIONS[permission].roles)

    @property
    def sees_everything(self) -> bool:
        return self.platform_role not in (None, *ROBOT_ROLES)

    @property
    def departments(self) -> list[str]:
        """Ids of the departments the caller is a member of, in alphabetical order."""
        return sorted({department for department, _ in self.memberships})


POLICY = Caller(id="policy", name="policy", platform_role=AUTOMATIC)
"""Decides what published rules decide without a human."""

SYSTEM = Caller(id="system", name="system", platform_role=AUTOMATIC)
"""Does the periodic work, and what is done on the server itself."""


def is_reading(permission: str) -> bool:
    """Whether it changes nothing, so that a token for reading may use it."""
    return permission.partition(":")[2] in _READING


def sees(caller: Caller) -> ColumnElement[bool]:
    """Which departments the caller can see, as a condition on `Department`: their own and all below, or every one.

    Everything that belongs to a department is seen by those who see the department, and by nobody else.
    """
    if caller.sees_everything:
        return true()
    return covered_by(caller.departments)


def covered_by(departments: Iterable[str]) -> ColumnElement[bool]:
    """The condition on `Department` of being one of these (by id) or below one."""
    return Department.path.bool_op("&&")(list(departments))

"""Quotas: what a department may have, seen with every ancestor that limits it too, and set by hand only for a root."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from cloudctl.kernel import audit, events
from cloudctl.kernel.errors import Conflict, all_or_none
from tenancy import departments, ledger, resources
from tenancy.callers import Caller
from tenancy.ledger import Balance
from tenancy.models import Department


class NotARoot(Conflict):
    """Only a root's quota is set by hand; below it a department asks its parent by a request."""

    def __init__(self, department: str) -> None:
        super().__init__(department=department)


@dataclass(frozen=True)
class Quota:
    """What one department, with all below it, may have: resource class -> balance, in the unit of the class."""

    department: Department
    balances: dict[str, Balance]


def chain_of(session: Session, caller: Caller, department: str) -> list[Quota]:
    """The quota of the department (id or code), then of each ancestor up to the root: a claim counts in all of them.

    Raises:
        NoSuchDepartment: the caller cannot see it.
    """
    found = departments.seen_by(session, caller, department)
    caller.must("quota:read", found)
    units = {unit.id: unit for unit in session.scalars(select(Department).where(Department.id.in_(found.path)))}
    balances = ledger.balances(session, found.path)
    return [Quota(units[id], balances[id]) for id in reversed(found.path)]


def set_limits(session: Session, caller: Caller, department: str, limits: Mapping[str, int]) -> list[Quota]:
    """Say how much of each named class a root, with all below it, may have; the other classes stay as they are.

    Raises:
        NoSuchDepartment: the caller cannot see it.
        NotPermitted: the caller may not set quotas.
        NotARoot: it has a parent to ask.
        UnknownResource, BadAmount: Several where more than one is wrong.
        LimitBelowUse, ChildOverParent: less than what is held and used, or than what a child may have.
    """
    found = departments.seen_by(session, caller, department, lock=True)
    caller.must("quota:set", found)
    if found.parent_id:
        raise NotARoot(found.code)
    all_or_none(resources.amount_problems(limits, "limits", least=0))
    for resource, limit in limits.items():
        ledger.set_limit(session, found.id, resource, limit)
    audit.record(session, caller, "quota:set", found.id, department=found.id, limits=dict(limits))
    events.record(session, found.id, "quota-set", caller.id, limits=dict(limits))
    return chain_of(session, caller, found.id)

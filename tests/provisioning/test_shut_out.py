"""What an operator took away a clerk does not get back by a detour; what is protected or given back stays so."""

import pytest
from sqlalchemy.orm import Session

from cloudctl.kernel.lifecycle import NotAllowed
from cloudctl.kernel.operations import Operation
from provisioning import orders
from provisioning.operations import QUARANTINE, RESTORE, RESUME, SUSPEND
from tenancy import tenancies
from tenancy.callers import Caller, NotPermitted
from tests.world import World


@pytest.fixture
def world(on_cluster: World) -> World:
    on_cluster.add_pool()
    return on_cluster


def order(world: World, by: Caller, operation: Operation, tenancy: str) -> str:
    """Have it done; the state of the tenancy then."""
    with Session(world.engine) as session, session.begin():
        orders.start(session, by, operation, tenancy, "because")
    world.walk()
    return world.tenancy(tenancy).state


def test_a_clerk_does_not_come_back_in_by_returning_and_restoring(world: World) -> None:
    tenancy = world.create({"vcpu": 1})
    order(world, world.operator, SUSPEND, tenancy)
    world.submit({"kind": "return", "tenancy": tenancy})
    world.walk()
    with pytest.raises(NotPermitted):
        order(world, world.clerk, RESTORE, tenancy)
    assert order(world, world.operator, RESTORE, tenancy) == "active"


def test_a_clerk_does_not_restore_what_an_operator_quarantined(world: World) -> None:
    tenancy = world.create({"vcpu": 1})
    order(world, world.operator, QUARANTINE, tenancy)
    with pytest.raises(NotPermitted):
        order(world, world.clerk, RESTORE, tenancy)


def test_a_clerk_restores_what_the_department_returned_though_it_was_suspended_once(world: World) -> None:
    tenancy = world.create({"vcpu": 1})
    order(world, world.operator, SUSPEND, tenancy)
    order(world, world.operator, RESUME, tenancy)
    world.submit({"kind": "return", "tenancy": tenancy})
    world.walk()
    assert order(world, world.clerk, RESTORE, tenancy) == "active"


def test_what_is_given_back_is_not_protected_from_being_erased(world: World) -> None:
    tenancy = world.create({"vcpu": 1})
    world.submit({"kind": "return", "tenancy": tenancy})
    world.walk()
    with Session(world.engine) as session, pytest.raises(NotAllowed):
        tenancies.protect(session, world.clerk, tenancy, True)


def test_protection_that_comes_before_the_return_has_begun_holds(world: World) -> None:
    tenancy = world.create({"vcpu": 1})
    request = world.submit({"kind": "return", "tenancy": tenancy})
    with Session(world.engine) as session, session.begin():
        tenancies.protect(session, world.clerk, tenancy, True)
    world.walk()
    assert (world.tenancy(tenancy).state, world.request(request).state) == ("active", "finished")
    assert world.differences() == []

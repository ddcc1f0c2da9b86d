"""Terms are enforced: a reminder, suspension at the end, quarantine after the grace, erasure at last."""

from datetime import timedelta

import pytest
from sqlalchemy.orm import Session

from cloudctl.kernel import audit, clock, events
from provisioning import terms
from tenancy import tenancies
from tests.world import World


@pytest.fixture
def world(on_cluster: World) -> World:
    on_cluster.add_pool()
    return on_cluster


def pass_time(world: World, days: float) -> str:
    """What the platform does by itself when it looks again after so many days; the tenancy's state then."""
    with clock.at(clock.now() + timedelta(days=days)):
        terms.enforce(world.engine, world.settings)
        world.walk()


def test_a_term_runs_through_all_its_stages(world):
    tenancy = world.create({"storage_gib.ssd": 1}, term_days=60)
    states = []
    for days in (29, 31, 61, 74, 76, 90, 92):
        pass_time(world, days)
        states.append(world.tenancy(tenancy).state)
    assert states == ["active", "active", "suspended", "suspended", "quarantined", "quarantined", "erased"]
    assert world.tenancy(tenancy).erasure["verified"] is True
    assert world.balances() == {}


def test_the_owner_is_reminded_once_a_month_ahead(world):
    tenancy = world.create({"vcpu": 1}, term_days=60)
    for days in (29, 31, 32):
        pass_time(world, days)
    with Session(world.engine) as session:
        told = [event.slug for event in events.after(session, [tenancy])]
    assert told.count("term-ending") == 1


def test_delete_protection_keeps_what_is_overdue(world):
    tenancy = world.create({"vcpu": 1}, term_days=60, protected=True)
    for days in (61, 100, 400):
        pass_time(world, days)
    assert world.tenancy(tenancy).state == "suspended"


def test_an_extension_moves_the_end(world):
    tenancy = world.create({"vcpu": 1}, term_days=60)
    request = world.submit({"kind": "extend", "tenancy": tenancy, "days": 30})
    world.approve(request)
    pass_time(world, 61)
    assert world.tenancy(tenancy).state == "active"
    pass_time(world, 91)
    assert world.tenancy(tenancy).state == "suspended"


def test_what_is_restored_after_its_term_has_its_grace_again(world):
    tenancy = world.create({"vcpu": 1}, term_days=60)
    for days in (61, 76):
        pass_time(world, days)
    with clock.at(clock.now() + timedelta(days=80)):
        world.promise("tenancy.restore", tenancy)
        world.walk()
    states = []
    for days in (80.1, 80.2, 93, 95):
        pass_time(world, days)
        states.append(world.tenancy(tenancy).state)
    assert states == ["suspended", "suspended", "suspended", "quarantined"]


def test_the_record_says_why_something_was_erased_before_the_end_of_its_term(world):
    tenancy = world.create({"vcpu": 1}, term_days=600)
    world.submit({"kind": "return", "tenancy": tenancy})
    world.walk()
    ends = world.tenancy(tenancy).erase_at
    pass_time(world, 20)
    with Session(world.engine) as session:
        reasons = {entry.reason for entry in audit.entries(session, object=tenancy, action="tenancy:erase")}
    assert reasons == {f"quarantine ended {ends:%Y-%m-%d}"}


def test_a_tenancy_that_breaks_holds_up_no_other(world):
    poison, fine = world.create({"vcpu": 1}, "poison", term_days=1), world.create({"vcpu": 1}, "fine", term_days=1)
    with Session(world.engine) as session, session.begin():
        tenancies.get(session, poison).state = "nonsense"
    pass_time(world, 2)
    assert world.tenancy(fine).state == "suspended"

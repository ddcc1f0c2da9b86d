"""Servers are drained, opened again and retired; whoever lives there keeps them, and nothing of ours is left."""

import pytest
from sqlalchemy.orm import Session

from cloudctl.kernel.lifecycle import NotAllowed
from provisioning import placement, pool_servers
from provisioning.placement import Demand
from tenancy import tenancies
from tests.provisioning.fleet import Fleet, limits

SMALL = Demand({"vcpu": 1, "memory_gib": 1}, ("amd64",), "extranet", 2)


def test_a_drained_server_takes_nobody_new_and_an_opened_one_does(fleet: Fleet, server_with) -> None:
    server = fleet.enrolled(server_with("x86"))
    with Session(fleet.world.engine) as session:
        (verdict,) = placement.explain(session, SMALL)
        assert (verdict.fits, verdict.compute) == (True, server.facts["compute"]["factor"])
    fleet.order(pool_servers.drain, server)
    with Session(fleet.world.engine) as session:
        assert not placement.fits(session, SMALL)
    fleet.order(pool_servers.reopen, server)
    with Session(fleet.world.engine) as session:
        assert placement.fits(session, SMALL)
    with pytest.raises(NotAllowed):
        fleet.enroll(server_with("x86"))
    fleet.order(pool_servers.retire, server, "test")
    fleet.walk(server)


def test_a_server_with_tenancies_is_not_retired_and_tells_how_many(fleet: Fleet, server_with) -> None:
    server = fleet.enrolled(server_with("x86"))
    with Session(fleet.world.engine) as session, session.begin():
        tenancy = _tenancy_on(session, fleet, server)
    with pytest.raises(pool_servers.TenanciesThere) as refused:
        fleet.order(pool_servers.retire, server, "old")
    assert refused.value.figures == {"server": server.name, "count": 1}
    assert fleet.server(server).state == "open"
    with Session(fleet.world.engine) as session, session.begin():
        placement.give_back(session, tenancy)
        tenancies.advance(session, tenancies.get(session, tenancy), "fail", fleet.world.operator)
    fleet.order(pool_servers.retire, server, "old")
    assert fleet.walk(server).state == "done"
    retired = fleet.server(server)
    assert (retired.state, retired.inventory, limits(fleet, fleet.pool("x86"))) == ("retired", {}, {})


def _tenancy_on(session: Session, fleet: Fleet, server) -> str:
    ordered = tenancies.Ordered(
        id="ten_00000000000000000000000000",
        name="web",
        size=dict(SMALL.size),
        architectures=["amd64"],
        zone="extranet",
        level=2,
        keys=[],
        term_days=30,
        protected=False,
    )
    made = tenancies.create(session, fleet.world.project, ordered)
    tenancies.advance(session, made, "place", fleet.world.operator)
    placed = placement.place(session, made.id, SMALL)
    made.pool_id, made.server_id = placed.pool_id, placed.server_id
    assert made.server_id == server.id
    return made.id


def test_capacity_that_somebody_holds_keeps_a_server_whatever_our_lists_say(fleet: Fleet, server_with) -> None:
    """A placement that slips in after the order: the ledger refuses, and the server stays, drained."""
    server = fleet.enrolled(server_with("x86"))
    with Session(fleet.world.engine) as session, session.begin():
        placement.place(session, "ten_late", SMALL)
    fleet.order(pool_servers.retire, server, "old")
    ended = fleet.walk(server)
    assert (ended.state, ended.reason["slug"]) == ("undone", "limit-below-use")
    assert (fleet.server(server).state, fleet.server(server).inventory) == ("draining", server.inventory)
    with Session(fleet.world.engine) as session, session.begin():
        placement.give_back(session, "ten_late")
    fleet.order(pool_servers.retire, server, "old")
    assert fleet.walk(server).state == "done"


def test_shares_that_lie_on_a_server_keep_the_role_from_taking_it_back(fleet: Fleet, fresh) -> None:
    server = fleet.enrolled(fresh)
    fresh.run("mkdir", "/var/lib/cloudctl/ten_1")
    fleet.order(pool_servers.retire, server, "old")
    ended = fleet.walk(server)
    assert (ended.state, ended.reason["slug"]) == ("undone", "tenancies-remain")
    assert limits(fleet, server.id) == server.inventory
    assert fresh.run("systemctl", "is-active", "cloudctl.slice").strip() == "active"


def test_a_server_that_is_gone_for_good_is_forgotten_without_being_reached(fleet: Fleet, fresh) -> None:
    server = fleet.enrolled(fresh)
    fresh.cut_power()
    fleet.order(pool_servers.retire, server, "burnt", gone=True)
    assert fleet.walk(server).state == "done"
    assert (fleet.server(server).state, limits(fleet, fleet.pool("x86"))) == ("retired", {})

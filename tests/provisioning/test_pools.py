"""Pools and servers: what they can give, and what is refused of them."""

import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudctl.kernel.errors import Outdated, Several
from provisioning import capacity, chips, drivers, pool_servers, pools
from provisioning.servers import ServersDriver
from tenancy import ledger
from tenancy.callers import Caller, NotPermitted
from tenancy.ledger import Balance

OPERATOR = Caller(id="usr_operator", name="operator", platform_role="operator")
CLERK = Caller(id="usr_clerk", name="clerk")
KIND = {
    "provider": "here",
    "connection": {"connection": "local"},
    "zone": "extranet",
    "architecture": "loong64",
    "abi": "2.0",
    "cpu_family": "3C5000",
    "level": 3,
}
MACHINE = {"vcpu": 8, "memory_gib": 16}


@pytest.fixture(autouse=True)
def _known_drivers(monkeypatch, tmp_path):
    for name in ("servers", "cloud"):
        monkeypatch.setitem(drivers.DRIVERS, name, ServersDriver(tmp_path))


def add(session, name="a", driver="servers", **other):
    return pools.add(session, OPERATOR, name=name, driver=driver, **{**KIND, **other})


def limits(session, owner):
    return {resource: balance.limit for resource, balance in ledger.balances(session, [owner])[owner].items()}


def test_a_pool_gives_its_inventory_times_overcommit_less_its_reserve(session):
    overcommit, reserve = {"vcpu": 2.5}, {"vcpu": 3, "memory_gib": 100}
    pool = add(session, driver="cloud", inventory={"vcpu": 9, "memory_gib": 64}, overcommit=overcommit, reserve=reserve)
    assert limits(session, pool.id) == {"vcpu": 19, "memory_gib": 0}


def test_a_pool_of_servers_has_what_its_servers_have(session):
    pool = add(session, overcommit={"vcpu": 1.5}, reserve={"vcpu": 4})
    one = pool_servers.add(session, OPERATOR, "a", name="s1", address="10.0.0.1", inventory=MACHINE)
    two = pool_servers.add(session, OPERATOR, pool.id, name="s2", address="10.0.0.2", inventory={"vcpu": 3})
    assert (limits(session, one.id), limits(session, two.id)) == ({"vcpu": 12, "memory_gib": 16}, {"vcpu": 4})
    assert limits(session, pool.id) == {"vcpu": 12, "memory_gib": 16}
    pools.update(session, OPERATOR, "a", overcommit={}, reserve={})
    assert (limits(session, one.id)["vcpu"], limits(session, pool.id)["vcpu"]) == (8, 11)
    place = pools.place_of(session, pool.id, one.id)
    assert (place.pool, place.server, place.address, place.driver) == ("a", "s1", "10.0.0.1", "servers")


@pytest.mark.parametrize(("field", "found"), [("architecture", "amd64"), ("abi", "1.0")])
def test_a_server_of_another_architecture_or_abi_is_refused(session, field, found):
    add(session)
    with pytest.raises(chips.UnlikeServer) as refused:
        pool_servers.add(session, OPERATOR, "a", name="s1", address="x", inventory=MACHINE, **{field: found})
    assert refused.value.field == field
    assert refused.value.figures == {"server": "s1", "given": found, "pool": "a", "wanted": KIND[field]}


def test_a_server_does_not_shrink_below_what_lives_on_it(session):
    pool = add(session)
    server = pool_servers.add(session, OPERATOR, "a", name="s1", address="x", inventory=MACHINE)
    ledger.hold(session, ledger.Wanted("ten_1", "capacity", [server.id, pool.id], {"vcpu": 6}))
    with pytest.raises(ledger.LimitBelowUse) as refused:
        pool_servers.update(session, OPERATOR, "a", "s1", inventory={"vcpu": 5, "memory_gib": 16})
    figures = {key: refused.value.figures[key] for key in ("owner", "resource", "limit", "held", "used")}
    assert figures == {"owner": server.id, "resource": "vcpu", "limit": 5, "held": 6, "used": 0}


def test_a_class_that_is_gone_from_the_inventory_cannot_be_claimed_any_more(session):
    pool = add(session, driver="cloud", inventory={"vcpu": 9, "gpu": 1})
    pools.update(session, OPERATOR, "a", inventory={"vcpu": 10})
    assert ledger.balances(session, [pool.id])[pool.id] == {"gpu": Balance(0, 0, 0), "vcpu": Balance(10, 0, 0)}


def test_all_that_is_wrong_with_a_pool_is_told_at_once(session):
    wrong = {"level": 5, "reserve": {"ram": 1}, "inventory": {"vcpu": -1}, "overcommit": {"vcpu": 0}}
    with pytest.raises(Several) as refused:
        add(session, name="A!", driver="none", **wrong)
    fields = ["reserve.ram", "inventory.vcpu", "overcommit.vcpu", "name", "driver", "level"]
    assert [problem.field for problem in refused.value.problems] == fields


def test_names_are_taken_once(session):
    add(session)
    with pytest.raises(pools.PoolNameTaken):
        add(session)
    pool_servers.add(session, OPERATOR, "a", name="s1", address="x", inventory=MACHINE)
    with pytest.raises(pool_servers.ServerNameTaken):
        pool_servers.add(session, OPERATOR, "a", name="s1", address="y", inventory=MACHINE)


def test_inventory_is_given_where_it_belongs(session):
    with pytest.raises(pools.InventoryOfServers):
        add(session, inventory=MACHINE)
    add(session, "b", driver="cloud", inventory=MACHINE)
    with pytest.raises(pools.InventoryOfServers):
        pool_servers.add(session, OPERATOR, "b", name="s1", address="x", inventory=MACHINE)


def test_only_operators_change_pools_and_only_the_version_they_saw(session):
    pool = add(session)
    with pytest.raises(NotPermitted):
        pools.update(session, CLERK, "a", state="draining")
    with pytest.raises(Outdated):
        pools.update(session, OPERATOR, "a", version=pool.version + 1, state="draining")
    assert pools.update(session, OPERATOR, "a", version=pool.version, state="draining").state == "draining"
    with pytest.raises(pools.NoSuchPool):
        pools.seen_by(session, OPERATOR, "b")
    assert [one.name for one in pools.listed(session, OPERATOR)] == ["a"]


@given(
    amount=st.integers(0, 10**9),
    factor=st.decimals("0.01", "100", places=2),
    reserve=st.integers(0, 10**9),
)
def test_capacity_is_exact_in_decimals(amount, factor, reserve):
    given = capacity.of({"vcpu": amount}, {"vcpu": float(factor)}, {"vcpu": reserve})
    assert given == {"vcpu": max(0, math.floor(Decimal(amount) * factor) - reserve)}

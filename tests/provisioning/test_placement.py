"""Where tenancies are placed, what is told where they are not, and that nothing is ever placed twice or over."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from cloudctl.kernel import ids
from provisioning import capacity, placement
from provisioning.models import Pool, Server
from provisioning.placement import Demand, NoPoolFits
from tenancy import books, ledger

KIND = {"provider": "here", "connection": {}, "abi": "x86-64", "cpu_family": "any", "overcommit": {}, "reserve": {}}


def demand(zone: str = "extranet", level: int = 2, traits: tuple[str, ...] = (), **size: int) -> Demand:
    return Demand(size or {"vcpu": 4, "memory_gib": 8}, ("amd64",), zone, level, traits)


Amounts = dict[str, int]


def add_pool(
    session: Session, name: str, inventory: Amounts | None = None, servers: list[Amounts] | None = None, **kind: Any
) -> Pool:
    """A pool that is one place with this inventory, or one of these servers."""
    words = {"zone": "extranet", "architecture": "amd64", "level": 3, "traits": [], "state": "open", **KIND, **kind}
    held = inventory if servers is None else capacity.total(servers)
    pool = Pool(id=ids.new("pol"), name=name, driver="cloud" if servers is None else "servers", inventory=held, **words)
    session.add(pool)
    session.flush()
    capacity.offer_pool(session, pool)
    for number, has in enumerate(servers or []):
        server = Server(id=ids.new("srv"), pool_id=pool.id, name=f"{name}-{number}", address="localhost", inventory=has)
        session.add(server)
        session.flush()
        capacity.offer_server(session, pool, server)
    return pool


def test_the_pool_with_least_left_is_taken(session):
    add_pool(session, "large", {"vcpu": 64, "memory_gib": 128})
    snug = add_pool(session, "snug", {"vcpu": 8, "memory_gib": 16})
    assert placement.place(session, "ten_1", demand()).pool_id == snug.id


def test_a_tenancy_that_has_a_place_keeps_it(session):
    first = add_pool(session, "a", {"vcpu": 8, "memory_gib": 16})
    placed = placement.place(session, "ten_1", demand())
    add_pool(session, "b", {"vcpu": 4, "memory_gib": 8})
    assert placement.place(session, "ten_1", demand()) == placed
    assert ledger.balances(session, [first.id])[first.id]["vcpu"] == ledger.Balance(8, 4, 0)


def test_what_is_given_back_can_be_placed_again(session):
    add_pool(session, "a", servers=[{"vcpu": 4, "memory_gib": 8}])
    placed = placement.place(session, "ten_1", demand())
    assert not placement.fits(session, demand())
    placement.give_back(session, "ten_1")
    placement.give_back(session, "ten_1")
    assert placement.place(session, "ten_2", demand()) == placed


def test_one_server_must_have_room_in_all_classes_at_once(session):
    lopsided = [{"vcpu": 8, "memory_gib": 2}, {"vcpu": 2, "memory_gib": 64}]
    pool = add_pool(session, "a", servers=lopsided)
    with pytest.raises(NoPoolFits):
        placement.place(session, "ten_1", demand())
    (verdict,) = placement.explain(session, demand())
    figures = {"size": {"vcpu": 4, "memory_gib": 8}, "servers": 2}
    assert (verdict.pool, verdict.rule, verdict.figures) == (pool, "no-server-with-room", figures)
    assert placement.place(session, "ten_1", demand(vcpu=2, memory_gib=2)).server_id is not None


def test_a_draining_server_takes_nobody(session):
    pool = add_pool(session, "a", servers=[{"vcpu": 8, "memory_gib": 16}])
    session.query(Server).where(Server.pool_id == pool.id).update({"state": "draining"})
    assert not placement.fits(session, demand())


def test_a_tenancy_of_storage_alone_is_placed(session):
    pool = add_pool(session, "a", servers=[{"vcpu": 8, "memory_gib": 16, "storage_gib.hdd": 100}])
    assert placement.place(session, "ten_1", demand(**{"storage_gib.hdd": 100})).pool_id == pool.id


@pytest.mark.parametrize(
    ("kind", "rule", "figures"),
    [
        ({"state": "draining"}, "pool-draining", {}),
        ({"zone": "internet"}, "other-zone", {"zone": "internet", "wanted": "extranet"}),
        ({"architecture": "arm64"}, "other-architecture", {"architecture": "arm64", "wanted": ["amd64"]}),
        ({"level": 1}, "level-too-low", {"level": 1, "wanted": 2}),
        ({"traits": ["sm4"]}, "traits-missing", {"missing": ["hsm"]}),
        ({"inventory": {"vcpu": 9}}, "pool-too-small", {"resource": "memory_gib", "wanted": 8, "limit": 0, "free": 0}),
    ],
)
def test_the_explanation_names_the_rule_that_excludes_a_pool(session, kind, rule, figures):
    asked = demand(traits=("hsm", "sm4"))
    add_pool(session, "fits", {"vcpu": 9, "memory_gib": 16}, traits=["hsm", "sm4"])
    add_pool(session, "not", **{"inventory": {"vcpu": 9, "memory_gib": 9}, "traits": ["hsm", "sm4"], **kind})
    fits, excluded = placement.explain(session, asked)
    assert (fits.fits, fits.rule) == (True, None)
    assert (excluded.fits, excluded.rule, excluded.figures) == (False, rule, figures)


def test_a_refusal_tells_the_nearest_size_and_what_excluded_the_pools(session):
    add_pool(session, "a", {"vcpu": 3, "memory_gib": 64})
    add_pool(session, "b", {"vcpu": 1, "memory_gib": 64})
    add_pool(session, "c", {"vcpu": 64, "memory_gib": 64}, zone="internet")
    with pytest.raises(NoPoolFits) as refused:
        placement.place(session, "ten_1", demand())
    nearest = {"vcpu": 3, "memory_gib": 8}
    assert refused.value.figures == {
        "size": {"vcpu": 4, "memory_gib": 8}, "nearest": nearest, "excluded": ["other-zone"]
    }  # fmt: skip
    assert placement.nearest(session, demand(level=4)) is None


def test_what_would_fit_if_it_were_empty_is_told_apart_from_what_never_will(session):
    pool = add_pool(session, "a", servers=[{"vcpu": 4, "memory_gib": 8}, {"vcpu": 4, "memory_gib": 8}])
    placed = placement.place(session, "ten_1", demand())
    placement.place(session, "ten_2", demand())
    assert placement.ever_fits(session, demand()) == {pool.id}
    assert placement.ever_fits(session, demand(vcpu=5)) == set()
    assert placement.could_ever_grow(session, *placed.owners[::-1], {"vcpu": 4})
    assert not placement.could_ever_grow(session, *placed.owners[::-1], {"vcpu": 8})
    with pytest.raises(NoPoolFits):
        placement.place(session, "ten_3", demand())


def test_pools_that_others_wait_for_are_left_alone(session):
    pool = add_pool(session, "a", {"vcpu": 8, "memory_gib": 16})
    with pytest.raises(NoPoolFits):
        placement.place(session, "ten_1", demand(), without={pool.id})


def test_sixteen_at_once_fill_the_pools_exactly(engine: Engine):
    with Session(engine) as session, session.begin():
        add_pool(session, "a", servers=[{"vcpu": 8, "memory_gib": 16}, {"vcpu": 4, "memory_gib": 8}])
        add_pool(session, "b", {"vcpu": 28, "memory_gib": 56})

    def place(number: int) -> str | None:
        with Session(engine) as session, session.begin():
            try:
                return placement.place(session, f"ten_{number % 14}", demand()).pool_id
            except NoPoolFits:
                return None

    with ThreadPoolExecutor(16) as threads:
        placed = list(threads.map(place, range(28)))  # every tenancy twice: the second time it is where it was
    with Session(engine) as session:
        assert placed.count(None) == 8  # 10 of 14 fit, and 4 are refused twice
        assert books.differences(session) == []


sizes = st.fixed_dictionaries({"vcpu": st.integers(1, 6), "memory_gib": st.integers(1, 6)})
shelves = st.lists(st.lists(sizes, min_size=1, max_size=3), min_size=1, max_size=3)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pools=shelves, asked=st.lists(sizes, min_size=1, max_size=8))
def test_placement_agrees_with_looking_at_every_server(engine: Engine, pools, asked):
    with Session(engine) as session:
        free: dict[str, dict[str, int]] = {}
        for number, servers in enumerate(pools):
            pool = add_pool(session, f"p{number}", servers=servers)
            for server in session.query(Server).where(Server.pool_id == pool.id):
                free[server.id] = dict(server.inventory)
        for number, size in enumerate(asked):
            room = [one for one, has in free.items() if all(has[each] >= amount for each, amount in size.items())]
            wanted = demand(**size)
            assert placement.fits(session, wanted) == bool(room)
            assert any(verdict.fits for verdict in placement.explain(session, wanted)) == bool(room)
            if room:
                placed = placement.place(session, f"ten_{number}", wanted)
                assert placed.server_id in room
                free[placed.server_id] = {each: has - size[each] for each, has in free[placed.server_id].items()}
            elif nearest := placement.nearest(session, wanted):
                assert all(nearest[each] <= amount for each, amount in size.items())
                assert nearest != size
                assert placement.fits(session, demand(**nearest))
        session.rollback()

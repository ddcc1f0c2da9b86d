"""Every route with every role: who may, who may not, who may not even know; and what changes something is audited."""

import pytest

from tests.api.cases import CASES, OWNED, perform, routes_of
from tests.api.conftest import Rehearsal
from tests.api.world import ROLES

CHANGING = [name for name, case in CASES.items() if not name.startswith("GET ") and not case.looks]
FOREIGN_PATHS = [name for name in CASES if name.partition("{")[2].partition("}")[0] in OWNED]
FOREIGN_QUERIES = [name for name, case in CASES.items() if case.query]


def test_every_route_is_listed_and_every_listed_route_exists(rehearsal: Rehearsal) -> None:
    with rehearsal() as world:
        assert set(routes_of(world)) == set(CASES)


@pytest.mark.parametrize("name", CASES)
def test_each_role_gets_what_the_table_says(rehearsal: Rehearsal, name: str) -> None:
    found = {}
    for role in ROLES:
        with rehearsal() as world:
            found[role] = perform(world, role, name, world.a).status_code
    assert found == dict(zip(ROLES, map(int, CASES[name].statuses.split()), strict=True))


@pytest.mark.parametrize("name", CASES)
def test_nobody_gets_in_without_a_token(rehearsal: Rehearsal, name: str) -> None:
    with rehearsal() as world:
        answer = perform(world, None, name, world.a)
        assert answer.status_code == (200 if name == "GET /healthz" else 401), answer.text


@pytest.mark.parametrize("name", CHANGING)
def test_what_changes_something_is_audited_once_it_is_done(rehearsal: Rehearsal, name: str) -> None:
    doers = [role for role, status in zip(ROLES, CASES[name].statuses.split(), strict=True) if status < "300"]
    assert doers, "somebody must be able to do it"
    for role in doers:
        with rehearsal() as world:
            before = world.entries()
            perform(world, role, name, world.a)
            assert world.entries() > before, role


@pytest.mark.parametrize("name", CHANGING)
def test_a_refusal_is_audited_too(rehearsal: Rehearsal, name: str) -> None:
    with rehearsal() as world:
        before = world.entries()
        assert perform(world, "reader", name, world.a).status_code in (403, 404)
        assert world.entries() == before + 1


@pytest.mark.parametrize("role", ["clerk", "approver"])
@pytest.mark.parametrize("name", FOREIGN_PATHS)
def test_what_belongs_to_b_does_not_exist_for_a(rehearsal: Rehearsal, name: str, role: str) -> None:
    with rehearsal() as world:
        assert perform(world, role, name, world.b).status_code == 404


@pytest.mark.parametrize("role", ["clerk", "approver"])
@pytest.mark.parametrize("name", FOREIGN_QUERIES)
def test_what_belongs_to_b_cannot_be_asked_for_by_a(rehearsal: Rehearsal, name: str, role: str) -> None:
    with rehearsal() as world:
        answer = perform(world, role, name, world.b)
        assert answer.status_code == 404 or answer.json()["items"] == []


@pytest.mark.parametrize("role", ["clerk", "approver"])
@pytest.mark.parametrize("noun", [*OWNED, "user"])
def test_events_of_b_are_not_for_a(rehearsal: Rehearsal, noun: str, role: str) -> None:
    with rehearsal() as world:
        mine = world.call(role, "GET", "/v1/events", params={"subject": world.a[noun]})
        theirs = world.call(role, "GET", "/v1/events", params={"subject": world.b[noun]})
        assert (mine.status_code, theirs.status_code) == (200, 404)


def test_lists_show_a_nothing_of_b(rehearsal: Rehearsal) -> None:
    with rehearsal() as world:
        foreign = {id for noun, id in world.b.items() if id not in world.a.values()}
        for name in (
            "departments",
            "projects",
            "users",
            "tokens",
            "requests",
            "tenancies",
            "operations",
            "targets",
            "campaigns",
            "runs",
        ):
            shown = world.call("clerk", "GET", f"/v1/{name}").text
            assert [id for id in foreign if id in shown] == [], name

"""Lists: each can be read to its end part by part, and nothing is left out or told twice."""

from typing import Any

import pytest
from fastapi.routing import APIRoute

from cloudctl.api.application import NOUNS
from tests.api.cases import perform
from tests.api.conftest import Rehearsal
from tests.api.world import ROLES, World

LISTS = [
    f"GET {route.path}"
    for noun in NOUNS
    for route in noun.routes.routes
    if isinstance(route, APIRoute) and "after" in [one.alias for one in route.dependant.query_params]
]

WIDER = {"GET /v1/departments": {"below": "522300"}, "GET /v1/projects": {"department": "522300"}}
"""Where the case asks for a list of one."""


def read(world: World, role: str, name: str, **query: Any) -> dict[str, Any]:
    answer = perform(world, role, name, world.a, **WIDER.get(name, {}), **query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def is_long(world: World, role: str, name: str) -> bool:
    """Whether the list has a second part for this role."""
    answer = perform(world, role, name, world.a, **WIDER.get(name, {}), limit=1)
    return answer.status_code == 200 and answer.json()["next"] is not None


def test_the_lists_are_found() -> None:
    assert {"GET /v1/audit", "GET /v1/events", "GET /v1/requests"} <= set(LISTS)


@pytest.mark.parametrize("name", LISTS)
def test_a_list_read_in_parts_is_the_whole_list(rehearsal: Rehearsal, name: str) -> None:
    with rehearsal() as world:
        perform(world, "operator", "POST /v1/pools", world.a)
        role = next(role for role in ROLES if is_long(world, role, name))
        part = read(world, role, name, limit=1)
        parts = part["items"]
        while part["next"]:
            part = read(world, role, name, limit=100, after=part["next"])
            parts += part["items"]
        assert len(parts) > 1
        whole = read(world, role, name, limit=200)["items"]
        assert whole[-len(parts) :] == parts  # reading the audit log has added to its beginning meanwhile


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("cursor", ["x", "IjUyMjMwMSI=x", "A" * 401, "LTE", "bnVsbA", "W10"])
def test_a_cursor_that_no_list_gave_out_is_told(rehearsal: Rehearsal, name: str, cursor: str) -> None:
    with rehearsal() as world:
        role = next(role for role in ROLES if perform(world, role, name, world.a).status_code == 200)
        refused = perform(world, role, name, world.a, after=cursor)
        assert (refused.status_code, refused.json()["field"]) == (422, "after")

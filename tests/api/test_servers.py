"""Servers over HTTP: what operators promise is an operation that platform people alone see."""

from collections.abc import Iterator

import pytest

from tests.api.conftest import Rehearsal
from tests.api.world import KEY, World


@pytest.fixture
def api(rehearsal: Rehearsal) -> Iterator[World]:
    """The shared world; what a test does in it is taken back."""
    with rehearsal() as world:
        yield world


def enroll(api: World, **other: str) -> dict[str, object]:
    body = {"pool": "remote", "name": "node-08", "address": "10.0.0.8", "host_key": KEY, **other}
    answer = api.call("operator", "POST", "/v1/servers", json=body)
    return {"status": answer.status_code, **answer.json()}


def test_an_enrolment_is_seen_by_whoever_sees_the_platform_and_by_nobody_else(api: World) -> None:
    server = enroll(api)
    assert (server["status"], server["state"], server["inventory"]) == (202, "enrolling", {})
    operation = server["operation"]["id"]  # type: ignore[index]
    for path in (
        f"/v1/operations/{operation}",
        f"/v1/events?subject={operation}",
        f"/v1/events?subject={server['id']}",
    ):
        found = {
            role: api.call(role, "GET", path).status_code for role in ("operator", "auditor", "clerk", "authority")
        }
        assert found == {"operator": 200, "auditor": 200, "clerk": 404, "authority": 404}, path
    assert operation not in api.call("authority", "GET", "/v1/operations").text


def test_an_enrolment_that_nobody_wants_any_more_is_cancelled_by_operators(api: World) -> None:
    operation = enroll(api)["operation"]["id"]  # type: ignore[index]
    because = {"reason": "the wrong one"}
    assert api.call("clerk", "POST", f"/v1/operations/{operation}/cancel", json=because).status_code == 404
    assert api.call("auditor", "POST", f"/v1/operations/{operation}/cancel", json=because).status_code == 403
    assert api.call("operator", "POST", f"/v1/operations/{operation}/cancel", json=because).status_code == 202


@pytest.mark.parametrize(
    ("change", "slug"),
    [
        ({"host_key": "ssh-ed25519 AAAA"}, "bad-host-key"),
        ({"address": "-oProxyCommand=x"}, "bad-pool-field"),
        ({"name": "Node 8"}, "bad-pool-field"),
        ({"pool": "local"}, "no-way-in"),
        ({"pool": "nowhere"}, "no-such-pool"),
        ({"address": "10.0.0.7"}, "address-taken"),
        ({"name": "node-07", "address": "10.0.0.7"}, "not-allowed"),
    ],
)
def test_what_cannot_be_enrolled_is_told(api: World, change: dict[str, str], slug: str) -> None:
    assert enroll(api, **change)["slug"] == slug


def test_retiring_needs_a_reason(api: World) -> None:
    answer = api.call("operator", "POST", f"/v1/servers/{api.a['server']}/retire", json={"reason": " "})
    assert (answer.status_code, answer.json()["slug"]) == (409, "reason-required")


def test_servers_are_listed_by_pool_and_state(api: World) -> None:
    enroll(api)
    found = api.call("auditor", "GET", "/v1/servers", params={"pool": "remote"}).json()["items"]
    assert [(one["name"], one["state"]) for one in found] == [("node-07", "draining"), ("node-08", "enrolling")]
    found = api.call("auditor", "GET", "/v1/servers", params={"state": "enrolling"}).json()["items"]
    assert [one["name"] for one in found] == ["node-08"]

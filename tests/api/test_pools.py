"""Pools over HTTP: entered, changed and shown by operators, their secrets never."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from cloudctl.kernel import messages
from cloudctl.kernel.events import Event
from provisioning import pools
from tests.api.conftest import Rehearsal
from tests.api.world import PLENTY, World


@pytest.fixture
def api(rehearsal: Rehearsal) -> Iterator[World]:
    """The shared world; what a test does in it is taken back."""
    with rehearsal() as world:
        yield world


def pool(**other: Any) -> dict[str, Any]:
    usual = {
        "name": "kunpeng-1",
        "provider": "云上贵州",
        "driver": "servers",
        "connection": {"connection": "local", "folder": "/var/lib/kunpeng"},
        "zone": "extranet",
        "architecture": "arm64",
        "abi": "aapcs64",
        "cpu_family": "Kunpeng-920",
        "level": 3,
    }
    return {**usual, **other}


def test_a_pool_is_entered_and_its_servers_give_it_capacity(api: World) -> None:
    made = api.call("operator", "POST", "/v1/pools", json=pool(overcommit={"vcpu": 2.0}, reserve={"vcpu": 8}))
    assert made.status_code == 201, made.text
    server = {"name": "node-1", "address": "10.0.0.7", "inventory": {"vcpu": 64, "memory_gib": 256}}
    entered = api.call("operator", "POST", "/v1/pools/kunpeng-1/servers", json=server)
    assert (entered.status_code, entered.json()["capacity"]["memory_gib"]["limit"]) == (201, 256)
    told = api.call("auditor", "GET", "/v1/pools/kunpeng-1").json()
    assert (told["inventory"], told["capacity"]["vcpu"]) == (
        {"vcpu": 64, "memory_gib": 256},
        {"limit": 120, "held": 0, "used": 0, "free": 120},
    )
    listed = api.call("operator", "GET", "/v1/pools/kunpeng-1/servers").json()["items"]
    assert [(one["name"], one["state"]) for one in listed] == [("node-1", "open")]


def test_a_connection_is_shown_but_not_where_its_secrets_are(api: World) -> None:
    connection = {"token": "file:/run/secret", "folder": "/var/lib/x", "classes": {"ssd": "fast", "key": "env:KEY"}}
    made = api.call("operator", "POST", "/v1/pools", json=pool(connection=connection))
    shown = {"token": "file:…", "folder": "/var/lib/x", "classes": {"ssd": "fast", "key": "env:…"}}
    assert made.json()["connection"] == shown
    assert "/run/secret" not in made.text + api.call("operator", "GET", "/v1/pools").text


def test_a_change_needs_the_version_and_leaves_the_rest(api: World) -> None:
    seen = api.call("operator", "GET", "/v1/pools/local")
    headers = {"If-Match": seen.headers["etag"]}
    changed = api.call("operator", "PATCH", "/v1/pools/local", json={"state": "draining"}, headers=headers)
    assert (changed.status_code, changed.json()["state"]) == (200, "draining")
    assert changed.json()["provider"] == seen.json()["provider"]
    again = api.call("operator", "PATCH", "/v1/pools/local", json={"state": "open"}, headers=headers)
    assert (again.status_code, again.json()["slug"]) == (412, "outdated")
    blind = api.call("operator", "PATCH", "/v1/pools/local", json={"state": "open"})
    assert blind.status_code == 428


def test_a_server_is_changed_by_its_name(api: World) -> None:
    changed = api.call("operator", "PATCH", "/v1/pools/local/servers/here", json={"address": "here"})
    assert (changed.status_code, changed.json()["address"], changed.json()["inventory"]) == (200, "here", PLENTY)
    unknown = api.call("operator", "PATCH", "/v1/pools/local/servers/nowhere", json={"address": "here"})
    assert (unknown.status_code, unknown.json()["slug"]) == (404, "no-such-server")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": "Not A Name"}, "name"),
        ({"driver": "magic"}, "driver"),
        ({"level": 9}, "level"),
        ({"level": "three"}, "level"),
        ({"reserve": {"vcpu": -1}}, "reserve.vcpu"),
        ({"reserve": {"warp": 1}}, "reserve.warp"),
        ({"overcommit": {"vcpu": 0}}, "overcommit.vcpu"),
        ({"overcommit": {"vcpu": 1000}}, "overcommit.vcpu"),
        ({"provider": ""}, "provider"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_bad_field_of_a_pool_is_told(api: World, change: dict[str, Any], field: str) -> None:
    refused = api.call("operator", "POST", "/v1/pools", json=pool(**change))
    assert (refused.status_code, refused.json()["field"]) == (422, field), refused.text
    assert refused.json()["detail"]


def test_a_department_does_not_look_at_pools(api: World) -> None:
    refused = api.call("clerk", "GET", "/v1/pools")
    assert (refused.status_code, refused.json()["figures"]["roles"]) == (403, ["auditor", "operator"])


def find(api: World, **condition: Any) -> None:
    """What reconciling would have found of the pool."""
    with Session(api.platform.engine) as session:
        session.execute(update(pools.Pool).where(pools.Pool.name == "local").values(condition=condition))
        session.commit()


AWAY = {"here": {"slug": "unreachable", "figures": {"message": "no route to host"}}}


def _of(verdicts: list[Any]) -> Any:
    """What is said of the pool `local`."""
    return next(one for one in verdicts if one["pool"] == "local")


def test_why_a_place_does_not_answer_is_told_where_it_matters(api: World) -> None:
    find(api, unreachable=AWAY)
    (away,) = api.call("operator", "GET", "/v1/pools/local").json()["condition"]["unreachable"]
    assert away["place"] == "here"
    assert "no route to host" in away["because"]["sentence"]
    asked = {"size": {"vcpu": 1}, "architectures": ["amd64"]}
    told = _of(api.call("operator", "POST", "/v1/placement/explain", json=asked).json()["items"])
    assert told["fits"]
    assert told["note"]["slug"] == "pool-not-answering"
    find(api)
    told = _of(api.call("operator", "POST", "/v1/placement/explain", json=asked).json()["items"])
    assert told["note"] is None


@pytest.mark.parametrize("language", ["zh", "en"])
def test_no_event_has_a_hole_in_its_sentence(api: World, language: messages.Language) -> None:
    api.call("operator", "POST", f"/v1/servers/{api.a['server']}/drain", json={"reason": "更换内存"})
    api.call("operator", "POST", "/v1/pools/local/confirm", json={"reason": "rebuilt", "digest": "0123456789abcdef"})
    with Session(api.platform.engine) as session:
        told = [messages.render(one.slug, one.figures, language) for one in session.scalars(select(Event))]
    assert len(told) > 20
    assert [sentence for sentence in told if "…" in sentence] == []

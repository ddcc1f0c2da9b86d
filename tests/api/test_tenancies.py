"""Tenancies over HTTP: what is told of them, what is handed over once, and what operators do."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from tests.api.conftest import Rehearsal
from tests.api.world import SIZE, World


@pytest.fixture
def api(rehearsal: Rehearsal) -> Iterator[World]:
    """The shared world; what a test does in it is taken back."""
    with rehearsal() as world:
        yield world


def path(api: World) -> str:
    return f"/v1/tenancies/{api.a['tenancy']}"


def test_a_tenancy_tells_its_size_owner_and_what_is_under_way(api: World) -> None:
    told = api.call("clerk", "GET", path(api)).json()
    assert (told["id"], told["state"], told["title"], told["size"]) == (api.a["tenancy"], "active", "active", SIZE)
    assert (told["department"]["code"], told["project"]["id"]) == ("522300-A", api.a["project"])
    assert told["access_waits"]
    assert told["operation"] is None
    order = {"reason": "安全事件"}
    started = api.call("operator", "POST", f"{path(api)}/suspend", json=order).json()
    under_way = api.call("clerk", "GET", path(api)).json()["operation"]
    standing = under_way.pop("standing")
    assert under_way == {"id": started["id"], "kind": "tenancy.suspend", "state": "running", "step": "suspend"}
    assert standing["sentence"] == "suspend a tenancy: the platform is at step suspend"


def test_a_department_lists_its_own_tenancies_and_an_operator_all(api: World) -> None:
    own = api.call("clerk", "GET", "/v1/tenancies").json()["items"]
    assert api.a["tenancy"] in [line["id"] for line in own]
    assert {line["department"]["code"] for line in own} == {"522300-A"}
    every = api.call("operator", "GET", "/v1/tenancies?state=active").json()["items"]
    assert {line["id"] for line in every} >= {api.a["tenancy"], api.b["tenancy"]}
    assert {line["state"] for line in every} == {"active"}
    project = api.call("operator", "GET", f"/v1/tenancies?project={api.b['project']}").json()["items"]
    assert api.b["tenancy"] in [line["id"] for line in project]
    assert {line["project"]["id"] for line in project} == {api.b["project"]}
    none = api.call("operator", "GET", "/v1/tenancies?pool=pol_nowhere").json()
    assert (none["items"], none["next"]) == ([], None)


def test_protection_needs_the_version_that_was_seen(api: World) -> None:
    seen = api.call("clerk", "GET", path(api))
    blind = api.call("clerk", "PATCH", path(api), json={"protected": True})
    assert (blind.status_code, blind.json()["slug"]) == (428, "version-missing")
    headers = {"If-Match": seen.headers["etag"]}
    changed = api.call("clerk", "PATCH", path(api), json={"protected": True}, headers=headers)
    assert (changed.status_code, changed.json()["protected"]) == (200, True)
    again = api.call("clerk", "PATCH", path(api), json={"protected": False}, headers=headers)
    assert (again.status_code, again.json()["slug"]) == (412, "outdated")


def test_what_is_protected_is_not_quarantined(api: World) -> None:
    headers = {"If-Match": api.call("clerk", "GET", path(api)).headers["etag"]}
    api.call("clerk", "PATCH", path(api), json={"protected": True}, headers=headers)
    refused = api.call("operator", "POST", f"{path(api)}/quarantine", json={"reason": "欠费"})
    assert (refused.status_code, refused.json()["slug"]) == (409, "protected")


def test_access_is_handed_over_once(api: World) -> None:
    headers = {"Idempotency-Key": "mine"}
    first = api.call("clerk", "POST", f"{path(api)}/access", headers=headers)
    assert (first.status_code, first.json()["how"]) == (200, {"host": "10.0.0.1"})
    replayed = api.call("clerk", "POST", f"{path(api)}/access", headers=headers)
    assert (replayed.status_code, replayed.json()["secret"]) == (200, None)
    second = api.call("clerk", "POST", f"{path(api)}/access")
    assert (second.status_code, second.json()["slug"]) == (409, "access-already-read")


@pytest.mark.parametrize("verb", ["suspend", "quarantine"])
def test_an_operator_starts_an_operation_and_says_why(api: World, verb: str) -> None:
    silent = api.call("operator", "POST", f"{path(api)}/{verb}", json={})
    assert (silent.status_code, silent.json()["slug"], silent.json()["field"]) == (409, "reason-required", "reason")
    started = api.call("operator", "POST", f"{path(api)}/{verb}", json={"reason": "安全事件"})
    assert (started.status_code, started.json()["kind"]) == (202, f"tenancy.{verb}")
    second = api.call("operator", "POST", f"{path(api)}/{verb}", json={"reason": "安全事件"})
    assert (started.json()["state"], second.json()["state"]) == ("running", "queued")  # one at a time


@pytest.mark.parametrize("verb", ["resume", "restore", "erase"])
def test_a_move_that_its_life_does_not_allow_is_refused_with_those_that_are(api: World, verb: str) -> None:
    refused = api.call("operator", "POST", f"{path(api)}/{verb}", json={"reason": "误操作"})
    assert (refused.status_code, refused.json()["slug"]) == (409, "not-allowed")
    assert refused.json()["figures"]["allowed"] == ["end", "resize", "suspend"]


def test_an_address_counts_once_an_operator_has_confirmed_it(api: World) -> None:
    made = api.call("clerk", "POST", f"{path(api)}/endpoints", json={"host": "10.9.9.9", "port": 443})
    assert (made.status_code, made.json()["counts"]) == (201, False)
    confirmed = api.call("operator", "POST", f"{path(api)}/endpoints/{made.json()['id']}/confirm")
    assert confirmed.json()["counts"]
    known = api.call("clerk", "GET", f"{path(api)}/endpoints").json()["items"]
    assert ("10.9.9.9", True) in [(one["host"], one["counts"]) for one in known]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"host": "", "port": 443}, "host"),
        ({"host": "a b"}, "host"),
        ({"host": "10.0.0.1", "port": 0}, "port"),
        ({"host": "10.0.0.1", "port": 65536}, "port"),
        ({"host": "10.0.0.1", "path": "/"}, "path"),
        ({"port": 443}, "host"),
    ],
)
def test_a_bad_address_is_told_with_its_field(api: World, body: dict[str, object], field: str) -> None:
    refused = api.call("clerk", "POST", f"{path(api)}/endpoints", json=body)
    assert (refused.status_code, refused.json()["field"]) == (422, field)


def test_a_department_reads_what_operators_did_to_its_tenancy(api: World) -> None:
    api.call("operator", "POST", f"{path(api)}/suspend", json={"reason": "安全事件"})
    deeds = api.call("clerk", "GET", f"{path(api)}/audit").json()["items"]
    told = [(deed["action"], deed["actor_name"], deed["reason"]) for deed in deeds]
    assert ("tenancy:suspend", "operator", "安全事件") in told


def test_an_operator_is_told_why_pools_fit_or_not(api: World) -> None:
    fits = api.call("operator", "GET", f"{path(api)}/placement").json()["items"]
    told = {one["pool"]: (one["fits"], one["because"] and one["because"]["slug"]) for one in fits}
    assert told == {"local": (True, None), "remote": (False, "other-zone")}
    asked = {"size": {"vcpu": 2}, "architectures": ["arm64"], "zone": "extranet", "level": 2}
    no = api.call("operator", "POST", "/v1/placement/explain", json=asked).json()["items"][0]
    assert (no["fits"], no["because"]["slug"]) == (False, "other-architecture")
    assert "arm64" in no["because"]["sentence"]
    huge = api.call("operator", "POST", "/v1/placement/explain", json={**asked, "size": {"vcpu": 0}})
    assert (huge.status_code, huge.json()["field"]) == (422, "size.vcpu")


def test_evidence_of_use_makes_a_decrease_automatic(api: World) -> None:
    item = {"kind": "resize", "tenancy": api.a["tenancy"], "size": {"vcpu": 1}}
    asked = {"department": "522300-A", "project": api.a["project"], "purpose": "缩容", "items": [item]}
    before = api.call("clerk", "POST", "/v1/requests/preview", json=asked).json()["items"][0]
    assert (before["automatic"], before["hindrances"][0]["slug"]) == (None, "rule-no-evidence")
    measured = {"kind": "usage", "subject": api.a["tenancy"], "value": {"vcpu": 0.5}}
    said = api.call("operator", "POST", "/v1/evidence", json={**measured, "measured_at": "2026-01-05T00:00:00Z"})
    assert (said.status_code, said.json()["slug"]) == (422, "bad-period")
    now = datetime.now(UTC).isoformat()
    said = api.call("operator", "POST", "/v1/evidence", json={**measured, "measured_at": now})
    assert said.status_code == 201, said.text
    after = api.call("clerk", "POST", "/v1/requests/preview", json=asked).json()["items"][0]
    assert (after["automatic"], after["steps"]) == ("decrease-below-use", [])


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"value": {"vcpu": -1}}, "value.vcpu"),
        ({"value": {"warp": 1}}, "value.warp"),
        ({"value": {}}, "value"),
        ({"measured_at": "yesterday"}, "measured_at"),
        ({"measured_at": "2026-01-05T00:00:00"}, "measured_at"),
        ({"kind": "Usage!"}, "kind"),
        ({"expires_at": "2099-01-05T00:00:00Z"}, "measured_at"),
    ],
)
def test_bad_evidence_is_told_with_its_field(api: World, change: dict[str, object], field: str) -> None:
    good = {"kind": "usage", "subject": api.a["tenancy"], "value": {"vcpu": 1}}
    said = {**good, "measured_at": datetime.now(UTC).isoformat(), **change}
    refused = api.call("operator", "POST", "/v1/evidence", json=said)
    assert (refused.status_code, refused.json()["field"]) == (422, field)

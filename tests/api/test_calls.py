"""Calls: who is let in, versions, pages, one transaction each, and what is written down of refusals."""

import base64
import json

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from cloudctl.kernel.audit import AuditEntry
from tests.api.conftest import Rehearsal
from tests.api.world import World


def newest(world: World) -> AuditEntry:
    with Session(world.platform.engine, expire_on_commit=False) as session:
        return session.scalars(select(AuditEntry).order_by(AuditEntry.id.desc()).limit(1)).one()


@pytest.mark.parametrize("shown", ["", "Bearer", "Bearer ", "Basic abc", "bearer cct_x_y", "Bearer \xff", "Bearer a b"])
def test_who_shows_no_token_of_ours_is_not_let_in(rehearsal: Rehearsal, shown: str) -> None:
    with rehearsal() as world:
        answer = world.call(None, "GET", "/v1/me", headers={"Authorization": shown.encode("latin-1")})
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="cloudctl"'


def test_after_five_wrong_secrets_even_the_right_one_waits(api: World) -> None:
    right = api.secrets["clerk"]
    for _ in range(5):
        assert api.call(None, "GET", "/v1/me", headers={"Authorization": f"Bearer {right}x"}).status_code == 401
    answer = api.call("clerk", "GET", "/v1/me")
    assert (answer.status_code, answer.json()["slug"]) == (401, "token-locked")
    entry = newest(api)
    assert (entry.result, entry.reason, entry.address) == ("refused", "token-locked", "testclient")


def test_a_revoked_token_and_a_disabled_person_are_out_at_once(api: World) -> None:
    api.call("security", "DELETE", f"/v1/tokens/{api.a['token']}")
    api.call("security", "POST", f"/v1/users/{api.a['user']}/disable")
    assert api.call("clerk", "GET", "/v1/me").json()["slug"] == "token-of-disabled-user"


def test_logging_in_is_written_down_with_the_address_and_the_call(api: World) -> None:
    answer = api.call("clerk", "GET", "/v1/me")
    entry = newest(api)
    assert (entry.action, entry.result, entry.actor) == ("token:login", "ok", api.a["user"])
    assert (entry.address, entry.request_id) == ("testclient", answer.headers["X-Request-Id"])


def test_a_refusal_is_written_down_though_nothing_else_is(api: World) -> None:
    api.call("clerk", "POST", "/v1/departments", json={"code": "X-1", "name": "x", "name_en": "x"})
    entry = newest(api)
    assert (entry.action, entry.result, entry.reason) == ("department:create", "refused", "not-permitted")


def test_a_change_takes_the_version_that_was_seen(api: World) -> None:
    path = "/v1/departments/522300-A"
    tag = api.call("operator", "GET", path).headers["ETag"]
    missing = api.call("operator", "PATCH", path, json={"name": "甲"})
    right = api.call("operator", "PATCH", path, json={"name": "甲"}, headers={"If-Match": tag})
    late = api.call("operator", "PATCH", path, json={"name": "乙"}, headers={"If-Match": tag})
    assert (missing.status_code, missing.json()["slug"]) == (428, "version-missing")
    assert (right.status_code, right.headers["ETag"]) == (200, '"2"')
    assert (late.status_code, late.json()["figures"]) == (412, {"expected": 1, "version": 2})
    assert api.call("operator", "GET", path).json()["name"] == "甲"


def test_an_action_honours_a_version_where_one_is_given(api: World) -> None:
    path, below = "/v1/departments/522300-A/move", {"parent": "522300"}
    assert api.call("operator", "POST", path, json=below, headers={"If-Match": '"7"'}).status_code == 412
    assert api.call("operator", "POST", path, json=below).status_code == 200


@pytest.mark.parametrize("tag", ["*", "x", '"x"', '"1", "2"', '"-1"', '"' + "9" * 30 + '"', ""])
def test_a_version_is_one_of_our_etags(rehearsal: Rehearsal, tag: str) -> None:
    with rehearsal() as world:
        headers = {"If-Match": tag}
        answer = world.call("operator", "PATCH", "/v1/departments/522300-A", json={"name": "甲"}, headers=headers)
    assert answer.status_code in (422, 428)
    assert answer.json()["field"] == "If-Match"


def test_the_parts_of_a_list_are_the_list(rehearsal: Rehearsal) -> None:
    with rehearsal() as world:
        whole = world.call("operator", "GET", "/v1/users").json()
        parts, after = [], None
        while True:
            query = {"limit": 2, **({"after": after} if after else {})}
            part = world.call("operator", "GET", "/v1/users", params=query).json()
            assert len(part["items"]) <= 2
            parts += part["items"]
            after = part["next"]
            if after is None:
                break
    assert whole["next"] is None
    assert parts == whole["items"]
    assert len(parts) > 4


def test_a_list_that_ends_with_its_part_has_no_next(rehearsal: Rehearsal) -> None:
    with rehearsal() as world:
        count = len(world.call("operator", "GET", "/v1/users").json()["items"])
        assert world.call("operator", "GET", "/v1/users", params={"limit": count}).json()["next"] is None


def test_a_cursor_may_hold_any_name(rehearsal: Rehearsal) -> None:
    cursor = base64.urlsafe_b64encode(json.dumps("五二二", ensure_ascii=False).encode()).decode().rstrip("=")
    with rehearsal() as world:
        assert world.call("operator", "GET", "/v1/departments", params={"after": cursor}).json()["items"] == []


def test_an_export_is_what_the_log_holds_and_is_written_down(api: World) -> None:
    before = api.entries()
    lines = api.call("auditor", "GET", "/v1/audit/export").text.splitlines()
    assert len([line for line in lines if json.loads(line)["kind"] == "entry"]) == before + 1
    assert newest(api).action == "audit:export"


def test_the_audit_of_a_department_is_for_its_people(api: World) -> None:
    own = api.call("clerk", "GET", "/v1/audit", params={"department": "522300-A", "limit": 200}).json()["items"]
    assert own
    assert {entry["department"] for entry in own} == {api.a["department"]}
    assert api.call("clerk", "GET", "/v1/audit").json()["slug"] == "department-missing"


def test_metrics_name_the_route_and_never_the_path(api: World) -> None:
    from cloudctl.kernel import telemetry

    api.call("clerk", "GET", "/v1/departments/522300-A")
    api.call("clerk", "GET", "/v1/a-secret-path")
    said = telemetry.exposition().decode()
    assert 'route="/v1/departments/{department}"' in said
    assert 'route="(none)"' in said
    assert "a-secret-path" not in said

"""Bad input: each is refused with the field, the rule and the figures, and never fails the platform."""

import json
from typing import Any

import pytest

from tests.api.conftest import Rehearsal

JSON = {"Content-Type": "application/json"}
NEW = {"code": "522300-C", "name": "新局", "name_en": "New"}

BODIES = {
    "cut off": (b'{"code": ', "malformed-body", "body"),
    "not JSON": (b"code=1", "malformed-body", "body"),
    "not UTF-8": (b'{"code": "\xff"}', "malformed-body", "body"),
    "a number that is none": (b'{"code": NaN}', "malformed-body", "body"),
    "a number that is too large for any": (b'{"code": 1e999}', "malformed-body", "body"),
    "nested without end": (b"[" * 100_000, "malformed-body", "body"),
    "nested deeply, with escapes": (b"[" * 400 + b'"\\u0041"' + b"]" * 400, "malformed-body", "body"),
    "an integer of many digits": (b'{"code": ' + b"9" * 5000 + b"}", "malformed-body", "body"),
    "a key twice": (b'{"code": "a", "code": "b"}', "duplicate-key", "code"),
    "a key twice, deep inside": (b'{"code": {"x": 1, "x": 1}}', "duplicate-key", "x"),
    "NUL": (b'{"code": "a\\u0000b"}', "unprintable-text", "code"),
    "half a character": (b'{"code": ["\\ud800"]}', "unprintable-text", "code.0"),
    "nothing": (b"", "missing-field", "body"),
    "a list": (b"[]", "bad-value", ""),
    "an unknown field": (json.dumps({**NEW, "colour": 1}).encode(), "unknown-field", "colour"),
    "a missing field": (b'{"code": "522300-C", "name": "x"}', "missing-field", "name_en"),
    "a number for a text": (json.dumps({**NEW, "name": 7}).encode(), "bad-value", "name"),
}


@pytest.mark.parametrize("what", BODIES)
def test_a_body_that_is_not_clean_is_refused(rehearsal: Rehearsal, what: str) -> None:
    body, slug, field = BODIES[what]
    with rehearsal() as world:
        answer = world.call("operator", "POST", "/v1/departments", content=body, headers=JSON)
    assert (answer.status_code, answer.json()["slug"], answer.json()["field"] or "body") == (422, slug, field or "body")


def test_every_wrong_field_is_told(rehearsal: Rehearsal) -> None:
    with rehearsal() as world:
        answer = world.call("operator", "POST", "/v1/projects", json={"level": "high", "colour": 1, "department": "x"})
    told = {one["field"]: one["slug"] for one in answer.json()["errors"]}
    assert answer.json()["slug"] == "several"
    assert told["level"] == "bad-value"
    assert told["colour"] == "unknown-field"
    assert told["owner"] == "missing-field"


@pytest.mark.parametrize("level", [0, 5, -1, 10**30, 1.5, True, None, "2", [], {}])
def test_a_level_is_one_to_four(rehearsal: Rehearsal, level: Any) -> None:
    body = {"department": "522300-A", "name": "新", "name_en": "New", "owner": "王", "funding": "财政", "level": level}
    with rehearsal() as world:
        answer = world.call("operator", "POST", "/v1/projects", json=body)
    assert (answer.status_code, answer.json()["field"]) == (422, "level")


@pytest.mark.parametrize("amount", [-1, 10**9 + 1, 10**30, 1.5, True, "4", None])
def test_a_limit_is_a_whole_number_in_bounds(rehearsal: Rehearsal, amount: Any) -> None:
    with rehearsal() as world:
        answer = world.call("operator", "PUT", "/v1/departments/522300/quota", json={"limits": {"vcpu": amount}})
    assert (answer.status_code, answer.json()["field"]) == (422, "limits.vcpu")


@pytest.mark.parametrize(
    ("query", "slug", "field"),
    [
        ("departmnet=x", "unknown-parameter", "departmnet"),
        ("limit=1&limit=2", "repeated-parameter", "limit"),
        ("limit=0", "bad-value", "limit"),
        ("limit=201", "bad-value", "limit"),
        ("limit=99999999999999999999", "bad-value", "limit"),
        ("limit=ten", "bad-value", "limit"),
        ("department=%00", "unprintable-text", "department"),
        ("after=nonsense", "bad-value", "after"),
        ("after=MQ", "bad-value", "after"),  # the cursor of another list: a number
        ("after=" + "A" * 500, "bad-value", "after"),
    ],
)
def test_a_query_is_understood_or_refused(rehearsal: Rehearsal, query: str, slug: str, field: str) -> None:
    with rehearsal() as world:
        answer = world.call("clerk", "GET", f"/v1/projects?{query}")
    assert (answer.status_code, answer.json()["slug"], answer.json()["field"]) == (422, slug, field)


@pytest.mark.parametrize("cursor", ["LTE", "OTIyMzM3MjAzNjg1NDc3NTgwOA", "ImEi", "bnVsbA", "dHJ1ZQ"])
def test_a_cursor_of_a_numbered_list_is_a_number_that_there_can_be(rehearsal: Rehearsal, cursor: str) -> None:
    with rehearsal() as world:
        assert world.call("auditor", "GET", f"/v1/audit?after={cursor}").status_code == 422


def test_a_path_with_nul_is_refused_and_a_strange_one_is_not_found(rehearsal: Rehearsal) -> None:
    with rehearsal() as world:
        assert world.call("clerk", "GET", "/v1/departments/a%00b").json()["slug"] == "unprintable-text"
        for strange in ("%F0%9F%8F%9B", "%FF%FE", "..%2F..", "'--", "x" * 3000):
            assert world.call("clerk", "GET", f"/v1/departments/{strange}").status_code == 404, strange


def test_a_body_of_another_kind_is_refused(rehearsal: Rehearsal) -> None:
    with rehearsal() as world:
        for kind in ("text/plain", "application/xml", "multipart/form-data; boundary=x", ""):
            answer = world.call(
                "operator", "POST", "/v1/departments", content=b"{}", headers={"Content-Type": kind} if kind else {}
            )
            assert (answer.status_code, answer.json()["figures"]["expected"]) == (415, "application/json")
        answer = world.call("operator", "POST", "/v1/departments/import", json={})
        assert (answer.status_code, answer.json()["figures"]["expected"]) == (415, "text/csv")


def test_a_body_that_is_too_large_is_refused_whatever_it_says_of_its_length(rehearsal: Rehearsal) -> None:
    def drip() -> Any:
        for _ in range(40):
            yield b" " * 2**15

    with rehearsal() as world:
        answer = world.call("operator", "POST", "/v1/departments", content=drip(), headers=JSON)
    assert (answer.status_code, answer.json()["figures"]) == (413, {"most": 2**20})


@pytest.mark.parametrize(
    ("form", "status"),
    [
        ({"files": {"file": ("a.pdf", b"", "application/pdf")}}, 422),
        ({"files": {"other": ("a.pdf", b"x", "application/pdf")}}, 422),
        ({"files": {"file": ("..\\a", b"x", "application/pdf")}}, 422),
        ({"files": {"file": ("a.pdf", b"x", "nonsense")}}, 422),
        ({"files": {"file": ("a.pdf", b"x" * (11 * 2**20), "application/pdf")}}, 413),
        ({"content": b"garbage", "headers": {"Content-Type": "multipart/form-data"}}, 422),
        ({"content": b"garbage", "headers": {"Content-Type": "multipart/form-data; boundary=x"}}, 422),
        ({"data": {"file": "text"}, "headers": {"Content-Type": "multipart/form-data; boundary=x"}}, 422),
    ],
)
def test_a_form_is_a_file_or_refused(rehearsal: Rehearsal, form: dict[str, Any], status: int) -> None:
    with rehearsal() as world:
        answer = world.call("clerk", "POST", f"/v1/requests/{world.a['request']}/attachments", **form)
    assert answer.status_code == status, answer.text


def test_a_csv_with_a_broken_line_imports_nothing_and_says_which(rehearsal: Rehearsal) -> None:
    content = "code,name,name_en,parent_code\n5223-X,甲,A,\n5223-Y,,B,\n".encode()
    with rehearsal() as world:
        csv = {"Content-Type": "text/csv; charset=utf-8"}
        answer = world.call("operator", "POST", "/v1/departments/import", content=content, headers=csv)
        assert (answer.status_code, answer.json()["figures"]["line"]) == (422, 3)
        assert world.call("operator", "GET", "/v1/departments/5223-X").status_code == 404

"""Requests over HTTP: the preview, every verb, and what people are told in their language."""

import hashlib
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, event, update
from sqlalchemy.orm import Session

from tenancy import ledger
from tenancy.ledger import Wanted
from tenancy.models import Tenancy
from tests.api.conftest import Rehearsal
from tests.api.world import World


@pytest.fixture
def api(rehearsal: Rehearsal) -> Iterator[World]:
    """The shared world; what a test does in it is taken back."""
    with rehearsal() as world:
        yield world


def application(api: World, *items: dict[str, Any], **other: Any) -> dict[str, Any]:
    usual = {"department": "522300-A", "project": api.a["project"], "purpose": "高考查分"}
    return {**usual, "items": list(items) or [create()], **other}


def create(name: str = "exam-web", **size: int) -> dict[str, Any]:
    return {"kind": "create", "name": name, "size": size or {"vcpu": 4, "memory_gib": 8}}


def submit(api: World, *items: dict[str, Any]) -> dict[str, Any]:
    answer = api.call("clerk", "POST", "/v1/requests", json=application(api, *items))
    assert answer.status_code == 202, answer.text
    return answer.json()


def decide(api: World, role: str, request: str, verb: str, **said: Any) -> dict[str, Any]:
    """The verb on what that role is shown now."""
    shown = api.call(role, "GET", f"/v1/requests/{request}").json()
    answer = api.call(role, "POST", f"/v1/requests/{request}/{verb}", json={"digest": shown["digest"], **said})
    assert answer.status_code in (200, 202), answer.text
    return answer.json()


def test_a_preview_tells_who_must_approve_and_by_when(api: World) -> None:
    answer = api.call("clerk", "POST", "/v1/requests/preview", json=application(api))
    (item,) = answer.json()["items"]
    assert [(step["name"], step["title"], step["approvers"][0]["login"]) for step in item["steps"]] == [
        ("accept", "accept", "authority"),
        ("department-head", "the department's own approval", "approver-a"),
        ("authority-review", "review by the authority", "authority"),
    ]
    assert all(step["due_at"].endswith("Z") for step in item["steps"])
    assert (item["automatic"], item["fits"], item["over_quota"]) == (None, True, None)


def test_a_preview_refuses_what_the_quota_does_not_hold_with_what_helps(api: World) -> None:
    answer = api.call("clerk", "POST", "/v1/requests/preview", json=application(api, create(vcpu=500)))
    over = answer.json()["items"][0]["over_quota"]
    assert over["field"] == "items.0.size.vcpu"
    assert over["nearest"]["vcpu"] < 400
    assert "500 vCPU" in over["sentence"]
    assert over["quota_request"]["items"][0]["limits"]["vcpu"] > 400
    refused = api.call("clerk", "POST", "/v1/requests", json=application(api, create(vcpu=500)))
    assert (refused.status_code, refused.json()["slug"]) == (409, "over-quota")


def test_a_preview_tells_why_no_rule_approves_an_increase(api: World) -> None:
    item = {"kind": "resize", "tenancy": api.a["tenancy"], "size": {"vcpu": 3}}
    told = api.call("clerk", "POST", "/v1/requests/preview", json=application(api, item)).json()["items"][0]
    assert [reason["slug"] for reason in told["hindrances"]] == ["rule-grows", "rule-no-evidence"]
    assert all(reason["sentence"] for reason in told["hindrances"])


def test_a_submission_is_told_as_it_is_read_afterwards_and_reads_nothing_while_others_wait(api: World) -> None:
    """Its last statement holds the quota: from then on until it is committed everybody waits for the root's account."""
    said: list[str] = []
    listen = ("before_cursor_execute", lambda *call: said.append(call[2]))
    event.listen(Engine, *listen)
    try:
        told = submit(api, create("exam-web"), {"kind": "create", "name": "files", "size": {"storage_gib.ssd": 20}})
    finally:
        event.remove(Engine, *listen)
    assert "ledger_hold" in [each for each in said if "SAVEPOINT" not in each][-1]
    assert told == api.call("clerk", "GET", f"/v1/requests/{told['id']}").json()


def test_a_request_goes_from_hand_to_hand(api: World) -> None:
    request = submit(api)
    assert (request["state"], request["awaited"]["step"], request["digest"]) == ("examining", "accept", None)
    mine = api.call("authority", "GET", "/v1/requests?waiting_for=me").json()["items"]
    assert request["number"] in [line["number"] for line in mine]
    decide(api, "authority", request["number"], "accept")
    accepted = api.call("approver", "GET", f"/v1/requests/{request['number']}").json()
    assert [who["login"] for who in accepted["awaited"]["people"]] == ["approver-a"]
    assert accepted["awaited"]["light"] == "green"
    decide(api, "approver", request["id"], "approve")
    done = decide(api, "authority", request["id"], "approve")
    assert (done["state"], done["awaited"]) == ("approved", None)
    assert [step["state"] for step in done["steps"]] == ["done", "done", "done"]
    (item,) = done["items"]
    assert (item["state"], item["queue_position"]) == ("waiting", 1)
    assert [(hold["side"], hold["state"], hold["size"]["vcpu"]) for hold in item["holds"]] == [("quota", "held", 4)]
    assert done["outcome"]["sentence"] == "Of 1: 1 waiting for capacity."


def test_what_is_approved_partly_is_told_truthfully(api: World) -> None:
    request = submit(api, create("one", vcpu=1), create("two", vcpu=1))
    decide(api, "authority", request["id"], "accept")
    second = request["items"][1]["id"]
    refused = decide(api, "approver", request["id"], "refuse", reason="用途重复", items=[second])
    assert [item["state"] for item in refused["items"]] == ["pending", "refused"]
    assert "用途重复" in refused["items"][1]["reason"]["sentence"]
    sentence = refused["outcome"]["sentence"]
    assert sentence.startswith("Of 2: 1 being decided on, 1 refused because")
    assert "用途重复" in sentence


def test_a_request_that_was_returned_waits_for_the_applicant(api: World) -> None:
    request = submit(api)
    returned = decide(api, "authority", request["id"], "return", reason="缺建设方案")
    assert (returned["state"], returned["awaited"]["who"]) == ("returned", "applicant")
    assert returned["awaited"]["due_at"] is None
    back = api.call("clerk", "POST", f"/v1/requests/{request['id']}/supplement", json={"purpose": "中考查分"})
    assert (back.json()["state"], back.json()["purpose"]) == ("examining", "中考查分")


def test_a_decision_on_something_else_than_was_shown_is_refused(api: World) -> None:
    request = submit(api)
    said = {"digest": "0" * 64}
    answer = api.call("authority", "POST", f"/v1/requests/{request['id']}/accept", json=said)
    assert (answer.status_code, answer.json()["slug"]) == (409, "not-as-shown")


def test_a_decision_on_another_version_is_refused(api: World) -> None:
    request = submit(api)
    digest = api.call("authority", "GET", f"/v1/requests/{request['id']}").json()["digest"]
    headers = {"If-Match": '"99"'}
    path = f"/v1/requests/{request['id']}/accept"
    answer = api.call("authority", "POST", path, json={"digest": digest}, headers=headers)
    assert (answer.status_code, answer.json()["slug"]) == (412, "outdated")


def test_a_request_can_be_delegated_and_withdrawn(api: World) -> None:
    request = submit(api)
    decide(api, "authority", request["id"], "accept")
    path = f"/v1/requests/{request['id']}"
    delegated = api.call("approver", "POST", f"{path}/delegate", json={"to": "clerk-a"})
    assert (delegated.status_code, delegated.json()["slug"]) == (422, "not-a-delegate")
    withdrawn = api.call("clerk", "POST", f"{path}/withdraw").json()
    assert (withdrawn["state"], withdrawn["outcome"]["sentence"]) == ("withdrawn", "Of 1: 1 withdrawn.")


def test_a_paper_comes_back_as_it_went_in(api: World) -> None:
    request = submit(api)
    paper = ("建设方案.pdf", b"%PDF-1.7 plan", "application/pdf")
    path = f"/v1/requests/{request['id']}/attachments"
    made = api.call("clerk", "POST", path, files={"file": paper})
    assert made.status_code == 201, made.text
    assert (made.json()["name"], made.json()["digest"]) == (paper[0], hashlib.sha256(paper[1]).hexdigest())
    read = api.call("approver", "GET", f"{path}/{made.json()['id']}")
    assert (read.content, read.headers["content-type"]) == (paper[1], "application/pdf")
    assert "attachment" in read.headers["content-disposition"]
    listed = api.call("clerk", "GET", f"/v1/requests/{request['id']}").json()["attachments"]
    assert [one["id"] for one in listed] == [made.json()["id"]]


def test_a_paper_that_is_too_large_is_refused_with_the_figures(api: World) -> None:
    most = api.platform.settings.attachment_bytes
    request = submit(api)
    path = f"/v1/requests/{request['id']}/attachments"
    answer = api.call("clerk", "POST", path, files={"file": ("a.bin", b"x" * (most + 1), "application/octet-stream")})
    assert (answer.status_code, answer.json()["slug"]) == (422, "attachment-too-large")
    assert answer.json()["figures"] == {"size": most + 1, "most": most}


def test_lists_come_in_parts_and_can_be_filtered(api: World) -> None:
    made = [submit(api, create(f"web-{number}", vcpu=1))["id"] for number in range(3)]
    first = api.call("clerk", "GET", "/v1/requests?limit=2&state=examining").json()
    assert [line["id"] for line in first["items"]] == [made[2], made[1]]
    second = api.call("clerk", "GET", f"/v1/requests?limit=2&state=examining&after={first['next']}").json()
    assert second["items"][0]["id"] == made[0]
    assert api.call("clerk", "GET", "/v1/requests?department=522300-B").status_code == 404


BAD = [
    ({"name": "exam-web", "size": {}}, "items.0.size", "empty-size"),
    ({"size": {"vcpu": 0}}, "items.0.size.vcpu", "bad-amount"),
    ({"size": {"vcpu": -1}}, "items.0.size.vcpu", "bad-amount"),
    ({"size": {"vcpu": 10**12}}, "items.0.size.vcpu", "bad-amount"),
    ({"size": {"vcpu": 1.5}}, "items.0.size.vcpu", "bad-amount"),
    ({"size": {"vcpu": "4"}}, "items.0.size.vcpu", "bad-amount"),
    ({"size": {"vcpu": True}}, "items.0.size.vcpu", "bad-amount"),
    ({"size": {"warp": 1}}, "items.0.size.warp", "unknown-resource"),
    ({"size": 4}, "items.0.size", "bad-value"),
    ({"name": "Exam Web"}, "items.0.name", "bad-value"),
    ({"architectures": ["vax"]}, "items.0.architectures.0", "bad-value"),
    ({"architectures": []}, "items.0.architectures", "bad-value"),
    ({"level": 9}, "items.0.level", "bad-value"),
    ({"level": 4}, "items.0.level", "level-too-high"),
    ({"term_days": 0}, "items.0.term_days", "bad-value"),
    ({"term_days": "365"}, "items.0.term_days", "bad-value"),
    ({"keys": ["rubbish"]}, "items.0.keys.0", "bad-key"),
    ({"keys": ["-----BEGIN OPENSSH PRIVATE KEY-----"]}, "items.0.keys.0", "private-key"),
    ({"colour": "red"}, "items.0.colour", "unknown-field"),
    ({"kind": "wish"}, "items.0", "bad-value"),
]


@pytest.mark.parametrize(
    ("item", "field", "slug"), BAD, ids=[f"{field}-{slug}-{n}" for n, (_, field, slug) in enumerate(BAD)]
)
def test_a_bad_value_is_told_with_its_field_in_both_languages(
    api: World, item: dict[str, Any], field: str, slug: str
) -> None:
    body = application(api, {**create(), **item})
    told = {}
    for language in ("zh", "en"):
        answer = api.call("clerk", "POST", "/v1/requests", json=body, headers={"Accept-Language": language})
        problem = answer.json()
        assert (answer.status_code, problem["slug"], problem["field"]) == (422, slug, field), problem
        told[language] = problem["detail"]
    assert any("一" <= character <= "鿿" for character in told["zh"])
    assert not any("一" <= character <= "鿿" for character in told["en"])
    assert "…" not in told["zh"] + told["en"].replace("ssh-ed25519…", "")


def test_every_bad_field_is_told_at_once(api: World) -> None:
    body = application(api, {"kind": "create", "name": "X", "size": {"vcpu": 0}}, purpose="")
    problem = api.call("clerk", "POST", "/v1/requests", json=body).json()
    assert problem["slug"] == "several"
    assert sorted(one["field"] for one in problem["errors"]) == ["items.0.name", "items.0.size.vcpu", "purpose"]
    assert all(one["detail"] for one in problem["errors"])


def test_all_that_is_wrong_with_the_items_is_told_at_once_the_quota_included(api: World) -> None:
    high = {**create("high", vcpu=500), "level": 4}
    problem = api.call(
        "clerk", "POST", "/v1/requests", json=application(api, high, create("new-a-0", memory_gib=8))
    ).json()
    told = {(one["slug"], one["field"]) for one in problem["errors"]}
    expected = {
        ("level-too-high", "items.0.level"),
        ("name-taken", "items.1.name"),
        ("over-quota", "items.0.size.vcpu"),
    }
    assert told >= expected


@pytest.mark.parametrize(
    ("change", "slug", "words"),
    [
        ({"zone": "intranet"}, "nowhere-other-zone", ["intranet", "extranet"]),
        ({"architectures": ["arm64", "loong64"]}, "nowhere-other-architecture", ["arm64, loong64", "amd64"]),
        ({"size": {"gpu": 1}}, "nowhere-so-large", ["1 × GPU"]),
        ({"size": {"vcpu": 399, "memory_gib": 8}}, "nowhere-now", ["399 vCPU", "100 vCPU"]),
    ],
)
def test_a_preview_tells_why_nothing_fits(api: World, change: dict[str, Any], slug: str, words: list[str]) -> None:
    with Session(api.platform.engine) as session:
        server = Wanted("ten_x", "capacity", [api.a["server"], api.a["pool"]], {"vcpu": 300})
        ledger.hold(session, server)
        session.commit()
    asked = application(api, {**create(), **change})
    (item,) = api.call("clerk", "POST", "/v1/requests/preview", json=asked).json()["items"]
    assert (item["fits"], item["why_not"]["slug"]) == (False, slug)
    assert [word for word in words if word not in item["why_not"]["sentence"]] == []


def test_a_preview_tells_why_a_tenancy_cannot_grow(api: World) -> None:
    item = {"kind": "resize", "tenancy": api.a["tenancy"], "size": {"vcpu": 9}}
    (told,) = api.call("clerk", "POST", "/v1/requests/preview", json=application(api, item)).json()["items"]
    assert (told["fits"], told["why_not"]) == (True, None)
    with Session(api.platform.engine) as session:
        lives = update(Tenancy).where(Tenancy.id == api.a["tenancy"])
        session.execute(lives.values(pool_id=api.a["pool"], server_id=api.a["server"]))
        ledger.hold(session, Wanted("ten_x", "capacity", [api.a["server"], api.a["pool"]], {"vcpu": 398}))
        session.commit()
    (told,) = api.call("clerk", "POST", "/v1/requests/preview", json=application(api, item)).json()["items"]
    assert (told["fits"], told["why_not"]["slug"]) == (False, "no-growth-now")
    assert "7 vCPU" in told["why_not"]["sentence"]

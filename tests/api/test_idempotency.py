"""Idempotency-Key: a POST that comes again is done once, whoever sends it however often at whatever time."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

from httpx import Response
from sqlalchemy import text

from cloudctl.api import idempotency
from cloudctl.kernel import clock
from tests.api.world import World

NEW = {"login": "li.wei", "name": "李伟"}


def post(world: World, path: str, body: Any, *, key: str = "k-1", role: str = "operator", **options: Any) -> Response:
    return world.call(role, "POST", path, json=body, headers={"Idempotency-Key": key}, **options)


def test_a_call_that_comes_again_is_answered_as_before_and_done_once(api: World) -> None:
    first = post(api, "/v1/users", NEW)
    again = post(api, "/v1/users", NEW)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert again.headers["Idempotent-Replay"] == "true"


def test_the_etag_is_replayed_too(api: World) -> None:
    body = {"code": "522300-C", "name": "新", "name_en": "New"}
    assert post(api, "/v1/departments", body).headers["ETag"] == post(api, "/v1/departments", body).headers["ETag"]


def test_a_key_with_another_body_or_path_is_refused(api: World) -> None:
    post(api, f"/v1/tenancies/{api.a['tenancy']}/endpoints", {"host": "10.0.0.3"})
    other_body = post(api, f"/v1/tenancies/{api.a['tenancy']}/endpoints", {"host": "10.0.0.4"})
    other_path = post(api, f"/v1/tenancies/{api.b['tenancy']}/endpoints", {"host": "10.0.0.3"})
    for answer in (other_body, other_path):
        assert (answer.status_code, answer.json()["slug"]) == (422, "key-reused")


def test_a_key_belongs_to_a_caller_and_a_route(api: World) -> None:
    assert post(api, "/v1/tokens", {"name": "n"}, role="clerk").status_code == 201
    other_caller = post(api, "/v1/tokens", {"name": "n"}, role="approver")
    other_route = post(api, "/v1/requests/preview", {}, role="clerk")
    assert "Idempotent-Replay" not in other_caller.headers
    assert other_route.json()["slug"] != "key-reused"


def test_a_secret_is_told_once_and_kept_nowhere(api: World) -> None:
    first = post(api, "/v1/tokens", {"name": "laptop"}, role="clerk")
    again = post(api, "/v1/tokens", {"name": "laptop"}, role="clerk")
    secret = first.json()["secret"]
    assert again.json() == {**first.json(), "secret": None}
    with api.platform.engine.connect() as connection:
        kept = connection.execute(text("SELECT convert_from(body, 'UTF8') FROM idempotency_records")).scalar_one()
    assert secret not in kept
    assert first.json()["id"] in kept


def test_a_refusal_is_not_kept(api: World) -> None:
    assert post(api, "/v1/users", {"login": "!", "name": "李伟"}).status_code == 422
    assert post(api, "/v1/users", NEW).status_code == 201


def test_of_many_at_once_one_is_done_and_all_are_answered_alike(api: World) -> None:
    with ThreadPoolExecutor(8) as crew:
        answers = list(crew.map(lambda _: post(api, "/v1/users", NEW), range(8)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert sum("Idempotent-Replay" in answer.headers for answer in answers) == 7


def test_a_form_sent_again_with_another_boundary_is_the_same_call(api: World) -> None:
    path = f"/v1/requests/{api.a['request']}/attachments"
    answers = [
        api.call(
            "clerk",
            "POST",
            path,
            headers={"Idempotency-Key": "k-1"},
            files={"file": ("b.pdf", b"more", "application/pdf")},
        )
        for _ in range(2)
    ]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[1].headers["Idempotent-Replay"] == "true"


def test_after_its_time_a_key_is_new_again(api: World) -> None:
    post(api, "/v1/tokens", {"name": "n"}, role="clerk")
    later = clock.now() + timedelta(hours=25)
    with clock.at(later):
        assert "Idempotent-Replay" not in post(api, "/v1/tokens", {"name": "other"}, role="clerk").headers
    with clock.at(later + timedelta(hours=25)):
        assert idempotency.expire(api.platform.engine, api.platform.settings) == 1
        assert idempotency.expire(api.platform.engine, api.platform.settings) == 0


def test_a_key_is_short_and_plain(api: World) -> None:
    for key in ("", "x" * 201, "a b", "é"):
        answer = api.call("clerk", "POST", "/v1/tokens", json={"name": "n"}, headers={"Idempotency-Key": key.encode()})
        assert (answer.status_code, answer.json()["field"]) == (422, "Idempotency-Key"), key

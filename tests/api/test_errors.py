"""Problems as answers: one form for all, in the caller's language, with a status from one table."""

import logging
from typing import Any

import pytest
from fastapi import APIRouter

from cloudctl.api import errors
from cloudctl.api.calls import Route, SessionDep
from cloudctl.api.views import View
from cloudctl.kernel.errors import Conflict, Exhausted, Forbidden, Invalid, NotFound, Problem, Unavailable
from tests.api.conftest import Rehearsal
from tests.api.world import World


def all_problems(kind: type[Problem] = Problem) -> set[type[Problem]]:
    return {kind, *(found for below in kind.__subclasses__() for found in all_problems(below))}


def test_every_problem_of_every_room_has_a_status() -> None:
    ours = [kind for kind in all_problems() - {Problem} if kind.__module__.split(".")[0] != "tests"]
    assert all(any(parent in errors.STATUSES for parent in kind.__mro__) for kind in ours)
    assert len(ours) > 50


@pytest.mark.parametrize(
    ("kind", "status"),
    [(Invalid, 422), (Forbidden, 403), (NotFound, 404), (Conflict, 409), (Exhausted, 409), (Unavailable, 503)],
)
def test_a_kind_has_its_status(kind: type[Problem], status: int) -> None:
    assert errors.status_of(kind()) == status


def test_a_problem_says_what_rfc_9457_asks_for(rehearsal: Rehearsal) -> None:
    with rehearsal() as world:
        answer = world.call("clerk", "GET", "/v1/departments/nowhere")
    call = answer.headers["X-Request-Id"]
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json() == {
        "type": "/problems/no-such-department",
        "title": "Not found",
        "status": 404,
        "detail": "There is no department nowhere, or you may not see it.",
        "slug": "no-such-department",
        "figures": {"department": "nowhere"},
        "field": None,
        "instance": f"/calls/{call}",
    }


@pytest.mark.parametrize(
    ("asked", "language"),
    [
        ("zh-CN,zh;q=0.9", "zh"),
        ("en-GB", "en"),
        ("fr, en;q=0.5, zh;q=0.1", "en"),
        ("fr", "zh"),
        ("", "zh"),
        ("*", "zh"),
    ],
)
def test_the_sentence_is_in_the_callers_language(rehearsal: Rehearsal, asked: str, language: str) -> None:
    with rehearsal() as world:
        answer = world.call(None, "GET", "/v1/me", headers={"Accept-Language": asked})
    assert answer.headers["Content-Language"] == language
    assert answer.json()["title"] == {"zh": "未登录", "en": "Not logged in"}[language]


def test_what_has_no_route_or_another_method_is_a_problem_too(rehearsal: Rehearsal) -> None:
    with rehearsal() as world:
        nowhere = world.call("clerk", "GET", "/v1/nothing")
        wrong = world.call("clerk", "PUT", "/healthz")
    assert (nowhere.status_code, nowhere.json()["slug"]) == (404, "no-such-route")
    assert (wrong.status_code, wrong.json()["slug"], wrong.headers["Allow"]) == (405, "wrong-method", "GET")


def test_an_id_of_the_caller_is_kept_and_nonsense_replaced(rehearsal: Rehearsal) -> None:
    with rehearsal() as world:
        kept = world.call("clerk", "GET", "/v1/policy", headers={"X-Request-Id": "gateway-17"})
        replaced = world.call("clerk", "GET", "/v1/policy", headers={"X-Request-Id": "a b" * 50})
    assert kept.headers["X-Request-Id"] == "gateway-17"
    assert replaced.headers["X-Request-Id"].startswith("cal_")


class Told(View):
    told: str


def broken_routes(fail: Any) -> APIRouter:
    routes = APIRouter(route_class=Route)

    @routes.get("/broken")
    def broken(session: SessionDep) -> Told:
        """Fails."""
        fail(session)
        return Told(told="unreachable")

    return routes


def test_a_fault_of_ours_is_logged_under_the_id_that_is_told(api: World, caplog: pytest.LogCaptureFixture) -> None:
    def fail(_session: Any) -> None:
        raise ZeroDivisionError("a secret figure")

    api.app.router.routes.extend(broken_routes(fail).routes)
    with caplog.at_level(logging.ERROR):
        answer = api.call(None, "GET", "/broken")
    assert (answer.status_code, answer.json()["slug"]) == (500, "internal-fault")
    assert answer.json()["figures"] == {"call": answer.headers["X-Request-Id"]}
    assert "a secret figure" not in answer.text
    assert "ZeroDivisionError" in caplog.text


def test_a_database_that_is_away_is_not_our_fault(api: World, urls: dict[str, str]) -> None:
    from sqlalchemy import text

    def fail(session: Any) -> None:
        session.execute(text("SET LOCAL statement_timeout = 1"))
        session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    api.app.router.routes.extend(broken_routes(fail).routes)
    answer = api.call(None, "GET", "/broken")
    assert (answer.status_code, answer.json()["slug"]) == (503, "database-unavailable")
    assert answer.headers["Retry-After"] == "5"
    assert api.call(None, "GET", "/healthz").status_code == 200

"""Operations over HTTP: what is told of each step, and what people may do about them."""

from collections.abc import Iterator
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from cloudctl.kernel import clock, events, messages
from cloudctl.kernel.operations import Attempt, OperationRow
from tests.api.conftest import Rehearsal
from tests.api.world import World


@pytest.fixture
def api(rehearsal: Rehearsal) -> Iterator[World]:
    """The shared world; what a test does in it is taken back."""
    with rehearsal() as world:
        yield world


LOST = {"slug": "lost", "figures": {"step": "suspend"}}
SHANGHAI = ZoneInfo("Asia/Shanghai")


def path(api: World) -> str:
    return f"/v1/operations/{api.a['operation']}"


def stand(
    api: World,
    state: str,
    step: int = 0,
    direction: int = 1,
    tries: tuple[tuple[str, int, str], ...] = (),
    reason: dict[str, Any] = LOST,
) -> None:
    """Have the operation stand where a worker would have left it."""
    with Session(api.platform.engine) as session:
        row = update(OperationRow).where(OperationRow.id == api.a["operation"])
        session.execute(row.values(state=state, step=step, direction=direction, reason=reason))
        for name, way, outcome in tries:
            at = clock.now()
            session.add(
                Attempt(
                    operation_id=api.a["operation"],
                    step=name,
                    direction=way,
                    outcome=outcome,
                    reason=None,
                    worker="test",
                    started_at=at,
                    ended_at=at,
                )
            )
        session.commit()


def states(told: dict[str, object]) -> list[tuple[str, str]]:
    return [(step["name"], step["state"]) for step in told["steps"]]  # type: ignore[attr-defined,index]


def test_an_operation_tells_its_steps_and_where_it_stands(api: World) -> None:
    told = api.call("clerk", "GET", path(api)).json()
    assert (told["kind"], told["title"], told["state"]) == ("tenancy.suspend", "suspend a tenancy", "running")
    assert states(told) == [("suspend", "current"), ("verify_shut", "pending"), ("enter_suspended", "pending")]
    assert (told["progress"], told["step"], told["undoing"]) == ("0/3", "suspend", False)


def test_what_was_undone_is_told_from_what_was_never_begun(api: World) -> None:
    stand(api, "undone", step=-1, direction=-1, tries=(("suspend", 1, "gave-up"), ("suspend", -1, "done")))
    told = api.call("clerk", "GET", path(api)).json()
    assert states(told) == [("suspend", "undone"), ("verify_shut", "pending"), ("enter_suspended", "pending")]
    tries = [(one["direction"], one["outcome"]) for one in told["steps"][0]["attempts"]]
    assert tries == [("do", "gave-up"), ("undo", "done")]
    assert told["reason"]["sentence"] == "the worker died in step suspend, which may not be repeated"


def test_operations_are_listed_to_those_whose_affair_they_are(api: World) -> None:
    own = api.call("clerk", "GET", "/v1/operations").json()["items"]
    assert api.a["operation"] in [line["id"] for line in own]
    assert {line["owner"] for line in own} == {api.a["department"]}
    every = [line["id"] for line in api.call("operator", "GET", "/v1/operations").json()["items"]]
    assert {*every} >= {api.a["operation"], api.b["operation"]}
    subject = api.call("clerk", "GET", path(api)).json()["subject"]
    about = api.call("operator", "GET", f"/v1/operations?subject={subject}").json()["items"]
    assert {line["subject"] for line in about} == {subject}
    first = api.call("operator", "GET", "/v1/operations?limit=1").json()
    second = api.call("operator", "GET", f"/v1/operations?limit=1&after={first['next']}").json()
    assert [first["items"][0]["id"], second["items"][0]["id"]] == every[:2]


SECRETIVE = {"slug": "play-failed", "figures": {"task": "Make the folder", "message": "/var/lib/cloudctl: denied"}}


def test_what_names_servers_and_paths_is_for_those_who_run_the_platform(api: World) -> None:
    stand(api, "parked", tries=(("suspend", 1, "failed"),), reason=SECRETIVE)
    with Session(api.platform.engine) as session:
        tried = update(Attempt).where(Attempt.operation_id == api.a["operation"])
        session.execute(tried.values(reason=SECRETIVE))
        events.record(session, api.a["operation"], "operation-parked", step="suspend", reason=SECRETIVE)
        session.commit()
    pages = (path(api), "/v1/operations", f"/v1/events?subject={api.a['operation']}", f"/v1/tenancies/{api.a['busy']}")
    for page in pages:
        told = {role: api.call(role, "GET", page).text for role in ("clerk", "approver", "operator", "auditor")}
        assert [role for role, text in told.items() if "/var/lib" in text] == ["operator", "auditor"], page
        assert "operators see the details" in told["clerk"]


def test_a_parked_operation_says_to_the_clerk_who_is_acting_and_since_when(api: World) -> None:
    stand(api, "parked", tries=(("suspend", 1, "failed"),))
    tenancy = api.call("clerk", "GET", f"/v1/tenancies/{api.a['busy']}").json()
    standing = tenancy["operation"]["standing"]
    assert standing["slug"] == "stands-parked"
    assert standing["sentence"].startswith("suspend a tenancy: stopped at step ")
    assert f"operators have been at it since {messages.moment(clock.now(), SHANGHAI)[:13]}" in standing["sentence"]


def test_a_clerk_cancels_with_a_reason(api: World) -> None:
    returning = f"/v1/operations/{api.a['returning']}"
    silent = api.call("clerk", "POST", f"{returning}/cancel", json={"reason": ""})
    assert (silent.status_code, silent.json()["field"]) == (422, "reason")
    told = api.call("clerk", "POST", f"{returning}/cancel", json={"reason": "不再需要"})
    assert (told.status_code, told.json()["cancel"]["reason"]) == (202, "不再需要")


def test_a_clerk_does_not_call_off_what_the_department_did_not_ask_for(api: World) -> None:
    refused = api.call("clerk", "POST", f"{path(api)}/cancel", json={"reason": "不同意"})
    assert (refused.status_code, refused.json()["figures"]["permission"]) == (403, "tenancy:suspend")
    told = api.call("operator", "POST", f"{path(api)}/cancel", json={"reason": "误操作"})
    assert told.status_code == 202


def test_only_what_is_parked_is_retried(api: World) -> None:
    early = api.call("operator", "POST", f"{path(api)}/retry")
    assert (early.status_code, early.json()["slug"]) == (409, "not-allowed")
    stand(api, "parked")
    told = api.call("operator", "POST", f"{path(api)}/retry")
    assert (told.status_code, told.json()["state"]) == (202, "running")


def test_an_operator_says_what_became_of_a_parked_step(api: World) -> None:
    stand(api, "parked")
    bad = api.call("operator", "POST", f"{path(api)}/resolve", json={"as": "maybe", "reason": "x"})
    assert (bad.status_code, bad.json()["field"]) == (422, "as")
    silent = api.call("operator", "POST", f"{path(api)}/resolve", json={"as": "done", "reason": " "})
    assert (silent.status_code, silent.json()["slug"]) == (409, "reason-required")
    told = api.call("operator", "POST", f"{path(api)}/resolve", json={"as": "done", "reason": "已人工核实"}).json()
    assert states(told) == [("suspend", "done"), ("verify_shut", "current"), ("enter_suspended", "pending")]
    assert told["steps"][0]["attempts"][-1]["outcome"] == "resolved"


@pytest.mark.parametrize("verb", ["cancel", "retry", "resolve"])
def test_what_is_done_about_another_departments_operation_is_not_found(api: World, verb: str) -> None:
    body = {"cancel": {"reason": "x"}, "resolve": {"as": "done", "reason": "x"}}.get(verb)
    answer = api.call("clerk", "POST", f"/v1/operations/{api.b['operation']}/{verb}", json=body)
    assert (answer.status_code, answer.json()["slug"]) == (404, "no-such-operation")

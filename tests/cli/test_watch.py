"""Waiting: what happens is told once and in order, and the end of waiting is the end of the work."""

import threading
import time
from collections.abc import Iterator

import pytest
from sqlalchemy.orm import Session

from cloudctl.cli import watch
from cloudctl.cli.client import Client
from cloudctl.cli.credentials import Context
from cloudctl.cli.failures import Failure
from cloudctl.kernel import events, ids, operations
from cloudctl.kernel.operations import Operation
from tenancy import departments
from tenancy.callers import SYSTEM
from tests.cli.conftest import Cloud


@pytest.fixture
def operator(cloud: Cloud) -> Client:
    return Client(Context(cloud.address, cloud.secret_of("operator")))


@pytest.fixture
def operation(cloud: Cloud) -> Iterator[str]:
    """An operation that nobody carries out but the test."""
    operations.register(Operation("test.watch"))
    owner = departments.seen_by(cloud.session, SYSTEM, "522301")
    row = operations.submit(cloud.session, "test.watch", ids.new("ten"), owner.id, "test")
    cloud.session.commit()
    yield row.id
    del operations.KINDS["test.watch"]


def finish(session: Session, operation: str, state: str) -> None:
    row = operations.get(session, operation)
    row.state = state
    events.record(session, operation, f"operation-{state}", reason=None, operation=operation, kind=row.kind, step="x")
    session.commit()


def test_an_operation_that_is_done_ends_the_waiting(
    cloud: Cloud, operator: Client, operation: str, capsys: pytest.CaptureFixture[str]
) -> None:
    finish(cloud.session, operation, "done")
    assert watch.operation(operator, operation)["state"] == "done"
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("state", ["undone", "parked"])
def test_an_operation_that_did_not_come_about_is_a_failure(
    cloud: Cloud, operator: Client, operation: str, state: str
) -> None:
    finish(cloud.session, operation, state)
    with pytest.raises(Failure, match=f"operation-ended-{state}"):
        watch.operation(operator, operation)


def test_waiting_ends_as_soon_as_something_happens(cloud: Cloud, operator: Client, operation: str) -> None:
    threading.Timer(0.5, finish, (cloud.session, operation, "done")).start()
    assert watch.operation(operator, operation)["state"] == "done"


def test_several_are_told_together_and_those_that_did_not_come_about_named(
    cloud: Cloud, operator: Client, operation: str, capsys: pytest.CaptureFixture[str]
) -> None:
    owner = departments.seen_by(cloud.session, SYSTEM, "522301")
    other = operations.submit(cloud.session, "test.watch", ids.new("ten"), owner.id, "test").id
    finish(cloud.session, operation, "done")
    threading.Timer(0.5, finish, (cloud.session, other, "undone")).start()
    assert watch.operations(operator, {operation: "one", other: "two"}) == [other]
    told = capsys.readouterr().err.splitlines()
    assert [line.split()[3] for line in told] == ["one", "two"]


def test_nobody_waits_for_the_operation_that_ended_first(cloud: Cloud, operator: Client, operation: str) -> None:
    owner = departments.seen_by(cloud.session, SYSTEM, "522301")
    newest = operations.submit(cloud.session, "test.watch", ids.new("ten"), owner.id, "test").id
    cloud.session.commit()

    def end_both() -> None:
        time.sleep(0.5)
        finish(cloud.session, newest, "done")
        time.sleep(1.5)
        finish(cloud.session, operation, "done")

    def look() -> dict[str, str]:
        return {id: operator.get("operations", id)["state"] for id in (operation, newest)}

    ending, began = threading.Thread(target=end_both), time.monotonic()
    ending.start()
    watch._follow(
        operator,
        look,
        lambda states: set(states.values()) == {"done"},
        lambda states: [id for id, state in states.items() if state != "done"],
    )
    ending.join()
    assert time.monotonic() - began < 10  # a stream tells of an operation that has ended for a quarter of an hour


def test_a_stream_without_news_is_left_at_its_next_sign_of_life(operator: Client, operation: str) -> None:
    seen = operator.events(operation, 0)
    operator.wait(operation, seen[-1]["sequence"] if seen else 0)


def test_a_server_that_went_away_ends_the_waiting() -> None:
    away = Client(Context("http://127.0.0.1:1", "cct_x"))
    with pytest.raises(Failure, match="server-unreachable"):
        away.wait("ten_x", 0)

"""Progress is told soon and in order, and costs little however much is told."""

import time

from sqlalchemy.orm import Session

from cloudctl.kernel import events
from cloudctl.kernel.progress import PAUSE, Progress


def written(engine):
    with Session(engine) as session:
        return [event.figures["what"]["slug"] for event in events.after(session, ["op_1"])]


def until(engine, told):
    deadline = time.monotonic() + 20
    while written(engine) != told and time.monotonic() < deadline:
        time.sleep(0.02)
    assert written(engine) == told


def test_the_first_is_told_at_once_and_the_others_soon(engine):
    progress = Progress(engine, "op_1", "provision")
    progress.tell("one")
    assert written(engine) == ["one"]
    for slug in ("two", "three"):
        progress.tell(slug)
    until(engine, ["one", "two", "three"])
    time.sleep(PAUSE)
    progress.tell("four")
    assert written(engine) == ["one", "two", "three", "four"]


def test_the_rest_is_written_with_the_outcome_and_only_with_it(engine):
    progress = Progress(engine, "op_1", "provision")
    for slug in ("one", "two", "three"):
        progress.tell(slug)
    with Session(engine) as session:
        progress.end(session)
        session.rollback()
    time.sleep(2 * PAUSE)
    assert written(engine) == ["one"]

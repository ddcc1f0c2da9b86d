"""Events are numbered per subject without a gap, whoever writes at the same time."""

from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from cloudctl.kernel import events


def test_sixteen_writers_of_one_subject_leave_no_gap(engine: Engine) -> None:
    def write(number: int) -> None:
        with Session(engine) as session, session.begin():
            events.record(session, "ten_x", "noted", number=number)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(write, range(64)))
    with Session(engine) as session:
        assert [event.sequence for event in events.after(session, ["ten_x"])] == list(range(1, 65))


def test_an_event_of_a_rolled_back_transaction_does_not_exist(session: Session) -> None:
    events.record(session, "ten_x", "noted")
    session.rollback()
    assert events.after(session, ["ten_x"]) == []

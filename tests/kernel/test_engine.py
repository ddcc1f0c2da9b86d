"""The engine on toy operations: order, undo, fences, parking, cancelling, and steps that may not be repeated."""

import asyncio
import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import Engine, select, text
from sqlalchemy.orm import Session

from cloudctl.kernel import engine as walker
from cloudctl.kernel import operations
from cloudctl.kernel.audit import Actor
from cloudctl.kernel.jobs import answered
from cloudctl.kernel.lifecycle import NotAllowed
from cloudctl.kernel.operations import GiveUp, Inside, Operation, OperationRow, Outside, RetryLater
from cloudctl.kernel.settings import Settings

OPERATOR = Actor(id="usr_op", name="operator")


class World:
    """What the toy steps do to the outside, and how the test makes them fail."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.raises: dict[str, list[Exception]] = {}

    def act(self, name: str) -> None:
        if self.raises.get(name):
            raise self.raises[name].pop(0)
        self.done.append(name)


@pytest.fixture
def world() -> Iterator[World]:
    world = World()

    def first(session: Session, run: walker.Run) -> None:
        world.act("first")

    def second(run: walker.Run) -> None:
        world.act("second")
        run.remember(seen="second")

    def third(run: walker.Run) -> None:
        assert run.memory["seen"] == "second"
        world.act("third")

    def unfirst(session: Session, run: walker.Run) -> None:
        world.act("unfirst")

    def unsecond(run: walker.Run) -> None:
        world.act("unsecond")

    def once(run: walker.Run) -> None:
        world.act("once")

    operations.register(
        Operation("toy.make", Inside(first, undo=unfirst), Outside(second, undo=unsecond), Outside(third)),
        Operation("toy.once", Outside(once, repeatable=False), cancellable=False),
    )
    yield world
    del operations.KINDS["toy.make"], operations.KINDS["toy.once"]


@pytest.fixture
def submit(engine: Engine):
    def submit(kind: str = "toy.make", subject: str = "ten_a") -> str:
        with Session(engine) as session, session.begin():
            return operations.submit(session, kind, subject, "dep_a", "usr_a").id

    return submit


@pytest.fixture
def walk(engine: Engine, settings: Settings):
    """Advance an operation as a worker would, without waiting for the delays, until it rests."""

    def walk(operation: str, steps: int = 20) -> OperationRow:
        for _ in range(steps):
            with Session(engine) as session:
                row = operations.get(session, operation)
            if row.state != "running":
                break
            walker.advance(engine, settings, row.id, row.ticket)
        with Session(engine, expire_on_commit=False) as session:
            return operations.get(session, operation)

    return walk


def test_an_operation_does_its_steps_in_order(world, submit, walk):
    row = walk(submit())
    assert (row.state, world.done) == ("done", ["first", "second", "third"])


def test_giving_up_undoes_from_the_step_that_gave_up_backwards(world, submit, walk):
    world.raises["third"] = [GiveUp("no-such-flavour", flavour="x")]
    row = walk(submit())
    assert (row.state, world.done) == ("undone", ["first", "second", "unsecond", "unfirst"])
    assert row.reason == {"slug": "no-such-flavour", "figures": {"flavour": "x"}}


def test_a_step_that_cannot_be_done_now_is_tried_again(world, submit, walk):
    world.raises["second"] = [RetryLater("unreachable", timedelta(hours=1))] * 7
    row = walk(submit())
    assert (row.state, world.done) == ("done", ["first", "second", "third"])


def test_a_bug_is_tried_again_and_then_parked_never_undone(world, submit, walk, settings):
    world.raises["second"] = [ValueError("garbage")] * settings.attempts
    row = walk(submit())
    assert (row.state, row.attempts, world.done) == ("parked", settings.attempts, ["first"])
    assert row.reason["figures"]["message"] == "garbage"


def test_an_operator_retries_a_parked_operation(world, submit, walk, engine, settings):
    world.raises["second"] = [ValueError("garbage")] * settings.attempts
    operation = walk(submit()).id
    with Session(engine) as session, session.begin():
        operations.retry(session, OPERATOR, operation)
    assert walk(operation).state == "done"


@pytest.mark.parametrize(
    ("outcome", "state", "did"),
    [("done", "done", ["first", "third"]), ("undone", "undone", ["first", "unfirst"])],
)
def test_an_operator_resolves_a_parked_step(world, submit, walk, engine, settings, outcome, state, did):
    world.raises["second"] = [ValueError("garbage")] * settings.attempts
    operation = walk(submit()).id
    with Session(engine) as session, session.begin():
        operations.get(session, operation).memory = {"seen": "second"}
        operations.resolve(session, OPERATOR, operation, outcome, "looked at the rack")
    assert (walk(operation).state, world.done) == (state, did)


def test_a_parked_step_on_our_own_books_is_undone_but_never_taken_for_done(world, submit, walk, engine, settings):
    world.raises["first"] = [ValueError("garbage")] * settings.attempts
    operation = walk(submit()).id
    with Session(engine) as session, pytest.raises(operations.OnlyRetried):
        operations.resolve(session, OPERATOR, operation, "done", "because")
    with Session(engine) as session, session.begin():
        operations.resolve(session, OPERATOR, operation, "undone", "no longer wanted")
    assert (walk(operation).state, world.done) == ("undone", ["unfirst"])


def test_a_parked_undo_on_our_own_books_is_not_left_out(world, submit, walk, engine, settings):
    world.raises = {"second": [GiveUp("no-such-thing")], "unfirst": [ValueError("garbage")] * settings.attempts}
    operation = walk(submit()).id
    with Session(engine) as session, pytest.raises(operations.OnlyRetried):
        operations.resolve(session, OPERATOR, operation, "undone", "because")
    with Session(engine) as session, session.begin():
        operations.retry(session, OPERATOR, operation)
    assert (walk(operation).state, world.done) == ("undone", ["first", "unsecond", "unfirst"])


def test_what_was_resolved_as_undone_says_so_to_the_end(world, submit, walk, engine, settings):
    world.raises["second"] = [RuntimeError("bug")] * settings.attempts
    id = submit()
    walk(id)
    with Session(engine) as session, session.begin():
        operations.resolve(session, OPERATOR, id, "undone", "removed by hand")
    row = walk(id)
    assert (row.state, row.reason["slug"], row.reason["figures"]["reason"]) == ("undone", "resolved", "removed by hand")


def test_an_undo_that_was_parked_and_retried_still_says_why_it_turned(world, submit, walk, engine, settings):
    world.raises["second"] = [GiveUp("no-room", free=0)]
    world.raises["unsecond"] = [RuntimeError("bug")] * settings.attempts
    id = submit()
    assert walk(id).reason["slug"] == "unexpected"
    with Session(engine) as session, session.begin():
        operations.retry(session, OPERATOR, id)
    row = walk(id)
    assert (row.state, row.reason) == ("undone", {"slug": "no-room", "figures": {"free": 0}})


def test_resolving_needs_a_parked_operation_and_a_reason(world, submit, engine):
    operation = submit()
    with Session(engine) as session:
        with pytest.raises(operations.ReasonRequired):
            operations.resolve(session, OPERATOR, operation, "done", " ")
        with pytest.raises(NotAllowed):
            operations.resolve(session, OPERATOR, operation, "done", "because")


def test_a_cancel_is_honoured_between_steps(world, submit, walk, engine):
    operation = submit()
    walk(operation, steps=1)
    with Session(engine) as session, session.begin():
        operations.cancel(session, OPERATOR, operation, "no longer wanted")
    row = walk(operation)
    assert (row.state, world.done) == ("undone", ["first", "unsecond", "unfirst"])
    assert row.reason["slug"] == "cancelled"


def test_an_older_ticket_changes_nothing(world, submit, walk, engine, settings):
    operation = submit()
    walk(operation, steps=1)
    walker.advance(engine, settings, operation, 0)
    assert world.done == ["first"]


def test_a_zombie_that_wakes_up_after_its_step_was_taken_over_writes_nothing(world, submit, walk, engine, settings):
    operation, asleep, wake = submit(), threading.Event(), threading.Event()
    walk(operation, steps=1)
    kind = operations.KINDS["toy.make"]
    second = kind.steps[1]

    def frozen(run: walker.Run) -> None:
        if not asleep.is_set():
            asleep.set()
            wake.wait(20)
            run.remember(seen="zombie")
            return
        second.do(run)

    operations.register(Operation("toy.make", kind.steps[0], Outside(frozen, undo=second.undo), kind.steps[2]))
    zombie = threading.Thread(target=walker.advance, args=(engine, settings, operation, 1))
    zombie.start()
    asleep.wait(20)
    row = walk(operation)
    wake.set()
    zombie.join()
    with Session(engine) as session:
        assert operations.get(session, operation).memory == {"seen": "second"}
        outcomes = session.scalars(select(operations.Attempt.outcome)).all()
    assert (row.state, outcomes) == ("done", ["done", "done", "done"])


def test_whole_operations_of_one_subject_follow_one_another(world, submit, walk, engine):
    first, second = submit(), submit()
    with Session(engine) as session:
        assert operations.get(session, second).state == "queued"
    walk(first)
    assert walk(second).state == "done"


def test_a_parked_operation_keeps_its_subject_but_no_other(world, submit, walk, settings):
    world.raises["first"] = [ValueError("garbage")] * settings.attempts
    parked, behind, other = submit(), submit(), submit(subject="ten_b")
    assert walk(parked).state == "parked"
    assert walk(behind).state == "queued"
    assert walk(other).state == "done"


def test_a_step_that_may_not_be_repeated_is_lost_when_its_worker_died(world, submit, walk, engine):
    operation = submit("toy.once")
    with Session(engine) as session, session.begin():
        operations.get(session, operation).begun = 0  # it began, and nothing more was heard of it
    row = walk(operation)
    assert (row.state, row.reason["slug"], world.done) == ("undone", "lost", [])


def test_a_kind_that_cannot_be_cancelled_says_so(world, submit, engine):
    with Session(engine) as session, pytest.raises(operations.NotCancellable):
        operations.cancel(session, OPERATOR, submit("toy.once"))


def test_a_rolled_back_promise_leaves_neither_operation_nor_job(world, engine):
    with Session(engine) as session:
        operations.submit(session, "toy.make", "ten_a", "dep_a", "usr_a")
        session.rollback()
        assert session.scalar(text("SELECT count(*) FROM operations")) == 0
        assert session.scalar(text("SELECT count(*) FROM procrastinate_jobs")) == 0


# -- the job that walks an operation


@pytest.fixture
def jobs(engine: Engine):
    """What procrastinate has: id, ticket and status of every job, in order."""

    def jobs() -> list[tuple[int, int, str]]:
        query = "SELECT id, (args->>'ticket')::int, status FROM procrastinate_jobs ORDER BY id"
        with engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(query))]  # type: ignore[misc]

    return jobs


@pytest.fixture
def take(engine: Engine, jobs):
    """Take the only job, as a worker does; its id."""

    def take() -> int:
        with engine.begin() as connection:
            connection.execute(text("UPDATE procrastinate_jobs SET status = 'doing'"))
        ((job, _, _),) = jobs()
        return job

    return take


def test_a_job_walks_an_operation_to_its_end(world, submit, walk, jobs, take, engine, settings):
    operation, job = submit(), take()
    walker.advance(engine, settings, operation, 0, job)
    assert world.done == ["first", "second", "third"]
    assert walk(operation).state == "done"
    assert [each[0] for each in jobs()] == [job]


def test_a_job_stands_for_the_step_under_way_so_that_whoever_takes_it_over_goes_on_there(
    world, submit, walk, jobs, take, engine, settings
):
    operation, job = submit(), take()
    world.raises["third"] = [KeyboardInterrupt()]
    with pytest.raises(KeyboardInterrupt):
        walker.advance(engine, settings, operation, 0, job)
    assert jobs() == [(job, 2, "doing")]
    walker.advance(engine, settings, operation, 2, job)
    assert world.done == ["first", "second", "third"]


def test_what_has_to_wait_gets_a_job_of_its_own(world, submit, jobs, take, engine, settings):
    operation, job = submit(), take()
    world.raises["second"] = [RetryLater("cluster-busy", timedelta(seconds=5))]
    walker.advance(engine, settings, operation, 0, job)
    assert [(each[1], each[2]) for each in jobs()] == [(1, "doing"), (2, "todo")]


def test_a_job_that_another_has_ended_is_not_walked_on(world, submit, jobs, take, engine, settings):
    """As one does that was frozen, and wakes up when its job was taken over."""
    operation, job = submit(), take()
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM procrastinate_jobs"))
    walker.advance(engine, settings, operation, 0, job)
    assert world.done == ["first"]
    assert [each[1:] for each in jobs()] == [(1, "todo")]


def test_an_operation_without_a_job_is_sent_on_once(world, submit, walk, jobs, engine):
    operation = submit()
    walk(operation, steps=1)
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM procrastinate_jobs"))
    with Session(engine) as session, session.begin():
        assert walker.send_lost(session) == [operation]
        assert walker.send_lost(session) == []
    assert [each[1:] for each in jobs()] == [(1, "todo")]


def _job(session: Session, task: str, status: str, lock: str | None = None, worker: int | None = None) -> int:
    """A job as procrastinate has it, with the lock by which a duty waits for its own turn before."""
    entered = text(
        "INSERT INTO procrastinate_jobs (queue_name, task_name, lock, queueing_lock, args, status, worker_id)"
        " VALUES ('periodic', :task, :lock, :lock, '{}', CAST(:status AS procrastinate_job_status), :worker)"
        " RETURNING id"
    )
    return session.scalars(entered, {"task": task, "status": status, "lock": lock, "worker": worker}).one()


def test_a_worker_that_died_in_a_duty_holds_up_neither_its_next_turn_nor_other_jobs(jobs, urls, engine, settings):
    with Session(engine) as session, session.begin():
        dead = session.scalar(
            text("INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now() - interval '1 hour') RETURNING id")
        )
        _job(session, "admit", "doing", "admit", dead)
        waiting, other = _job(session, "admit", "todo", "admit"), _job(session, "something", "doing", None, dead)
    app = walker.application(engine, urls["application"], settings)

    async def rescue() -> None:
        async with app.open_async():
            await walker.rescue(app, engine, settings)

    asyncio.run(rescue())
    assert jobs() == [(waiting, None, "todo"), (other, None, "todo")]


def test_what_is_answered_is_not_called_again_and_nothing_else_is_forgotten(jobs, engine):
    with Session(engine) as session, session.begin():
        under_way = _job(session, "admit", "doing", "admit")
        for lock in ("admit", None):
            _job(session, "admit", "todo", lock)
        other = _job(session, "something", "todo")
        answered(session, "admit")
        later = _job(session, "admit", "todo")
    assert jobs() == [(under_way, None, "doing"), (other, None, "todo"), (later, None, "todo")]

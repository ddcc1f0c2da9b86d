"""The engine: walks operations one step at a time, on procrastinate, and takes over the work of the dead.

A step's outcome and the job that stands for the next one are written in one transaction, fenced by the
operation's ticket: a worker that was frozen and wakes up changes nothing. As long as nothing has to be waited
for, that is the job under way, so an operation is walked to its end without a turn in the queue at each step.
"""

import asyncio
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import procrastinate
from sqlalchemy import Engine, insert, select, text, update
from sqlalchemy.orm import Session

from cloudctl.kernel import clock, database, events, jobs, operations, telemetry
from cloudctl.kernel.errors import Problem
from cloudctl.kernel.operations import GiveUp, Inside, OperationRow, RetryLater, Step
from cloudctl.kernel.progress import Progress
from cloudctl.kernel.settings import Settings

log = logging.getLogger(__name__)
_stopping = threading.Event()
WORKER = f"{socket.gethostname()}:{os.getpid()}"
LONGEST_BACKOFF = 60.0


@dataclass(frozen=True)
class Periodic:
    """Something done every so often, by one worker at a time, and without input. `cron` has its seconds last."""

    name: str
    cron: str
    do: Callable[[Engine, Settings], object]


class Run:
    """One operation as a step sees it. Nothing it says is written before the step's outcome is, but progress."""

    def __init__(self, engine: Engine, settings: Settings, row: OperationRow, step: Step) -> None:
        self._engine, self.settings, self.step = engine, settings, step
        self.id, self.kind, self.subject, self.owner = row.id, row.kind, row.subject, row.owner
        self.arguments, self.requested_by = dict(row.arguments), row.requested_by
        self.reason = row.reason
        self.memory = dict(row.memory)
        self.progress = Progress(engine, row.id, step.name)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session to read with; it is closed, and nothing of it kept, before the step talks to the outside."""
        with Session(self._engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A transaction of its own, for what others shall see before the step has ended."""
        with Session(self._engine) as session, session.begin():
            yield session

    @property
    def database(self) -> Engine:
        """For what goes on beside the step, in threads of its own."""
        return self._engine

    @property
    def must_end(self) -> bool:
        """Whether the worker was told to stop: a step that takes hours ends now."""
        return _stopping.is_set()

    def remember(self, **values: Any) -> None:
        """Keep JSON values for later steps; written with this step's outcome."""
        self.memory.update(values)

    def log(self, slug: str, **figures: Any) -> None:
        """Tell those who watch how far the step is."""
        self.progress.tell(slug, **figures)


@dataclass(frozen=True)
class _Outcome:
    """How a try of a step came out, and what that means for the row."""

    name: str
    reason: dict[str, Any] | None = None
    again_in: float | None = None
    turn: bool = False
    park: bool = False


def advance(engine: Engine, settings: Settings, operation_id: str, ticket: int, job: int | None = None) -> None:
    """Do the step at which the operation stands, and in a `job` those after it, unless its ticket has moved on."""
    row = _standing(engine, operation_id, ticket)
    while row is not None:
        row = _advance(engine, settings, row, None if _stopping.is_set() else job)


def _standing(engine: Engine, operation_id: str, ticket: int) -> OperationRow | None:
    """The operation, if it stands at a step and its ticket has not moved on."""
    with Session(engine, expire_on_commit=False) as session, session.begin():
        row = session.get(OperationRow, operation_id)
        if row is None or row.state != "running" or row.ticket != ticket:
            return None
        if 0 <= row.step < len(row.steps):
            return row
        _move_on(session, row, row.memory, None)  # an operator resolved its last step
        return None


def _advance(engine: Engine, settings: Settings, row: OperationRow, job: int | None) -> OperationRow | None:
    """Do the step at which the operation stands; the operation after it, if its next step is this job's."""
    started = clock.now()
    with telemetry.of_operation(row.id):
        run, outcome = _try(engine, settings, row, started, job)
    if not isinstance(outcome, _Outcome):  # a step on our own books has settled itself
        return outcome
    with Session(engine, expire_on_commit=False) as session, session.begin():
        now = _fenced(session, row.id, row.ticket)
        return now and _settle(session, now, run, outcome, started, job)


def _try(
    engine: Engine, settings: Settings, row: OperationRow, started: datetime, job: int | None
) -> tuple[Run | None, _Outcome | OperationRow | None]:
    """Do the step once, and say how it came out; of one that has settled itself, what `_settle` said."""
    run = None
    try:
        step = operations.KINDS[row.kind].steps[row.step]
        run = Run(engine, settings, row, step)
        _may_begin(engine, row, step)
        return run, _act(engine, row, step, run, started, job)
    except RetryLater as later:
        reason = {"slug": later.reason, "figures": later.figures}
        return run, _Outcome("later", reason, again_in=later.delay.total_seconds())
    except (GiveUp, Problem) as gave_up:  # a refusal of our own rooms will not go away by itself either
        reason = {"slug": gave_up.reason, "figures": gave_up.figures} if isinstance(gave_up, GiveUp) else gave_up.reason
        return run, _Outcome("gave-up", reason, turn=row.direction > 0, park=row.direction < 0)
    except Exception as bug:  # not ours to judge: tried again, then left to an operator, never silently undone
        log.exception("step failed", extra={"operation": row.id, "step": row.current})
        reason = {"slug": "unexpected", "figures": {"error": type(bug).__name__, "message": str(bug)[:500]}}
        again = None if row.attempts + 1 >= settings.attempts else min(2.0**row.attempts, LONGEST_BACKOFF)
        return run, _Outcome("failed", reason, again_in=again, park=again is None)


def _may_begin(engine: Engine, row: OperationRow, step: Step) -> None:
    """Turn round where somebody wishes it, or where a step that may not be repeated was begun and not ended."""
    _must_be_wanted(row)
    if row.direction > 0 and not step.repeatable and not _begin_once(engine, row):
        raise GiveUp("lost", step=step.name)


def _must_be_wanted(row: OperationRow) -> None:
    if row.direction > 0 and row.cancel:
        raise GiveUp("cancelled", by=row.cancel["by"], because=row.cancel["reason"])


def _act(
    engine: Engine, row: OperationRow, step: Step, run: Run, started: datetime, job: int | None
) -> _Outcome | OperationRow | None:
    act = step.do if row.direction > 0 else step.undo
    if act and isinstance(step, Inside):
        with Session(engine, expire_on_commit=False) as session, session.begin():
            now = _fenced(session, row.id, row.ticket)
            if now is None:
                return None
            _must_be_wanted(now)
            act(session, run)
            return _settle(session, now, run, _Outcome("done"), started, job)
    if act:
        act(run)
    return _Outcome("done")


def _begin_once(engine: Engine, row: OperationRow) -> bool:
    """Mark that a step that may not be repeated begins; False if it had begun before (its worker died), or if the
    operation has moved on (this worker was frozen)."""
    with Session(engine) as session, session.begin():
        mark = update(OperationRow).where(
            OperationRow.id == row.id,
            OperationRow.state == "running",
            OperationRow.ticket == row.ticket,
            OperationRow.begun != row.ticket,
        )
        return bool(session.execute(mark.values(begun=row.ticket)).rowcount)  # type: ignore[attr-defined]


def _fenced(session: Session, operation_id: str, ticket: int) -> OperationRow | None:
    """Lock the operation; None if it has moved on meanwhile, and nothing may be written for it."""
    row = session.get(OperationRow, operation_id, with_for_update=True)
    return row if row is not None and row.state == "running" and row.ticket == ticket else None


def _settle(
    session: Session, row: OperationRow, run: Run | None, outcome: _Outcome, started: datetime, job: int | None
) -> OperationRow | None:
    """Write how the try came out and whatever follows from it; the operation, if its next step is this job's."""
    name = row.steps[row.step]
    figures: dict[str, Any] = {"step": name, "direction": row.direction, "reason": outcome.reason}
    attempt = {**figures, "outcome": outcome.name, "worker": WORKER, "started_at": started, "ended_at": clock.now()}
    with database.together(session):
        if run:
            run.progress.end(session)
        session.connection().execute(insert(operations.Attempt).inline(), {"operation_id": row.id, **attempt})
        events.record(session, row.id, f"step-{outcome.name}", **figures)
    telemetry.OPERATION_STEPS.labels(row.kind, name, outcome.name).inc()
    telemetry.STEP_DURATION.labels(row.kind, name).observe((clock.now() - started).total_seconds())
    row.ticket += 1
    if outcome.name == "done":
        row.step += row.direction
        row.attempts, row.retry_at = 0, None
        if row.direction > 0:
            row.reason = None  # while undoing, the reason why stays
        return _move_on(session, row, run.memory if run else row.memory, job)
    row.attempts += 1
    if row.direction > 0 or outcome.park:
        row.reason = outcome.reason
    if outcome.park:
        row.state = operations.OPERATION.next(row.state, "park")
        events.record(session, row.subject, "operation-parked", operation=row.id, kind=row.kind, **figures)
    elif outcome.turn:
        row.direction, row.attempts, row.retry_at = -1, 0, None  # this step again, backwards: it may have half acted
        session.flush()
        return _send_on(session, row, job)
    else:
        row.retry_at = clock.now() + timedelta(seconds=outcome.again_in or 0)
        session.flush()
        operations.send(session, row, at=row.retry_at)
    return None


def _move_on(session: Session, row: OperationRow, memory: dict[str, Any], job: int | None) -> OperationRow | None:
    """Send the operation to its next step, or end it and start the next one of its subject."""
    row.memory = memory
    if 0 <= row.step < len(row.steps):
        session.flush()
        return _send_on(session, row, job)
    row.state = operations.OPERATION.next(row.state, "finish" if row.direction > 0 else "unwind")
    row.step = min(max(row.step, 0), len(row.steps))
    row.finished_at = clock.now()
    telemetry.OPERATIONS_ENDED.labels(row.kind, row.state).inc()
    events.record(session, row.id, f"operation-{row.state}", reason=row.reason)
    events.record(session, row.subject, f"operation-{row.state}", operation=row.id, kind=row.kind, reason=row.reason)
    session.flush()
    operations.start_next(session, row.subject)
    return None


def _send_on(session: Session, row: OperationRow, job: int | None) -> OperationRow | None:
    """Have the operation advanced further; the operation, if by the job that did so until now."""
    if job is not None and jobs.aim(session, job, operation=row.id, ticket=row.ticket):
        return row
    operations.send(session, row)
    return None


_LOST = text(
    "state = 'running' AND NOT EXISTS (SELECT FROM procrastinate_jobs j WHERE j.task_name = :task AND j.status IN"
    " ('todo', 'doing') AND j.args->>'operation' = operations.id AND (j.args->>'ticket')::int = operations.ticket)"
).bindparams(task=operations.ADVANCE)


def send_lost(session: Session) -> list[str]:
    """Send the operations on whose job is gone: a worker that was frozen may end a job that another has taken over.

    Returns: their ids.
    """
    rows = session.scalars(select(OperationRow).where(_LOST).with_for_update(skip_locked=True)).all()
    for row in rows:
        operations.send(session, row, at=row.retry_at)
    return [row.id for row in rows]


def application(engine: Engine, url: str, settings: Settings, periodic: Sequence[Periodic] = ()) -> procrastinate.App:
    """The procrastinate application of one worker process."""
    connector = procrastinate.PsycopgConnector(
        conninfo=url, min_size=1, max_size=settings.worker_concurrency + settings.load_concurrency + 3
    )
    app = procrastinate.App(connector=connector)

    @app.task(name=operations.ADVANCE, queue=operations.QUEUE, pass_context=True)
    def _walk(context: procrastinate.JobContext, operation: str, ticket: int) -> None:
        advance(engine, settings, operation, ticket, context.job.id)

    @app.periodic(cron="* * * * * */5")
    @app.task(name="rescue", queue="periodic", queueing_lock="rescue")
    async def _rescue(timestamp: int) -> None:
        await rescue(app, engine, settings)

    for duty in periodic:
        _schedule(app, engine, settings, duty)
    return app


async def rescue(app: procrastinate.App, engine: Engine, settings: Settings) -> None:
    """Have done again what dead workers left, and send on what has no job any more."""
    for job in await app.job_manager.get_stalled_jobs(seconds_since_heartbeat=settings.stalled_seconds):
        log.warning("taking over a dead worker's job", extra={"job": job.id, "task": job.task_name})
        try:
            await app.job_manager.retry_job(job)
        except procrastinate.exceptions.UniqueViolation:  # a duty whose next turn waits already, for this one to end
            await app.job_manager.finish_job(job, procrastinate.jobs.Status.FAILED, delete_job=True)
    for operation in await asyncio.to_thread(_all_lost_sent, engine):
        log.warning("an operation had no job any more", extra={"operation": operation})


def _all_lost_sent(engine: Engine) -> list[str]:
    with Session(engine) as session, session.begin():
        return send_lost(session)


def _schedule(app: procrastinate.App, engine: Engine, settings: Settings, duty: Periodic) -> None:
    @app.periodic(cron=duty.cron)
    @app.task(name=duty.name, queue="periodic", queueing_lock=duty.name, lock=duty.name)
    def _duty(timestamp: int) -> None:
        began = time.monotonic()
        duty.do(engine, settings)
        log.debug("periodic", extra={"duty": duty.name, "seconds": time.monotonic() - began})


async def _serve(app: procrastinate.App, settings: Settings, queues: Sequence[str], concurrency: int) -> None:
    await app.run_worker_async(
        queues=list(queues),
        concurrency=concurrency,
        update_heartbeat_interval=settings.heartbeat_seconds,
        stalled_worker_timeout=settings.stalled_seconds,
        fetch_job_polling_interval=1,
        delete_jobs="successful",
        install_signal_handlers=False,
    )


def work(app: procrastinate.App, settings: Settings) -> None:
    """Run steps until told to stop (SIGTERM, SIGINT); the steps under way are finished first, the long ones broken off.

    What may take hours has places of its own, so that it keeps nothing else waiting.
    """

    async def run() -> None:
        async with app.open_async():
            serving = [
                asyncio.create_task(_serve(app, settings, [operations.LONG], settings.load_concurrency)),
                asyncio.create_task(_serve(app, settings, [operations.QUEUE, "periodic"], settings.worker_concurrency)),
            ]

            def stop() -> None:
                _stopping.set()
                for task in serving:
                    if not task.cancelling():  # a second time would break off the steps under way
                        task.cancel()

            for each in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(each, stop)
            await asyncio.wait(serving, return_when=asyncio.FIRST_COMPLETED)
            stop()
            for ended in await asyncio.gather(*serving, return_exceptions=True):
                if isinstance(ended, Exception):
                    raise ended

    asyncio.run(run())

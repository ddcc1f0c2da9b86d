"""Durable operations: lists of repeatable steps with undo that survive the death of any process.

The tables here are the truth; `engine.py` walks the steps. One started, unfinished operation a subject:
the partial unique index says so, and whatever ends one starts the next in the same transaction.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ForeignKey, Index, Sequence, func, select, text
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship

from cloudctl.kernel import audit, clock, events, ids, jobs
from cloudctl.kernel.database import Base, Id, Ref, Serial
from cloudctl.kernel.errors import Conflict, Forbidden, NotFound
from cloudctl.kernel.lifecycle import Lifecycle, NotAllowed

QUEUE = "operations"
LONG = "load"  # the queue of what may take hours
ADVANCE = "advance"
PLATFORM = "platform"  # owns what is the affair of no department

OPERATION = Lifecycle(
    "operation",
    {
        "queued": {"start": "running"},
        "running": {"finish": "done", "unwind": "undone", "park": "parked"},
        "parked": {"retry": "running", "resolve": "running"},
        "done": {},
        "undone": {},
    },
)


class RetryLater(Exception):
    """The step cannot be done now; try again after `delay`. The reason is a slug with figures."""

    def __init__(self, reason: str, delay: timedelta = timedelta(seconds=15), **figures: Any) -> None:
        super().__init__(f"{reason}: {figures}" if figures else reason)
        self.reason, self.delay, self.figures = reason, delay, figures


class GiveUp(Exception):
    """The step will never work: what was done before it is undone. The reason is a slug with figures."""

    def __init__(self, reason: str, **figures: Any) -> None:
        super().__init__(f"{reason}: {figures}" if figures else reason)
        self.reason, self.figures = reason, figures


class NoSuchOperation(NotFound):
    """No such operation, or none the caller may see."""


class NotCancellable(Forbidden):
    """This kind of operation cannot be cancelled once it was promised."""


class ReasonRequired(Conflict):
    """An operator's word about what happened outside needs a reason for the record."""


class CannotResolve(Conflict):
    """A step that was being undone can only be declared undone."""


class OnlyRetried(Conflict):
    """A step on our own books cannot have been done outside, and its undo cannot be left out: retry it."""


@dataclass(frozen=True)
class Step:
    """One repeatable act with its undo. One that may not be repeated and whose worker died is `lost`, never re-run.

    `within` is how long one try may keep the outside busy; the step reads it as `run.step.within`.
    """

    do: Callable[..., None]
    undo: Callable[..., None] | None = None
    within: timedelta = timedelta(minutes=10)
    repeatable: bool = True

    @property
    def name(self) -> str:
        return self.do.__name__


class Outside(Step):
    """A step that talks to the outside: `do(run)`, with no transaction open."""


class Inside(Step):
    """A step that only writes our books: `do(session, run)`, in the transaction that records its outcome."""


@dataclass(frozen=True, init=False)
class Operation:
    """A kind of operation: its steps in order. One with a `queue` of its own keeps no other from a free worker."""

    kind: str
    steps: tuple[Step, ...]
    cancellable: bool = field(default=True)
    queue: str = field(default=QUEUE)

    def __init__(self, kind: str, *steps: Step, cancellable: bool = True, queue: str = QUEUE) -> None:
        object.__setattr__(self, "kind", kind)
        object.__setattr__(self, "steps", steps)
        object.__setattr__(self, "cancellable", cancellable)
        object.__setattr__(self, "queue", queue)


KINDS: dict[str, Operation] = {}


def register(*operations: Operation) -> None:
    """Make kinds of operation known; called by the roof at start."""
    KINDS.update({operation.kind: operation for operation in operations})


_number = Sequence("operations_number_seq", metadata=Base.metadata)


class OperationRow(Base):
    """One operation and where it stands.

    `number` is the order of promising. `ticket` grows with every outcome: a job with an older one does nothing.
    """

    __tablename__ = "operations"
    __table_args__ = (
        Index(
            "uq_operations_one_at_a_time",
            "subject",
            unique=True,
            postgresql_where=text("state IN ('running', 'parked')"),
        ),
        Index("ix_operations_subject_number", "subject", "number"),
        Index("ix_operations_state", "state"),
    )

    id: Mapped[Id]
    number: Mapped[int] = mapped_column(_number, server_default=text("nextval('operations_number_seq')"))
    kind: Mapped[str]
    subject: Mapped[Ref]
    owner: Mapped[Ref] = mapped_column(index=True)  # the department whose affair it is, or PLATFORM
    steps: Mapped[list[str]]  # names, as they were when it was promised
    arguments: Mapped[dict[str, Any]]
    memory: Mapped[dict[str, Any]]  # what steps remember for later ones
    step: Mapped[int] = mapped_column(default=0)
    direction: Mapped[int] = mapped_column(default=1)  # -1 while undoing
    state: Mapped[str] = mapped_column(default="queued")
    ticket: Mapped[int] = mapped_column(default=0)
    begun: Mapped[int] = mapped_column(default=-1)  # the ticket with which a step that may not be repeated began
    attempts: Mapped[int] = mapped_column(default=0)
    reason: Mapped[dict[str, Any] | None]  # why it waits, is parked or was undone: slug and figures
    retry_at: Mapped[datetime | None]
    cancel: Mapped[dict[str, Any] | None]  # an intent, honoured between steps: by, reason, at
    requested_by: Mapped[str]
    created_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    attempts_made: Mapped[list["Attempt"]] = relationship(order_by="Attempt.id")

    @property
    def current(self) -> str | None:
        """The name of the step it stands at."""
        return self.steps[self.step] if 0 <= self.step < len(self.steps) and not self.is_final else None

    @property
    def is_final(self) -> bool:
        return self.state in OPERATION.final

    @property
    def rests_since(self) -> datetime:
        """When it was last tried, or else promised."""
        return self.attempts_made[-1].ended_at if self.attempts_made else self.created_at

    @property
    def department(self) -> str | None:
        """The department whose affair it is, if it is one's."""
        return None if self.owner == PLATFORM else self.owner


class Attempt(Base):
    """One try of one step, and how it came out: done, later, gave-up, failed, lost or resolved."""

    __tablename__ = "operation_attempts"

    id: Mapped[Serial]
    operation_id: Mapped[Ref] = mapped_column(ForeignKey("operations.id"), index=True)
    step: Mapped[str]
    direction: Mapped[int]
    outcome: Mapped[str]
    reason: Mapped[dict[str, Any] | None]
    worker: Mapped[str]
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime]


def submit(session: Session, kind: str, subject: str, owner: str, by: str, **arguments: Any) -> OperationRow:
    """Promise an operation in the caller's transaction. It starts when those before it on the subject have ended."""
    row = OperationRow(
        id=ids.new("op"),
        kind=kind,
        subject=subject,
        owner=owner,
        steps=[step.name for step in KINDS[kind].steps],
        arguments=arguments,
        memory={},
        requested_by=by,
        created_at=clock.now(),
    )
    session.add(row)
    session.flush()
    events.record(session, subject, "operation-promised", by, operation=row.id, kind=kind)
    start_next(session, subject)
    return row


def start_next(session: Session, subject: str) -> None:
    """Start the subject's oldest queued operation, if none is under way. Called with every submit and every end."""
    session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(subject, 3))))
    theirs = select(OperationRow).where(OperationRow.subject == subject, OperationRow.state.not_in(OPERATION.final))
    theirs = theirs.order_by(OperationRow.state == "queued", OperationRow.number).limit(1)
    row = session.scalar(theirs.execution_options(populate_existing=True))
    if row and row.state == "queued":
        row.state = OPERATION.next(row.state, "start")
        session.flush()
        send(session, row)


def send(session: Session, row: OperationRow, at: datetime | None = None) -> None:
    """Have the operation advanced by whoever takes the job, in this transaction's name."""
    queue = KINDS[row.kind].queue if row.kind in KINDS else QUEUE
    jobs.defer(session, ADVANCE, queue=queue, lock=row.subject, at=at, operation=row.id, ticket=row.ticket)


def under_way(session: Session, subject: str) -> OperationRow | None:
    """The oldest operation of the subject that has not ended."""
    return all_under_way(session, [subject]).get(subject)


def all_under_way(session: Session, subjects: Collection[str]) -> dict[str, OperationRow]:
    """Of each of these subjects the oldest operation that has not ended, where there is one."""
    theirs = select(OperationRow).where(OperationRow.subject.in_(subjects), OperationRow.state.not_in(OPERATION.final))
    rows = session.scalars(theirs.order_by(OperationRow.number.desc())) if subjects else ()
    return {row.subject: row for row in rows}


def busy(session: Session, subjects: Collection[str]) -> dict[str, str]:
    """Of these subjects, those with an operation that has not ended, and its kind."""
    return {subject: row.kind for subject, row in all_under_way(session, subjects).items()}


def ended_well(session: Session, subject: str) -> list[OperationRow]:
    """What was done to the subject and not undone, newest first."""
    mine = select(OperationRow).where(OperationRow.subject == subject, OperationRow.state == "done")
    return list(session.scalars(mine.order_by(OperationRow.number.desc())))


def ended_since(session: Session, kind: str, subjects: Collection[str], since: datetime) -> dict[str, list[datetime]]:
    """When operations of a kind ended on these subjects since that moment."""
    rows = select(OperationRow.subject, OperationRow.finished_at)
    rows = rows.where(OperationRow.subject.in_(subjects), OperationRow.kind == kind, OperationRow.finished_at >= since)
    ended: dict[str, list[datetime]] = {}
    for subject, at in session.execute(rows) if subjects else ():
        if at:
            ended.setdefault(subject, []).append(at)
    return ended


def get(session: Session, operation_id: str) -> OperationRow:
    row = session.get(OperationRow, operation_id)
    if row is None:
        raise NoSuchOperation(operation=operation_id)
    return row


def listed(
    session: Session,
    *,
    owners: Collection[str] | None = None,
    subject: str | None = None,
    state: str | None = None,
    after: str | None = None,
    limit: int = 50,
) -> list[OperationRow]:
    """Operations, newest first; of these owners only, where given; `after` is the id to go on from."""
    query = select(OperationRow).order_by(OperationRow.id.desc()).limit(limit)
    for condition, given in (
        (OperationRow.owner.in_(owners or ()), owners is not None),
        (OperationRow.subject == subject, subject),
        (OperationRow.state == state, state),
        (OperationRow.id < (after or ""), after),
    ):
        query = query.where(condition) if given else query
    return list(session.scalars(query))


def _locked(session: Session, operation_id: str) -> OperationRow:
    row = session.get(OperationRow, operation_id, with_for_update=True, populate_existing=True)
    if row is None:
        raise NoSuchOperation(operation=operation_id)
    return row


def cancel(session: Session, actor: audit.Actor, operation_id: str, reason: str | None = None) -> OperationRow:
    """Record the wish that the operation be undone; it is honoured between two steps. What has ended stays.

    Raises:
        NotCancellable: the kind does not allow it.
        NotAllowed: it has ended or is parked.
    """
    row = _locked(session, operation_id)
    if not KINDS[row.kind].cancellable:
        raise NotCancellable(operation=row.id, kind=row.kind)
    if row.state not in ("queued", "running"):
        raise NotAllowed("operation", row.state, "cancel", sorted(OPERATION.table[row.state]))
    audit.record(session, actor, "operation:cancel", row.id, reason=reason, department=row.department)
    events.record(session, row.id, "cancel-requested", actor.id)
    row.cancel = {"by": actor.id, "reason": reason, "at": clock.now().isoformat()}
    if row.retry_at:  # it waits for another try: do not make the caller wait with it
        row.ticket, row.retry_at = row.ticket + 1, None
        session.flush()
        send(session, row)
    return row


def retry(session: Session, actor: audit.Actor, operation_id: str) -> OperationRow:
    """Try the parked step again."""
    row = _locked(session, operation_id)
    _reopen(session, row, "retry")
    audit.record(session, actor, "operation:retry", row.id, department=row.department)
    return row


def resolve(session: Session, actor: audit.Actor, operation_id: str, outcome: str, reason: str) -> OperationRow:
    """Take an operator's word for what became of the parked step.

    Where it was `done` the operation goes on after it, where `undone` it unwinds what was before. Of a step on
    our own books the word can only be that it is not wanted any more: it is undone like one that gave up.

    Raises:
        NotAllowed: it is not parked.
        ReasonRequired: without a reason the record would be worth nothing.
        CannotResolve: the step was being undone; it cannot be declared done.
        OnlyRetried: what the step writes stands in our own books, and would be missing there.
    """
    row = _locked(session, operation_id)
    if not reason.strip():
        raise ReasonRequired(field="reason", action="operation:resolve")
    if row.direction < 0 and outcome == "done":
        raise CannotResolve(operation=row.id, step=row.current)
    OPERATION.next(row.state, "resolve")
    ours = _is_ours(row)
    if ours and (outcome == "done" or row.direction < 0):
        raise OnlyRetried(operation=row.id, step=row.current)
    at = clock.now()
    session.add(
        Attempt(
            operation_id=row.id,
            step=row.current or "",
            direction=row.direction,
            outcome="resolved",
            reason={"slug": "resolved", "figures": {"as": outcome, "reason": reason}},
            worker=actor.id,
            started_at=at,
            ended_at=at,
        )
    )
    audit.record(session, actor, "operation:resolve", row.id, reason=reason, department=row.department, outcome=outcome)
    row.direction = 1 if outcome == "done" else -1
    row.step += 0 if ours else row.direction
    _reopen(session, row, "resolve")
    return row


def _why_it_turned(session: Session, row: OperationRow) -> dict[str, Any] | None:
    """What the last try forwards came to: whoever asked for the operation is told that, not why undoing was parked."""
    forwards = select(Attempt.reason).where(Attempt.operation_id == row.id, Attempt.direction > 0)
    return session.scalar(forwards.order_by(Attempt.id.desc()).limit(1))


def _is_ours(row: OperationRow) -> bool:
    """Whether the step it stands at only writes our own books."""
    steps = KINDS[row.kind].steps if row.kind in KINDS else ()
    return any(step.name == row.current and isinstance(step, Inside) for step in steps)


def _reopen(session: Session, row: OperationRow, event: str) -> None:
    row.state = OPERATION.next(row.state, event)
    row.ticket, row.attempts, row.retry_at = row.ticket + 1, 0, None
    row.reason = _why_it_turned(session, row) if row.direction < 0 else None
    events.record(session, row.id, f"operation-{event}")
    session.flush()
    send(session, row)

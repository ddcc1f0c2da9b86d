"""Jobs: what procrastinate shall call soon, promised in the caller's own transaction."""

from datetime import datetime
from typing import Any

import procrastinate
from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session

# Never opened, and used by name only: inside a worker the other app is open on an asynchronous
# connector, which cannot use our synchronous connection.
_sending = procrastinate.App(connector=procrastinate.SyncPsycopgConnector())


def defer(
    session: Session, task: str, *, queue: str, lock: str | None = None, at: datetime | None = None, **arguments: Any
) -> None:
    """Have `task` called, once the session's transaction commits; never if it does not."""
    _sending.configure_task(
        task,
        queue=queue,
        lock=lock,
        schedule_at=at,
        connection=session.connection().connection.driver_connection,
    ).defer(**arguments)


def answered(session: Session, task: str) -> None:
    """Take back every call of `task` that has not begun: whoever was called for is looked at after this statement."""
    session.execute(_ANSWERED, {"task": task})


_ANSWERED = text("DELETE FROM procrastinate_jobs WHERE task_name = :task AND status = 'todo'")
_AIM = text("UPDATE procrastinate_jobs SET args = :arguments WHERE id = :job AND status = 'doing'").bindparams(
    bindparam("arguments", type_=JSONB)
)


def aim(session: Session, job: int, **arguments: Any) -> bool:
    """Let the job under way stand for these arguments from now on: whoever takes it over calls its task with them.

    Returns: False where it is not under way any more, because somebody else has ended it.
    """
    done = session.execute(_AIM, {"job": job, "arguments": arguments})
    return bool(done.rowcount)  # type: ignore[attr-defined]

"""Jobs: what procrastinate shall call soon, promised in the caller's own transaction."""

from datetime import datetime
from typing import Any

import procrastinate
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

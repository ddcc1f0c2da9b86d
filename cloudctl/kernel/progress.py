"""Progress: what a step tells while it works, for those who watch its operation."""

import threading
from time import monotonic
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from cloudctl.kernel import database, events

PAUSE = 0.3  # seconds between two writings: a step may tell more in that time than anybody reads


class Progress:
    """Written in the order in which it was told: soon, and together where much is told at once.

    A step may tell it from any thread. What was told in the last moments before its process died is lost.
    """

    def __init__(self, engine: Engine, operation: str, step: str) -> None:
        self._engine, self._operation, self._step = engine, operation, step
        self._turn = threading.Lock()
        self._told: list[dict[str, Any]] = []
        self._written = 0.0
        self._alarm: threading.Timer | None = None

    def tell(self, slug: str, **figures: Any) -> None:
        """One thing that was done; `figures` are JSON values."""
        with self._turn:
            self._told.append({"slug": slug, "figures": figures})
            if self._alarm:
                return
            wait = self._written + PAUSE - monotonic()
            if wait <= 0:
                self._write()
                return
            self._alarm = threading.Timer(wait, self._ring)
            self._alarm.daemon = True
            self._alarm.start()

    def end(self, session: Session) -> None:
        """Write the rest in the transaction that records the step's outcome."""
        with self._turn:
            if self._alarm:
                self._alarm.cancel()
                self._alarm = None
            self._record(session)

    def _ring(self) -> None:
        with self._turn:
            if self._alarm:
                self._alarm = None
                self._write()

    def _write(self) -> None:
        with Session(self._engine) as session, session.begin():
            self._record(session)
        self._written = monotonic()

    def _record(self, session: Session) -> None:
        if self._told:
            with database.together(session):
                for what in self._told:
                    events.record(session, self._operation, "progress", step=self._step, what=what)
        self._told = []

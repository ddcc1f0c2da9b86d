"""Engines elsewhere, as whoever drives them sees them: like those of this machine, but what they say takes a moment.

The load ends within a second of whatever breaks: a driver that dies gives no signs of life any more, without which each
engine ends by itself; an engine that does not come any more lets the others go; and a crew that is dismissed is
refused at its next exchange.
"""

import logging
import threading
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sqlalchemy import Engine as Database
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from loadtests import crews
from loadtests.clocks import OtherClock
from loadtests.crews import Beaten, Pass, Sign
from loadtests.engines import LOST_AFTER, Stopped, Take
from loadtests.exchanges import Command
from loadtests.leases import EVERY, LEASE, SILENCE
from loadtests.orders import Order

REACH = 0.5  # seconds within which a command gets there, or a report back
STARTS_WITHIN = 300.0  # seconds in which machines must be found, images fetched and engines started

log = logging.getLogger(__name__)


class RemoteEngine:
    """One engine elsewhere. Its moments are told to it by the clock that all go by."""

    reach = REACH

    def __init__(self, crew: "RemoteEngines", known: Pass, take: Take) -> None:
        self.id, self.oldest, self.inflight = known.engine, 0.0, 0
        self._crew, self._take, self._ready = crew, take, threading.Event()
        self._began = self._heard = self._came = time.monotonic()
        self._sign = Sign(0, ready=False, over=False)
        self._commands = 0

    @property
    def is_lost(self) -> bool:
        """Whether it ended, does not come any more, or comes and reports nothing."""
        now = time.monotonic()
        return (
            self._crew.is_over
            or self._sign.over
            or (self._sign.seen > 0 and now > self._came + SILENCE)
            or (self._sign.ready and now > self._heard + LOST_AFTER)
        )

    def wait(self, seconds: float) -> bool:
        if self._ready.wait(seconds) and not self.is_lost:
            return True
        if self.is_lost or time.monotonic() > self._began + STARTS_WITHIN:
            raise Stopped("engine-lost")
        return False

    def send(self, **command: Any) -> None:
        if self.is_lost:
            raise Stopped("engine-lost")
        if command["do"] == "origin":
            command["at"] = self._crew.clock.there(command["at"])
        self._commands += 1
        self._crew.tell(self.id, Command(number=self._commands, said=command))

    def end(self) -> None:
        """Let the whole crew go: none goes on without the others."""
        self._crew.dismiss()

    def hear(self, sign: Sign, reports: Sequence[dict[str, Any]]) -> None:
        """Note how it is, and pass on what it reports."""
        now = time.monotonic()
        if sign.seen != self._sign.seen:
            self._came = now
        if reports or not self._sign.ready:
            self._heard = now
        self._sign = sign
        for report in reports:
            self.oldest, self.inflight = report["oldest"], report["inflight"]
            self._take(report)
        if sign.ready:
            self._ready.set()


class RemoteEngines:
    """All engines of a run that are elsewhere, as a context: nothing of theirs leaves any more once it has ended.

    `passes` are for whoever starts them. A thread gives signs of life, and carries what is said both ways.
    """

    def __init__(self, database: Database, order: Order) -> None:
        self._database, self._order = database, order
        self._authority = Path(order.authority).read_text() if order.authority else None
        self.clock = OtherClock()
        self._engines: list[RemoteEngine] = []
        self._waiting: list[tuple[str, Command]] = []
        self._lock, self._spoken = threading.Lock(), threading.Event()
        self._over, self._dismissed = threading.Event(), False
        self._thread = threading.Thread(target=self._drive, daemon=True)

    def __enter__(self) -> Self:
        lasts = timedelta(seconds=STARTS_WITHIN + self._order.lasts)
        with Session(self._database) as session, session.begin():
            self.passes = crews.gather(session, self._order.run, self._order.generators, lasts)
        self._beat()
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.dismiss()
        self._thread.join()
        time.sleep(LEASE)  # who does not hear that it is dismissed has ended by then

    def start(self, order: Order, take: Take) -> RemoteEngine:
        """The next engine: it begins once its agent comes. The certificates it trusts go with its order."""
        engine = RemoteEngine(self, self.passes[len(self._engines)], take)
        told = order.model_copy(update={"authority": None}).model_dump(mode="json")
        with self._lock:
            self._engines.append(engine)
        engine.send(do="begin", order=told, authority=self._authority)
        return engine

    @property
    def is_over(self) -> bool:
        return self._over.is_set()

    def tell(self, engine: str, command: Command) -> None:
        """Have a command carried to an engine."""
        with self._lock:
            self._waiting.append((engine, command))
        self._spoken.set()

    def dismiss(self) -> None:
        """Let all of them go, at once; may be repeated. Where that cannot be written, they miss the signs of life."""
        self._over.set()
        self._spoken.set()
        with self._lock:
            if self._dismissed:
                return
            self._dismissed = True
        try:
            with Session(self._database) as session, session.begin():
                crews.dismiss(session, self._order.run)
        except SQLAlchemyError:
            log.exception("the engines of %s end by themselves", self._order.run)

    def _drive(self) -> None:
        try:
            while not self._over.is_set():
                self._spoken.wait(EVERY)
                self._spoken.clear()
                if not self._over.is_set() and not self._beat():
                    break
                if any(engine.is_lost for engine in list(self._engines)):
                    break
        except Exception:  # without signs of life they all end
            log.exception("the engines of %s are let go", self._order.run)
        self.dismiss()

    def _beat(self) -> bool:
        with self._lock:
            commands, self._waiting = self._waiting, []
        asked = time.monotonic()
        with Session(self._database) as session, session.begin():
            told = crews.beat(session, self._order.run, commands)
        if told is None:
            return False
        self.clock.heard(asked, told.now, time.monotonic())
        self._spread(told)
        return True

    def _spread(self, told: Beaten) -> None:
        reports: dict[str, list[dict[str, Any]]] = {}
        for id, report in told.reports:
            reports.setdefault(id, []).append(report)
        with self._lock:
            engines = list(self._engines)
        for engine in engines:
            if engine.id in told.signs:
                engine.hear(told.signs[engine.id], reports.get(engine.id, []))

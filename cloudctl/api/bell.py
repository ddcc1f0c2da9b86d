"""The bell: one connection of the process hears every event as it is committed, and wakes who watches its subject.

Where nobody watches there is no connection: every listener costs every commit that records an event.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

import psycopg

from cloudctl.kernel.errors import Unavailable
from cloudctl.kernel.events import CHANNEL

MOST = 500
"""Watchers one process serves at a time."""

_REDIAL = 1.0  # seconds between two attempts to reach the database
_LINGER = 10.0  # seconds after which it is seen that nobody watches any more

_log = logging.getLogger(__name__)


class TooManyWatchers(Unavailable):
    """This process serves as many watchers as it can; ask for the list instead, or come again."""


class Bell:
    """Wakes watchers, and promises no more: who is woken looks for themselves, and looks now and then anyway."""

    def __init__(self, url: str) -> None:
        """`url` is the database's, as the application's role."""
        self._url = url
        self._watching: dict[str, set[asyncio.Event]] = {}
        self._wanted = asyncio.Event()  # set while somebody watches
        self._count = 0

    @asynccontextmanager
    async def ringing(self) -> AsyncIterator[None]:
        """Within the block watchers are woken; a lost connection is made anew."""
        task = asyncio.create_task(self._listen())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def must_have_room(self) -> None:
        """To be asked before an answer begins, when it can still be a refusal.

        Raises:
            TooManyWatchers: this process serves as many as it can.
        """
        if self._count >= MOST:
            raise TooManyWatchers(most=MOST)

    @contextmanager
    def watching(self, subject: str) -> Iterator[asyncio.Event]:
        """An asyncio event that is set whenever something may have happened to the subject."""
        rung = asyncio.Event()
        self._count += 1
        self._watching.setdefault(subject, set()).add(rung)
        self._wanted.set()
        try:
            yield rung
        finally:
            self._count -= 1
            others = self._watching[subject]
            others.discard(rung)
            if not others:
                del self._watching[subject]
            if not self._watching:
                self._wanted.clear()

    async def _listen(self) -> None:
        while await self._wanted.wait():
            try:
                async with await psycopg.AsyncConnection.connect(self._url, autocommit=True) as connection:
                    await connection.execute(f"LISTEN {CHANNEL}")
                    for subject in list(self._watching):  # what happened while nobody listened
                        self._ring(subject)
                    while self._watching:
                        async for notice in connection.notifies(timeout=_LINGER):
                            self._ring(notice.payload)
                continue
            except psycopg.Error as error:
                _log.warning("cannot listen for events: %s", type(error).__name__)
            await asyncio.sleep(_REDIAL)

    def _ring(self, subject: str) -> None:
        for rung in self._watching.get(subject, ()):
            rung.set()

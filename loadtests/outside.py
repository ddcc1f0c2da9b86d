"""Whoever ordered a run: told how it goes and asked whether to stop, and never waited for while load is out."""

import threading
from collections.abc import Callable

from loadtests.orders import Progress
from loadtests.trials import BIN


class Outside:
    """Has a thread for either, as a database that is slow to write must not keep anybody from stopping.

    Of what is told, only the newest waits: what came in between is dropped. That the guard tripped never is.
    """

    def __init__(self, tell: Callable[[Progress], None], stop: Callable[[], str | None]) -> None:
        self._tell, self._stop = tell, stop
        self._news: Progress | None = None
        self._changed = threading.Condition()
        self._over = threading.Event()
        self._answered = threading.Event()
        self._reason: str | None = None
        self._failure: BaseException | None = None
        self._threads = [threading.Thread(target=each, daemon=True) for each in (self._telling, self._asking)]
        for thread in self._threads:
            thread.start()

    def tell(self, news: Progress) -> None:
        with self._changed:
            if self._news is None or not self._news.guard:
                self._news = news
                self._changed.notify()

    def wait(self, seconds: float) -> str | None:
        """Wait so long, or until it shall stop: why. What either of the two raised is raised here."""
        if not self._answered.wait(seconds):
            return None
        if self._failure:
            raise self._failure
        return self._reason

    def close(self) -> None:
        """Nobody is told or asked any more once this returns; what waits is still told."""
        self._over.set()
        with self._changed:
            self._changed.notify()
        for thread in self._threads:
            thread.join()

    def _telling(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._news or self._over.is_set())
                news, self._news = self._news, None
            if news is None:
                return
            self._attempt(lambda news=news: self._tell(news))  # type: ignore[misc]

    def _asking(self) -> None:
        while not self._over.wait(BIN) and not self._answered.is_set():
            self._attempt(self._ask)

    def _ask(self) -> None:
        if reason := self._stop():
            self._reason = reason
            self._answered.set()

    def _attempt(self, call: Callable[[], None]) -> None:
        try:
            call()
        except BaseException as failure:  # raised again where the run is conducted
            self._failure = failure
            self._answered.set()

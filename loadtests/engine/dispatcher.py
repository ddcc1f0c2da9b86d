"""The dispatcher: lets visitors come when they should, whatever is answered, within caps that it keeps itself."""

import time
from typing import Any

import gevent
import gevent.event

from loadtests.engine.counts import Counts
from loadtests.engine.users import Users
from loadtests.engine.visitors import BACK_OFF, Visitors
from loadtests.guard import AGE, TICKS
from loadtests.orders import Order
from loadtests.schedule import Schedule
from loadtests.trials import BIN


class Dispatcher:
    """Follows a curve of rates, or keeps a number of visitors busy. Moments in seconds since the origin.

    Args:
        kind: who comes; visitors of journeys, or users of a locustfile.
    """

    def __init__(self, order: Order, kind: type[Visitors] | type[Users]) -> None:
        self.order, self.origin = order, time.monotonic()
        self.counts = Counts()
        self.visitors = kind(order, self.counts, self.now)
        self.schedule: Schedule | None = None
        self.changed = gevent.event.Event()
        self.users = self.generation = self._old = 0
        self.cut: str | None = None
        self._processor, self._looked = time.process_time(), self.now()

    def now(self) -> float:
        return time.monotonic() - self.origin

    def follow(self, points: list[tuple[float, float]], epoch: int, is_random: bool) -> None:
        """Let visitors come by this curve from now on; without one, who is there leaves as well."""
        self.counts.epoch, self.cut, self._old = epoch, None, 0
        curve = [(at, rate / self.order.mean_requests) for at, rate in points]
        if not curve:
            self.visitors.send_home()
        self.schedule = Schedule(curve, self.order.seed + epoch, is_random=is_random) if curve else None
        self.changed.set()

    def mark(self, epoch: int) -> None:
        """What arrives from now on is told apart from what came before; the load goes on."""
        self.counts.epoch = epoch

    def close_loop(self, users: int, epoch: int) -> None:
        """Keep so many visitors busy from now on, each asking again when answered."""
        self.users, self.generation, self.counts.epoch, self.cut = users, self.generation + 1, epoch, None
        self.visitors.send_home()
        for _ in range(users):
            gevent.spawn(self._regular, self.generation)

    def dispatch(self) -> None:
        """For ever: wait for the next moment, send a visitor."""
        passed = 0
        while True:
            schedule = self.schedule
            moment = schedule.next() if schedule and not self.cut else None
            if moment is None:
                self.changed.wait()
                self.changed.clear()
                continue
            wait = moment - self.now()
            if wait > 0.02:
                if self.changed.wait(wait - 0.001):
                    self.changed.clear()
                    continue
            elif wait > 0:
                gevent.sleep(wait)
            elif (passed := passed + 1) % 32 == 0:
                gevent.sleep(0)  # behind already: whoever is out must still be heard
            if self.schedule is not schedule or self.cut:
                continue
            if self.visitors.may_ask():
                gevent.spawn(self._visit, moment)

    def looked(self) -> dict[str, Any]:
        """A report, four times a second. The engine itself cuts the load when the oldest request is far too old."""
        now, processor = self.now(), time.process_time()
        report = self.counts.taken(now)
        too_old = report["oldest"] * 1000 > AGE * self.order.level.latency_ms
        self._old = self._old + 1 if too_old and not self.users else 0
        if self._old >= TICKS and self.schedule:
            self.cut = "oldest-too-old"
            self.visitors.send_home()
        cpu = (processor - self._processor) / max(now - self._looked, 1e-3)
        self._processor, self._looked = processor, now
        told = {"at": round(now, 3), "cpu": round(cpu, 3), "cut": self.cut, **report}
        return told if self.visitors.raised is None else {**told, "raised": self.visitors.raised}

    def reports(self) -> Any:
        """When each report is due: at the end of each bin."""
        while True:
            gevent.sleep(BIN - self.now() % BIN)
            yield self.looked()

    def _visit(self, moment: float) -> None:
        self.counts.left(max(0.0, self.now() - moment))
        self.visitors.visit(moment)

    def _regular(self, generation: int) -> None:
        while self.generation == generation:
            self.visitors.wait_turn()
            if self.generation == generation and not self.visitors.visit(self.now()):
                gevent.sleep(BACK_OFF)

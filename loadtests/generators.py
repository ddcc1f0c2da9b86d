"""Generators: engines, wherever they are, driven as one. Their load ends with whoever drives them, whatever ends it."""

import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Self

from loadtests.engines import Driven, Engine, Start, Stopped
from loadtests.guard import Guard
from loadtests.histogram import Histogram
from loadtests.orders import Order, Progress
from loadtests.outside import Outside
from loadtests.trials import BIN, Arrivals, Trial, bad_share, settled, summed

AHEAD = 0.1  # seconds before the origin at which engines are told of it
SETTLE = 0.4  # seconds beyond the limit in which what is out may still be answered
SLICES = 60  # of a curve, at most, each of a second at least
PROBES = (2, 8)  # visitors a second, at least and at most, that see whether a target has recovered
SMALL = 0.1  # of the rate that was tried last, which they may be
RECENT = 24  # reports of each engine that tell whether its own lateness tripped the guard
LATE = 0.9  # of their requests were no later: it takes a fifth to trip the guard


class Generators:
    """A `search.Target` that is real. Used as a context; not to be used from several threads.

    Args:
        stop: asked four times a second whether to go on; what it returns is why not.
        tell: told four times a second how it goes.
        start: starts an engine; those of this machine unless told otherwise.
    """

    def __init__(
        self,
        order: Order,
        tell: Callable[[Progress], None],
        stop: Callable[[], str | None],
        start: Start = Engine,
    ) -> None:
        self.order, self._tell, self._stop, self._start = order, tell, stop, start
        self.slo = order.level.slo
        self.phase = ""
        self.bins: dict[int, Arrivals] = defaultdict(lambda: Arrivals(0))
        self.answered: dict[int, int] = defaultdict(int)
        self.inflight: dict[int, int] = {}
        self.latencies: dict[int, Histogram] = defaultdict(Histogram)
        self.lags = Histogram()
        self.cpu = 0.0
        self.bytes: dict[int, int] = defaultdict(int)
        self.withheld = 0
        self.recovery: float | None = None
        """The longest that the target took to recover, in seconds."""
        self.cut: str | None = None
        self.raised: dict[str, Any] | None = None
        """What a locustfile raised last, as slug and figures."""
        self._late: deque[Histogram] = deque(maxlen=RECENT * order.generators)
        self._oldest = 0.0
        self._ended: float | None = 0.0
        self._tried = 0.0
        self._epoch = 0
        self._lock = threading.Lock()
        self._engines: list[Driven] = []
        self._reach = 0.0
        self._origin = time.monotonic()

    def __enter__(self) -> Self:
        self._outside = Outside(self._tell, self._stop)
        try:
            for number in range(self.order.generators):
                self._engines.append(self._start(self.order.told(number), self._take))
            for engine in self._engines:
                while not engine.wait(BIN):
                    if reason := self._outside.wait(0):
                        raise Stopped(reason)
            self._reach = max(engine.reach for engine in self._engines)
            ahead = AHEAD + self._reach
            self._origin = time.monotonic() + ahead
            self._send(do="origin", at=self._origin)
        except BaseException:
            self._end()
            raise
        time.sleep(ahead)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._end()

    @property
    def clock(self) -> float:
        return time.monotonic() - self._origin

    @property
    def bytes_per_second(self) -> int:
        """Bytes of answers within the second that brought most."""
        second = round(1 / BIN)
        return max((sum(self.bytes.get(at + each, 0) for each in range(second)) for at in list(self.bytes)), default=0)

    def open(self, rate: float, seconds: float, warm: float) -> Trial:
        guard, began = Guard(self.slo), self._soon
        start = _ceiled(began + warm)
        self._follow([(began, rate)])
        self._until(start, guard, began)
        epoch = self._mark()
        end = start + _ceiled(seconds)
        with self._measured() as lags:
            tripped = self._until(end, guard, began)
            end = min(end, max(start + BIN, _ceiled(self.clock)))
            if tripped:
                self._follow([])
            self._until(self._known(end), None, began)
            return self._trial(rate, start, end, [epoch], lags, tripped)

    def closed(self, users: int, seconds: float) -> Trial:
        self._epoch += 1
        self._ended = None
        self._send(do="closed", users=_part(users, self.order.generators), epoch=self._epoch)
        start = _ceiled(self._soon + 1.0)
        self._until(start, None, start)
        end = start + _ceiled(seconds)
        with self._measured() as lags:
            self._until(end, None, start)
            self._send(do="closed", users=0, epoch=self._epoch)
            self._ended = self.clock
            self._until(end + SETTLE + self._reach, None, start)
            return self._trial(users, start, end, [self._epoch], lags, None)

    def follow(self, points: list[tuple[float, float]], *, evenly: bool = False) -> tuple[Trial, list[Trial]]:
        """A whole curve, from its first second to its last; the guard may end it before. Also told in slices."""
        began = _ceiled(self._soon)
        length = points[-1][0]
        width = max(1.0, _ceiled(length / SLICES))
        guard, tripped = Guard(self.slo), None
        self._follow([(began + at, rate) for at, rate in points] + [(began + length, 0.0)], is_random=not evenly)
        marks: list[tuple[float, int]] = []
        with self._measured() as lags:
            while not tripped and self.clock < began + length:
                marks.append((began + len(marks) * width, self._mark() if marks else self._epoch))
                tripped = self._until(min(began + length, marks[-1][0] + width), guard, began)
            end = min(_ceiled(began + length), _ceiled(self.clock))
            if tripped:
                self._follow([])
            self._until(self._known(end), None, began)
            highest = max(rate for _, rate in points)
            whole = self._trial(highest, began, end, [epoch for _, epoch in marks], lags, tripped)
            return whole, [self._slice(at, min(end, at + width), epoch) for at, epoch in marks if at < end]

    def drain(self) -> float:
        """Nothing, until nobody is out any more; then a few visitors a second, until all of a second are served well.

        Returns: seconds from the end of the load to the first of them, or that were given where there were none.
        """
        self._follow([])
        ended = self._ended or 0.0
        while self._now_out() and self.clock - ended < self.order.calm:
            self._sleep()
        calm: float | None = None
        while calm is None and self.clock - ended < self.order.calm:
            calm = self._probed()
        took = (self.clock if calm is None else calm) - ended
        self.recovery = max(took, self.recovery or 0.0)
        return took

    def _probed(self) -> float | None:
        """Let a few visitors come within a second: when the first did, if all were served well.

        Of a target that refuses every other request two in turn are served well too often to be a sign.
        """
        asked, requests = _ceiled(self._soon), self.order.mean_requests
        most = self.order.ceiling / len(self._engines) / requests
        few = max(PROBES[0], int(min(PROBES[1], SMALL * self._tried / requests, most)))
        rate = few * requests
        points = [(asked - 0.9 / few, rate), (asked + 1 - 0.5 / few, rate), (asked + 1 - 0.5 / few, 0.0)]
        self._epoch += 1
        self._engines[0].send(do="follow", points=points, epoch=self._epoch, random=False)
        while self.clock < asked + 1 + self.slo.latency_ms / 1000 + self._reach:
            self._sleep()
        first = round(asked / BIN)
        with self._lock:
            came = summed(self.bins[number] for number in range(first, first + round(1 / BIN)))
        return asked if came.good >= PROBES[0] and came.bad == 0 else None

    # -- what engines tell

    def _take(self, report: dict[str, Any]) -> None:
        with self._lock:
            for number, counts in report["bins"].items():
                self.bins[int(number)] += Arrivals(*counts)
            for number, count in report["answered"].items():
                self.answered[int(number)] += count
            for epoch, counts in report["latencies"].items():
                self.latencies[int(epoch)].add(_histogram(counts))
            if report["lags"]:
                self._late.append(_histogram(report["lags"]))
                self.lags.add(self._late[-1])
            self.withheld += report["withheld"]
            self.cpu = max(self.cpu, report["cpu"])
            self.bytes[int(report["at"] / BIN)] += report["bytes"]
            self._oldest = max((engine.oldest for engine in self._engines), default=0.0)
            self.inflight[int(report["at"] / BIN)] = sum(engine.inflight for engine in self._engines)
            self.cut = self.cut or report["cut"]
            self.raised = report.get("raised") or self.raised

    # -- what is told to engines

    def _send(self, **command: Any) -> None:
        for number, engine in enumerate(self._engines):
            mine = {name: value[number] if isinstance(value, tuple) else value for name, value in command.items()}
            engine.send(**mine)

    def _follow(self, points: list[tuple[float, float]], *, is_random: bool = True) -> None:
        self._epoch += 1
        self.cut = None
        if points:
            self._ended, self._tried = None, max(rate for _, rate in points)
        elif self._ended is None:
            self._ended = self.clock
        share = [(at, min(rate, self.order.ceiling) / len(self._engines)) for at, rate in points]
        self._send(do="follow", points=share, epoch=self._epoch, random=is_random)

    def _mark(self) -> int:
        """What arrives from now on is told apart; returns its epoch."""
        self._epoch += 1
        self._send(do="mark", epoch=self._epoch)
        return self._epoch

    # -- waiting

    @property
    def _soon(self) -> float:
        """When engines can follow what they are told now."""
        return self.clock + self._reach

    def _known(self, end: float) -> float:
        """When it is known what became of all that left until then."""
        return end + self.slo.latency_ms / 1000 + SETTLE + self._reach

    def _until(self, moment: float, guard: Guard | None, since: float) -> str | None:
        """Wait until then, or until the guard trips: which rule.

        Raises:
            Stopped: it shall end, or an engine is lost.
        """
        while self.clock < moment:
            self._sleep()
            with self._lock:
                last = int((self.clock - self._reach) / BIN)
                bins = [self.bins[number] for number in range(max(int(since / BIN), last - 24), last)]
                tripped = (guard.look(bins, self._oldest * 1000) or self.cut) if guard else None
                news = self._progress(last, tripped)
            self._outside.tell(news)
            if tripped:
                return tripped
        return None

    def _sleep(self) -> None:
        if reason := self._outside.wait(BIN - self.clock % BIN):
            raise Stopped(reason)
        for engine in self._engines:
            if engine.is_lost:
                raise Stopped("engine-lost")

    def _now_out(self) -> int:
        return sum(engine.inflight for engine in self._engines)

    def _progress(self, last: int, tripped: str | None) -> Progress:
        recent = [self.bins[number] for number in range(max(0, last - 8), last)]
        return Progress(
            at=round(self.clock, 2),
            offered=summed(recent[-4:]).scheduled / (4 * BIN),
            served=sum(self.answered[number] for number in range(last - 4, last)) / (4 * BIN),
            bad=round(bad_share(settled(recent, self.slo)), 4),
            p99_ms=round(self.latencies[self._epoch].quantile(0.99), 1),
            inflight=self._now_out(),
            guard=tripped,
            phase=self.phase,
        )

    # -- what was measured

    def _measured(self) -> "_Measured":
        return _Measured(self)

    def _trial(
        self, rate: float, start: float, end: float, epochs: list[int], lags: "_Measured", cut: str | None
    ) -> Trial:
        with self._lock:
            numbers = range(round(start / BIN), round(end / BIN))
            histogram = _merged(self.latencies[epoch] for epoch in epochs)
            bins = [self.bins[number] for number in numbers]
            out = summed(bins).pending
            if out:  # still out: at least so late
                histogram.add(Histogram({key: out for key in Histogram.of([self._oldest * 1000 + 1]).counts}))
            last = 0
            inflight = [last := self.inflight.get(number, last) for number in numbers]
            answered = sum(self.answered[number] for number in numbers)
            lag = _merged(self._late).quantile(LATE) if cut else lags.p99_ms()
            return Trial(rate, bins, inflight, answered, histogram, lag, lags.cpu(), cut)

    def _slice(self, start: float, end: float, epoch: int) -> Trial:
        with self._lock:
            numbers = range(round(start / BIN), round(end / BIN))
            bins = [self.bins[number] for number in numbers]
            answered = sum(self.answered[number] for number in numbers)
            offered = summed(bins).scheduled / max(BIN, end - start)
            return Trial(offered, bins, answered=answered, histogram=self.latencies[epoch])

    def _end(self) -> None:
        for engine in self._engines:
            engine.end()
        self._outside.close()


class _Measured:
    """How late and busy the generators were themselves within the block."""

    def __init__(self, generators: Generators) -> None:
        self._of = generators

    def __enter__(self) -> "_Measured":
        with self._of._lock:
            self._of.lags, self._of.cpu = Histogram(), 0.0
        return self

    def __exit__(self, *_: object) -> None: ...

    def p99_ms(self) -> float:
        return self._of.lags.quantile(0.99)

    def cpu(self) -> float:
        return self._of.cpu


def _ceiled(moment: float) -> float:
    """The end of the bin in which a moment is."""
    return BIN * -(-moment // BIN)


def _part(users: int, engines: int) -> tuple[int, ...]:
    return tuple(users // engines + (number < users % engines) for number in range(engines))


def _merged(histograms: Iterable[Histogram]) -> Histogram:
    whole = Histogram()
    for each in histograms:
        whole.add(each)
    return whole


def _histogram(counts: dict[str, int]) -> Histogram:
    return Histogram({int(bucket): count for bucket, count in counts.items()})

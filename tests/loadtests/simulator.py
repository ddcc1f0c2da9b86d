"""A target in virtual time: hundreds of campaigns in seconds, with the same figures as a real one gives."""

import heapq
import math
import random
from collections import Counter

from loadtests.allowance import Allowance
from loadtests.guard import AGE
from loadtests.histogram import Histogram
from loadtests.slo import Slo
from loadtests.trials import BIN, Arrivals, Trial
from tests.loadtests.shapes import Shape

TIMEOUT = 5.0  # seconds after which a client gives up
BACK_OFF = 0.1  # seconds a user of the closed loop waits after an error


class Simulated:
    """A shape as a `search.Target`."""

    def __init__(self, shape: Shape, slo: Slo, seed: int, ceiling: float = 5000) -> None:
        self.shape, self.slo, self.allowance = shape, slo, Allowance(ceiling)
        self.random = random.Random(seed * 7919 + 1)
        self.now = self.began = self.random.random() * 10
        self.most = 0.0
        """The highest rate that was ever held, whatever the target answered. A closed loop whose users all wait for
        good answers is held back by the target itself; of one that is told errors, all counts."""
        self.busiest = 0
        """The most requests that came within a second."""
        self.guarded = True

    @property
    def clock(self) -> float:
        return self.now - self.began

    def open(self, rate: float, seconds: float, warm: float) -> Trial:
        start = self.now + warm
        end = start + math.ceil(seconds / BIN) * BIN
        counts, at, aborted = _Counts(start, self.slo), self.now, None
        while (at := at + self.random.expovariate(rate)) < end:
            if not self.allowance.take(at):
                continue
            answered, status = self.shape.arrive(at)
            counts.add(at, answered, status)
            if self.guarded and answered - at > AGE * self.slo.latency_ms / 1000:  # seen once it is that old
                aborted = "oldest-too-old"
                end = min(end, at + AGE * self.slo.latency_ms / 1000)
        self.now = end
        self.most, self.busiest = max(self.most, rate), max(self.busiest, counts.busiest())
        return counts.trial(rate, end, aborted)

    def closed(self, users: int, seconds: float) -> Trial:
        start = self.now + 1.0
        end = start + seconds
        counts, ready = _Counts(start, self.slo), [self.now + user * 1e-4 for user in range(users)]
        while (at := ready[0]) < end:
            at += self.allowance.wait(at)
            answered, status = self.shape.arrive(at)
            counts.add(at, answered, status)
            heapq.heapreplace(ready, max(answered, at + 5e-4) + (BACK_OFF if status >= 400 else 0))
        self.now, self.busiest = end, max(self.busiest, counts.busiest())
        trial = counts.trial(float(users), end, None)
        if trial.total.failed:
            self.most = max(self.most, trial.offered)
        return trial

    def drain(self) -> float:
        began = self.now
        while self.now - began < 60:
            self.now += 0.5
            answered, _ = self.shape.arrive(self.now)
            if answered - self.now < 0.3:
                break
        return self.now - began


class _Counts:
    def __init__(self, start: float, slo: Slo) -> None:
        self.start, self.slo = start, slo
        self.bins: list[list[int]] = []
        self.ends: list[tuple[float, float, bool]] = []
        self.histogram = Histogram()

    def add(self, at: float, answered: float, status: int) -> None:
        good = status < 400 and answered - at <= TIMEOUT
        answered = min(answered, at + TIMEOUT)
        self.ends.append((at, answered, good))
        if at < self.start:
            return
        number = int((at - self.start) / BIN)
        while len(self.bins) <= number:
            self.bins.append([0, 0, 0, 0])
        counts = self.bins[number]
        counts[0] += 1
        late = (answered - at) * 1000 > self.slo.latency_ms
        counts[3 if not good else 2 if late else 1] += 1
        self.histogram.record((answered - at) * 1000)

    def trial(self, rate: float, end: float, aborted: str | None) -> Trial:
        bins = [Arrivals(scheduled, good, late, failed) for scheduled, good, late, failed in self.bins]
        if aborted:
            bins = bins[: max(1, int((end - self.start) / BIN))]
        answered = sum(good and self.start <= done < end for _, done, good in self.ends)
        out = self._inflight(len(bins))
        return Trial(rate, bins, out, answered, self.histogram, aborted=aborted)

    def busiest(self) -> int:
        return max(Counter(int(at) for at, _, _ in self.ends).values(), default=0)

    def _inflight(self, count: int) -> list[int]:
        moves = sorted([(at, 1) for at, _, _ in self.ends] + [(done, -1) for _, done, _ in self.ends])
        out, now, next_end = [], 0, self.start + BIN
        for moment, change in moves:
            while moment >= next_end and len(out) < count:
                out.append(now)
                next_end += BIN
            now += change
        return out + [now] * (count - len(out))

"""Models of servers whose capacity is known: told when a request comes, they say when it is answered, and how.

They live in virtual time, so the same model answers a simulator and, by sleeping until then, a real socket.
"""

import heapq
import math
import random
from typing import ClassVar


class Shape:
    """A server. `truth` is its capacity at p99 <= 300 ms and at most 1 % errors, as `python -m tests.loadtests.truth`
    finds it in 1,200 virtual seconds a rate."""

    truth: ClassVar[float]

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def arrive(self, at: float) -> tuple[float, int]:
        """When a request that comes now is answered, and with which status."""
        raise NotImplementedError

    def lognormal(self, mean: float, variation: float) -> float:
        square = math.log(1 + variation * variation)
        return self.random.lognormvariate(math.log(mean) - square / 2, math.sqrt(square))


class Pool(Shape):
    """Eight workers, 20 ms each, and a queue without end, as of a database's connections."""

    truth = 385.9
    workers, mean, variation = 8, 0.020, 0.5

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.free = [0.0] * self.workers

    def worked(self, start: float, seconds: float) -> float:
        return start + seconds

    def arrive(self, at: float) -> tuple[float, int]:
        end = self.worked(max(at, self.free[0]), self.lognormal(self.mean, self.variation))
        heapq.heapreplace(self.free, end)
        return end, 200


class Single(Shape):
    """One processor that one request at a time has for 2.5 ms."""

    truth = 387.9
    seconds = 0.0025

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.free = 0.0

    def arrive(self, at: float) -> tuple[float, int]:
        self.free = max(at, self.free) + self.seconds
        return self.free, 200


class Lock(Shape):
    """Work side by side, then a lock that is held longer the more wait for it: beyond its peak it gets slower."""

    truth = 254.9
    beside, held, dearer, most = 0.015, 0.003, 0.01, 60

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.free = 0.0
        self.waiting: list[float] = []

    def arrive(self, at: float) -> tuple[float, int]:
        at += self.lognormal(self.beside, 0.3)
        while self.waiting and self.waiting[0] <= at:
            heapq.heappop(self.waiting)
        hold = self.lognormal(self.held, 0.3) * (1 + self.dearer * min(len(self.waiting), self.most))
        self.free = max(at, self.free) + hold
        heapq.heappush(self.waiting, self.free)
        return self.free, 200


class Limiter(Shape):
    """Lets 300 a second in and answers 429 to the others at once: its latency has no knee at all."""

    truth = 300.6
    rate, burst, mean = 300.0, 60.0, 0.012

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.tokens, self.last = self.burst, 0.0

    def arrive(self, at: float) -> tuple[float, int]:
        self.tokens = min(self.burst, self.tokens + (at - self.last) * self.rate)
        self.last = at
        if self.tokens < 1:
            return at + 0.001, 429
        self.tokens -= 1
        return at + self.lognormal(self.mean, 0.3), 200


class Pausing(Pool):
    """The pool, standing still for 250 ms every three seconds, as collectors of garbage do."""

    truth = 342.4
    period, pause = 3.0, 0.25

    def worked(self, start: float, seconds: float) -> float:
        while True:
            phase = start % self.period
            if phase < self.pause:
                start, phase = start + self.pause - phase, self.pause
            if seconds <= self.period - phase:
                return start + seconds
            seconds -= self.period - phase
            start += self.period - phase


class Freezing(Pausing):
    """Fast, and still for two seconds of every ten."""

    truth = 0.0
    workers, mean, period, pause = 64, 0.002, 10.0, 2.0


class Leaking(Pool):
    """Every request makes the next ones 0.2 ms slower."""

    workers, variation = 64, 0.1

    def arrive(self, at: float) -> tuple[float, int]:
        self.mean += 0.0002
        return super().arrive(at)


SHAPES: dict[str, type[Shape]] = {
    "pool": Pool,
    "single": Single,
    "lock": Lock,
    "limiter": Limiter,
    "pausing": Pausing,
}

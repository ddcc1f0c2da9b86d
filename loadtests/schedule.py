"""When requests shall leave: moments drawn from a curve of rates, whatever the target answers."""

import math
import random
from collections.abc import Sequence
from itertools import pairwise

Points = Sequence[tuple[float, float]]
"""A curve: (second, requests a second), straight between the points; the last rate goes on."""


def rate_at(points: Points, moment: float) -> float:
    """The rate at a moment; none before the first point."""
    if not points or moment < points[0][0]:
        return 0.0
    for (start, low), (end, high) in pairwise(points):
        if start <= moment < end:
            return low + (high - low) * (moment - start) / (end - start)
    return points[-1][1]


class Schedule:
    """Moments of arrival by a curve. Of random ones each comes independently of all others (Poisson)."""

    def __init__(self, points: Points, seed: int, *, is_random: bool = True) -> None:
        self.points = [(float(at), float(rate)) for at, rate in points]
        self._random, self._is_random = random.Random(seed), is_random  # noqa: S311  nothing is kept secret by it
        self._now = self.points[0][0] if self.points else 0.0
        self._part = 1  # index of the point before which it is

    def next(self) -> float | None:
        """The next moment; None when the curve has ended at a rate of nothing."""
        wanted = self._random.expovariate(1.0) if self._is_random else 1.0
        moment = self._after(self._now, wanted)
        if moment is not None:
            self._now = moment
        return moment

    def _after(self, moment: float, wanted: float) -> float | None:
        """When so many arrivals are due after a moment: the area below the curve is that many."""
        while self._part < len(self.points):
            (start, low), (end, high) = self.points[self._part - 1], self.points[self._part]
            if end <= moment:
                self._part += 1
                continue
            if moment > start:
                low = low + (high - low) * (moment - start) / (end - start)
                start = moment
            area = (low + high) / 2 * (end - start)
            if area >= wanted:
                return start + _crossing(low, (high - low) / (end - start), wanted)
            wanted -= area
            self._part += 1
        end, rate = self.points[-1]
        return max(moment, end) + wanted / rate if rate else None


def _crossing(rate: float, slope: float, wanted: float) -> float:
    """After how long the area below a straight line is as large as wanted."""
    if abs(slope) < 1e-9:
        return wanted / rate
    return (math.sqrt(max(0.0, rate * rate + 2 * slope * wanted)) - rate) / slope

"""A histogram of latencies: 128 buckets to each doubling, so that quantiles are right to 0.4 % and merging is exact."""

import math
from collections.abc import Iterable, Mapping

_STEPS = 128


class Histogram:
    """Counts of values above zero (milliseconds, by custom)."""

    def __init__(self, counts: Mapping[int, int] | None = None) -> None:
        self.counts: dict[int, int] = dict(counts or {})

    @classmethod
    def of(cls, values: Iterable[float]) -> "Histogram":
        made = cls()
        for value in values:
            made.record(value)
        return made

    def record(self, value: float) -> None:
        bucket = bucket_of(value)
        self.counts[bucket] = self.counts.get(bucket, 0) + 1

    def add(self, other: "Histogram") -> None:
        """Take over what another one counted."""
        for bucket, count in other.counts.items():
            self.counts[bucket] = self.counts.get(bucket, 0) + count

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    def quantile(self, share: float) -> float:
        """The value that `share` of all values do not exceed; 0 where nothing was counted."""
        wanted, seen = math.ceil(share * self.total), 0
        for bucket in sorted(self.counts):
            seen += self.counts[bucket]
            if seen >= max(1, wanted):
                return value_of(bucket)
        return 0.0


def bucket_of(value: float) -> int:
    """The bucket of a value; what is below a microsecond counts as one."""
    fraction, exponent = math.frexp(max(value, 0.001))
    return exponent * _STEPS + int((fraction - 0.5) * 2 * _STEPS)


def value_of(bucket: int) -> float:
    """The middle of a bucket."""
    exponent, step = divmod(bucket, _STEPS)
    return math.ldexp(0.5 + (step + 0.5) / (2 * _STEPS), exponent)

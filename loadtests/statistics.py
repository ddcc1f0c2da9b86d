"""The statistics of honest verdicts: intervals that know that requests are not independent, and trends."""

import math
from collections.abc import Sequence
from statistics import NormalDist, median

_NORMAL = NormalDist()


def wilson(count: float, total: float, confidence: float) -> tuple[float, float]:
    """The interval of a share of independent events (Wilson 1927)."""
    if total <= 0:
        return 0.0, 1.0
    z = _NORMAL.inv_cdf(0.5 + confidence / 2)
    share, grown = count / total, 1 + z * z / total
    middle = share + z * z / (2 * total)
    half = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    return (middle - half) / grown, (middle + half) / grown


def batched(counts: Sequence[int], totals: Sequence[int], confidence: float) -> tuple[float, float]:
    """The interval of a share by batch means: one pause of the target spoils many requests that follow each other.

    It is a ratio estimate over the batches with Student's quantile, and never narrower than Wilson's.
    """
    low, high = wilson(sum(counts), sum(totals), confidence)
    batches, total = len(totals), sum(totals)
    if batches < 2 or not total:
        return low, high
    share, mean = sum(counts) / total, total / batches
    squares = sum(((count - share * size) / mean) ** 2 for count, size in zip(counts, totals, strict=True))
    error = math.sqrt(squares / (batches * (batches - 1)))
    half = student(0.5 + confidence / 2, batches - 1) * error
    return max(0.0, min(low, share - half)), min(1.0, max(high, share + half))


def student(share: float, freedom: int) -> float:
    """The quantile of Student's distribution, by its expansion around the normal one (Abramowitz and Stegun 26.7.5)."""
    z = float(_NORMAL.inv_cdf(share))
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return float(z + sum(term / freedom ** (power + 1) for power, term in enumerate(terms)))


def trend(values: Sequence[float], step: float) -> tuple[float, float]:
    """The slope of evenly spaced values by least squares, a second, and how many standard errors it is from none."""
    count = len(values)
    if count < 5:
        return 0.0, 0.0
    times = [number * step for number in range(count)]
    middle, mean = sum(times) / count, sum(values) / count
    spread = sum((time - middle) ** 2 for time in times)
    slope = sum((time - middle) * (value - mean) for time, value in zip(times, values, strict=True)) / spread
    rest = sum((value - mean - slope * (time - middle)) ** 2 for time, value in zip(times, values, strict=True))
    error = math.sqrt(rest / (count - 2) / spread)
    return slope, slope / error if error else math.copysign(math.inf, slope) if slope else 0.0


def drift(values: Sequence[float], step: float) -> float:
    """The slope of evenly spaced values that a few wild ones do not bend (Theil 1950, Sen 1968), a second."""
    slopes = [
        (later - earlier) / ((second - first) * step)
        for first, earlier in enumerate(values)
        for second, later in enumerate(values[first + 1 :], first + 1)
    ]
    return median(slopes) if slopes else 0.0

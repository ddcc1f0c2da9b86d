"""Resizing: from a proven capacity and a forecast peak to how much room there is, and how much more is needed."""

import math
from dataclasses import dataclass

PLANNING = 0.9  # of what was found is planned with: excursions are rarer than a trial is long
HEADROOM = 1.3  # that a production system has over the peak it expects


@dataclass(frozen=True)
class Proposal:
    """What to do: grow by `factor` (1: nothing), so that the headroom becomes enough.

    `assumed`: capacity was measured at one size only, and is taken to grow with it.
    """

    planning: float
    peak: float
    headroom: float
    factor: float
    assumed: bool


def planning(capacity: float) -> float:
    """The rate to plan with, requests a second."""
    return PLANNING * capacity


def propose(capacity: float, peak: float, efficiency: float | None = None) -> Proposal:
    """How much larger the tenancy should be.

    Args:
        capacity: requests a second that were found to hold.
        peak: requests a second that are expected at most (the 95th percentile of the forecast).
        efficiency: capacity gained for each unit of size gained, as measured at two sizes; None: not measured, 1.
    """
    planned = planning(capacity)
    headroom = planned / peak if peak else math.inf
    if headroom >= HEADROOM:
        return Proposal(planned, peak, headroom, 1.0, efficiency is None)
    if not planned:
        return Proposal(planned, peak, headroom, math.inf, efficiency is None)
    growth = (HEADROOM * peak / planned - 1) / (efficiency or 1.0)
    return Proposal(planned, peak, headroom, 1 + growth, efficiency is None)


def efficiency(small: tuple[float, float], large: tuple[float, float]) -> float:
    """How much of a growth in size became capacity, from (size, capacity) at two sizes; 1 is all of it (USL's idea)."""
    (size, capacity), (more, better) = small, large
    return max(0.05, min(1.0, (better / capacity - 1) / (more / size - 1)))


def grown(size: dict[str, int], factor: float) -> dict[str, int]:
    """The size with its compute grown; storage stays, as it does not answer faster."""
    compute = {"vcpu", "memory_gib"}
    return {each: math.ceil(amount * factor) if each in compute else amount for each, amount in size.items()}

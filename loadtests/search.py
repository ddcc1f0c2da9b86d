"""The search for a target's capacity: the highest rate at which it keeps its level, found without harming it.

First a closed loop, which cannot flood (each user waits for the answer), tells about where it is; then open trials
go up in small steps, halve what is left between the last that held and the first that did not, and hold the result
for a minute.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

from loadtests.knee import bends, broken_stick
from loadtests.slo import Slo
from loadtests.trials import Trial, joined
from loadtests.verdict import Judgement, Verdict, judge

Status = Literal["confirmed", "likely", "unstable", "disputed", "never", "ceiling", "generator-limited"]

FLAT = 1.03  # growth of throughput that still counts as growth
TOO_WRONG, TOO_SLOW_MS = 0.05, 1000.0  # share of bad answers and latency at which the closed loop ends
FULL = 0.9  # of the ceiling: the closed loop is held back by it, not by the target
WARM = 1.0  # seconds of a trial that are not measured
NEAR = 0.7  # of what the closed loop told: locks make it tell too much
SURE_COUNT = 300  # clean requests that prove at most 1 % of bad ones (the rule of three)
AGAIN = 3  # trials that are repeated because the generator was late
SATURATED = 0.85  # of a core: a generator that takes more is late because it cannot do more
SUFFERS = 3.0  # times the allowed share of bad answers, at which nothing is tried again
STEPS_DOWN = 8
AGREE = 0.1  # difference to the knee that is still the same result


class Target(Protocol):
    """Something that load is sent to, and that tells what became of it."""

    @property
    def clock(self) -> float:
        """Seconds since the search began."""
        ...

    def open(self, rate: float, seconds: float, warm: float) -> Trial:
        """Hold a rate, whatever the target answers, and measure after `warm` seconds."""
        ...

    def closed(self, users: int, seconds: float) -> Trial:
        """So many users, each of whom asks again when answered."""
        ...

    def drain(self) -> float:
        """Send nothing until the target answers fast again; the seconds that took."""
        ...


@dataclass(frozen=True)
class Plan:
    """How a search is done. Rates in requests a second, times in seconds."""

    ceiling: float  # nothing above it is ever sent
    width: float = 0.05  # relative width of what is left when the search ends
    scan: float = 4.0  # seconds a step of the closed loop
    users: tuple[int, ...] = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
    steps: tuple[float, ...] = (0.5, 0.58, 0.66, 0.74, 0.82, 0.9, 0.98, 1.06, 1.15, 1.25, 1.37, 1.5, 1.75, 2.1, 2.5, 3)
    probe: float = 3.0  # seconds of a trial on the way up, twice as many where the end may be near
    start: float = 25.0  # the first rate where the closed loop told nothing
    confirm: float = 60.0

    def within(self, ceiling: float) -> "Plan":
        """The same with another ceiling."""
        return replace(self, ceiling=ceiling)


COARSE = Plan(
    ceiling=0,
    width=0.1,
    scan=1.0,
    users=(1, 2, 4, 8, 16, 32),
    steps=(0.6, 0.75, 0.88, 1.0, 1.13, 1.28, 1.45, 1.65, 1.9, 2.2, 2.6, 3),
    probe=2.0,
    confirm=6.0,
)
"""In about a minute, for a first look."""


@dataclass(frozen=True)
class Stage:
    """One rate that was tried, and what came of it."""

    at: float
    rate: float
    trial: Trial
    judgement: Judgement


@dataclass
class Found:
    """Where the capacity is: at least `capacity`, below `above` (None: nobody looked higher)."""

    capacity: float
    above: float | None
    status: Status
    stages: list[Stage] = field(default_factory=list)
    knee: float | None = None
    confirmed: Trial | None = None


class _Search:
    def __init__(self, target: Target, slo: Slo, plan: Plan, tell: Callable[[Stage], None]) -> None:
        self.target, self.slo, self.plan, self.tell = target, slo, plan, tell
        self.stages: list[Stage] = []
        overshoot = slo.latency_ms / 1000 / plan.width  # a rate too high by `width` shows only after so long
        self.least = max(3.0, overshoot)

    def long_enough(self, rate: float) -> float:
        return max(self.least, SURE_COUNT / rate)

    def held(self, rate: float, first: float, most: float, accept: tuple[Verdict, ...] = ("pass",)) -> Judgement:
        """Hold one rate until the verdict is one to go on with, or `most` seconds are spent."""
        began, parts, spent, warm, again, seconds = self.target.clock, list[Trial](), 0.0, WARM, 0, first
        while True:
            part = self.target.open(rate, seconds, warm)
            if judge(part, self.slo).verdict == "invalid" and again < AGAIN and part.cpu < SATURATED:
                again, parts, spent, warm, seconds = again + 1, [], 0.0, WARM, first
                self.target.drain()
                continue
            parts.append(part)
            spent, warm = spent + seconds, 0.0
            whole = joined(parts)
            judgement = judge(whole, self.slo)
            if judgement.verdict in (*accept, "fail", "invalid") or spent >= most:
                break
            seconds = min(spent, most - spent)
        stage = Stage(began, rate, whole, judgement)
        self.stages.append(stage)
        self.tell(stage)
        return judgement

    def held_after_all(self, rate: float) -> bool:
        """Whether a rate that failed a short trial holds in a long one: one pause in three seconds proves little.

        It is not asked again where the guard tripped, or much was bad already.
        """
        last = self.stages[-1]
        if last.trial.aborted or last.judgement.bad > SUFFERS * self.slo.bad:
            return False
        self.target.drain()
        enough = self.long_enough(rate)
        return self.held(rate, enough, 3 * enough).verdict in ("pass", "likely")


def search(target: Target, slo: Slo, plan: Plan, tell: Callable[[Stage], None] = lambda stage: None) -> Found:
    """Find the highest rate at which the target keeps its level.

    Args:
        tell: called with every stage when it has ended.
    """
    walk = _Search(target, slo, plan, tell)
    found = _narrowed(walk, _scanned(target, plan))
    found.stages, opened = walk.stages, [stage.trial for stage in walk.stages]
    found.knee = broken_stick(opened) if bends(opened) else None
    if found.status == "confirmed" and found.knee and abs(found.knee / found.capacity - 1) > max(AGREE, plan.width):
        found.status = "disputed"
    return found


def _scanned(target: Target, plan: Plan) -> float | None:
    """The most that a closed loop got answered a second; None where even one user was too much."""
    best, flat = 0.0, 0
    for users in plan.users:
        trial = target.closed(users, plan.scan)
        flat = 0 if trial.goodput > best * FLAT else flat + 1
        best = max(best, trial.goodput)
        wrong = trial.total.failed > TOO_WRONG * trial.total.scheduled
        if flat >= 2 or wrong or trial.histogram.quantile(0.99) > TOO_SLOW_MS or best > FULL * plan.ceiling:
            break
    target.drain()
    return best or None


def _rates(plan: Plan, about: float | None) -> Iterator[float]:
    """Rates on the way up: never a step that could be far beyond what holds."""
    if about:
        rates = iter([about * step for step in plan.steps])
    else:
        rates = iter([plan.start * 1.2**number for number in range(64)])
    for rate in rates:
        yield min(rate, plan.ceiling)
        if rate >= plan.ceiling:
            return


def _narrowed(walk: _Search, about: float | None) -> Found:
    low, high = 0.0, None
    for rate in _rates(walk.plan, about):
        seconds = walk.plan.probe * (1 if about and rate < NEAR * about else 2)
        verdict = walk.held(rate, seconds, 2 * seconds, ("pass", "likely")).verdict
        if verdict == "invalid":
            return Found(low, None, "generator-limited")
        if verdict not in ("pass", "likely") and not walk.held_after_all(rate):
            high = rate
            walk.target.drain()
            break
        low = rate
    if not low and high:
        low, high = _downwards(walk, high)
    if not low:
        return Found(0.0, high, "never")
    while high and high / low > 1 + walk.plan.width:
        rate = math.sqrt(low * high)
        enough = walk.long_enough(rate)
        verdict = walk.held(rate, enough, 3 * enough).verdict
        if verdict == "invalid":
            return Found(low, high, "generator-limited")
        if verdict in ("pass", "likely"):
            low = rate
        else:
            high = rate
            walk.target.drain()
    return _confirmed(walk, low, high)


def _downwards(walk: _Search, high: float) -> tuple[float, float]:
    """The first rate was too much already: halve until one holds, or there is hardly any."""
    rate = high / 2
    while rate >= 1:
        enough = max(walk.least, min(SURE_COUNT / rate, 30.0))
        if walk.held(rate, enough, 60.0, ("pass", "likely")).verdict in ("pass", "likely"):
            return rate, high
        high = rate
        walk.target.drain()
        rate /= 2
    return 0.0, high


def _confirmed(walk: _Search, low: float, high: float | None) -> Found:
    """Hold the result for long; step down where it does not hold."""
    for step in range(STEPS_DOWN):
        judgement = walk.held(low, walk.plan.confirm, 2 * walk.plan.confirm)
        trial = walk.stages[-1].trial
        if judgement.verdict == "invalid":
            return Found(low, high, "generator-limited")
        if judgement.verdict in ("pass", "likely"):
            status: Status = "confirmed" if judgement.verdict == "pass" else "likely"
            return Found(low, high, "ceiling" if high is None and step == 0 else status, confirmed=trial)
        walk.target.drain()
        low, high = low / (1 + walk.plan.width), low
    return Found(low, high, "unstable")

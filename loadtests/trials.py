"""A trial: one rate held for some seconds, and what became of every request, by the time it should have been sent."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from loadtests.histogram import Histogram
from loadtests.slo import Slo

BIN = 0.25  # seconds of arrivals that are counted together


@dataclass(frozen=True, slots=True)
class Arrivals:
    """The requests that should have been sent within one bin, by what became of them.

    `late` were answered well, but after the limit; `busy` got the declared busy page; `dropped` were never sent, as
    too many were out already. What is none of these is still out.
    """

    scheduled: int
    good: int = 0
    late: int = 0
    failed: int = 0
    busy: int = 0
    dropped: int = 0

    @property
    def pending(self) -> int:
        return self.scheduled - self.good - self.late - self.failed - self.busy - self.dropped

    @property
    def bad(self) -> int:
        return self.scheduled - self.good - self.busy

    def __add__(self, other: "Arrivals") -> "Arrivals":
        return Arrivals(
            self.scheduled + other.scheduled,
            self.good + other.good,
            self.late + other.late,
            self.failed + other.failed,
            self.busy + other.busy,
            self.dropped + other.dropped,
        )


@dataclass(frozen=True)
class Trial:
    """What was measured while a rate (requests a second; of a closed loop, users) was held.

    `inflight` is how many requests were out at the end of each bin. `answered` counts good answers that *came* in the
    window, whenever they were asked for. `lag_ms` is the 99th percentile of how late the generator itself was, `cpu`
    the most of one core that it took. `aborted` says which guard ended it before its time.
    """

    rate: float
    bins: Sequence[Arrivals]
    inflight: Sequence[int] = ()
    answered: int = 0
    histogram: Histogram = field(default_factory=Histogram)
    lag_ms: float = 0.0
    cpu: float = 0.0
    aborted: str | None = None

    @property
    def seconds(self) -> float:
        return len(self.bins) * BIN

    @property
    def total(self) -> Arrivals:
        return summed(self.bins)

    @property
    def offered(self) -> float:
        """Requests a second that should have been sent."""
        return self.total.scheduled / self.seconds if self.bins else 0.0

    @property
    def goodput(self) -> float:
        """Good answers a second."""
        return self.answered / self.seconds if self.bins else 0.0

    @property
    def bad_share(self) -> float:
        return bad_share(self.total)


def summed(bins: Iterable[Arrivals]) -> Arrivals:
    total = Arrivals(0)
    for each in bins:
        total += each
    return total


def bad_share(arrivals: Arrivals) -> float:
    """The share of bad ones among those that got no busy page; 0 where there are none."""
    counted = arrivals.scheduled - arrivals.busy
    return arrivals.bad / counted if counted else 0.0


def settled(bins: Sequence[Arrivals], slo: Slo) -> Arrivals:
    """All of these, the newest last; of the youngest, those that may still be answered in time are left out."""
    young = int(slo.latency_ms / 1000 / BIN) + 2
    sure, unsure = bins[:-young], bins[-young:]
    known = [replace(each, scheduled=each.scheduled - each.pending) for each in unsure]
    return summed([*sure, *known])


def joined(parts: Sequence[Trial]) -> Trial:
    """Trials at one rate that followed each other, as one."""
    histogram = Histogram()
    for part in parts:
        histogram.add(part.histogram)
    return Trial(
        rate=parts[0].rate,
        bins=[each for part in parts for each in part.bins],
        inflight=[each for part in parts for each in part.inflight],
        answered=sum(part.answered for part in parts),
        histogram=histogram,
        lag_ms=max(part.lag_ms for part in parts),
        cpu=max(part.cpu for part in parts),
        aborted=parts[-1].aborted,
    )


def keeps(trial: Trial, slo: Slo) -> bool:
    """Whether the figures alone are within the level, whatever confidence they have."""
    total = trial.total
    return trial.bad_share <= slo.bad and total.busy <= slo.busy * total.scheduled

"""The verdict on one trial: five values, so that what was not measured well enough is not told as if it were."""

from dataclasses import dataclass, field
from typing import Any, Literal

from loadtests.slo import Slo
from loadtests.statistics import batched, trend
from loadtests.trials import BIN, Arrivals, Trial

Verdict = Literal["pass", "likely", "unlikely", "fail", "invalid"]

BATCH = 2  # bins
CONFIDENCE = 0.9  # on both sides, so 95 % on the side that matters
LAG_MS, LAG_SHARE = 20.0, 0.1  # how late the generator may be itself, and which share of the limit
FEW = 20  # requests about which nothing is said with confidence
GROWTH, SURE = 0.02, 3.0  # of the rate that may pile up a second, in so many standard errors


@dataclass(frozen=True)
class Judgement:
    """A verdict with what it rests on: the share of bad requests with its interval, and why (slug and figures)."""

    verdict: Verdict
    reason: str
    bad: float
    low: float
    high: float
    figures: dict[str, Any] = field(default_factory=dict)


def judge(trial: Trial, slo: Slo) -> Judgement:
    """Whether the target keeps its level at this rate.

    `invalid`: the generator was late itself, so nothing is known of the target. `fail` also where ever more requests
    pile up: the share of bad ones is then only low because the trial was short.
    """
    total, batches = trial.total, _batches(trial)
    low, high = batched([each.bad for each in batches], [each.scheduled - each.busy for each in batches], CONFIDENCE)
    share = trial.bad_share

    def found(verdict: Verdict, reason: str, **figures: Any) -> Judgement:
        return Judgement(verdict, reason, share, low, high, figures)

    if trial.lag_ms > max(LAG_MS, LAG_SHARE * slo.latency_ms):
        return found("invalid", "generator-late", lag_ms=round(trial.lag_ms, 1))
    if trial.aborted:
        return found("fail", "guard-tripped", guard=trial.aborted)
    if total.scheduled < FEW:
        return found("unlikely" if total.bad else "likely", "few-requests", count=total.scheduled)
    if total.busy > slo.busy * total.scheduled:
        return found("fail", "too-busy", busy=round(total.busy / total.scheduled, 4), allowed=slo.busy)
    slope, sureness = trend(_halved(trial), BIN * BATCH)
    if slope > GROWTH * trial.offered and sureness > SURE:
        return found("fail", "piling-up", slope=round(slope, 1))
    figures = {"bad": round(share, 4), "low": round(low, 4), "high": round(high, 4), "allowed": slo.bad}
    if low > slo.bad:
        return found("fail", "too-many-bad", **figures)
    if high <= slo.bad:
        return found("pass", "few-enough-bad", **figures)
    return found("likely" if share <= slo.bad else "unlikely", "not-sure", **figures)


def _batches(trial: Trial) -> list[Arrivals]:
    bins = list(trial.bins)
    return [sum(bins[start + 1 : start + BATCH], bins[start]) for start in range(0, len(bins), BATCH)]


def _halved(trial: Trial) -> list[float]:
    """Requests that were out, averaged over batches, so that neighbours do not tell the same twice."""
    out = list(trial.inflight)
    return [sum(out[start : start + BATCH]) / BATCH for start in range(0, len(out) - BATCH + 1, BATCH)]

"""The conductor: one run from its first request to its result. It blocks until then, and sends nothing afterwards."""

from collections.abc import Callable, Sequence
from contextlib import suppress

from loadtests.engines import Engine, Start, Stopped
from loadtests.generators import Generators
from loadtests.orders import Order, Outcome, Progress, Result, StageResult, Told
from loadtests.profiles import Search, Soak
from loadtests.resizing import planning
from loadtests.search import COARSE, Found, Plan, Stage, search
from loadtests.statistics import drift, trend
from loadtests.trials import Arrivals, Trial, summed
from loadtests.verdict import SURE, judge

SEARCHED: dict[str, Outcome] = {
    "confirmed": "pass",
    "ceiling": "pass",
    "likely": "likely",
    "disputed": "unlikely",
    "unstable": "unlikely",
    "never": "fail",
    "generator-limited": "invalid",
}
NOBODY_STOPPED = ("engine-lost", "locustfile-broken", "locustfile-unconfined")
FEW_SLICES = 5  # of a soak, from which nothing is concluded
GROWN, MATTERS = 0.1, 0.02  # of the first median, and of the limit, that the median must have grown in all


def conduct(
    order: Order, tell: Callable[[Progress], None], stop: Callable[[], str | None], start: Start = Engine
) -> Result:
    """Carry out a run against its target.

    Args:
        tell: told four times a second how it goes.
        stop: asked as often whether to stop; what it returns is why. The last request leaves within a second.
        start: starts an engine; one of this machine unless told otherwise.

    Returns: also of a run that was stopped (`aborted`) or lost an engine (`invalid`); it raises nothing of its own.
    """
    generators = Generators(order, tell, stop, start)
    try:
        with generators:
            if isinstance(order.profile, Search):
                return _searched(order, generators, order.profile)
            return _followed(order, generators)
    except Stopped as stopped:
        outcome: Outcome = "invalid" if stopped.reason in NOBODY_STOPPED else "aborted"
        return _result(order, generators, outcome, [Told(slug=stopped.reason, figures=stopped.figures)])


def _searched(order: Order, generators: Generators, profile: Search) -> Result:
    plan = COARSE.within(order.ceiling) if profile.coarse else Plan(order.ceiling)
    stages: list[StageResult] = []

    def note(stage: Stage) -> None:
        stages.append(_stage(stage.at, stage.rate, stage.trial, order))
        generators.phase = f"{stage.rate:.0f}/s: {stage.judgement.verdict}"

    generators.phase = "closed loop"
    found = search(generators, order.level.slo, plan, note)
    reasons = [Told(slug=f"search-{found.status}")]
    if profile.coarse:
        reasons.append(Told(slug="search-coarse"))
    if found.stages and found.status in ("never", "generator-limited", "unstable"):
        last = found.stages[-1].judgement
        reasons.append(Told(slug=last.reason, figures=last.figures))
    told = _result(order, generators, SEARCHED[found.status], reasons, found.confirmed or _last(found), stages)
    told = told.model_copy(update={"status": found.status})
    if told.outcome == "invalid":  # the generator's limit is nothing to know a target by
        return told
    return told.model_copy(
        update={
            "capacity": round(found.capacity, 2) or None,
            "above": found.above and round(found.above, 2),
            "planning": round(planning(found.capacity), 2) or None,
            "knee": found.knee and round(found.knee, 2),
            "confirmed_seconds": found.confirmed.seconds if found.confirmed else 0.0,
        }
    )


def _last(found: Found) -> Trial | None:
    return found.stages[-1].trial if found.stages else None


def _followed(order: Order, generators: Generators) -> Result:
    generators.phase = order.profile.kind
    trial, slices = generators.follow(order.profile.points(), evenly=order.profile.evenly)
    judgement = judge(trial, order.level.slo)
    reasons = [Told(slug=judgement.reason, figures=judgement.figures)]
    slope = None
    if isinstance(order.profile, Soak):
        slope, drifts = drifting(slices, order.level.latency_ms)
        reasons += drifts
    if trial.aborted:
        with suppress(Stopped):  # what was found stays found when nobody waits for the recovery
            generators.drain()
    at, stages = 0.0, []
    for part in slices:
        stages.append(_stage(at, part.rate, part, order))
        at += part.seconds
    told = _result(order, generators, judgement.verdict, reasons, trial, stages)
    return told.model_copy(update={"drift_ms_per_minute": slope})


def drifting(slices: Sequence[Trial], limit_ms: float) -> tuple[float | None, list[Told]]:
    """The slope of the median latency in ms a minute, None where there is too little to tell; and `drifts` where it is
    no chance and would matter: in how many seconds it is at the limit, if it goes on so."""
    medians = [part.histogram.quantile(0.5) for part in slices[1:] if part.histogram.total]
    if len(medians) < FEW_SLICES:
        return None, []
    width = slices[0].seconds
    slope, (_, sureness) = drift(medians, width), trend(medians, width)
    if sureness < SURE or slope * width * len(medians) < max(GROWN * medians[0], MATTERS * limit_ms):
        return round(slope * 60, 2), []
    left = max(0.0, limit_ms - medians[-1]) / slope
    return round(slope * 60, 2), [Told(slug="drifts", figures={"slope": round(slope * 60, 1), "seconds": round(left)})]


def _stage(at: float, rate: float, trial: Trial, order: Order) -> StageResult:
    judgement = judge(trial, order.level.slo)
    return StageResult(
        at=round(at, 2),
        rate=round(rate, 2),
        seconds=trial.seconds,
        offered=round(trial.offered, 2),
        goodput=round(trial.goodput, 2),
        bad=round(trial.bad_share, 5),
        p50_ms=round(trial.histogram.quantile(0.5), 2),
        p99_ms=round(trial.histogram.quantile(0.99), 2),
        verdict=judgement.verdict,
        reason=Told(slug=judgement.reason, figures=judgement.figures),
    )


def _result(
    order: Order,
    generators: Generators,
    outcome: Outcome,
    reasons: list[Told],
    trial: Trial | None = None,
    stages: list[StageResult] | None = None,
) -> Result:
    """Figures of the trial that decides; where there is none, of everything that was sent."""
    sent: Arrivals = summed(generators.bins.values())
    total = trial.total if trial else sent
    judgement = judge(trial, order.level.slo) if trial else None
    megabits = order.size.get("bandwidth_mbps")
    if generators.raised:
        reasons = [*reasons, Told.model_validate(generators.raised)]
    histogram = trial.histogram if trial else generators.latencies[max(generators.latencies, default=0)]
    return Result(
        outcome=outcome,
        reasons=reasons,
        seconds=round(generators.clock, 1),
        requests=sent.scheduled,
        good=total.good,
        late=total.late,
        failed=total.failed,
        busy=total.busy,
        dropped=total.dropped,
        unanswered=total.pending,
        withheld=generators.withheld,
        bad=round(judgement.bad, 5) if judgement else 0.0,
        bad_low=round(judgement.low, 5) if judgement else 0.0,
        bad_high=round(judgement.high, 5) if judgement else 1.0,
        p50_ms=round(histogram.quantile(0.5), 2),
        p95_ms=round(histogram.quantile(0.95), 2),
        p99_ms=round(histogram.quantile(0.99), 2),
        offered=round(trial.offered, 2) if trial else 0.0,
        goodput=round(trial.goodput, 2) if trial else 0.0,
        recovery_seconds=None if generators.recovery is None else round(generators.recovery, 2),
        bytes_per_second=generators.bytes_per_second,
        bandwidth=round(generators.bytes_per_second * 8 / (megabits * 1e6), 3) if megabits else None,
        generator_lag_ms=round(trial.lag_ms, 2) if trial else 0.0,
        generator_cpu=round(trial.cpu, 2) if trial else 0.0,
        comparable=order.hash(),
        stages=stages or [],
        histogram=histogram.counts,
    )

"""The arithmetic that verdicts rest on."""

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.allowance import Allowance
from loadtests.conductor import drifting
from loadtests.histogram import Histogram
from loadtests.knee import broken_stick
from loadtests.resizing import efficiency, grown, propose
from loadtests.schedule import Schedule, rate_at
from loadtests.slo import Slo
from loadtests.statistics import batched, drift, student, trend, wilson
from loadtests.trials import Arrivals, Trial, joined
from loadtests.verdict import judge

SLO = Slo(latency_ms=300, bad=0.01)
latencies = st.lists(st.floats(0.01, 60_000), min_size=1, max_size=200)


@given(latencies)
def test_quantiles_are_right_to_less_than_half_a_percent(values):
    histogram = Histogram.of(values)
    for share in (0.5, 0.9, 0.99, 1.0):
        exact = sorted(values)[max(0, -int(-share * len(values) // 1) - 1)]
        assert histogram.quantile(share) == pytest.approx(exact, rel=0.005)


@given(latencies, latencies)
def test_merging_loses_nothing(some, others):
    merged = Histogram.of(some)
    merged.add(Histogram.of(others))
    assert merged.counts == Histogram.of(some + others).counts


@pytest.mark.parametrize(
    ("share", "freedom", "value"), [(0.95, 9, 1.833), (0.95, 3, 2.353), (0.975, 30, 2.042), (0.9, 5, 1.476)]
)
def test_students_quantile_is_the_tables(share, freedom, value):
    assert student(share, freedom) == pytest.approx(value, rel=0.01)


def test_wilsons_interval_is_the_published_one():
    low, high = wilson(8, 10, 0.95)
    assert (low, high) == (pytest.approx(0.4902, abs=1e-3), pytest.approx(0.9433, abs=1e-3))


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(20, 60)), min_size=2, max_size=40))
def test_batches_are_never_surer_than_independent_requests(counts):
    bad, totals = [bad for bad, _ in counts], [total for _, total in counts]
    low, high = batched(bad, totals, 0.9)
    least, most = wilson(sum(bad), sum(totals), 0.9)
    assert low <= max(least, 0) + 1e-9
    assert high >= min(most, 1) - 1e-9


def test_a_trend_is_seen_and_its_absence_too():
    chance = random.Random(1)
    rising = [number * 2 + chance.gauss(0, 3) for number in range(30)]
    slope, sureness = trend(rising, 0.5)
    assert (slope, sureness > 10) == (pytest.approx(4, rel=0.1), True)
    assert trend([5.0] * 30, 0.5) == (0.0, 0.0)
    assert drift([*rising[:15], 9999, *rising[15:]], 0.5) == pytest.approx(4, rel=0.2)


@given(
    st.lists(st.tuples(st.floats(1, 60), st.floats(0, 500)), min_size=1, max_size=8), st.booleans(), st.integers(0, 9)
)
def test_as_many_arrive_as_the_curve_says(steps, is_random, seed):
    points, at = [(0.0, steps[0][1])], 0.0
    for seconds, rate in steps:
        at += seconds
        points.append((at, rate))
    points.append((at, 0.0))
    area = sum((low + high) / 2 * (end - start) for (start, low), (end, high) in pairwise(points))
    schedule, moments = Schedule(points, seed, is_random=is_random), []
    while (moment := schedule.next()) is not None:
        moments.append(moment)
    assert moments == sorted(moments)
    assert all(0 <= moment <= at + 1e-6 for moment in moments)
    assert abs(len(moments) - area) <= (6 * area**0.5 + 5 if is_random else 1)


def test_of_many_requests_at_once_the_allowance_lets_its_ceiling_through():
    allowance = Allowance(100)
    taken = sum(allowance.take(number / 1000) for number in range(10_000))
    assert taken == pytest.approx(100 * 10 + 25, abs=1)
    assert sum(Allowance(100).take(number / 90) for number in range(900)) == 900
    shared = [Allowance(100, share=4) for _ in range(4)]
    assert sum(each.take(number / 1000) for number in range(10_000) for each in shared) == pytest.approx(1025, abs=4)


def test_who_waits_for_the_allowance_comes_in_turn_at_its_rate():
    allowance = Allowance(100)
    waits = [allowance.wait(0.0) for _ in range(125)]
    assert waits == sorted(waits)
    assert waits[-1] == pytest.approx(1.0)
    assert not allowance.take(0.99)


def test_a_median_that_grows_drifts_and_tells_when_it_is_at_the_limit():
    chance = random.Random(1)

    def slices(growth):
        parts = [[50 + number * growth + chance.gauss(0, 2) for _ in range(40)] for number in range(30)]
        return [Trial(10, [Arrivals(10, 10)] * 4, histogram=Histogram.of(part)) for part in parts]

    slope, told = drifting(slices(2.0), 300)
    assert slope == pytest.approx(120, rel=0.1)
    assert told[0].figures["seconds"] == pytest.approx((300 - 50 - 29 * 2) / 2, rel=0.1)
    assert drifting(slices(0.0), 300) == (pytest.approx(0, abs=3), [])
    assert drifting(slices(2.0)[:4], 300) == (None, [])


def test_the_rate_between_two_points_is_straight():
    assert [rate_at([(1, 0), (3, 10)], at) for at in (0, 1, 2, 3, 9)] == [0, 0, 5, 10, 10]


def trial(good, bad=0, inflight=(), **other):
    """As many bins, each with these arrivals."""
    bins = [Arrivals(good + bad, good, failed=bad)] * 40
    return Trial(good * 4, bins, inflight or [good] * 40, good * 40, **other)


@pytest.mark.parametrize(
    ("measured", "verdict", "reason"),
    [
        (trial(25), "pass", "few-enough-bad"),
        (trial(25, 5), "fail", "too-many-bad"),
        (trial(25, inflight=range(0, 400, 10)), "fail", "piling-up"),
        (trial(25, lag_ms=40), "invalid", "generator-late"),
        (trial(25, lag_ms=40, aborted="too-many-bad"), "invalid", "generator-late"),
        (trial(25, aborted="too-many-bad"), "fail", "guard-tripped"),
        (Trial(2, [Arrivals(1, 1)] * 8), "likely", "few-requests"),
        (Trial(40, [*[Arrivals(10, 10)] * 39, Arrivals(10, 7, failed=3)], [1] * 40), "likely", "not-sure"),
        (Trial(40, [Arrivals(10, 8, busy=2)] * 40, [1] * 40), "fail", "too-busy"),
    ],
)
def test_a_verdict_says_why(measured, verdict, reason):
    judgement = judge(measured, SLO)
    assert (judgement.verdict, judgement.reason) == (verdict, reason)


def test_a_declared_busy_page_is_neither_good_nor_bad_within_its_own_level():
    measured = Trial(40, [Arrivals(10, 8, busy=2)] * 40, [1] * 40)
    assert judge(measured, Slo(busy=0.25)).verdict == "pass"
    assert measured.bad_share == 0


def test_parts_of_a_trial_are_one():
    whole = joined([trial(25), trial(25, 5)])
    assert (whole.seconds, whole.total.scheduled, whole.total.failed) == (20, 40 * 55, 200)


def test_the_stick_breaks_where_answers_do_not_become_more():
    offered = [50, 100, 150, 200, 250, 300]
    trials = [Trial(rate, [Arrivals(rate)] * 4, answered=min(rate, 180)) for rate in offered]
    assert broken_stick([Trial(t.rate, t.bins, answered=min(4 * t.rate, 720)) for t in trials]) == pytest.approx(
        720, rel=0.01
    )


def test_headroom_below_the_gate_proposes_the_size_that_has_it():
    told = propose(capacity=385, peak=400)
    assert told.headroom == pytest.approx(0.866, abs=0.001)
    assert told.assumed
    assert told.planning * told.factor == pytest.approx(1.3 * 400)
    assert propose(600, 400).factor == 1
    assert grown({"vcpu": 2, "memory_gib": 4, "storage_gib.ssd": 10}, told.factor) == {
        "vcpu": 4,
        "memory_gib": 7,
        "storage_gib.ssd": 10,
    }


def test_what_growth_became_capacity_is_measured_at_two_sizes():
    assert efficiency((2, 300), (4, 510)) == pytest.approx(0.7)
    assert propose(300, 300, 0.7).factor > propose(300, 300).factor

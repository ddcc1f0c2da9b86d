"""The guard: on every way in which a target suffers it cuts the load within three seconds, and never without."""

import pytest

from loadtests.guard import Guard
from loadtests.slo import Slo
from loadtests.trials import BIN, Arrivals
from tests.loadtests.shapes import Limiter, Pausing, Pool

SLO = Slo(latency_ms=300, bad=0.01)
RATE, ONSET, TIMEOUT = 300, 10.0, 5.0


class Hanging(Pool):
    def arrive(self, at):
        return (at + 3600, 200) if at >= ONSET else super().arrive(at)


class Slower(Pool):
    def lognormal(self, mean, variation):
        return super().lognormal(mean * self.factor, variation)

    def arrive(self, at):
        self.factor = 4 if at >= ONSET else 1
        return super().arrive(at)


class Refusing(Pool):
    def arrive(self, at):
        answered, status = super().arrive(at)
        return answered, 503 if at >= ONSET and self.random.random() < 0.6 else status


class Overloaded(Pool):
    """Loses a quarter of its workers, so that the rate is 1.03 times what is left of it and more."""

    def arrive(self, at):
        while at >= ONSET and len(self.free) > 5:
            self.free.pop()
        return super().arrive(at)


def noticed(shape, seconds, other=None):
    """When the guard trips, looked at every 0.25 s with exactly what an engine knows by then.

    `other` is another rule instead, given (came, answered, status) of everything that was answered by then.
    """
    arrivals = [number / RATE for number in range(int(seconds * RATE))]
    ends = [(at, *shape.arrive(at)) for at in arrivals]
    guard, now = Guard(SLO), 2.0
    while now < seconds:
        if other:
            known = [(at, min(answered, at + TIMEOUT), status) for at, answered, status in ends if at < now]
            if other([each for each in known if each[1] <= now], now):
                return now
            now += BIN
            continue
        bins = {}
        for at, answered, status in ends:
            if at >= now or at < now - 6:
                continue
            counts = bins.setdefault(int(at / BIN), [0, 0, 0, 0])
            counts[0] += 1
            answered = min(answered, at + TIMEOUT)
            if answered <= now:
                late = (answered - at) * 1000 > SLO.latency_ms
                failed = status >= 400 or answered >= at + TIMEOUT
                counts[3 if failed else 2 if late else 1] += 1
        out = [at for at, answered, _ in ends if at < now < min(answered, at + TIMEOUT)]
        oldest = (now - min(out)) * 1000 if out else 0.0
        if guard.look([Arrivals(*bins[number]) for number in sorted(bins)], oldest):
            return now
        now += BIN
    return None


@pytest.mark.parametrize("shape", [Hanging, Slower, Refusing, Overloaded])
def test_a_target_that_suffers_is_noticed_within_three_seconds(shape):
    moment = noticed(shape(1), 20)
    assert moment is not None
    assert ONSET < moment <= ONSET + 3


@pytest.mark.parametrize("shape", [Pool, Pausing])
def test_a_target_that_is_well_is_left_alone(shape):
    assert noticed(shape(1), 30) is None


def test_few_refusals_of_a_limiter_do_not_end_a_trial():
    limiter = Limiter(1)
    limiter.rate = 285.0
    assert noticed(limiter, 20) is None

"""The engine on real sockets: when requests leave, what is counted, where they may go, and that they stop."""

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from loadtests.conductor import conduct
from loadtests.engines import Stopped
from loadtests.generators import Generators
from loadtests.orders import Result
from tests.loadtests.code import secured
from tests.loadtests.conftest import Target, at_best

pytestmark = pytest.mark.measures

SEARCH = {"kind": "search", "coarse": True}
PATIENT = {"latency_ms": 3000, "bad": 0.3}


WELL = {"hang": 0, "slow": 0, "refuse": 0}


def quiet(_):
    """Nobody listens."""


def go():
    """Nobody stops it."""


def test_platform_processes_never_load_what_patches_their_sockets():
    code = "import sys, cloudctl.app, loadtests.conductor, loadtests.agent; "
    code += "sys.exit(bool({'gevent', 'locust'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_as_many_requests_come_as_were_ordered_each_with_the_mark_of_its_run(target):
    there = target("instant")
    order = there.order({"kind": "soak", "rate": 100, "seconds": 4}, mark="run_1.abc", level=PATIENT)
    result = conduct(order, quiet, go)
    told = there.told()
    assert result.outcome in ("pass", "likely")
    assert result.requests == result.good == told["came"] == pytest.approx(400, abs=100)
    assert told["headers"]["x-loadtest-run"] == "run_1.abc"
    assert (result.failed, result.unanswered, result.dropped) == (0, 0, 0)


def test_a_server_that_freezes_is_told_as_slow_as_it_was(target):
    """Two seconds of every ten nobody is answered: of evenly spaced requests a hundredth waits longer than 1.9 s."""
    order, truth = {"kind": "soak", "rate": 200, "seconds": 10, "evenly": True}, pytest.approx(1902, rel=0.01)

    def measured() -> Result:
        return conduct(target("freezing").order(order, level=PATIENT), quiet, go)

    result = at_best(measured, lambda result: result.p99_ms == truth)
    assert result.requests == pytest.approx(2000, abs=2)
    assert result.p99_ms == truth


def test_engines_share_the_rate_and_begin_together(target):
    there = target("instant")
    order = there.order({"kind": "soak", "rate": 90, "seconds": 4, "evenly": True}, generators=3)
    result = conduct(order, quiet, go)
    assert result.requests == there.told()["came"] == pytest.approx(360, abs=3)


def test_a_lost_engine_makes_the_run_invalid(target):
    there = target("instant")
    order = there.order({"kind": "soak", "rate": 90, "seconds": 20}, generators=3)
    with Generators(order, quiet, go) as generators:
        killing = threading.Timer(1.0, os.killpg, [generators._engines[1]._process.pid, signal.SIGKILL])
        killing.start()
        with pytest.raises(Stopped, match="engine-lost"):
            generators.follow(order.profile.points())
        killing.join()


def test_a_visitor_keeps_its_cookies_to_itself_and_shared_ones_have_none(target):
    there = target("instant")
    journeys = {
        "journeys": [
            {"name": "log in", "requests": [{"path": "/login"}, {"path": "/mine"}]},
            {"name": "look", "requests": [{"path": "/login"}]},
        ]
    }
    conduct(there.order({"kind": "soak", "rate": 60, "seconds": 2}, journeys=journeys), quiet, go)
    assert there.told()["paths"]["/mine"] > 10
    conduct(there.order({"kind": "smoke", "rate": 20, "seconds": 1}), quiet, go)
    assert "cookie" not in there.told()["headers"]


def test_checks_decide_what_is_good_and_a_busy_page_is_an_outcome_of_its_own(target):
    there = target("instant")
    there.do(refuse=0.5)
    request = {"path": "/", "check": {"contains": "green"}, "busy": {"status": [503]}}
    journeys = {"journeys": [{"name": "look", "requests": [request]}]}
    level = {"latency_ms": 300, "bad": 0.01, "busy": 0.9}
    result = conduct(
        there.order({"kind": "soak", "rate": 100, "seconds": 3}, journeys=journeys, level=level), quiet, go
    )
    assert result.busy == pytest.approx(150, abs=60)
    assert result.failed == 0
    other = {"journeys": [{"name": "look", "requests": [{"path": "/", "check": {"contains": "red"}}]}]}
    result = conduct(there.order({"kind": "smoke", "rate": 20, "seconds": 1}, journeys=other, calm=1), quiet, go)
    assert (result.good, result.failed > 5) == (0, True)


def test_failures_are_tried_again_as_often_as_the_profile_says(target):
    there = target("instant")
    there.do(refuse=1)
    order = there.order({"kind": "retry-storm", "rate": 20, "retries": 3, "seconds": 2}, level=PATIENT | {"bad": 0.9})
    conduct(order, quiet, go)
    assert there.told()["came"] == pytest.approx(4 * 40, abs=60)


def test_nobody_follows_a_redirect_and_nothing_is_sent_elsewhere(target):
    there, neighbour = target("instant"), target("instant")
    journeys = {"journeys": [{"name": "away", "requests": [{"path": f"/away?to={neighbour.url}/stolen"}]}]}
    result = conduct(there.order({"kind": "smoke", "rate": 20, "seconds": 1}, journeys=journeys, calm=1), quiet, go)
    assert (result.good, result.failed > 5) == (0, True)
    expected = {"path": f"/away?to={neighbour.url}/stolen", "check": {"status": [302]}}
    journeys = {"journeys": [{"name": "away", "requests": [expected]}]}
    assert conduct(there.order({"kind": "smoke", "rate": 20, "seconds": 1}, journeys=journeys), quiet, go).good > 5
    assert neighbour.told()["came"] == 0


def test_a_name_that_means_another_address_by_now_gets_no_request(target):
    there = target("instant")
    order = there.order({"kind": "smoke", "rate": 20, "seconds": 1}, base_url=f"http://localhost:{there.port}")
    assert conduct(order, quiet, go).good > 5
    came = there.told()["came"]
    elsewhere = conduct(order.model_copy(update={"addresses": ["127.0.0.9"], "calm": 1}), quiet, go)
    assert (elsewhere.good, there.told()["came"]) == (0, came)


def test_a_certificate_is_trusted_that_the_authority_signed_and_no_other(tmp_path):
    with secured(tmp_path, "localhost") as (port, trusted, asked):
        there = Target(f"https://localhost:{port}", port)
        order = there.order({"kind": "soak", "rate": 20, "seconds": 2}, level={"latency_ms": 2000}, calm=1)
        assert conduct(order.model_copy(update={"authority": str(trusted)}), quiet, go).good == len(asked) > 10
        came = len(asked)
        assert conduct(order, quiet, go).good == 0
        assert len(asked) == came


def test_a_request_is_given_up_after_the_orders_timeout(target):
    there = target("instant")
    there.do(hang=1)
    order = there.order({"kind": "soak", "rate": 20, "seconds": 3}, level={"latency_ms": 9000}, timeout=1, calm=1)
    result = conduct(order, quiet, go)
    assert (result.unanswered, result.failed > 30) == (0, True)


def test_nothing_exceeds_the_ceiling_in_any_second_neither_curve_nor_closed_loop_nor_journeys_nor_retries(target):
    there = target("instant")
    with Generators(there.order(SEARCH, ceiling=50), quiet, go) as generators:
        closed = generators.closed(32, 2)
        assert closed.goodput == pytest.approx(50, rel=0.15)
        generators._send(do="follow", points=[(generators.clock, 2000.0)], epoch=9, random=True)  # nobody else cuts it
        generators._until(generators.clock + 2, None, 0)
    assert generators.withheld > 2000
    steps = {"journeys": [{"name": "look", "requests": [{"path": "/"}] * 20}]}
    conduct(there.order({"kind": "soak", "rate": 50, "seconds": 2}, ceiling=50, journeys=steps), quiet, go)
    there.do(refuse=1)
    storm = {"kind": "retry-storm", "rate": 40, "retries": 10, "seconds": 2}
    assert conduct(there.order(storm, ceiling=50, calm=1), quiet, go).withheld > 0
    assert 40 <= there.told()["busiest"] <= 1.25 * 50 + 5


def test_no_more_are_out_at_once_than_the_order_says_whatever_is_tried_again(target):
    there = target("instant")
    there.do(hang=1)
    storm = {"kind": "retry-storm", "rate": 50, "retries": 10, "seconds": 3}
    result = conduct(there.order(storm, inflight=10, level=PATIENT, timeout=1, calm=1), quiet, go)
    assert result.dropped > 50
    assert there.told()["came"] <= 10 * (result.seconds + 1)  # each of ten places, once in a timeout


def test_a_visitor_on_its_way_leaves_when_the_load_ends(target):
    there = target("instant")
    steps = {"journeys": [{"name": "look", "requests": [{"path": "/"}, *[{"path": "/", "pause": 0.3}] * 20]}]}
    with Generators(there.order({"kind": "soak", "rate": 1}, journeys=steps), quiet, go) as generators:
        generators._follow([(generators.clock, 400.0)])
        generators._until(generators.clock + 1, None, 0)
        generators._follow([])
        ended = time.monotonic()
        generators._until(generators.clock + 1, None, 0)
    assert 10 < there.told()["came"] < 200
    assert there.told()["last"] < ended + 0.1


def test_an_engine_ends_when_its_time_is_up_and_the_run_is_invalid(target):
    there = target("instant")
    result = conduct(there.order({"kind": "soak", "rate": 50, "seconds": 60}, longest=4), quiet, go)
    assert (result.outcome, result.reasons[0].slug) == ("invalid", "engine-lost")
    assert result.seconds < 6


def test_an_engine_that_does_not_come_up_has_run_for_no_time():
    order = Target("http://127.0.0.1:1", 1).order({"kind": "smoke"}, authority="/nowhere", longest=0.001)
    result = conduct(order, quiet, go)
    assert (result.outcome, result.reasons[0].slug) == ("invalid", "engine-lost")
    assert result.seconds < 30


def test_a_soak_that_gets_slower_tells_how_fast_and_when_it_is_too_slow(target):
    there = target("leaking")
    order = there.order({"kind": "soak", "rate": 60, "seconds": 8, "evenly": True}, level=PATIENT)
    result = conduct(order, quiet, go)
    assert result.drift_ms_per_minute == pytest.approx(0.2 * 60 * 60, rel=0.15)
    assert [reason.slug for reason in result.reasons] == ["few-enough-bad", "drifts"]
    assert result.reasons[1].figures["seconds"] == pytest.approx((3000 - 20 - 96) / 12, rel=0.15)


# -- stopping


DRIVER = """
import sys
from loadtests.conductor import conduct
from loadtests.orders import Order
conduct(Order.model_validate_json(sys.stdin.read()), lambda progress: None, lambda: None)
"""


def driving(there, order, **options) -> subprocess.Popen[bytes]:
    """A driver in a process of its own, once the target got a hundred requests of it."""
    driver = subprocess.Popen([sys.executable, "-c", DRIVER], stdin=subprocess.PIPE, **options)
    driver.stdin.write(order.model_dump_json().encode())
    driver.stdin.close()
    deadline = time.monotonic() + 30
    while there.told()["came"] < 100:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return driver


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_with_the_driver_its_load_ends(target, number):
    there = target("instant")
    driver = driving(there, there.order({"kind": "soak", "rate": 100, "seconds": 60}))
    driver.send_signal(number)
    driver.wait()
    ended, came = time.monotonic(), there.told()["came"]
    time.sleep(2)
    told = there.told()
    assert told["came"] - came <= 5
    assert told["last"] < ended + 1


@pytest.mark.parametrize("hang", [0, 1])
def test_stop_ends_it_within_a_second_whatever_the_target_does(target, hang):
    there, moment = target("instant"), time.monotonic() + 3
    order = there.order({"kind": "soak", "rate": 50, "seconds": 60}, level={"latency_ms": 60_000})
    there.do(hang=hang)
    result = conduct(order, quiet, lambda: "stopped" if time.monotonic() > moment else None)
    assert (result.outcome, result.reasons[0].slug) == ("aborted", "stopped")
    assert time.monotonic() < moment + 3
    assert there.told()["last"] < moment + 1


def test_the_guard_cuts_the_load_on_every_trouble_and_measures_the_recovery(target):
    def troubled(trouble):
        there = target("instant")
        order, seen = there.order({"kind": "soak", "rate": 100, "seconds": 60}, timeout=4), []
        timers = [threading.Timer(4, there.do, kwargs=trouble), threading.Timer(9, there.do, kwargs=WELL)]
        for timer in timers:
            timer.start()
        result = conduct(order, seen.append, go)
        for timer in timers:
            timer.join()
        return result, next(progress.at for progress in seen if progress.guard)

    with ThreadPoolExecutor() as threads:
        for result, cut in threads.map(troubled, [{"hang": 1}, {"slow": 1.5}, {"refuse": 0.6}]):
            assert (result.outcome, result.reasons[0].slug) == ("fail", "guard-tripped")
            assert cut <= 4 + 3
            assert 9 - 2 - cut < result.recovery_seconds < 9 + 4 - cut  # a run's clock begins when its engine is up


def test_who_is_told_slowly_keeps_neither_the_guard_nor_a_stop_waiting(target):
    there, began = target("instant"), time.monotonic()
    told, moment = [], began + 4

    def tell(progress):
        told.append(progress)
        time.sleep(2)

    order = there.order({"kind": "soak", "rate": 50, "seconds": 60})
    result = conduct(order, tell, lambda: "stopped" if time.monotonic() > moment else None)
    assert result.outcome == "aborted"
    assert there.told()["last"] < moment + 1
    there.do(hang=1)
    told.clear()
    result = conduct(order.model_copy(update={"calm": 1}), tell, go)
    assert result.outcome == "fail"
    assert there.told()["last"] - there.told()["first_hung"] < 3
    assert told[-1].guard


def test_what_the_teller_raises_ends_the_run_and_is_raised(target):
    there = target("instant")

    def tell(progress):
        raise LookupError(progress.phase)

    with pytest.raises(LookupError, match="soak"):
        conduct(there.order({"kind": "soak", "rate": 50, "seconds": 60}), tell, go)


def test_a_saturated_generator_on_a_curve_is_invalid_and_not_the_targets_failure(target):
    there = target("instant")
    result = conduct(there.order({"kind": "soak", "rate": 20_000, "seconds": 5}, ceiling=50_000, calm=5), quiet, go)
    assert (result.outcome, result.reasons[0].slug) == ("invalid", "generator-late")


def test_a_generator_that_cannot_keep_up_is_no_knee(target):
    there = target("instant")
    result = conduct(there.order(SEARCH, ceiling=100_000), quiet, go)
    assert result.outcome == "invalid"
    assert [reason.slug for reason in result.reasons][:1] == ["search-generator-limited"]
    assert (result.capacity, result.planning, result.above, result.knee) == (None, None, None, None)


def test_a_search_on_a_real_server_finds_its_capacity_to_a_tenth_or_says_that_it_does_not_know(target):
    result = conduct(target("single").order(SEARCH), quiet, go)
    if result.status in ("unstable", "disputed", "never", "generator-limited"):
        assert result.outcome not in ("pass", "likely")
    else:
        assert result.capacity == pytest.approx(387.9, rel=0.1)
        assert result.planning == pytest.approx(0.9 * result.capacity, rel=0.01)
        assert result.recovery_seconds > 0
    assert Result.model_validate_json(result.model_dump_json()) == result

"""The engine on real sockets: when requests leave, what is counted, where they may go, and that they stop."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from loadtests.conductor import conduct
from loadtests.generators import Generators, Stopped

SEARCH = {"kind": "search", "coarse": True}
PATIENT = {"latency_ms": 3000, "bad": 0.3}


WELL = {"hang": 0, "slow": 0, "refuse": 0}


def quiet(_):
    """Nobody listens."""


def go():
    """Nobody stops it."""


def test_platform_processes_never_load_what_patches_their_sockets():
    code = "import sys, cloudctl.app, loadtests.conductor; sys.exit(bool({'gevent', 'locust'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_as_many_requests_come_as_were_ordered_each_with_the_mark_of_its_run(target):
    there = target("instant")
    result = conduct(there.order({"kind": "soak", "rate": 100, "seconds": 4}, mark="run_1.abc"), quiet, go)
    told = there.told()
    assert result.outcome in ("pass", "likely")
    assert result.requests == result.good == told["came"] == pytest.approx(400, abs=100)
    assert told["headers"]["x-loadtest-run"] == "run_1.abc"
    assert (result.failed, result.unanswered, result.dropped) == (0, 0, 0)


def test_a_server_that_freezes_is_told_as_slow_as_it_was(target):
    """Two seconds of every ten nobody is answered: of evenly spaced requests a hundredth waits longer than 1.9 s."""
    there = target("freezing")
    result = conduct(
        there.order({"kind": "soak", "rate": 200, "seconds": 20, "evenly": True}, level=PATIENT), quiet, go
    )
    assert result.requests == pytest.approx(4000, abs=2)
    assert result.p99_ms == pytest.approx(1902, rel=0.01)


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
    result = conduct(there.order({"kind": "smoke", "rate": 20, "seconds": 1}, journeys=journeys), quiet, go)
    assert result.good > 5
    assert neighbour.told()["came"] == 0


def test_a_name_that_means_another_address_by_now_gets_no_request(target):
    there = target("instant")
    order = there.order({"kind": "smoke", "rate": 20, "seconds": 1}, base_url=f"http://localhost:{there.port}")
    assert conduct(order, quiet, go).good > 5
    came = there.told()["came"]
    elsewhere = conduct(order.model_copy(update={"addresses": ["127.0.0.9"], "calm": 1}), quiet, go)
    assert (elsewhere.good, there.told()["came"]) == (0, came)


def test_the_ceiling_is_kept_by_the_engine_itself(target):
    there = target("instant")
    conduct(there.order({"kind": "soak", "rate": 500, "seconds": 3}, ceiling=50), quiet, go)
    assert there.told()["came"] == pytest.approx(150, abs=50)


# -- stopping


DRIVER = """
import sys
from loadtests.conductor import conduct
from loadtests.orders import Order
conduct(Order.model_validate_json(sys.stdin.read()), lambda progress: None, lambda: None)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_with_the_driver_its_load_ends(target, number):
    there = target("instant")
    order = there.order({"kind": "soak", "rate": 100, "seconds": 60})
    driver = subprocess.Popen([sys.executable, "-c", DRIVER], stdin=subprocess.PIPE)
    driver.stdin.write(order.model_dump_json().encode())
    driver.stdin.close()
    deadline = time.monotonic() + 30
    while there.told()["came"] < 100:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    driver.send_signal(number)
    ended, came = time.monotonic(), there.told()["came"]
    driver.wait()
    time.sleep(1.5)
    told = there.told()
    assert told["came"] - came <= 5 + 5  # those that left while we asked
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


@pytest.mark.parametrize("trouble", [{"hang": 1}, {"slow": 1.5}, {"refuse": 0.6}], ids=lambda what: next(iter(what)))
def test_the_guard_cuts_the_load_and_measures_the_recovery(target, trouble):
    there = target("instant")
    order, seen = there.order({"kind": "soak", "rate": 100, "seconds": 60}, timeout=4), []
    begins, ends = threading.Timer(5, there.do, kwargs=trouble), threading.Timer(10, there.do, kwargs=WELL)
    for timer in (begins, ends):
        timer.start()
    result = conduct(order, seen.append, go)
    for timer in (begins, ends):
        timer.join()
    assert (result.outcome, result.reasons[0].slug) == ("fail", "guard-tripped")
    assert next(progress.at for progress in seen if progress.guard) <= 5 + 3
    assert 0 < result.recovery_seconds < order.calm


def test_a_generator_that_cannot_keep_up_is_no_knee(target):
    there = target("instant")
    result = conduct(there.order(SEARCH, ceiling=100_000), quiet, go)
    assert result.outcome == "invalid"
    assert [reason.slug for reason in result.reasons][:1] == ["search-generator-limited"]
    assert result.above is None


def test_a_coarse_search_finds_the_capacity_of_a_real_server(target):
    result = conduct(target("pool").order(SEARCH), quiet, go)
    assert result.outcome in ("pass", "likely", "unlikely", "invalid")
    if result.outcome in ("pass", "likely"):
        assert result.capacity == pytest.approx(385.9, rel=0.2)
        assert result.planning == pytest.approx(0.9 * result.capacity, rel=0.01)
    json.loads(result.model_dump_json())

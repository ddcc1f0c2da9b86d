"""Engines elsewhere: as processes that dial a real API, on machines of their own clock; and that they stop."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from statistics import median

import httpx
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from loadtests import crews
from loadtests.conductor import conduct
from loadtests.crews import Pass
from loadtests.exchanges import MOST
from loadtests.models import Member
from loadtests.remote import RemoteEngines
from tests.loadtests.elsewhere import Field, running, until
from tests.loadtests.test_engine import PATIENT, go, quiet

pytestmark = pytest.mark.measures

DRIVER = """
import json, sys
from cloudctl.kernel import database
from loadtests.conductor import conduct
from loadtests.orders import Order
from loadtests.remote import RemoteEngines
order = Order.model_validate_json(sys.stdin.read())
with RemoteEngines(database.connect(sys.argv[1]), order) as engines:
    print(json.dumps([[known.engine, known.secret] for known in engines.passes]), flush=True)
    conduct(order, lambda progress: None, lambda: None, engines.start)
"""
AHEAD = 86_400  # seconds that a machine's clock is ahead of ours


# -- as good as those of this machine


@pytest.mark.parametrize("skew", [0, AHEAD], ids=["one-clock", "clocks-a-day-apart"])
def test_engines_elsewhere_share_the_rate_and_begin_together_whatever_their_clocks_show(there, target, skew):
    at = target("instant")
    order = at.order({"kind": "soak", "rate": 6, "seconds": 5, "evenly": True}, generators=3, level=PATIENT)
    shares = []

    def counted(start):
        def of(order, take):
            shares.append(0)
            mine = len(shares) - 1

            def taken(report):
                shares[mine] += sum(counts[0] for counts in report["bins"].values())
                take(report)

            return start(order, taken)

        return of

    with RemoteEngines(there.engine, order) as engines:
        for number, known in enumerate(engines.passes):
            there.send_out(known, skew * number)
        result = conduct(order, quiet, go, counted(engines.start))
    assert result.outcome in ("pass", "likely"), result.reasons
    assert result.requests == at.told()["came"] == 30
    assert (result.failed, result.late, result.unanswered) == (0, 0, 0)
    assert shares == [10, 10, 10]
    times = at.told()["times"]
    together = [times[at : at + 3] for at in range(0, 30, 3)]
    assert median(max(three) - min(three) for three in together) < 0.05
    assert there.rows == 0


def test_what_engines_elsewhere_measure_is_as_good_as_what_those_of_this_machine_do(there, target):
    at = target("single")
    order = at.order({"kind": "step", "first": 60, "by": 60, "to": 180, "hold": 3}, generators=3)
    local = conduct(order, quiet, go)
    came = at.told()["came"]
    with there.engines(order) as engines:
        remote = conduct(order, quiet, go, engines.start)
    assert remote.outcome == local.outcome, (remote.reasons, local.reasons)
    assert remote.requests == at.told()["came"] - came == pytest.approx(3 * (60 + 120 + 180), rel=0.15)
    assert remote.requests - remote.good - remote.late < 20
    assert remote.p50_ms == pytest.approx(local.p50_ms, rel=0.4)
    assert len(remote.stages) == len(local.stages)


# -- whatever breaks, the last request leaves within a second

LOAD = {"kind": "soak", "rate": 60, "seconds": 120}


def once_under_way(act):
    """What to be told with to do that after two seconds, once; and when it was done."""
    done = []

    def tell(progress):
        if not done and progress.at > 2:
            act()
            done.append(time.monotonic())

    return tell, done


def test_a_lost_engine_makes_the_run_invalid_and_the_others_stop(there, target):
    at = target("instant")
    order = at.order(LOAD, generators=3)
    kill, killed = once_under_way(lambda: there.agents[1].send_signal(signal.SIGKILL))

    with there.engines(order) as engines:
        result = conduct(order, kill, go, engines.start)
    assert (result.outcome, result.reasons[0].slug) == ("invalid", "engine-lost")
    assert at.told()["came"] > 60
    assert at.told()["last"] < killed[0] + 1


def test_a_wish_to_stop_ends_it(there, target):
    at, pressed = target("instant"), []

    def stop():
        if not pressed and at.told()["came"] > 60:
            pressed.append(time.monotonic())
        return "run-stopped" if pressed else None

    order = at.order(LOAD, generators=3)
    with there.engines(order) as engines:
        result = conduct(order, quiet, stop, engines.start)
    assert result.outcome == "aborted"
    assert at.told()["last"] < pressed[0] + 1
    until(lambda: all(agent.poll() is not None for agent in there.agents), 5)


def test_a_wish_to_stop_is_heard_while_engines_are_awaited(there, target):
    at = target("instant")
    order, began = at.order(LOAD, generators=2), time.monotonic()
    with RemoteEngines(there.engine, order) as engines:
        there.send_out(engines.passes[0])
        result = conduct(order, quiet, lambda: "run-stopped" if time.monotonic() > began + 3 else None, engines.start)
    assert (result.outcome, at.told()["came"]) == ("aborted", 0)
    assert time.monotonic() < began + 6


@contextmanager
def driven(there: Field, order) -> Iterator[tuple[subprocess.Popen, list[Pass]]]:
    """A driver in a process of its own, and an agent for each of its engines."""
    words = [sys.executable, "-c", DRIVER, there.settings.database_url or ""]
    driver = running(words, {}, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        driver.stdin.write(order.model_dump_json().encode())
        driver.stdin.close()
        passes = [Pass(*known) for known in json.loads(driver.stdout.readline())]
        for known in passes:
            there.send_out(known)
        yield driver, passes
    finally:
        driver.kill()
        driver.wait()
        driver.stdout.close()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "frozen"])
def test_with_the_driver_all_load_ends(there, target, number):
    at = target("instant")
    with driven(there, at.order(LOAD, generators=3)) as (driver, _):
        until(lambda: at.told()["came"] > 120)
        driver.send_signal(number)
        ended = time.monotonic()
        until(lambda: all(agent.poll() is not None for agent in there.agents), 10)
        assert at.told()["last"] < ended + 1


def test_without_the_api_all_load_ends_and_the_run_is_invalid(there, target):
    at = target("instant")
    kill, killed = once_under_way(there.api.kill)
    order = at.order(LOAD, generators=3)
    with there.engines(order) as engines:
        result = conduct(order, kill, go, engines.start)
    assert (result.outcome, result.reasons[0].slug) == ("invalid", "engine-lost")
    assert at.told()["last"] < killed[0] + 1
    until(lambda: all(agent.poll() is not None for agent in there.agents), 5)


def test_an_api_that_answers_nobody_any_more_ends_all_load(there, target):
    at = target("instant")
    freeze, frozen = once_under_way(lambda: there.api.send_signal(signal.SIGSTOP))
    order = at.order(LOAD, generators=3)
    with there.engines(order) as engines:
        result = conduct(order, freeze, go, engines.start)
    assert result.outcome == "invalid"
    assert at.told()["last"] < frozen[0] + 1
    until(lambda: all(agent.poll() is not None for agent in there.agents), 5)


def test_an_engine_that_ends_makes_the_run_invalid_at_once(there, target):
    at = target("instant")
    order = at.order(LOAD, generators=2, longest=6)
    with there.engines(order) as engines:
        result = conduct(order, quiet, go, engines.start)
    assert (result.outcome, result.reasons[0].slug) == ("invalid", "engine-lost")
    assert result.seconds < 8


# -- who may speak


def test_a_token_opens_its_own_engines_exchange_while_its_run_is_under_way_and_nothing_else(there, target):
    at = target("instant")
    order = at.order(LOAD, generators=2)
    other = order.model_copy(update={"run": "run_2"})
    with RemoteEngines(there.engine, order) as mine, RemoteEngines(there.engine, other) as theirs:
        (first, second), (foreign, _) = mine.passes, theirs.passes
        assert there.say(first.engine, first.secret).status_code == 200
        for wrong in (second.secret, foreign.secret, f"{first.secret}x", "cct_nobody", foreign.engine):
            answer = there.say(first.engine, wrong)
            assert (answer.status_code, answer.json()["slug"]) == (401, "bad-token")
        for path in ("me", "runs", "campaigns", "tenancies"):
            headers = {"Authorization": f"Bearer {first.secret}"}
            assert httpx.get(f"{there.url}/v1/{path}", headers=headers).status_code == 401
        with Session(there.engine) as session:
            kept = " ".join(session.scalars(select(Member.digest)))
        assert first.secret.split("_")[2] not in kept
        mine.dismiss()
        assert there.say(first.engine, first.secret).status_code == 401
        assert there.say(foreign.engine, foreign.secret).status_code == 200
    assert there.rows == 0


def test_a_token_ends_after_the_longest_its_run_can_take(there):
    with Session(there.engine) as session, session.begin():
        (known,) = crews.gather(session, "run_1", 1, timedelta(seconds=-1))
    assert there.say(known.engine, known.secret).status_code == 401
    with Session(there.engine) as session, session.begin():
        crews.expire(session)
    assert there.rows == 0


REPORT = {
    "at": 0.25,
    "cpu": 0.1,
    "cut": None,
    "bins": {"0": [1, 1, 0, 0, 0, 0]},
    "latencies": {"0": {"128": 1}},
    "lags": {},
    "answered": {},
    "inflight": 0,
    "oldest": 0,
    "bytes": 0,
    "withheld": 0,
}


def test_a_report_counts_once_however_often_it_is_sent_and_what_nobody_reads_is_refused(there):
    with Session(there.engine) as session, session.begin():
        (known,) = crews.gather(session, "run_1", 1, timedelta(seconds=60))
    say = partial(there.say, known.engine, known.secret)
    assert say(first=1, reports=[REPORT, REPORT]).json()["heard"] == 2
    assert say(first=2, reports=[REPORT, REPORT]).json()["heard"] == 3
    with Session(there.engine) as session, session.begin():
        told = crews.beat(session, "run_1", [])
        assert [report["bins"] for _, report in told.reports] == [{"0": [1, 1, 0, 0, 0, 0]}] * 3
    assert say(first=4, reports=[REPORT] * MOST).status_code == 200
    full = say(first=4 + MOST, reports=[REPORT])
    assert (full.status_code, full.json()["slug"]) == (409, "unread")
    for wrong in ({"lags": {"128": -1}}, {"lags": {"9999999": 1}}, {"bins": {"0": [1]}}, {"shell": "true"}):
        assert say(first=4 + MOST, reports=[REPORT | wrong]).status_code == 422
    assert say(first=1, reports=[REPORT] * (MOST + 1)).status_code == 422


def test_what_an_engine_is_told_names_nobody_and_nothing_but_its_target(there, target):
    order = target("instant").order(LOAD, size={"vcpu": 4}, version="2.7 of the vendor", on="kunpeng")
    with RemoteEngines(there.engine, order) as engines:
        engines.start(order.told(0), quiet)
        (known,) = engines.passes
        until(lambda: there.say(known.engine, known.secret).json()["commands"])
        (command,) = there.say(known.engine, known.secret).json()["commands"]
    told = command["said"]["order"]
    assert (told["run"], told["version"], told["size"], told["on"]) == ("", "", {}, None)
    assert there.say(known.engine, known.secret).status_code == 401

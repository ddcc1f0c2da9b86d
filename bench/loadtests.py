"""Load tests: what a request costs beside Locust's own user, how fast one engine is, how soon the guard sees that a
target suffers, and how right the search is on real servers."""

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from os import sysconf
from pathlib import Path

from bench import load, webservers
from bench.figures import Figure, fresh_database, side_by_side
from cloudctl.kernel import database
from cloudctl.kernel.settings import Settings
from loadtests.conductor import conduct
from loadtests.generators import Generators
from loadtests.orders import Result
from tests.loadtests import test_guard as guards
from tests.loadtests.conftest import Target, served
from tests.loadtests.elsewhere import Field
from tests.loadtests.shapes import SHAPES

RATE, SECONDS, ROUNDS = 300, 6, 3
GOAL = 1.5
LAG_MS, STEP = 10.0, 1.25
NEVER = 60.0
TROUBLES = {"hang": guards.Hanging, "slower": guards.Slower, "refuse": guards.Refusing, "beyond": guards.Overloaded}
Known = Sequence[tuple[float, float, int]]

REFERENCE = """
from gevent import monkey
monkey.patch_all()
import random, sys, time, gevent
from locust import FastHttpUser, task
from locust.env import Environment

class Visitor(FastHttpUser):
    host = sys.argv[1]

    def wait_time(self):  # they come by chance, as ours do: who comes with others shares what it costs to wake up
        return random.expovariate(float(sys.argv[2]) / 20)

    @task
    def look(self):
        self.client.get("/scores")

environment = Environment(user_classes=[Visitor])
runner = environment.create_local_runner()
runner.start(20, spawn_rate=1000)
gevent.sleep(2)
spent, count = time.process_time(), environment.stats.total.num_requests
gevent.sleep(float(sys.argv[3]))
print((time.process_time() - spent) / (environment.stats.total.num_requests - count) * 1e6)
runner.quit()
"""


def figures() -> Iterator[Figure]:
    """`load-cpu`: microseconds of a processor for a request; `load-most`: requests a second one engine sends with a lag
    below 10 ms, beside wrk; `load-guard-*`: seconds until a trouble is seen, beside a rule on all
    that was answered so far (as k6 has) and on that of the last ten seconds; `load-capacity-*`: beside the truth,
    once by two engines that dial in as those of other machines do, and of servers nobody tuned beside what wrk gets."""
    with served("instant") as target:
        ours, theirs = side_by_side(lambda: _cost(target), lambda: _reference(target), ROUNDS)
        yield Figure("load-cpu", ours, theirs, "us", ours / theirs, f"<= {GOAL}", ours <= GOAL * theirs)
        most, wrk = _most(target), webservers.wrk(target.url)
        yield Figure("load-most", most, wrk, "1/s", most / wrk)
    for name, shape in TROUBLES.items():
        ours = _seen(shape)
        for rule, other in (("sofar", _so_far), ("window", _window)):
            theirs = _seen(shape, other)
            yield Figure(f"load-guard-{name}-{rule}", ours, theirs, "s", ours / theirs, "<= 3 s", ours <= 3)
    for name, shape in SHAPES.items():
        yield _capacity(name, shape.truth)
    yield _from_elsewhere("single", SHAPES["single"].truth)
    for name, server in (("nginx", webservers.nginx), ("fastapi", webservers.untuned)):
        yield _unknown(name, server)


def _cost(target: Target) -> float:
    with Generators(target.order({"kind": "smoke"}), lambda news: None, lambda: None) as generators:
        pid = generators._engines[0]._process.pid
        generators.open(RATE, 1, 1)
        before, sent = _processor(pid), target.told()["came"]
        generators.open(RATE, SECONDS, 0)
        return (_processor(pid) - before) / (target.told()["came"] - sent) * 1e6


def _reference(target: Target) -> float:
    words = [sys.executable, "-c", REFERENCE, target.url, str(RATE), str(SECONDS)]
    return float(subprocess.run(words, check=True, capture_output=True, text=True, timeout=60).stdout)


def _processor(pid: int) -> float:
    """Seconds that a process has worked."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / sysconf("SC_CLK_TCK")


def _most(target: Target) -> float:
    """The highest rate that it is not late at; a step that is late is tried once more."""
    rate, held = 200.0, 0.0
    with Generators(target.order({"kind": "smoke"}, ceiling=100_000), lambda news: None, lambda: None) as generators:
        while any(generators.open(rate, 3, 1).lag_ms < LAG_MS for _ in range(2)):
            rate, held = rate * STEP, rate
            generators.drain()
    return held


def _seen(shape: type[guards.Pool], other: Callable[[Known, float], bool] | None = None) -> float:
    return (guards.noticed(shape(1), guards.ONSET + NEVER, other) or guards.ONSET + NEVER) - guards.ONSET


def _so_far(answered: Known, now: float) -> bool:
    return _bad(answered) > 0.05


def _window(answered: Known, now: float) -> bool:
    return _bad([each for each in answered if each[1] > now - 10]) > 0.1


def _bad(answered: Known) -> float:
    """The share that failed or came late, of what was answered at all."""
    limit = guards.SLO.latency_ms / 1000
    return sum(status >= 400 or end - came > limit for came, end, status in answered) / max(1, len(answered))


def _capacity(name: str, truth: float) -> Figure:
    """A whole search on a real server; one that says it does not know is no miss."""
    with served(name) as target:
        result = conduct(target.order({"kind": "search"}), lambda news: None, lambda: None)
    return _beside(name, result, truth)


def _unknown(name: str, server: Callable[[], AbstractContextManager[int]]) -> Figure:
    """Of a server nobody knows how much it holds: wrk tells how much it gives at most."""
    with server() as port:
        target = Target(f"http://127.0.0.1:{port}", port)
        truth = webservers.wrk(target.url)
        order = target.order({"kind": "search"}, ceiling=100_000, level={"latency_ms": 1000})  # wrk waits, too
        return _beside(name, conduct(order, lambda news: None, lambda: None), truth)


def _from_elsewhere(name: str, truth: float) -> Figure:
    with served(name) as target, fresh_database() as url, tempfile.TemporaryDirectory() as folder:
        settings = Settings(data_dir=Path(folder), database_url=url)
        database_engine = database.connect(url)
        with load.platform(settings) as port:
            field = Field(database_engine, settings, f"http://127.0.0.1:{port}", Path(folder))
            order = target.order({"kind": "search"}, generators=2)
            with field.engines(order) as engines:
                result = conduct(order, lambda news: None, lambda: None, engines.start)
            for agent in field.agents:
                agent.wait(10)
        database_engine.dispose()
    return _beside("elsewhere", result, truth)


def _beside(name: str, result: Result, truth: float) -> Figure:
    told = result.capacity or 0.0
    met = result.outcome not in ("pass", "likely") or abs(told / truth - 1) <= 0.1
    return Figure(f"load-capacity-{name}", told, truth, "1/s", told / truth, f"10 % ({result.status})", met)

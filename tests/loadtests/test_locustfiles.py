"""Locustfiles on real processes: what they measure, which caps hold for them, and which are refused."""

import sys

import pytest
from sqlalchemy import select

from cloudctl.kernel.audit import AuditEntry
from cloudctl.kernel.errors import Problem
from loadtests import locustfiles
from loadtests.conductor import conduct
from loadtests.locustfiles import LocustfileTooLong, NotPython, NoUserClass
from tenancy import departments
from tenancy.callers import SYSTEM
from tests.loadtests import test_platform
from tests.loadtests.code import HEAD, LOOKS, SOAK, doing, ordered, secured
from tests.loadtests.conftest import Target, at_best
from tests.loadtests.test_engine import PATIENT, go, quiet

pytestmark = pytest.mark.slow

# -- what is measured


@pytest.mark.measures
def test_each_arrival_is_a_user_who_does_one_task_by_the_weights_and_every_request_counts(target):
    text = f"""{HEAD}
class Reader(FastHttpUser):
    weight = 3
    wait_time = between(5, 9)
    host = "http://elsewhere.example"
    @task(3)
    def look(self):
        self.client.get("/scores")
    @task
    def compare(self):
        self.client.get("/a")
        self.client.post("/b", json={{"a": 1}})

class Writer(HttpUser):
    def on_start(self):
        self.client.get("/login")
    @task
    class Steps(SequentialTaskSet):
        @task
        def first(self):
            self.client.get("/first", headers={{"x-loadtest-run": "mine"}})
        @task
        def second(self):
            self.client.get("/second")
            self.interrupt()
"""
    there = target("instant")
    result = conduct(ordered(there, text, {"kind": "soak", "rate": 100, "seconds": 5}, level=PATIENT), quiet, go)
    told = there.told()
    assert result.outcome in ("pass", "likely")
    assert result.requests == told["came"] == pytest.approx(500, abs=110)  # at the rate, all in all
    assert result.good >= result.requests - 5  # the rest of who came at the last moment is not judged
    assert (result.failed, result.late, result.unanswered, result.dropped) == (0, 0, 0, 0)
    paths = told["paths"]
    assert paths["/login"] == paths["/first"] == paths["/second"] > 10
    assert paths["/a"] == paths["/b"] > 10
    assert paths["/scores"] > 1.5 * paths["/a"]
    assert paths["/scores"] + paths["/a"] > 1.5 * paths["/login"]
    assert told["headers"]["x-loadtest-run"] == "run_1.abc"


@pytest.mark.measures
def test_a_server_that_freezes_is_told_as_slow_as_it_was(target):
    """Nobody is answered two seconds of every ten; latency counts from when an arrival should have come."""
    profile, truth = {"kind": "soak", "rate": 100, "seconds": 10, "evenly": True}, pytest.approx(1902, rel=0.02)
    level = {"latency_ms": 3000, "bad": 0.3}
    result = at_best(
        lambda: conduct(ordered(target("freezing"), LOOKS, profile, level=level), quiet, go),
        lambda result: result.p99_ms == truth,
    )
    assert result.requests == pytest.approx(1000, abs=2)
    assert result.p99_ms == truth


def test_statuses_exceptions_and_what_the_file_says_decide_what_is_good(target):
    there = target("instant")
    text = doing("""
with self.client.get("/a", catch_response=True) as answer:
    answer.failure("not what was expected")
self.client.get("/b")
""")
    result = conduct(ordered(there, text, {"kind": "smoke", "rate": 20, "seconds": 2}, calm=1), quiet, go)
    assert result.failed == pytest.approx(result.good, abs=2)
    there.do(refuse=1)
    refused = conduct(ordered(there, LOOKS, {"kind": "smoke", "rate": 20, "seconds": 1}, calm=1), quiet, go)
    assert (refused.good, refused.failed > 5) == (0, True)


def test_whoever_asks_nothing_or_raises_is_never_one_served_well(target):
    there = target("instant")
    result = conduct(ordered(there, doing("x = 1\nraise ValueError(x)"), calm=1), quiet, go)
    assert (result.outcome, result.good, result.capacity) == ("fail", 0, None)
    told = next(reason for reason in result.reasons if reason.slug == "locustfile-raised")
    assert told.figures == {"message": "ValueError: 1", "line": 7}
    assert there.told()["came"] == 0


def test_the_code_is_part_of_what_makes_results_comparable(target):
    there = target("instant")
    one, same, other = ordered(there, LOOKS), ordered(there, LOOKS), ordered(there, LOOKS + "\n")
    assert one.hash() == same.hash() != other.hash()
    assert one.hash() != there.order(SOAK).hash()


def test_a_certificate_is_looked_at_whatever_the_file_says_by_default(tmp_path):
    text = f"""{HEAD}
class Fast(FastHttpUser):
    insecure = True
    @task
    def look(self):
        self.client.get("/fast")
class Slow(HttpUser):
    @task
    def look(self):
        self.client.get("/slow")
"""
    with secured(tmp_path, "scores.example") as (port, trusted, asked):
        there = Target(f"https://scores.example:{port}", port)
        order = ordered(there, text, {"kind": "soak", "rate": 20, "seconds": 3}, level={"latency_ms": 2000})
        result = conduct(order.model_copy(update={"authority": str(trusted)}), quiet, go)
        assert (result.good, set(asked)) == (len(asked), {"/fast run_1.abc", "/slow run_1.abc"})
        came = len(asked)
        assert conduct(order.model_copy(update={"calm": 1}), quiet, go).good == 0
        assert len(asked) == came > 30


# -- caps


RAW = doing(
    """
parts = urlsplit(self.host)
while True:
    with socket.create_connection((parts.hostname, parts.port)) as line:
        line.sendall(b"GET /raw HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n" * TIMES)
        line.recv(100)
""",
    "import socket\nfrom urllib.parse import urlsplit",
)
LOOP = doing('while True:\n    self.client.get("/loop")')
SPAWNS = doing(
    "gevent.joinall([gevent.spawn(requests.get, self.host + '/plain') for _ in range(200)])", "import gevent, requests"
)


@pytest.mark.measures
@pytest.mark.parametrize("text", [RAW.replace("TIMES", "4"), LOOP, SPAWNS], ids=["sockets", "client", "requests"])
def test_no_loop_exceeds_the_ceiling(target, text):
    there = target("instant")
    conduct(ordered(there, text, {"kind": "soak", "rate": 40, "seconds": 3}, ceiling=50, calm=1), quiet, go)
    told = there.told()
    assert 40 <= told["busiest"] <= 1.25 * 50 + 5
    if "socket" not in text:
        assert told["headers"]["x-loadtest-run"] == "run_1.abc"


def test_who_does_not_wait_for_answers_is_cut_off(target):
    there = target("instant")
    conduct(ordered(there, RAW.replace("TIMES", "900"), {"kind": "soak", "rate": 40, "seconds": 2}, calm=1), quiet, go)
    assert there.told()["came"] == 0


def test_no_more_are_out_at_once_than_the_order_says(target):
    there = target("instant")
    there.do(hang=1)
    many = doing('gevent.joinall([gevent.spawn(self.client.get, "/") for _ in range(50)])', "import gevent")
    result = conduct(ordered(there, many, inflight=10, level={"latency_ms": 3000}, timeout=60, calm=1), quiet, go)
    assert result.dropped > 20
    assert there.told()["came"] <= 10


def test_nobody_is_led_elsewhere(target):
    there, neighbour = target("instant"), target("instant")
    text = doing(f"""
self.client.get("/away?to={neighbour.url}/stolen")
self.client.get("{neighbour.url}/asked")
""")
    result = conduct(ordered(there, text, calm=1), quiet, go)
    assert (result.good, result.failed > 5) == (0, True)
    assert neighbour.told()["came"] == 0


def test_a_target_is_asked_by_its_name_whatever_that_means_elsewhere(target):
    there = target("instant")
    order = ordered(there, LOOKS, base_url=f"http://scores.example:{there.port}")
    assert conduct(order, quiet, go).good > 50
    assert there.told()["headers"]["host"] == f"scores.example:{there.port}"
    elsewhere = conduct(order.model_copy(update={"addresses": ["127.0.0.9"], "calm": 1}), quiet, go)
    assert elsewhere.good == 0


# -- refused


@pytest.mark.parametrize(
    ("text", "problem", "line"),
    [
        (LOOKS + "\ndef broken(:\n", NotPython, 8),
        ("\x00", NotPython, 1),
        ("(" * 5000, NotPython, 1),
        ("import os\n\nclass Nobody:\n    pass\n", NoUserClass, 3),
        (f"{HEAD}class Visitor(HttpUser):\n    abstract = True\n", NoUserClass, 2),
        ("print('no class')\n", NoUserClass, 1),
    ],
)
def test_what_is_not_python_or_has_no_users_is_refused_with_its_line(text, problem, line):
    with pytest.raises(problem) as refused:
        locustfiles.must_be_usable(text)
    assert (refused.value.field, refused.value.figures["line"]) == ("text", line)


@pytest.mark.parametrize(
    "text",
    [
        LOOKS,
        "import locust\nclass Visitor(locust.HttpUser):\n    pass\n",
        "from locust.contrib.fasthttp import FastHttpUser as U\nclass V(U): abstract = True\nclass W(V): pass\n",
    ],
)
def test_looking_at_one_runs_nothing_of_it(text):
    locustfiles.must_be_usable(text + "\nraise SystemExit(1)\n")
    assert not {"gevent", "locust"} & set(sys.modules)


def test_one_that_is_too_long_is_refused():
    with pytest.raises(LocustfileTooLong):
        locustfiles.must_be_usable(LOOKS + "#" * locustfiles.MOST)


@pytest.mark.parametrize(
    ("text", "line"),
    [(LOOKS + "\nimport nothing_like_that\n", 8), (f"{HEAD}class Visitor(FastHttpUser):\n    pass\n", None)],
)
def test_one_that_does_not_load_is_told_with_its_line_and_nothing_is_sent(target, text, line):
    there = target("instant")
    result = conduct(ordered(there, text), quiet, go)
    assert (result.outcome, result.reasons[0].slug) == ("invalid", "locustfile-broken")
    assert result.reasons[0].figures["line"] == line
    assert there.told()["came"] == 0


# -- on the platform


stage = test_platform.stage


class Desk:
    """A stage on which an operator registers locustfiles, and a clerk names them."""

    def __init__(self, stage) -> None:
        self.stage, self.world = stage, stage.world

    def registered(self, by="operator", text=LOOKS, **other) -> str:
        with self.stage.session() as session:
            about = {"name": "look", "text": text, "reason": "signs its requests", **other}
            return locustfiles.register(session, getattr(self.world, by), **about).id

    def campaign(self, locustfile: str | None, **other) -> str:
        return self.stage.campaign(**{"journeys": None, "locustfile": locustfile, **other})


@pytest.fixture
def desk(stage) -> Desk:
    return Desk(stage)


def slug_of(call) -> str:
    with pytest.raises(Problem) as refused:
        call()
    return refused.value.slug


def test_a_campaign_measures_with_what_an_operator_answers_for(desk):
    desk.stage.confirm()
    code = desk.registered()
    campaign = desk.campaign(code)
    run, again = desk.stage.run(campaign), desk.stage.run(campaign)
    assert run.outcome in ("pass", "likely")
    assert run.order["locustfile"]["sha256"] == locustfiles.digest(LOOKS)
    assert run.result["comparable"] == again.result["comparable"]
    with desk.stage.session() as session:
        entry = session.scalar(select(AuditEntry).where(AuditEntry.action == "locustfile:register"))
        assert (entry.object, entry.reason) == (code, "signs its requests")
        assert entry.figures["sha256"] == locustfiles.digest(LOOKS)
    with desk.stage.session() as session:
        locustfiles.retire(session, desk.world.operator, code, "another version")
    assert slug_of(lambda: desk.campaign(code)) == "locustfile-retired"
    came = desk.stage.came
    late = desk.stage.run(campaign)
    assert (late.outcome, late.reason["slug"]) == ("refused", "locustfile-retired")
    assert desk.stage.came == came


def test_only_operators_answer_for_code_and_only_with_a_reason(desk):
    assert slug_of(lambda: desk.registered(by="clerk")) == "not-permitted"
    assert slug_of(lambda: desk.registered(by="head")) == "not-permitted"
    assert slug_of(lambda: desk.registered(reason=" ")) == "reason-required"
    assert slug_of(lambda: desk.registered(text="class A: pass")) == "no-user-class"


def test_a_campaign_is_by_journeys_or_by_code_that_is_for_its_department(desk):
    with desk.stage.session() as session:
        about = {"code": "522300-X", "name": "别局", "name_en": "Other", "parent": desk.world.root.id}
        bureau = departments.create(session, SYSTEM, **about)
    other = desk.registered(department=bureau.id)
    assert slug_of(lambda: desk.campaign(other)) == "no-such-locustfile"
    assert slug_of(lambda: desk.campaign(None)) == "one-or-the-other"
    assert slug_of(lambda: desk.stage.campaign(locustfile=other)) == "one-or-the-other"
    assert desk.campaign(desk.registered(department=desk.world.root.id))


def test_where_it_cannot_be_confined_the_run_is_refused_before_anything_is_sent(desk):
    desk.world.settings = desk.world.settings.model_copy(update={"load_authority": "/nowhere/at.all"})
    desk.stage.confirm()
    run = desk.stage.run(desk.campaign(desk.registered()))
    assert (run.outcome, run.reason["slug"]) == ("refused", "locustfile-unconfined")
    assert desk.stage.came == 0

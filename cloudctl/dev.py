"""The whole platform on one machine: database, API and worker as children of one process, ended with it."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Engine, create_engine
from sqlalchemy.orm import Session

from cloudctl import app, migrations
from cloudctl import seed as organisation
from cloudctl.api import serve
from cloudctl.kernel import database
from cloudctl.kernel.errors import Conflict, Unavailable
from cloudctl.kernel.settings import Settings
from monitoring import instruments
from monitoring.instruments import Instruments, Pace
from provisioning import drivers, pool_servers, pools
from provisioning.drivers import Place
from tenancy import members, tokens
from tenancy.callers import SYSTEM

CHILDREN = ("serve", "worker")
_READY = 60.0  # seconds in which a start must be through
_QUICKLY = Pace("5s", "5s", "5s", "5s", "15s")  # whoever tries it out does not wait
_GRACE = 15.0  # seconds a child has to end by itself

PEOPLE = {
    "operator": "operator",
    "security": "security",
    "jyj-clerk": "clerk",
    "jyj-head": "approver",
    "authority": "approver",
    "auditor": "auditor",
}


class ChildEnded(Unavailable):
    """A child did not stay up, or does not answer; its log says why."""


class RunsAlready(Conflict):
    """API and worker of this data folder run already."""


class Running(NamedTuple):
    """Where the API listens, and what looks at it, if anything does."""

    address: str
    watching: Instruments | None


@dataclass(frozen=True)
class Login:
    """Somebody of the example organisation, and a token of theirs."""

    login: str
    role: str
    secret: str


def for_demo(settings: Settings) -> Settings:
    """The demo's own: an embedded database in a folder of its own, whatever the site has."""
    return settings.model_copy(update={"data_dir": settings.data_dir / "demo", "database_url": None})


@contextmanager
def running(settings: Settings) -> Iterator[Running]:
    """API and worker on a migrated database with the example organisation, and what looks at them.

    All answer when the block begins, and are ended at its end, the embedded database too. Their logs lie in the
    data folder.

    Raises:
        RunsAlready: they run already.
        PortTaken: something else listens where the API would.
        ChildEnded: one of them did not come up; names its log.
    """
    if alive := list(_alive(settings)):
        raise RunsAlready(folder=str(settings.data_dir), processes=alive)
    serve.must_be_free(settings)
    migrations.upgrade(database.owner_url(settings))
    seed(settings)
    children: dict[str, subprocess.Popen[bytes]] = {}
    watching = beside(settings)
    if watching:
        settings = settings.model_copy(update=watching.urls)
    try:
        for name in CHILDREN:
            children[name] = _start(settings, name)
            _remember(settings, children)
        address = f"http://{settings.host}:{settings.port}"
        _wait_until_ready(settings, children, {"serve": f"{address}/healthz"})
        if watching:
            watching.configure(issue_token(settings, "prometheus", role="monitor", name="Prometheus"))
            for name, command in watching.commands(instruments.found()).items():
                children[name] = _run(settings, name, command, dict(os.environ))
            _remember(settings, children)
            _wait_until_ready(settings, children, watching.probes)
        yield Running(address, watching)
    finally:
        stop(settings)
        for child in children.values():
            child.wait()


def beside(settings: Settings) -> Instruments | None:
    """Prometheus and Alertmanager on this machine, where both are installed and the site names none of its own."""
    if settings.prometheus_url or settings.alertmanager_url or instruments.found().keys() != instruments.NAMES.keys():
        return None
    first = settings.port + (1010 if settings.port < 60_000 else -1013)  # 9090 where the API has 8080
    prometheus = next(port for port in range(first, first + 100) if serve.is_free("127.0.0.1", port))
    alertmanager = next(port for port in range(prometheus + 3, first + 200) if serve.is_free("127.0.0.1", port))
    address = f"http://{settings.host}:{settings.port}"
    folder = settings.data_dir / "monitoring"
    return Instruments(folder, address, f"127.0.0.1:{prometheus}", f"127.0.0.1:{alertmanager}", _QUICKLY)


def seed(settings: Settings) -> dict[str, int]:
    """Load the example organisation and this machine as a pool; tells how many of each noun were new."""
    app.register(settings)
    with _session(settings) as session, session.begin():
        found = organisation.load(session)
        if not pools.listed(session, SYSTEM, limit=1):
            _add_this_machine(session, settings)
        return found


def logins(settings: Settings) -> list[Login]:
    """A fresh token, for a day, for a few people of the example organisation."""
    return [Login(login, role, issue_token(settings, login, days=1)) for login, role in PEOPLE.items()]


def issue_token(
    settings: Settings, login: str, *, role: str | None = None, name: str | None = None, days: int | None = None
) -> str:
    """The secret of a new token for a person, who is registered first where a platform role is given.

    Raises:
        NoSuchUser: there is nobody of this login.
        RolesExclude: the person has another platform role.
    """
    with _session(settings) as session, session.begin():
        if role:
            user = members.bootstrap(session, login, name or login, role)
        else:
            user = members.seen_by(session, SYSTEM, login)
        _, secret = tokens.create(session, SYSTEM, settings, name="server", days=days, user=user.id)
        return secret


def stop(settings: Settings) -> list[str]:
    """End what `running` started from this data folder, also after it was killed, and the embedded database.

    Returns what was ended.
    """
    ended = []
    for name, pid in reversed(list(_alive(settings))):  # who looks first: its connections would be waited for
        _end(pid)
        ended.append(f"{name} ({pid})")
    _register(settings).unlink(missing_ok=True)
    if database.is_embedded(settings) and database.stop_embedded(settings.data_dir):
        ended.append("PostgreSQL")
    return ended


def wait_for_the_end(settings: Settings) -> None:
    """Return when somebody asks this process to end, or when API or worker have ended, as after `admin stop`."""
    asked = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, asked)  # only now: children would inherit it
    while signal.sigtimedwait(asked, 1.0) is None and _needed(settings) == len(CHILDREN):
        pass
    signal.pthread_sigmask(signal.SIG_UNBLOCK, asked)


def _needed(settings: Settings) -> int:
    """How many of the children run without which there is no platform."""
    return sum(name in CHILDREN for name, _ in _alive(settings))


@contextmanager
def _session(settings: Settings) -> Iterator[Session]:
    engine: Engine = create_engine(
        database.application_url(settings).replace("postgresql://", "postgresql+psycopg://", 1)
    )
    try:
        migrations.require_current(engine)
        with Session(engine, expire_on_commit=False) as session:
            yield session
    finally:
        engine.dispose()


def _start(settings: Settings, what: str) -> subprocess.Popen[bytes]:
    """A child in a session of its own, so that Ctrl-C reaches us alone and we end it in order."""
    ours = {f"CLOUDCTL_{name.upper()}": getattr(settings, name) for name in settings.model_fields_set}
    inherited = {name: value for name, value in os.environ.items() if name not in ours}
    environment = {**inherited, **{name: str(value) for name, value in ours.items() if value is not None}}
    return _run(settings, what, [sys.executable, "-m", "cloudctl", "admin", what], environment)


def _run(settings: Settings, name: str, words: list[str], environment: dict[str, str]) -> subprocess.Popen[bytes]:
    log = log_of(settings, name)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        return subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment, start_new_session=True
        )


def log_of(settings: Settings, what: str) -> Path:
    """Where a child writes."""
    return settings.data_dir / "logs" / f"{what}.log"


def _wait_until_ready(settings: Settings, children: dict[str, subprocess.Popen[bytes]], probes: dict[str, str]) -> None:
    """Return when each probe is answered.

    Raises:
        ChildEnded: a child ended meanwhile, or one's probe is not answered in time.
    """
    end = time.monotonic() + _READY
    for probed, url in probes.items():
        while not _answers(url):
            ended = next((name for name, child in children.items() if child.poll() is not None), None)
            if ended or time.monotonic() > end:
                name = ended or probed
                raise ChildEnded(what=name, log=str(log_of(settings, name)))
            time.sleep(0.1)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):  # noqa: S310  (our own address)
            return True
    except OSError:
        return False


def _register(settings: Settings) -> Path:
    return settings.data_dir / "processes.json"


def _remember(settings: Settings, children: dict[str, subprocess.Popen[bytes]]) -> None:
    known = {name: [child.pid, _started(child.pid)] for name, child in children.items()}
    _register(settings).write_text(json.dumps(known))


def _alive(settings: Settings) -> Iterator[tuple[str, int]]:
    """The remembered processes that still run; a number that another process has now is not one of them."""
    try:
        known = json.loads(_register(settings).read_text())
    except FileNotFoundError:
        return
    for name, (pid, started) in known.items():
        if started is not None and _started(pid) == started:
            yield name, pid


def _started(pid: int) -> str | None:
    """When a process was started, in ticks since boot; None where it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]


def _end(pid: int) -> None:
    """Ask a child to end, then end it and whatever it started."""
    started = _started(pid)
    os.kill(pid, signal.SIGTERM)
    end = time.monotonic() + _GRACE
    while _started(pid) == started and started is not None:
        if time.monotonic() > end:
            os.killpg(pid, signal.SIGKILL)  # each child leads a session of its own
            return
        time.sleep(0.05)


def _add_this_machine(session: Session, settings: Settings) -> None:
    """A pool of one server, this one: what it really has, and compute lent several times over, as in a trial."""
    place = Place(pool=_POOL, driver=pools.SERVERS, architecture="", connection=_connection(settings))
    found = drivers.of(place).inventory(place)
    architecture, abi = _ARCHITECTURES.get(found.architecture, (found.architecture, found.architecture))
    pools.add(
        session,
        SYSTEM,
        name=_POOL,
        provider="cloudctl",
        driver=pools.SERVERS,
        connection=_connection(settings),
        zone="extranet",
        architecture=architecture,
        abi=abi,
        cpu_family=found.cpu_family,
        level=3,
        traits=found.traits,
        overcommit={"vcpu": 16, "memory_gib": 4},
    )
    pool_servers.add(session, SYSTEM, _POOL, name="local-1", address="127.0.0.1", inventory=found.amounts)


def _connection(settings: Settings) -> dict[str, str]:
    return {"connection": "local", "folder": str(settings.data_dir / "tenancies")}


_POOL = "local"
_ARCHITECTURES = {  # by `uname -m`; the ABI is that of today's distributions
    "x86_64": ("amd64", "x86-64"),
    "aarch64": ("arm64", "aapcs64"),
    "loongarch64": ("loong64", "lp64d"),
    "sw_64": ("sw64", "sw64"),
}

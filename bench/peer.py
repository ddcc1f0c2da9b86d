"""OpenStack Placement, really running: what OpenStack counts capacity with, to be compared with over HTTP."""

import itertools
import json
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from sqlalchemy import make_url

from bench import load
from bench.figures import fresh_database
from tests.beds import CACHE

NEEDS = ("openstack-placement==16.0.0", "psycopg2-binary==2.9.13", "pyuwsgi==2.0.30.post1")
PROCESSES, THREADS = 2, 8
PROVIDERS = 1000
HEADERS = {"X-Auth-Token": "admin", "Content-Type": "application/json", "OpenStack-API-Version": "placement 1.39"}
INVENTORY = {"VCPU": {"total": 10_000}, "MEMORY_MB": {"total": 1 << 24}, "DISK_GB": {"total": 1 << 24}}
SIZE = {"VCPU": 1, "MEMORY_MB": 1024, "DISK_GB": 1}


@dataclass(frozen=True)
class Placement:
    """One that listens, and the servers that it may allocate from."""

    port: int
    providers: Iterator[str]

    def allocation(self) -> load.Call:
        """A new consumer's, of three classes, from the servers in turn: no two clients want the same one."""
        asked = {
            "allocations": {next(self.providers): {"resources": SIZE}},
            "project_id": "scores",
            "user_id": "clerk",
            "consumer_generation": None,
            "consumer_type": "INSTANCE",
        }
        return "PUT", f"/allocations/{uuid.uuid4()}", json.dumps(asked).encode(), HEADERS


@contextmanager
def placement(folder: Path) -> Iterator[Placement]:
    """As it is run in production (uWSGI, PostgreSQL as durable as ours) but for Keystone: it knows its one caller."""
    bin_ = _installed()
    with fresh_database() as url:
        with psycopg.connect(url, autocommit=True) as session:
            session.execute("CREATE DATABASE placement")
        theirs = make_url(url).set(drivername="postgresql+psycopg2", database="placement")
        address = theirs.render_as_string(hide_password=False)
        (folder / "placement.conf").write_text(
            f"[DEFAULT]\nlog_file = {folder}/placement.log\nuse_stderr = false\n"
            f"[api]\nauth_strategy = noauth2\n"
            f"[placement_database]\nconnection = {address}\nmax_pool_size = 10\nmax_overflow = 20\n"
        )
        environment = {"OS_PLACEMENT_CONFIG_DIR": str(folder)}
        manage = [bin_ / "placement-manage", "--config-dir", folder, "db", "sync"]
        subprocess.run(manage, env={**os.environ, **environment}, check=True)
        port = load.free_port()
        words = [bin_ / "uwsgi", "--http-socket", f"127.0.0.1:{port}", "--module", "placement.wsgi.api:application"]
        words += ["--processes", str(PROCESSES), "--threads", str(THREADS), "--enable-threads", "--lazy-apps"]
        words += ["--need-app", "--single-interpreter", "--die-on-term", "--disable-logging", "--listen", "100"]
        words += ["--add-header", "Connection: close", "--wsgi-disable-file-wrapper"]
        with load.running(words, port, environment):
            yield Placement(port, itertools.cycle(_servers(port)))


def _installed() -> Path:
    """The programs of an environment of its own, made once."""
    there = CACHE / f"placement-{NEEDS[0].partition('==')[2]}-python{sys.version_info.major}.{sys.version_info.minor}"
    if not (there / "done").exists():
        shutil.rmtree(there, ignore_errors=True)
        uv = Path(sys.executable).with_name("uv")
        subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, there], check=True)
        subprocess.run([uv, "pip", "install", "--quiet", "--python", there / "bin" / "python", *NEEDS], check=True)
        (there / "done").touch()
    return there / "bin"


def _servers(port: int) -> list[str]:
    with ThreadPoolExecutor(load.CLIENTS) as crew:
        return list(crew.map(lambda number: _server(port, number), range(PROVIDERS)))


def _server(port: int, number: int) -> str:
    made = str(uuid.uuid4())
    new = {"name": f"server-{number}", "uuid": made}
    load.ask(port, ("POST", "/resource_providers", json.dumps(new).encode(), HEADERS))
    has = {"resource_provider_generation": 0, "inventories": INVENTORY}
    load.ask(port, ("PUT", f"/resource_providers/{made}/inventories", json.dumps(has).encode(), HEADERS))
    return made

"""Targets on loopback, and orders for them."""

import json
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from sqlalchemy import Engine

from cloudctl.kernel.settings import Settings
from loadtests.orders import Order, Result
from tests.loadtests.elsewhere import API, Field, is_up, running, until

LOOK = {"journeys": [{"name": "look", "requests": [{"path": "/scores"}]}]}


@dataclass
class Target:
    """A server of the tests' own; ended with the test."""

    url: str
    port: int

    def told(self) -> dict[str, Any]:
        """How many requests came, when the last one did, and more."""
        with urllib.request.urlopen(f"{self.url}/__told", timeout=20) as answer:
            return dict(json.load(answer))

    def do(self, **what: float) -> None:
        """`hang`, `slow` (seconds), `refuse` (share of requests answered 503)."""
        query = "&".join(f"{name}={value}" for name, value in what.items())
        urllib.request.urlopen(f"{self.url}/__do?{query}", timeout=20).close()

    def say(self, **what: str) -> None:
        """`token`, which the well-known address answers, or `away`, where that leads."""
        urllib.request.urlopen(f"{self.url}/__say?{urlencode(what)}", timeout=20).close()

    def order(self, profile: dict[str, Any], **other: Any) -> Order:
        told = {
            "run": "run_1",
            "calm": 20,
            "base_url": self.url,
            "addresses": ["127.0.0.1"],
            "ceiling": 1000,
            "journeys": LOOK,
        }
        return Order.model_validate({**told, "profile": profile, **other})


@contextmanager
def served(kind: str) -> Iterator[Target]:
    """A server of that shape, once it answers; gone afterwards."""
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as listening:
        port = listening.getsockname()[1]
        words = [sys.executable, "-m", "tests.loadtests.server", kind, str(listening.fileno())]
        server = subprocess.Popen(words, pass_fds=[listening.fileno()])
    try:
        made = Target(f"http://127.0.0.1:{port}", port)
        made.told()
        yield made
    finally:
        server.kill()
        server.wait()


def at_best(measure: Callable[[], Result], is_right: Callable[[Result], bool]) -> Result:
    """The first of three measurements that is right, or the last.

    A machine that is busy with other things measures wrong now and then; a method that is wrong is so every time.
    """
    for _ in range(3):
        result = measure()
        if is_right(result):
            break
    return result


@pytest.fixture
def target() -> Iterator[Callable[[str], Target]]:
    """Servers by the name of their shape."""
    with ExitStack() as running:
        yield lambda kind: running.enter_context(served(kind))


@pytest.fixture
def there(before_others: None, engine: Engine, settings: Settings, tmp_path: Path) -> Iterator[Field]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {
        "CLOUDCTL_DATABASE_URL": settings.database_url or "",
        "CLOUDCTL_DATA_DIR": str(settings.data_dir),
        "CLOUDCTL_PORT": str(port),
        "CLOUDCTL_PROCESSES": "1",
    }
    api = running([sys.executable, "-c", API], environment)
    made = Field(engine, settings, f"http://127.0.0.1:{port}", tmp_path, api)
    try:
        until(lambda: is_up(made.url))
        yield made
    finally:
        for process in (*made.agents, api):
            process.kill()
            process.wait()

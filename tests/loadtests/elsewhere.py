"""Engines elsewhere, for tests: an API in a process of its own, and agents that call it as other machines would."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from cloudctl.kernel.settings import Settings
from loadtests.crews import Pass
from loadtests.models import Crew, Line, Member
from loadtests.remote import RemoteEngines

API = """
from cloudctl import app
from cloudctl.api import serve
from cloudctl.kernel.settings import Settings
serve.run(Settings(), app.prepare)
"""


def running(words: list[str], environment: dict[str, str], **more) -> subprocess.Popen:
    return subprocess.Popen(words, env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", **environment}, **more)


@dataclass
class Field:
    """An API, the database behind it, and agents that call it."""

    engine: Engine
    settings: Settings
    url: str
    folder: Path
    api: subprocess.Popen | None = None
    agents: list[subprocess.Popen] = field(default_factory=list)

    def send_out(self, known: Pass, skew: int = 0) -> subprocess.Popen:
        """An agent for this engine, on a machine whose clock is ahead by so many seconds."""
        token = self.folder / f"{known.engine}.token"
        token.write_text(known.secret)
        words = [sys.executable, "-m", "loadtests.agent"]
        if skew:
            words = ["unshare", "--time", "--monotonic", str(skew), "--fork", "--kill-child", *words]
        about = {
            "CLOUDCTL_ENGINE_URL": f"{self.url}/v1/engines/{known.engine}",
            "CLOUDCTL_ENGINE_TOKEN_FILE": str(token),
        }
        self.agents.append(running(words, about))
        return self.agents[-1]

    @contextmanager
    def engines(self, order) -> Iterator[RemoteEngines]:
        """The engines of a run, each with an agent."""
        with RemoteEngines(self.engine, order) as engines:
            for known in engines.passes:
                self.send_out(known)
            yield engines

    def say(self, engine: str, secret: str, **said) -> httpx.Response:
        headers = {"Authorization": f"Bearer {secret}"}
        return httpx.post(f"{self.url}/v1/engines/{engine}/exchange", headers=headers, json=said, timeout=10)

    @property
    def rows(self) -> int:
        """What is kept of engines elsewhere."""
        with Session(self.engine) as session:
            return sum(len(session.scalars(select(table)).all()) for table in (Crew, Member, Line))


def is_up(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz").status_code == 200
    except httpx.HTTPError:
        return False


def until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)

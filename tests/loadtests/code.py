"""Locustfiles for tests, orders of runs with them, and what they leave running."""

import hashlib
import time
from pathlib import Path

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


NAMED = """
import ctypes
def be(name):
    ctypes.CDLL(None).prctl(15, name.encode(), 0, 0, 0)
"""


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

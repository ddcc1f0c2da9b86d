"""An engine: a process that sends load as long as whoever started it is there, driven by lines of JSON.

Whoever drives one need not know where it is: `Driven` is all there is to know of it.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

from loadtests.orders import Order

STARTS_WITHIN = 30.0  # seconds
LOST_AFTER = 3.0  # seconds of silence
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}  # nothing of ours: no address, no key, no proxy


class Stopped(Exception):
    """The run ends now, and why: somebody stopped it, or an engine was lost."""

    def __init__(self, reason: str, figures: dict[str, Any] | None = None) -> None:
        super().__init__(reason)
        self.reason, self.figures = reason, figures or {}


def unconfined(order: Order) -> str | None:
    """Why the code of an order cannot be confined on this machine; None where it can be, or there is none."""
    if order.locustfile is None:
        return None
    words, told = [sys.executable, "-P", "-m", "loadtests.warden", "try"], order.model_dump_json().encode()
    with tempfile.TemporaryDirectory(prefix="loadtest-") as folder:
        tried = subprocess.run(
            words, input=told, capture_output=True, env=ENVIRONMENT, cwd=folder, timeout=STARTS_WITHIN
        )
    return tried.stdout.decode().strip() or (None if tried.returncode == 0 else tried.stderr.decode()[-300:])


Take = Callable[[dict[str, Any]], None]
"""Told each report of an engine, from whatever thread."""


class Driven(Protocol):
    """An engine, wherever it is. `oldest` (seconds) and `inflight` are those of its last report."""

    oldest: float
    inflight: int

    @property
    def reach(self) -> float:
        """Seconds within which a command gets there, or a report back, beyond what it takes on one machine."""

    @property
    def is_lost(self) -> bool: ...

    def wait(self, seconds: float) -> bool:
        """Wait so long; whether it can send by then.

        Raises:
            Stopped: it does not come up.
        """

    def send(self, **command: Any) -> None: ...

    def end(self) -> None: ...


Start = Callable[[Order, Take], Driven]
"""How an engine is started for an order."""


class Engine:
    """One engine of this machine: a process in a session of its own, ended by closing its input.

    One with a locustfile has a warden.
    """

    reach = 0.0

    def __init__(self, order: Order, take: Take) -> None:
        self.oldest, self.inflight, self.heard = 0.0, 0, time.monotonic()
        self._began = self.heard
        self._take, self._ready = take, threading.Event()
        self._broken: Stopped | None = None
        self._folder = tempfile.TemporaryDirectory(prefix="loadtest-")
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "loadtests.warden" if order.locustfile else "loadtests.engine"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=ENVIRONMENT,
            cwd=self._folder.name,
            start_new_session=True,
        )
        self._say(order.model_dump_json())
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait(self, seconds: float) -> bool:
        if self._ready.wait(seconds):
            if self._broken:
                raise self._broken
            if self._process.poll() is not None:
                raise Stopped("engine-lost")
            self.heard = time.monotonic()
            return True
        if time.monotonic() > self._began + STARTS_WITHIN:
            raise Stopped("engine-lost")
        return False

    @property
    def is_lost(self) -> bool:
        return self._process.poll() is not None or time.monotonic() - self.heard > LOST_AFTER

    def send(self, **command: Any) -> None:
        self._say(json.dumps(command))

    def end(self) -> None:
        """Close its input, at which it ends at once; one that does not is killed with all its processes."""
        assert self._process.stdin
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(1)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._reader.join()
        assert self._process.stdout
        self._process.stdout.close()
        self._folder.cleanup()

    def _say(self, line: str) -> None:
        assert self._process.stdin
        try:
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise Stopped("engine-lost") from None

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            if not line.endswith(b"\n"):
                break
            report = json.loads(line)
            self.heard = time.monotonic()
            if broken := report.get("broken"):
                self._broken = Stopped(broken["slug"], broken["figures"])
                break
            if "clock" in report:
                self._ready.set()
                continue
            self.oldest, self.inflight = report["oldest"], report["inflight"]
            self._take(report)
        self._ready.set()

"""`python -m loadtests.warden`: an engine whose code is not ours, confined; told and heard like any other engine.

It passes commands in and reports out, of which it lets nothing through that is not a report, and it owns the relay.
It runs none of that code itself. It ends when its input does, and with it the relay and everything confined.
"""

import asyncio
import json
import os
import signal
import ssl
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated, NoReturn

import uvloop
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from loadtests.confinement import Confined, Limits, Program, Unconfined, confine
from loadtests.engines import ENVIRONMENT
from loadtests.histogram import bucket_of
from loadtests.orders import Order, Told
from loadtests.relay import Relay

LONGEST = 256 * 1024  # bytes of a line of reports
MOST_LINES = 12  # of them within a second
BEAT = 0.01  # seconds; the relay's own lateness is looked at as often
SPARE_FILES = 256

Count = Annotated[int, Field(ge=0, le=10**12)]
Bin = Annotated[int, Field(ge=-100, le=10**6)]
Bucket = Annotated[int, Field(ge=-(10**5), le=10**5)]
Epoch = Annotated[int, Field(ge=0, le=10**6)]


class Report(BaseModel):
    """What an engine says four times a second, as far as it may be believed to be that."""

    model_config = ConfigDict(extra="forbid")

    at: float
    cpu: float = Field(ge=0)
    cut: str | None = Field(max_length=40)
    raised: Told | None = None
    bins: dict[Bin, tuple[Count, Count, Count, Count, Count, Count]]
    latencies: Annotated[dict[Epoch, dict[Bucket, Count]], Field(max_length=16)]
    lags: dict[Bucket, Count]
    answered: dict[Bin, Count]
    inflight: Count
    oldest: float = Field(ge=0)
    bytes: Count
    withheld: Count


class First(BaseModel):
    """What it says before: that it is ready, or why it never will be."""

    model_config = ConfigDict(extra="forbid")

    clock: float | None = None
    broken: Told | None = None


class Warden:
    """Stands between a driver and a confined engine."""

    def __init__(self, order: Order, confined: Confined) -> None:
        self.order, self.confined = order, confined
        self.relay = Relay(order)
        self.lags: dict[int, int] = {}
        self._ending = threading.Lock()
        self._rest = b""
        self._lines: list[float] = []
        self._processor = (time.process_time(), time.monotonic())

    async def watch(self) -> None:
        """Until the engine has ended: relay what it asks, and pass on what it reports."""
        loop = asyncio.get_running_loop()
        await self.relay.serve(self.confined.listening)
        loop.add_reader(self.confined.telling, self._heard)
        while True:
            due = loop.time() + BEAT
            await asyncio.sleep(BEAT)
            late = bucket_of(max(0.0, loop.time() - due) * 1000)
            self.lags[late] = self.lags.get(late, 0) + 1

    def command(self) -> NoReturn:
        """Pass commands in for as long as any come. In a thread of its own: the kernel lets it see the end at once."""
        try:
            os.write(self.confined.asking, self.order.model_dump_json().encode() + b"\n")
            os.set_blocking(self.confined.asking, False)
            for line in sys.stdin.buffer:
                if os.write(self.confined.asking, line) < len(line):
                    break
        finally:  # also where the engine does not read: nobody waits for it
            self.end()

    def end(self) -> NoReturn:
        self._ending.acquire()  # for good: whoever comes second has nothing left to end
        try:
            self.confined.end()
            Path.cwd().rmdir()  # whose it was may be dead
        finally:
            os._exit(0)

    def _heard(self) -> None:
        came = os.read(self.confined.telling, 65536)
        *lines, self._rest = (self._rest + came).split(b"\n")
        try:
            for line in lines:
                self._say(line)
        except ValidationError:
            came = b""
        if not came or len(self._rest) > LONGEST:
            self.end()

    def _say(self, line: bytes) -> None:
        now = time.monotonic()
        self._lines = [at for at in self._lines if at > now - 1] + [now]
        if len(self._lines) > MOST_LINES or len(line) > LONGEST:
            self.end()
        if line.startswith((b'{"clock"', b'{"broken"')):
            _tell(First.model_validate_json(line))
            return
        report = Report.model_validate_json(line)
        processor, since = self._processor
        self._processor = (time.process_time(), now)
        report.cpu = max(report.cpu, round((self._processor[0] - processor) / max(now - since, 1e-3), 3))
        for late, count in self.lags.items():  # who is kept waiting by the relay is not by the target
            report.lags[late] = report.lags.get(late, 0) + count
        self.lags = {}
        _tell(report)


def _tell(said: BaseModel) -> None:
    text = said.model_dump_json(exclude_none=isinstance(said, First))
    os.write(1, text.encode() + b"\n")


def program_of(order: Order) -> Program:
    """The engine of an order as a program to be confined."""
    trusted = order.authority or ssl.get_default_verify_paths().cafile or ""
    return Program(
        words=[sys.executable, "-P", "-m", "loadtests.engine"],
        host=order.host,
        port=order.port,
        user=order.user,
        environment={**ENVIRONMENT, "HOME": "/tmp"},  # noqa: S108
        limits=Limits(files=order.inflight // order.generators + SPARE_FILES, seconds=int(order.lasts) + 60),
        shown=[trusted] if trusted else [],
    )


def attempt(order: Order) -> None:
    """Confine a program that does nothing; print why where that is not possible."""
    try:
        nothing = replace(program_of(order), words=[sys.executable, "-P", "-c", ""])
        confined = confine(nothing, Path.cwd())
        os.read(confined.telling, 1)
        confined.end()
    except Unconfined as because:
        print(because)


def main() -> None:
    order = Order.model_validate_json(sys.stdin.buffer.readline())
    if sys.argv[1:] == ["try"]:
        attempt(order)
        return
    try:
        confined = confine(program_of(order), Path.cwd())
    except Unconfined as because:
        print(json.dumps({"broken": {"slug": "locustfile-unconfined", "figures": {"because": str(because)}}}))
        return
    signal.setitimer(signal.ITIMER_REAL, order.lasts)  # the kernel ends it then, whatever anybody does
    warden = Warden(order, confined)
    threading.Thread(target=warden.command, daemon=True).start()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(warden.watch())


if __name__ == "__main__":
    main()

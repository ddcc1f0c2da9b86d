"""`python -m loadtests.agent`: runs one engine on a machine elsewhere, for the run that its token belongs to.

It listens nowhere: several times a second it asks the API for what its engine shall do, and tells what that reports. It
ends its engine as soon as it is told to, is refused, or has not heard for a moment that the run's driver is alive; and
with it, however it ends, its engine ends too. It needs:

- `CLOUDCTL_ENGINE_URL`: the engine's own address at the API, `https://…/v1/engines/eng_…`
- `CLOUDCTL_ENGINE_TOKEN_FILE`: the file with its token
- `SSL_CERT_FILE`, where the API shows a certificate that the system does not trust
"""

import os
import queue
import signal
import sys
import tempfile
import threading
import time
from collections import deque
from pathlib import Path
from typing import Any

import httpx

from loadtests.clocks import OtherClock
from loadtests.engines import Engine, Stopped
from loadtests.exchanges import MOST
from loadtests.leases import EVERY, LEASE, Lease
from loadtests.orders import Order

SHARP = 0.05  # seconds by which its clock may be wrong before its engine may begin
ENDED, UNREACHABLE, REFUSED, LOST = 0, 3, 4, 5  # as what the process exits


class Wire:
    """The exchange with the API: in a thread of its own, so that nothing keeps it waiting and it keeps nobody."""

    def __init__(self, url: str, token: str) -> None:
        self.commands: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self.clock, self.lease = OtherClock(), Lease(time.monotonic())
        self.is_ready = self.is_over = self.is_refused = False
        self._reports: deque[dict[str, Any]] = deque()
        self._first, self._after = 1, 0
        self._url = f"{url}/exchange"
        self._client = httpx.Client(headers={"Authorization": f"Bearer {token}"}, timeout=LEASE)
        threading.Thread(target=self._go_on, daemon=True).start()

    def report(self, report: dict[str, Any]) -> None:
        """Have it told, after all before it."""
        self._reports.append(report)

    def exchange(self) -> None:
        """Say what was not heard yet, and take what is new.

        Raises:
            httpx.HTTPError: nobody answers, or not what was asked.
        """
        reports = [self._reports[number] for number in range(min(MOST, len(self._reports)))]
        said = {"after": self._after, "first": self._first, "reports": reports}
        asked = time.monotonic()
        answer = self._client.post(self._url, json={**said, "ready": self.is_ready, "over": self.is_over})
        if 400 <= answer.status_code < 500:
            self.is_refused = True
            return
        told = answer.raise_for_status().json()
        self.clock.heard(asked, told["now"], time.monotonic())
        self.lease.heard(told["beat"], asked)
        while self._first <= told["heard"]:
            self._reports.popleft()
            self._first += 1
        for command in told["commands"]:
            self._after = command["number"]
            self.commands.put(command["said"])

    def _go_on(self) -> None:
        while not self.is_refused:
            began = time.monotonic()
            try:
                self.exchange()
            except httpx.HTTPError:  # the lease says for how long that does not matter
                time.sleep(EVERY / 2)
            time.sleep(max(0.0, began + EVERY - time.monotonic()))


class Agent:
    """Runs its engine for as long as the wire's lease goes on."""

    def __init__(self, wire: Wire, folder: Path) -> None:
        self._wire, self._folder = wire, folder
        self._engine: Engine | None = None

    def run(self) -> int:
        """Until it shall end; returns why, as the process exits."""
        try:
            while (left := self._wire.lease.ends_at - time.monotonic()) > 0:
                if self._wire.is_refused:
                    return ENDED if self._engine else REFUSED
                try:
                    self._carry_out(self._wire.commands.get(timeout=min(left, EVERY / 4)))
                except queue.Empty:
                    self._look()
            return UNREACHABLE
        except Stopped:
            self._wire.is_over = True
            time.sleep(2 * EVERY)  # for it to be told
            return LOST
        finally:
            if self._engine:
                self._engine.end()

    def _carry_out(self, command: dict[str, Any]) -> None:
        if command["do"] == "begin":
            self._begin(command["order"], command["authority"])
            return
        if command["do"] == "origin":
            command["at"] = self._wire.clock.here(command["at"])
        if self._engine:
            self._engine.send(**command)

    def _begin(self, order: dict[str, Any], authority: str | None) -> None:
        if authority:
            file = self._folder / "authority.pem"
            file.write_text(authority)
            order["authority"] = str(file)
        self._engine = Engine(Order.model_validate(order), self._wire.report)

    def _look(self) -> None:
        if self._engine is None:
            return
        if not self._wire.is_ready:
            self._wire.is_ready = self._engine.wait(0) and self._wire.clock.error < SHARP
        elif self._engine.is_lost:
            raise Stopped("engine-lost")


def main() -> int:
    url, file = (os.environ[f"CLOUDCTL_ENGINE_{name}"] for name in ("URL", "TOKEN_FILE"))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(ENDED))
    with tempfile.TemporaryDirectory(prefix="agent-") as folder:
        return Agent(Wire(url, Path(file).read_text().strip()), Path(folder)).run()


if __name__ == "__main__":
    sys.exit(main())

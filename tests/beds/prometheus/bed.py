"""One bed: programs as children of the test process, each on a port of its own, ended with it."""

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import httpx

from monitoring.instruments import RULES, Instruments, Pace
from tests.beds.prometheus import programs

FAST = Pace("1s", "1s", "1s", "1s", "1s", "1h")
_READY = 20.0  # seconds
Seen = TypeVar("Seen")


def free_port() -> int:
    """A port of loopback on which nobody listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def eventually(look: Callable[[], Seen], seconds: float = 30.0) -> Seen:
    """What `look` tells once it tells something.

    Raises:
        AssertionError: it does not within this time.
    """
    end = time.monotonic() + seconds
    while not (seen := look()):
        assert time.monotonic() < end, f"not seen within {seconds} s"
        time.sleep(0.1)
    return seen


class Bed:
    """A folder and the processes that were started in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._http = httpx.Client(timeout=20)

    def instruments(self, api: str, token: str) -> Instruments:
        """Prometheus and Alertmanager, configured as a site's, but faster: no rule waits."""
        rules = self.folder / "rules"
        rules.mkdir()
        for file in RULES.glob("*.yml"):
            told = re.sub(r"for: \w+", "for: 0s", file.read_text())
            (rules / file.name).write_text(told.replace("interval: 30s", "interval: 1s"))
        listen = (f"127.0.0.1:{free_port()}" for _ in range(2))
        made = Instruments(self.folder, api, *listen, FAST, rules)
        made.configure(token)
        return made

    def start(self, name: str, command: list[str], probe: str) -> None:
        """Start a program and wait until `probe` is answered with 200."""
        log = self.folder / f"{name}.log"
        cwd = programs.templates() if name == "alertmanager" else self.folder
        tied = ["setpriv", "--pdeathsig", "TERM"] if shutil.which("setpriv") else []
        with log.open("ab") as output:
            child = subprocess.Popen(
                [*tied, *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                cwd=cwd,
            )
        self._running[name] = child

        def ready() -> bool:
            assert child.poll() is None, log.read_text()[-2000:]
            try:
                return self._http.get(probe).is_success
            except httpx.TransportError:
                return False

        eventually(ready, _READY)

    def start_instruments(self, made: Instruments, *names: str) -> None:
        """Start both, or those that are named."""
        commands = made.commands({name: str(programs.path(name)) for name in ("prometheus", "alertmanager")})
        for name in names or commands:
            address = {"prometheus": made.prometheus, "alertmanager": made.alertmanager}[name]
            self.start(name, commands[name], f"http://{address}/-/ready")

    def start_filled_prometheus(self, name: str, openmetrics: str) -> str:
        """A Prometheus that looks at nothing and holds these samples; tells its address."""
        config, history, port = self.folder / f"{name}.yml", self.folder / f"{name}.om", free_port()
        config.write_text("global: {scrape_interval: 1h, evaluation_interval: 1h}\nscrape_configs: []\n")
        history.write_text(openmetrics)
        fill = ["tsdb", "create-blocks-from", "openmetrics", str(history), str(self.folder / name)]
        subprocess.run([programs.path("promtool"), *fill], check=True, capture_output=True)
        command = [
            str(programs.path("prometheus")),
            f"--config.file={config}",
            f"--storage.tsdb.path={self.folder / name}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--storage.tsdb.retention.time=10y",
        ]
        self.start(name, command, f"http://127.0.0.1:{port}/-/ready")
        return f"http://127.0.0.1:{port}"

    def start_long_store(self) -> str:
        """VictoriaMetrics; tells its address."""
        port = free_port()
        data = f"-storageDataPath={self.folder / 'long'}"
        command = [
            str(programs.path("victoria-metrics")),
            data,
            "-search.latencyOffset=1s",
            f"-httpListenAddr=127.0.0.1:{port}",
        ]
        self.start("victoria-metrics", command, f"http://127.0.0.1:{port}/health")
        return f"http://127.0.0.1:{port}"

    def start_node_exporter(self, name: str, host: str = "127.0.0.1", port: int | None = None) -> int:
        """A node exporter; tells its port."""
        port = port or free_port()
        told = ("cpu", "meminfo", "filesystem", "loadavg")
        command = [str(programs.path("node-exporter")), f"--web.listen-address={host}:{port}"]
        command += ["--collector.disable-defaults", *(f"--collector.{each}" for each in told)]
        self.start(name, command, f"http://{host}:{port}/metrics")
        return port

    def end(self, name: str, how: int = signal.SIGTERM) -> None:
        """End a program."""
        child = self._running.pop(name)
        if child.poll() is None:
            os.kill(child.pid, how)
            try:
                child.wait(15)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()

    def close(self) -> None:
        for name in list(self._running):
            self.end(name)
        self._http.close()

    def query(self, url: str, query: str) -> list[Any]:
        """What a Prometheus answers to a query, as a list of series."""
        told = self._http.get(f"{url}/api/v1/query", params={"query": query}).json()
        assert told["status"] == "success", told
        result: list[Any] = told["data"]["result"]
        return result

"""A bed: servers on a network of their own, for one test process, gone when that process is."""

import json
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.beds.servers import linux
from tests.beds.servers.processors import PROCESSORS, Processor
from tests.beds.servers.server import ENVIRONMENT, new_key

PROJECT = Path(__file__).parents[3]
ADMIN = "admin"
BOOT_SECONDS = 120
STRICT = (
    "StrictHostKeyChecking=yes",
    "GlobalKnownHostsFile=none",
    "IdentitiesOnly=yes",
    "BatchMode=yes",
    "ConnectTimeout=5",
    "ControlPath=none",
)


class Bed:
    """Servers on a network that nothing else sees. `key` is the private key that lets `admin` into each of them.

    Used as a context. All of it ends with this process, however that ends. May be used from any thread.
    """

    def __init__(self) -> None:
        self._turn = threading.Lock()
        command = [sys.executable, "-m", "tests.beds.servers.keeper"]
        # a session of its own: Ctrl-C at the terminal ends the tests first, and then the bed in order
        self._keeper = subprocess.Popen(
            command, cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        self._folder = Path(self.order("where"))
        self.key = self._folder / "admin"
        self.servers: list[Server] = []

    def add(self, *processors: str) -> "list[Server]":
        """New servers, booted at once, each with a processor named in `PROCESSORS`; returns when all let `admin` in."""
        added = []
        for processor in processors:
            name = f"{processor}-{len(self.servers) + 1}"
            added.append(Server(self, name, processor, self.order("install", name, processor)))
            self.servers += added[-1:]
        for server in added:
            server.boot(wait=False)
        for server in added:
            server.wait()
        return added

    def network(self) -> AbstractContextManager[None]:
        """Be in the bed's network for a while, with the calling thread and the processes it starts meanwhile.

        Threads started meanwhile stay in it. Files and Unix sockets are the same as outside.
        """
        return linux.inside(self._network)

    def enter(self) -> None:
        """Enter the bed's network for good, with the calling thread and all it will start.

        127.0.0.1 is the bed's own there: call it before anything listens.
        """
        linux.join(self._network, linux.NEW_NETWORK)

    @property
    def proxy(self) -> list[str]:
        """Options with which an ssh outside the bed's network gets in."""
        proxy = f"{sys.executable} {PROJECT}/tests/beds/servers/proxy.py {self.keeper} %h %p"
        return ["-o", f"ProxyCommand={proxy}", "-o", "ProxyUseFdpass=yes"]

    @property
    def keeper(self) -> int:
        """The process that holds the bed and is in its network."""
        return self._keeper.pid

    def order(self, verb: str, *arguments: str) -> Any:
        """Have the keeper do something; returns its answer.

        Raises:
            RuntimeError: it could not, and why.
        """
        assert self._keeper.stdin
        assert self._keeper.stdout
        with self._turn:
            self._keeper.stdin.write(json.dumps({"do": verb, "with": arguments}) + "\n")
            self._keeper.stdin.flush()
            line = self._keeper.stdout.readline()
        answer = json.loads(line or '{"failed": "the bed\'s keeper ended"}')
        if "failed" in answer:
            raise RuntimeError(answer["failed"])
        return answer["done"]

    def close(self) -> None:
        """Take everything away; returns when nothing is left."""
        assert self._keeper.stdin
        assert self._keeper.stdout
        with suppress(BrokenPipeError):
            self._keeper.stdin.close()
        self._keeper.wait(60)
        self._keeper.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @property
    def _network(self) -> Path:
        return Path(f"/proc/{self.keeper}/ns/net")


@dataclass
class Server:
    """A server of a bed. `host_key` is the public key by which it is known: type and key, no comment."""

    bed: Bed
    name: str
    kind: str
    address: str
    host_key: str = ""
    process: int = 0

    def __post_init__(self) -> None:
        pair = self._disk / "etc/ssh/ssh_host_ed25519_key.pub"
        self.host_key = " ".join(pair.read_text().split()[:2])

    @property
    def processor(self) -> Processor:
        return PROCESSORS[self.kind]

    @property
    def known_hosts(self) -> str:
        """The line by which ssh knows it."""
        return f"{self.address} {self.host_key}\n"

    @property
    def is_on(self) -> bool:
        """Whether its first process runs; a server that shut itself down stays off until it is booted."""
        try:
            return Path(f"/proc/{self.process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except FileNotFoundError:
            return False

    def boot(self, wait: bool = True) -> None:
        """Switch it on with the disk it has. Switched on already, it loses power first. Its network is whole again."""
        self.process = self.bed.order("boot", self.name)
        if wait:
            self.wait()

    def wait(self) -> None:
        """Wait until it lets people in.

        Raises:
            RuntimeError: it ended, or does not within two minutes; carries the end of its console.
        """
        end = time.monotonic() + BOOT_SECONDS
        while time.monotonic() < end and self.is_on:
            if self._answers() and not Path(f"/proc/{self.process}/root/run/nologin").exists():
                return
            time.sleep(0.05)
        raise RuntimeError(f"{self.name} does not come up: {self.console()[-2000:]}")

    def cut_power(self) -> None:
        """End everything in it at once. Its disk stays."""
        self.bed.order("cut_power", self.name)
        self.process = 0

    def cut_network(self) -> None:
        """Unplug its cable: what is sent to it is lost, nothing is refused."""
        self.bed.order("cut_network", self.name)

    def restore_network(self) -> None:
        self.bed.order("restore_network", self.name)

    def change_host_key(self) -> None:
        """Give it another host key, as if somebody had installed it anew, or were somebody else."""
        with tempfile.TemporaryDirectory() as folder:
            pair = Path(folder, "key")
            new_key(pair, self.name)
            self.run("sh", "-c", "cat > /etc/ssh/ssh_host_ed25519_key", given=pair.read_text())
            self.run("sh", "-c", "cat > /etc/ssh/ssh_host_ed25519_key.pub", given=pair.with_suffix(".pub").read_text())
            self.host_key = " ".join(pair.with_suffix(".pub").read_text().split()[:2])
        self.run("systemctl", "restart", "ssh.service")
        self.wait()

    def run(self, *command: str, given: str = "", within: float = 60) -> str:
        """Run a command in it as root, without ssh; returns what it printed.

        Raises:
            CalledProcessError: it failed; `stderr` says how.
            TimeoutExpired: it did not end within so many seconds.
        """
        enter = ("nsenter", "--target", str(self.process), "--all", "--")
        return subprocess.run(
            (*enter, *command), input=given, env=ENVIRONMENT, check=True, capture_output=True, text=True, timeout=within
        ).stdout

    def ssh(self, command: str, within: float = 60) -> subprocess.CompletedProcess[str]:
        """Run a command in it as `admin` over ssh, which must find the host key that is known; 255 when it fails."""
        with tempfile.NamedTemporaryFile("w") as known, self.bed.network():
            known.write(self.known_hosts)
            known.flush()
            words = [f"-o{option}" for option in (f"UserKnownHostsFile={known.name}", *STRICT)]
            words += ["-F", "none", "-i", str(self.bed.key), f"{ADMIN}@{self.address}", command]
            return subprocess.run(["ssh", *words], capture_output=True, text=True, timeout=within)

    def console(self) -> str:
        """What its first process complained of, since it was installed."""
        return (self._folder / "console.log").read_text(errors="replace")

    def _answers(self) -> bool:
        """Whether its sshd introduces itself."""
        try:
            with self.bed.network(), socket.create_connection((self.address, 22), 0.2) as connection:
                connection.settimeout(20)
                return connection.recv(4).startswith(b"SSH-")
        except OSError:
            return False

    @property
    def _folder(self) -> Path:
        return self.bed.key.parent / self.name

    @property
    def _disk(self) -> Path:
        return self._folder / "disk"

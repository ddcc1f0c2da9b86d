"""A server as tests see it: what it is known by, and what they can do to it."""

import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.beds.servers.machine import ENVIRONMENT, new_key
from tests.beds.servers.processors import PROCESSORS, Processor

if TYPE_CHECKING:
    from tests.beds.servers.bed import Bed

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


@dataclass
class Server:
    """A server of a bed. `host_key` is the public key by which it is known: type and key, no comment."""

    bed: "Bed"
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

"""Tenancies on a bed's server, seen and touched without the driver: as their tenant, and as the server's root."""

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from provisioning.drivers import Tenancy
from tests.beds.servers.machine import new_key
from tests.beds.servers.server import STRICT, Server

LOGIND = "[Login]\nKillUserProcesses=yes\nKillExcludeUsers=nobody\n"
PREPARE = f"""
mkdir -p /etc/systemd/logind.conf.d
[ -e /etc/systemd/logind.conf.d/node.conf ] && exit
command -v nft >/dev/null || DEBIAN_FRONTEND=noninteractive apt-get -qq install nftables
printf '{LOGIND}' > /etc/systemd/logind.conf.d/node.conf
systemctl restart systemd-logind
"""


def prepare(server: Server) -> None:
    """The least of what enrolment does, without which no tenancy is kept apart."""
    server.run("sh", "-c", PREPARE, within=120)


def damage(server: Server, tenancy: Tenancy) -> None:
    """Change something of a tenancy that is neither its size nor its keys."""
    server.run("systemctl", "stop", f"srv-{tenancy.id}-ssd.mount")


@contextmanager
def unplugged(server: Server) -> Iterator[None]:
    """The server cut off from its network."""
    server.cut_network()
    try:
        yield
    finally:
        server.restore_network()


class Tenant:
    """Somebody with two private keys, of which each tenancy is given one public half."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.server = server
        self.keys = [folder / "first", folder / "second"]
        for key in self.keys:
            new_key(key, "tenant")
        self.public_key, self.other_public_key = (key.with_suffix(".pub").read_text().strip() for key in self.keys)

    def ssh(self, id: str, command: str, key: int = 0, within: float = 60) -> "subprocess.CompletedProcess[str]":
        """Run a command as the tenant, with one of the keys; 255 where it is not let in."""
        with tempfile.NamedTemporaryFile("w") as known, self.server.bed.network():
            known.write(self.server.known_hosts)
            known.flush()
            words = [f"-o{option}" for option in (f"UserKnownHostsFile={known.name}", *STRICT)]
            words += ["-F", "none", "-i", str(self.keys[key]), f"{id}@{self.server.address}", command]
            return subprocess.run(["ssh", *words], capture_output=True, text=True, timeout=within)

    def may_enter(self, tenancy: Tenancy, key: str) -> bool:
        """Whether the private half of this public key opens that tenancy."""
        return self.ssh(tenancy.id, "true", [self.public_key, self.other_public_key].index(key)).returncode == 0

    def may_exceed(self, tenancy: Tenancy) -> bool:
        """Whether more can be stored on the first volume than it has."""
        mib = tenancy.size["storage_gib.ssd"] * 1024 + 1
        done = self.ssh(tenancy.id, f"dd if=/dev/zero of=~/more bs=1M count={mib}; rm -f ~/more", within=300)
        if "No space left" not in done.stderr:
            assert "copied" in done.stderr, done.stderr
            return True
        return False

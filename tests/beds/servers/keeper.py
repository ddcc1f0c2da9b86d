"""The process that holds a bed: its mounts, its network, its servers. It ends with its owner, however that ends.

Its owner writes orders to its standard input, one line of JSON each, and reads an answer to each. When the owner
is gone the keeper takes everything away; when the keeper is killed the kernel does, but for empty folders, which
the next keeper finds.
"""

import fcntl
import json
import os
import select
import shutil
import subprocess
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from tests.beds import CACHE
from tests.beds.servers import cgroups, emulation, images, linux, server
from tests.beds.servers.processors import PROCESSORS


@dataclass
class Kept:
    """A server: what it is made of, where it is plugged into the bed's bridge, its network card, its first process."""

    folder: Path
    architecture: str
    address: str
    port: str
    card: str
    process: int | None = None


@dataclass
class Keeper:
    """A bed's servers. `folder` is the bed's own, named like the bed."""

    folder: Path
    network: str
    kept: dict[str, Kept] = field(default_factory=dict)
    emulated: dict[str, IO[str] | None] = field(default_factory=dict)

    def open(self) -> None:
        """Have mounts and a network of one's own: a bridge, of which nothing outside is seen."""
        linux.own_mounts()
        linux.unshare(linux.NEW_NETWORK)
        _ip("link set lo up", "link add bed type bridge", f"addr add {self.network}.1/24 dev bed", "link set bed up")

    def where(self) -> str:
        """The bed's folder."""
        return str(self.folder)

    def install(self, name: str, processor: str) -> str:
        """A new server that is switched off; returns its address."""
        architecture = PROCESSORS[processor].architecture
        self._provide(architecture)
        number = len(self.kept) + 2
        kept = Kept(
            self.folder / name,
            architecture,
            f"{self.network}.{number}",
            f"port{number}",
            f"02:00:00:00:00:{number:02x}",
        )
        server.install(kept.folder, name, kept.address, processor, self.folder / "admin.pub")
        self.kept[name] = kept
        return kept.address

    def boot(self, name: str) -> int:
        """Switch a server on with the disk it has; returns its first process."""
        kept = self.kept[name]
        if kept.process:
            self.cut_power(name)
        ready, tell_ready = os.pipe()
        go, tell_go = os.pipe()
        process = linux.fork_first()
        if not process:
            os.close(ready)
            os.close(tell_go)
            try:
                server.become(self.folder.name, name, kept.folder, self._image(kept.architecture), go, tell_ready)
            except BaseException:
                with (kept.folder / "console.log").open("a") as console:
                    traceback.print_exc(file=console)
            os._exit(1)
        kept.process = process
        os.close(tell_ready)
        os.close(go)
        try:
            if os.read(ready, 1):
                plug = f"link add {kept.port} type veth peer name eth0 address {kept.card} netns {process}"
                _ip(plug, f"link set {kept.port} master bed up")
                os.write(tell_go, f"{kept.address}/24".encode())
        finally:
            os.close(ready)
            os.close(tell_go)
        return process

    def cut_power(self, name: str) -> None:
        """Switch a server off as a power cut does: nothing is told, nothing is written out."""
        kept = self.kept[name]
        if kept.process:
            linux.kill(kept.process)
            kept.process = None
            for group in cgroups.groups(self.folder.name):
                cgroups.remove(group / name)
            server.let_go(kept.folder)

    def cut_network(self, name: str) -> None:
        _ip(f"link set {self.kept[name].port} down")

    def restore_network(self, name: str) -> None:
        _ip(f"link set {self.kept[name].port} up")

    def close(self) -> None:
        """Take everything away; the mounts and the network end with this process."""
        for name in self.kept:
            self.cut_power(name)
        for architecture, needed in self.emulated.items():
            if needed:
                emulation.end(architecture, needed)
            linux.unmount(self._image(architecture))
        _clear(self.folder)

    def _provide(self, architecture: str) -> None:
        """Have the image mounted and its programs run."""
        if architecture not in self.emulated:
            image = self._image(architecture)
            image.mkdir(parents=True)
            _run("mount", "-o", "loop,ro", str(images.image(architecture)), str(image))
            self.emulated[architecture] = emulation.provide(architecture)

    def _image(self, architecture: str) -> Path:
        return self.folder / "images" / architecture


def main() -> None:
    """Obey the owner, whose process is our parent, until it closes our input or ends."""
    owner = os.pidfd_open(os.getppid())
    with _folder() as folder:
        keeper = Keeper(folder, f"198.{18 + os.getpid() // 256 % 2}.{os.getpid() % 256}")
        try:
            keeper.open()
            while True:
                gone, _, _ = select.select([sys.stdin, owner], [], [])
                line = sys.stdin.readline() if owner not in gone else ""
                if not line:
                    return
                print(json.dumps(_obey(keeper, json.loads(line))), flush=True)
        finally:
            keeper.close()


def _obey(keeper: Keeper, order: dict[str, Any]) -> dict[str, Any]:
    try:
        return {"done": getattr(keeper, order["do"])(*order["with"])}
    except Exception as failure:
        return {"failed": f"{type(failure).__name__}: {failure}"}


@contextmanager
def _folder() -> Iterator[Path]:
    """A bed's folder of its own, locked as long as the bed lives; those of killed keepers are removed."""
    beds = CACHE / "servers" / "beds"
    beds.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (beds / "lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        for other in (path for path in beds.iterdir() if path.is_dir()):
            with suppress(BlockingIOError):
                lock = _locked(other)
                _clear(other)
                os.close(lock)
        folder = beds / f"bed-{os.getpid()}-{os.urandom(3).hex()}"
        folder.mkdir()
        lock = _locked(folder)
    groups = cgroups.groups(folder.name)
    (folder / "groups").write_text("".join(f"{group}\n" for group in groups))
    server.new_key(folder / "admin", "admin")
    yield folder
    os.close(lock)


def _locked(folder: Path) -> int:
    lock = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise
    return lock


def _clear(folder: Path) -> None:
    """Remove the folder of a bed whose servers are off, with its groups and loop devices."""
    server.let_go(folder)
    if (folder / "groups").exists():
        for group in (folder / "groups").read_text().splitlines():
            cgroups.remove(Path(group))
    shutil.rmtree(folder)


def _ip(*steps: str) -> None:
    _run("ip", "-batch", "-", said="\n".join(steps))


def _run(*command: str, said: str = "") -> None:
    done = subprocess.run(command, input=said, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")


if __name__ == "__main__":
    main()

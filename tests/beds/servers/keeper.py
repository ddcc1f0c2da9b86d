"""The process that holds a bed: its mounts, its network, its servers. It ends with its owner, however that ends.

Its owner writes orders to its standard input, one line of JSON each, and reads an answer to each. When the owner
is gone the keeper takes everything away; when the keeper is killed the kernel does, but for empty folders, which
the next keeper finds.
"""

import json
import os
import select
import subprocess
import sys
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from tests.beds import let_many_be_watched
from tests.beds.servers import cgroups, emulation, folders, images, linux, machine
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
        _ip("link set lo up", "link add bed type bridge", "link set bed up")
        _ip("link add port1 type veth peer name eth0", f"addr add {self.network}.1/24 dev eth0", "link set eth0 up")
        _ip("link set port1 master bed up")

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
        machine.install(kept.folder, name, kept.address, processor, self.folder / "admin.pub")
        # known for good, as if behind a router: what is sent to a server that is off is lost, not refused
        _ip(f"neigh add {kept.address} lladdr {kept.card} dev eth0 nud permanent")
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
                machine.become(self.folder.name, name, kept.folder, self._image(kept.architecture), go, tell_ready)
            except BaseException:
                with (kept.folder / "console.log").open("a") as console:
                    traceback.print_exc(file=console)
            os._exit(1)
        kept.process = process
        os.close(tell_ready)
        os.close(go)
        try:
            if os.read(ready, 1):
                self._plug_in(kept, process)
                os.write(tell_go, b".")
        finally:
            os.close(ready)
            os.close(tell_go)
        return process

    def _plug_in(self, kept: Kept, process: int) -> None:
        """Give a server that is being booted its card; the end at the bridge comes last, and carries at once."""
        _ip(f"link add {kept.port} type veth peer name eth0 address {kept.card} netns {process}")
        with linux.inside(Path(f"/proc/{process}/ns/net")):
            _ip("link set lo up", f"addr add {kept.address}/24 dev eth0", "link set eth0 up")
        _ip(f"link set {kept.port} master bed up")

    def cut_power(self, name: str) -> None:
        """Switch a server off as a power cut does: nothing is told, nothing is written out."""
        kept = self.kept[name]
        if kept.process:
            linux.kill(kept.process)
            kept.process = None
            # the kernel takes the card away some time after its network, and until then its name
            subprocess.run(["ip", "link", "del", kept.port], capture_output=True)
            for group in cgroups.groups(self.folder.name):
                cgroups.remove(group / name)
            machine.let_go(kept.folder)

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
        folders.clear(self.folder)

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
    with folders.of_its_own() as folder:
        keeper = Keeper(folder, f"198.{18 + os.getpid() // 256 % 2}.{os.getpid() % 256}")
        let_many_be_watched()
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


def _ip(*steps: str) -> None:
    _run("ip", "-batch", "-", said="\n".join(steps))


def _run(*command: str, said: str = "") -> None:
    done = subprocess.run(command, input=said, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")


if __name__ == "__main__":
    main()

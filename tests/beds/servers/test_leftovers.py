"""A bed leaves nothing behind, whoever is killed."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.beds.servers import cgroups
from tests.beds.servers.bed import PROJECT, Bed

OWNER = """
import json, time
from tests.beds.servers.bed import Bed
with Bed() as bed:
    servers = bed.add("x86", "kunpeng")
    servers[0].run("sh", "-c", "truncate -s 1M /srv/volume && losetup -f /srv/volume")
    print(json.dumps({"keeper": bed.keeper, "folder": str(bed.key.parent)}), flush=True)
    time.sleep(600)
"""


@dataclass(frozen=True)
class Traces:
    """What a living bed has on the machine."""

    folder: Path
    keeper: int
    groups: list[Path]
    namespaces: set[str]
    loops: dict[Path, str]

    def left(self) -> list[str]:
        """What of it is still there."""
        loops = [device for device, use in self.loops.items() if _use(device) == use]
        mounts = [line for line in Path("/proc/self/mounts").read_text().splitlines() if self.folder.name in line]
        there = [path for path in (self.folder, *self.groups) if path.exists()]
        return [*map(str, there), *map(str, loops), *mounts, *sorted(_namespaces() & self.namespaces)]


def traces(folder: Path, keeper: int) -> Traces:
    """Seen from the keeper: the namespaces of its family that are not ours, the loop devices on its files."""
    family = [keeper, *map(int, Path(f"/proc/{keeper}/task/{keeper}/children").read_text().split())]
    own = {str(link.readlink()) for link in Path("/proc/self/ns").iterdir()}
    namespaces = {str(link.readlink()) for process in family for link in Path(f"/proc/{process}/ns").iterdir()} - own
    mounted = Path(f"/proc/{keeper}/mounts").read_text()
    loops = {}
    for device in Path("/sys/block").glob("loop*"):
        backing = device / "loop/backing_file"
        on_disk = backing.exists() and backing.read_text().strip() == "/srv/volume"
        if on_disk or f"/dev/{device.name} {folder}" in mounted:
            loops[device] = _use(device)
    assert len(loops) == 3  # two images and the volume
    assert len(namespaces) >= 10
    groups = [group for group in cgroups.groups(folder.name) if group.exists()]
    return Traces(folder, keeper, groups, namespaces, loops)


def _use(device: Path) -> str:
    """Which use of a loop device this is; empty when it is in none."""
    with suppress(FileNotFoundError):
        return (device / "loop/backing_file").read_text() + (device / "diskseq").read_text()
    return ""


def _namespaces() -> set[str]:
    """The namespaces in which any process of the machine is."""
    found = set()
    for link in Path("/proc").glob("[0-9]*/ns/*"):
        with suppress(OSError):
            found.add(str(link.readlink()))
    return found


def left_after(seconds: float, found: Traces, kinds: tuple[str, ...] = ("",)) -> list[str]:
    """What is left after so many seconds at the most, of what begins like this."""
    end = time.monotonic() + seconds
    while True:
        left = [trace for trace in found.left() if trace.startswith(kinds)]
        if not left or time.monotonic() > end:
            return left
        time.sleep(0.1)


@contextmanager
def owner() -> Iterator[tuple[subprocess.Popen[str], Traces]]:
    """Another process with a bed of two servers and a loop device, and its traces."""
    command = [sys.executable, "-c", OWNER]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            told = json.loads(process.stdout.readline())
            yield process, traces(Path(told["folder"]), told["keeper"])
        finally:
            process.kill()


def test_a_bed_that_is_closed_leaves_nothing(bed):
    other = Bed()
    server, _ = other.add("x86", "kunpeng")
    server.run("sh", "-c", "truncate -s 1M /srv/volume && losetup -f /srv/volume")
    found = traces(other.key.parent, other.keeper)
    other.close()
    assert found.left() == []


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_bed_whose_owner_is_killed_leaves_nothing(bed, end):
    with owner() as (process, found):
        process.send_signal(end)
        process.wait()
        assert left_after(10, found) == []


def test_a_bed_whose_keeper_is_killed_too_leaves_a_folder_that_the_next_bed_removes(bed):
    with owner() as (process, found):
        os.kill(found.keeper, signal.SIGKILL)
        process.kill()
        process.wait()
    assert left_after(10, found, kinds=("pid:", "net:", "mnt:")) == []
    Bed().close()
    assert left_after(5, found) == []

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
    volume = f"/srv/{bed.key.parent.name}"
    servers[0].run("sh", "-c", f"truncate -s 1M {volume} && losetup -f {volume}")
    print(json.dumps({"keeper": bed.keeper, "folder": str(bed.key.parent)}), flush=True)
    time.sleep(600)
"""


@dataclass(frozen=True)
class Traces:
    """What a living bed has on the machine; its namespaces live as long as processes are in them."""

    folder: Path
    keeper: int
    processes: dict[Path, str]
    groups: list[Path]
    loops: dict[Path, str]

    def left(self) -> list[str]:
        """What of it is still there. An image that another bed has mounted too keeps its loop device."""
        processes = [process for process, began in self.processes.items() if _began(process) == began]
        loops = [device for device, use in self.loops.items() if _use(device) == use and not _is_mounted(device)]
        mounts = [line for line in Path("/proc/self/mounts").read_text().splitlines() if self.folder.name in line]
        there = [path for path in (self.folder, *self.groups) if path.exists()]
        return [*map(str, (*processes, *loops, *there)), *mounts]


def traces(folder: Path, keeper: int) -> Traces:
    """Seen from the keeper: all that is in its network or its servers', loop devices on its images and its volume."""
    family = [keeper, *map(int, Path(f"/proc/{keeper}/task/{keeper}/children").read_text().split())]
    networks = {Path(f"/proc/{process}/ns/net").readlink() for process in family}
    processes = {}
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (process / "ns/net").readlink() in networks and (began := _began(process)):
                processes[process] = began
    mounted = Path(f"/proc/{keeper}/mounts").read_text()
    loops = {}
    for device in Path("/sys/block").glob("loop*"):
        if f"/dev/{device.name} {folder}" in mounted or f"/srv/{folder.name}\n" in _use(device):
            loops[device] = _use(device)
    groups = [group for group in cgroups.groups(folder.name) if group.exists()]
    assert len(loops) == 3  # two images and the volume
    assert len(processes) > 10
    assert groups
    return Traces(folder, keeper, processes, groups, loops)


def _began(process: Path) -> str:
    """When a process began, which tells it from a later one of its number; nothing when it ended."""
    with suppress(OSError):
        state, *rest = (process / "stat").read_text().rpartition(")")[2].split()
        return "" if state == "Z" else rest[18]
    return ""


def _use(device: Path) -> str:
    """Which use of a loop device this is; empty when it is in none."""
    with suppress(OSError):
        return (device / "loop/backing_file").read_text() + (device / "diskseq").read_text()
    return ""


def _is_mounted(device: Path) -> bool:
    """Whether any process of the machine sees it mounted."""
    for mounts in Path("/proc").glob("[0-9]*/mounts"):
        with suppress(OSError):
            if f"/dev/{device.name} " in mounts.read_text():
                return True
    return False


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
    volume = f"/srv/{other.key.parent.name}"
    server.run("sh", "-c", f"truncate -s 1M {volume} && losetup -f {volume}")
    found = traces(other.key.parent, other.keeper)
    other.close()
    assert left_after(5, found) == []


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
    assert left_after(10, found, kinds=("/proc/",)) == []
    Bed().close()
    assert left_after(5, found) == []

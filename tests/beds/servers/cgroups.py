"""Control groups of a bed's servers, below the group the bed was started in, so that whoever limits it limits them."""

import errno
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
UNIFIED = ROOT / "cgroup.controllers"
NEEDED = "+cpu +memory +pids"


@dataclass(frozen=True)
class Hierarchy:
    """One mounted tree of groups: the name of its folder, its mount options (none: version 2), our place in it."""

    name: str
    options: str
    own: Path


def hierarchies() -> Iterator[Hierarchy]:
    """All there are on this machine: one where it has version 2 alone, else one for each controller."""
    if UNIFIED.exists():
        # groups with processes can have no limited children, except the topmost: there is no room below our own
        yield Hierarchy("", "", ROOT)
        return
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, options, path = line.split(":", 2)
        name = options.removeprefix("name=") or "unified"
        if (ROOT / name).is_dir():
            yield Hierarchy(name, f"none,{options}" if options.startswith("name=") else options, _below(name, path))


def groups(bed: str) -> list[Path]:
    """The groups of a bed; each server has one below each."""
    return [tree.own / f"cloudctl-{bed}" for tree in hierarchies()]


def join(bed: str, server: str) -> None:
    """Put this process, and all it will start, into the groups of a server."""
    for group in groups(bed):
        place = group / server
        for folder in (group, place):
            folder.mkdir(exist_ok=True)
            for inherited in ("cpuset.cpus", "cpuset.mems"):  # a new group of version 1 has none
                setting = folder / inherited
                if not UNIFIED.exists() and setting.exists() and not setting.read_text().strip():
                    setting.write_text((folder.parent / inherited).read_text())
        if UNIFIED.exists():
            for folder in (group.parent, group):
                (folder / "cgroup.subtree_control").write_text(NEEDED)
        (place / "cgroup.procs").write_text("0")


def remove(group: Path) -> None:
    """Remove a group with all below it; fine when there is none.

    Raises:
        OSError: a process is still in it.
    """
    patience = time.monotonic() + 5
    while group.exists():
        try:
            for below in sorted((path for path in group.rglob("*") if path.is_dir()), reverse=True):
                below.rmdir()
            group.rmdir()
        except OSError as busy:  # the kernel lets go of ended processes a little later
            if busy.errno != errno.EBUSY or time.monotonic() > patience:
                raise
            time.sleep(0.02)


def _below(name: str, path: str) -> Path:
    return ROOT / name / path.strip("/")

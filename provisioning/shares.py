"""What tenancies' shares look like on a server, read back from what really lies there, in one look.

It is a program, too: a server's own Python, 3.8 or newer, is fed this file and prints what `look` finds, so it
imports nothing of ours.
"""

from __future__ import annotations

import json
import os
import platform
import pwd
import re
import socket
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

GIB = 1 << 30
STORAGE = "storage_gib."
CLASSES = ("ssd", "hdd")
OPEN, SHUT = ".ext4", ".ext4.shut"
UNITS, GROUPS = Path("/etc/systemd/system"), Path("/sys/fs/cgroup")
MAGIC = 0xEF53
KEYS, BUS = Path("/etc/ssh/cloudctl"), Path("/etc/dbus-1/system.d")
PAM, SPACES = Path("/etc/pam.d/sshd"), Path("/etc/security/namespace.d")
TOOLS = {"PATH": "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C"}


class Unreadable(Exception):
    """An image that is not a whole file system."""


class Volume(NamedTuple):
    """One ext4 image. `bytes` is the size of its file system, `used` what is taken of it, metadata included."""

    path: Path
    bytes: int
    used: int


class Server:
    """What one look at a server's mounts, groups and filter rules finds, for all shares alike."""

    def __init__(self, home: str | None) -> None:
        self.home = Path(home) if home else None
        self.mounts: dict[str, str] = {}
        self.groups: dict[str, Path] = {}
        self.hides = False
        for line in Path("/proc/self/mountinfo").read_text().splitlines():
            words = line.split()
            at = words.index("-")
            kind, source, options = words[at + 1], words[at + 2], words[at + 3].split(",")
            self.mounts[words[4]] = source
            if words[4] == "/proc":
                self.hides = "hidepid=invisible" in options or "hidepid=2" in options
            if kind == "cgroup":
                self.groups.update({option: Path(words[4]) for option in options if option != "rw"})
            elif kind == "cgroup2":
                self.groups["unified"] = Path(words[4])
        self.filters = _filters()
        self.rules = _printed("nft", "list", "ruleset") if self.filters and self.home else ""

    def unenforced(self) -> str | None:
        """Why nobody can be held to a slice here; none when that can be done."""
        if not Path("/run/systemd/system").is_dir():
            return "no-systemd"
        return None if os.geteuid() == 0 else "not-root"

    def image_behind(self, where: Path) -> str | None:
        """The file that is mounted there by a loop device."""
        device = Path(self.mounts.get(str(where), ""))
        try:
            return Path("/sys/block", device.name, "loop/backing_file").read_text().strip()
        except OSError:
            return None

    def table(self, name: str) -> str:
        """The filter rules of one table, as nft lists them."""
        found = re.search(rf"^table inet {name} {{\n.*?^}}\n", self.rules, re.M | re.S)
        return found[0] if found else ""

    def read(self, controller: str, slice_: str, *files: str) -> str | None:
        """The first that there is of a slice's files in a controller's tree, or in the one of version 2."""
        for tree in (self.groups.get(controller), self.groups.get("unified")):
            for file in files if tree else ():
                try:
                    return Path(str(tree), "user.slice", slice_, file).read_text().strip()
                except OSError:
                    continue
        return None


class Share:
    """The folder of one tenancy."""

    def __init__(self, folder: Path, server: Server) -> None:
        self.folder, self.id, self.server = folder, folder.name, server
        self.slice = folder / f"cloudctl-{self.id}.slice"
        self.home = server.home / self.id if server.home else None
        self.keys = KEYS / self.id if self.home else folder / "authorized_keys"
        self.damaged: list[str] = []
        self.volumes: dict[str, Volume] = {}
        for name in CLASSES:
            self._find(name)

    def _find(self, name: str) -> None:
        found = [path for path in (self.folder / (name + OPEN), self.folder / (name + SHUT)) if path.exists()]
        if len(found) > 1:
            self.damaged.append(f"two volumes of {name}")
        for path in found[:1]:
            where = self.home / name if self.home and path.name.endswith(OPEN) else None
            try:
                self.volumes[STORAGE + name] = self._volume(path, where)
            except (Unreadable, OSError):
                self.damaged.append(f"volume {name}")
                continue
            if where and self.server.image_behind(where) != str(path):
                self.damaged.append(f"mount of {name}")

    def _volume(self, path: Path, where: Path | None) -> Volume:
        """A mounted one knows best itself; its image is behind by what was not written yet."""
        device = self.server.mounts.get(str(where)) if where else None
        volume = _superblock(path, Path(device) if device else path)
        if not device:
            return volume
        told = os.statvfs(str(where))
        return volume._replace(used=volume.bytes - told.f_bfree * told.f_frsize)

    def limits(self) -> str:
        """The text of its slice; empty where it has none."""
        return self.slice.read_text() if self.slice.exists() else ""

    def size(self) -> dict[str, int]:
        """What its files really grant, in the units of the resource classes."""
        size = {resource: min(v.bytes, v.path.stat().st_size) // GIB for resource, v in self.volumes.items()}
        if quota := _number(r"^CPUQuota=(\d+)%$", self.limits()):
            size["vcpu"] = quota // 100
        if memory := _number(r"^MemoryMax=(\d+)G$", self.limits()):
            size["memory_gib"] = memory
        return size

    def is_open(self) -> bool:
        """Whether anything of it can be reached: by a key, or a volume by the name that was handed over."""
        return self.keys.exists() or any(volume.path.name.endswith(OPEN) for volume in self.volumes.values())

    def admitted(self) -> list[str]:
        """The public keys that get in."""
        lines = self.keys.read_text().splitlines() if self.keys.exists() else []
        return [line for line in lines if line and not line.startswith("#")]

    def unenforced(self, user: pwd.struct_passwd | None) -> dict[str, str | None]:
        """For each class of compute, why it does not bind; read back from the tenant's control group."""
        text, why = self.limits(), self.server.unenforced()
        quota, memory, tasks = (_number(rf"^{name}=(\d+)", text) for name in ("CPUQuota", "MemoryMax", "TasksMax"))
        found: dict[str, str | None] = {}
        slice_ = f"user-{user.pw_uid}.slice" if user else ""
        if quota:
            read = [self._share_of_time(slice_), self.server.read("pids", slice_, "pids.max")]
            found["vcpu"] = why or (self.home and self._because(read, [str(quota), str(tasks)])) or None
        if memory:
            read = [self.server.read("memory", slice_, "memory.limit_in_bytes", "memory.max")]
            found["memory_gib"] = why or (self.home and self._because(read, [str(memory * GIB)])) or None
        return found

    def _share_of_time(self, slice_: str) -> str | None:
        """Processor time as a percentage, as the group has it."""
        told = self.server.read("cpu", slice_, "cpu.cfs_quota_us", "cpu.max")
        if told is None:
            return None
        period = self.server.read("cpu", slice_, "cpu.cfs_period_us") or told.split()[-1]
        quota = told.split()[0]
        return str(int(quota) * 100 // int(period)) if quota.isdigit() else quota

    def _because(self, read: list[str | None], wanted: list[str]) -> str | None:
        if not self.is_open():
            return "not-running"
        if None in read:
            return "no-controller"
        return None if read == wanted else "not-applied"

    def look_behind(self, user: pwd.struct_passwd | None) -> None:
        """Whether account, limits and walls are still what they were made."""
        if not user or not (self.folder / "account").exists():
            self.damaged.append("account")
            return
        if str(user.pw_uid) != (self.folder / "account").read_text().strip():
            self.damaged.append("account")
        unit = UNITS / f"user-{user.pw_uid}.slice.d" / "50-cloudctl.conf"
        applied = unit.read_text() if unit.exists() else ""
        if applied != self.limits() or "not-applied" in self.unenforced(user).values():
            self.damaged.append("limits")
        table, seen = self.server.table(f"cloudctl_{self.id}"), self.folder / "walls.seen"
        walled = not self.server.filters or (seen.exists() and table == seen.read_text())
        parts = [BUS / f"cloudctl-{self.id}.conf", UNITS / f"cloudctl-walls-{self.id}.service"]
        parts += [SPACES / f"{self.id}.conf", Path(str(self.home), "private")]
        there = all(part.exists() for part in parts) and "pam_namespace.so" in PAM.read_text(encoding="utf-8")
        if not (walled and there and self.server.hides):
            self.damaged.append("walls")

    def told(self) -> dict[str, Any]:
        """All of it, as JSON can carry it."""
        user = _user(self.id) if self.home else None
        if self.home:
            self.look_behind(user)
        return {
            "size": self.size(),
            "keys": self.admitted(),
            "suspended": not self.is_open(),
            "unenforced": self.unenforced(user),
            "damaged": self.damaged,
            "used": {resource: volume.used for resource, volume in self.volumes.items()},
            "volumes": {resource: str(volume.path) for resource, volume in self.volumes.items()},
            "slice": str(self.slice) if self.slice.exists() else None,
        }


def look(folder: str, home: str | None, *ids: str) -> dict[str, Any]:
    """What lies in a folder, of all tenancies or of these; and what the server has. `home`: where tenants live."""
    server = Server(home)
    paths = [Path(folder, id) for id in ids] or sorted(Path(folder).glob("ten_*"))
    shares = {path.name: Share(path, server).told() for path in paths if path.is_dir()}
    return {"shares": shares, "server": None if ids else _server(Path(folder), server)}


def _server(folder: Path, server: Server) -> dict[str, Any]:
    """What the server has in all; storage is what the folder's disk has free, our own volumes not counted."""
    disk = os.statvfs(next(path for path in (folder, *folder.parents) if path.exists()))
    ours = sum(512 * path.stat().st_blocks for path in folder.glob("*/*.ext4*"))
    traits = {"systemd": not server.unenforced(), "netfilter": bool(home_filters(server))}
    memory = _number(r"^MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text()) or 0
    return {
        "vcpu": _count(Path("/sys/devices/system/cpu/online").read_text()),
        "memory_gib": memory >> 20,
        "storage_gib": (disk.f_bavail * disk.f_frsize + ours) // GIB,
        "architecture": platform.machine(),
        "cpu_family": _cpu_family(),
        "traits": [name for name, has in traits.items() if has],
    }


def home_filters(server: Server) -> bool:
    """Whether tenants can be walled off from each other in the network."""
    return server.filters and server.home is not None


def _superblock(path: Path, source: Path) -> Volume:
    """It lies 1,024 bytes into the image; no root and no tool is needed to read it."""
    with source.open("rb") as image:
        image.seek(1024)
        raw = image.read(1024)
    if len(raw) < 1024 or struct.unpack_from("<H", raw, 56)[0] != MAGIC:
        raise Unreadable(str(path))
    low, free_low, log_block, high, free_high = (
        struct.unpack_from("<I", raw, at)[0] for at in (4, 12, 24, 0x150, 0x158)
    )
    block = 1024 << log_block
    blocks, free = high << 32 | low, free_high << 32 | free_low
    return Volume(path, blocks * block, (blocks - free) * block)


def _number(pattern: str, text: str) -> int | None:
    found = re.search(pattern, text, re.M)
    return int(found[1]) if found else None


def _count(ranges: str) -> int:
    """How many numbers a kernel's list has, such as 0-3,8."""
    ends = [part.split("-") for part in ranges.strip().split(",")]
    return sum(int(end[-1]) - int(end[0]) + 1 for end in ends)


def _user(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def _filters() -> bool:
    """Whether this kernel has a packet filter at all; emulated ones have none."""
    try:
        socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12).close()
    except OSError:
        return False
    return True


def _printed(*command: str) -> str:
    try:
        return subprocess.run(command, env=TOOLS, capture_output=True, text=True).stdout
    except FileNotFoundError:
        return ""


def _cpu_family() -> str:
    """The processor's model as lscpu knows it: /proc/cpuinfo carries only numbers on arm64."""
    said = _printed("lscpu") or Path("/proc/cpuinfo").read_text()
    found = re.search(r"^model name\s*:\s*(.+)$", said, re.M | re.I)
    return found[1].strip() if found else "unknown"


if __name__ == "__main__":
    print(json.dumps(look(sys.argv[1], sys.argv[2] or None, *sys.argv[3:])))

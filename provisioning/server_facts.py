"""What a server says of itself: this runs on the server, with nothing but its own Python, and prints JSON."""

import json
import os
import platform
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C"}
GIB = 1 << 30
INTERPRETER = 3  # the kind of program header that names the dynamic loader


def facts(folder: Path) -> dict[str, Any]:
    """All of it; tenancies will lie in `folder`, which need not be there yet."""
    processor = _lscpu()
    return {
        "machine": platform.machine(),
        **_program(Path(sys.executable).read_bytes()),
        "models": list(dict.fromkeys([*_named(processor, "Model name", "Vendor ID"), *_cpuinfo()])),
        "vcpu": int(processor.get("CPU(s)") or os.cpu_count() or 1),
        "memory_gib": _memory() // GIB,
        "disks": list(_disks()),
        "storage": _storage(folder),
        "system": _system(),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def _lscpu() -> dict[str, str]:
    """By name: of names that stand there twice, the first; lscpu decodes what /proc/cpuinfo has as numbers."""
    try:
        said = subprocess.run(["lscpu"], env=ENVIRONMENT, capture_output=True, text=True).stdout
    except FileNotFoundError:
        return {}
    lines = [line.partition(":") for line in reversed(said.splitlines())]
    return {name.strip(): value.strip() for name, _, value in lines}


def _named(processor: dict[str, str], *names: str) -> Iterator[str]:
    return (processor[name] for name in names if processor.get(name, "-") != "-")


def _cpuinfo() -> Iterator[str]:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip().lower() == "model name":
            yield value.strip()


def _program(elf: bytes) -> dict[str, Any]:
    """How programs of this system are built, told by the one that runs this: its word size and dynamic loader."""
    bits = {1: 32, 2: 64}[elf[4]]
    if bits == 32:
        return {"bits": bits, "loader": None}
    headers, (size, count) = struct.unpack_from("<Q", elf, 32)[0], struct.unpack_from("<HH", elf, 54)
    for at in range(headers, headers + size * count, size):
        kind, _, offset, _, _, length = struct.unpack_from("<IIQQQQ", elf, at)
        if kind == INTERPRETER:
            return {"bits": bits, "loader": elf[offset : offset + length].rstrip(b"\0").decode()}
    return {"bits": bits, "loader": None}


def _memory() -> int:
    lines = (line.split() for line in Path("/proc/meminfo").read_text().splitlines())
    return next(int(words[1]) << 10 for words in lines if words[0] == "MemTotal:")


def _disks() -> Iterator[dict[str, Any]]:
    """Whole disks that hold anything; what the kernel makes up itself (loops, memory) is none."""
    for device in sorted(Path("/sys/block").glob("*")):
        sectors = int((device / "size").read_text())
        if sectors and (device / "device").exists():
            rotates = (device / "queue/rotational").read_text().strip() == "1"
            yield {"name": device.name, "gib": sectors * 512 // GIB, "rotates": rotates}


def _storage(folder: Path) -> dict[str, Any]:
    """What the file system of the folder has free, and whether its disk rotates."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    free = os.statvfs(there)
    number = there.stat().st_dev
    device = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}").resolve()
    queue = next((one / "queue/rotational" for one in (device, device.parent) if (one / "queue").exists()), None)
    return {"gib": free.f_bavail * free.f_frsize // GIB, "rotates": bool(queue and queue.read_text().strip() == "1")}


def _system() -> str:
    lines = [line.partition("=") for line in Path("/etc/os-release").read_text().splitlines()]
    return next((value.strip('"') for name, _, value in lines if name == "PRETTY_NAME"), "Linux")


if __name__ == "__main__":
    print(json.dumps(facts(Path(sys.argv[1]))))

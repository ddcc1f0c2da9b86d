"""What a tenancy's share looks like on a server, read back from what really lies there."""

import json
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

GIB = 1 << 30
STORAGE = "storage_gib."
OPEN, SHUT = ".ext4", ".ext4.shut"


@dataclass(frozen=True)
class Volume:
    """One ext4 image. `bytes` is the size of its file system, `used` what is taken of it, metadata included."""

    path: Path
    bytes: int
    used: int


@dataclass(frozen=True)
class Share:
    """The folder of one tenancy."""

    folder: Path
    id: str

    @property
    def slice(self) -> Path:
        return self.folder / f"cloudctl-{self.id}.slice"

    @property
    def keys(self) -> Path:
        return self.folder / "authorized_keys"

    def exists(self) -> bool:
        return self.folder.is_dir()

    def is_open(self) -> bool:
        """Whether anything of it can be reached: by a key, or a volume by the name that was handed over."""
        return self.keys.exists() or any(volume.path.name.endswith(OPEN) for volume in self.volumes().values())

    def volumes(self) -> Mapping[str, Volume]:
        """Its volumes by resource class."""
        found = {}
        for path in sorted([*self.folder.glob(f"*{OPEN}"), *self.folder.glob(f"*{SHUT}")]):
            found[STORAGE + path.name.split(".")[0]] = _volume(path)
        return found

    def size(self) -> Mapping[str, int]:
        """What its files really grant, in the units of the resource classes."""
        size = {resource: min(v.bytes, v.path.stat().st_size) // GIB for resource, v in self.volumes().items()}
        limits = self.slice.read_text() if self.slice.exists() else ""
        if quota := re.search(r"^CPUQuota=(\d+)%$", limits, re.M):
            size["vcpu"] = int(quota[1]) // 100
        if memory := re.search(r"^MemoryMax=(\d+)G$", limits, re.M):
            size["memory_gib"] = int(memory[1])
        return size

    def admitted(self) -> list[str]:
        """The public keys that get in."""
        lines = self.keys.read_text().splitlines() if self.keys.exists() else []
        return [line for line in lines if line and not line.startswith("#")]

    def facts(self) -> Mapping[str, object] | None:
        """The record written last and removed first; none while the share is being made or taken away."""
        path = self.folder / "facts.json"
        return dict(json.loads(path.read_text())) if path.exists() else None


def _volume(path: Path) -> Volume:
    """Read the superblock, which lies 1,024 bytes into the image; no root and no tool is needed."""
    with path.open("rb") as image:
        image.seek(1024)
        raw = image.read(1024)
    low, free_low, log_block, high, free_high = (
        struct.unpack_from("<I", raw, at)[0] for at in (4, 12, 24, 0x150, 0x158)
    )
    block = 1024 << log_block
    blocks, free = high << 32 | low, free_high << 32 | free_low
    return Volume(path, blocks * block, (blocks - free) * block)


def occupied(folder: Path) -> int:
    """Bytes that the volumes of all shares below a folder occupy on its disk; holes of sparse images do not count."""
    return sum(512 * path.stat().st_blocks for path in folder.glob("*/*.ext4*"))

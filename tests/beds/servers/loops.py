"""Loop devices that a server left attached: they belong to the machine and outlive it."""

import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

DETACH, STATUS = 0x4C01, 0x4C05
STATUS_BYTES = 232


def detach(disk: Path) -> None:
    """Detach the loop devices that lie on files of a server's disk."""
    attached = dict(_attached())
    if not attached:
        return
    for folder, _, files in os.walk(disk):
        for name in files:
            with suppress(FileNotFoundError):
                seen = os.lstat(f"{folder}/{name}")
                device = attached.get((seen.st_dev, seen.st_ino))
                if device:
                    with device.open("rb") as opened:
                        fcntl.ioctl(opened, DETACH, 0)


def _attached() -> Iterator[tuple[tuple[int, int], Path]]:
    """The file system and the file's number that each loop device in use lies on."""
    for entry in Path("/sys/block").glob("loop*/loop/backing_file"):
        device = Path("/dev") / entry.parts[3]
        with suppress(OSError), device.open("rb") as opened:  # detached meanwhile
            lies_on, number = struct.unpack_from("=QQ", fcntl.ioctl(opened, STATUS, bytes(STATUS_BYTES)))
            yield (lies_on, number), device

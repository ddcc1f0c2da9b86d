"""Loop devices that a server left attached: they belong to the machine and outlive it."""

import fcntl
import struct
from contextlib import suppress
from pathlib import Path

DETACH, STATUS = 0x4C01, 0x4C05
STATUS_BYTES = 232


def detach(disk: int) -> None:
    """Detach the loop devices on files of a disk, given by the number that `stat` tells for those files."""
    for entry in Path("/sys/block").glob("loop*/loop/backing_file"):
        device = Path("/dev") / entry.parts[3]
        with suppress(OSError), device.open("rb") as opened:  # detached meanwhile
            (lies_on,) = struct.unpack_from("=Q", fcntl.ioctl(opened, STATUS, bytes(STATUS_BYTES)))
            if lies_on == disk:
                fcntl.ioctl(opened, DETACH, 0)

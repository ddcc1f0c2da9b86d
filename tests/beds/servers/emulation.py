"""Has the kernel run other architectures' programs through their emulators, for as long as a bed needs it."""

import fcntl
import hashlib
from contextlib import suppress
from pathlib import Path
from typing import IO

from tests.beds.servers import images, linux

FORMATS = Path("/proc/sys/fs/binfmt_misc")
MACHINES = {"arm64": r"\xb7\x00", "loong64": r"\x02\x01"}  # the architecture's number in an ELF header
HEADER = r"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00"
MASK = r"\xff\xff\xff\xff\xff\xff\xff\xfc\x00\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"
# P: a program's own name is kept; F: the emulator is opened now, so that no server needs to see its file;
# C: programs get the rights of their own files, without which sudo gets none
FLAGS = "PFC"


def provide(architecture: str) -> IO[str] | None:
    """Have programs of this architecture run for as long as what is returned is open; none where they run anyway.

    Needs mounts of one's own: the kernel's formats are mounted there when the machine shows them nowhere.
    Beds with the same images share what is registered.
    """
    if architecture not in MACHINES:
        return None
    if not (FORMATS / "register").exists():
        linux.mount("binfmt_misc", FORMATS, "binfmt_misc")
    emulator, entry = images.emulator(architecture), _entry(architecture)
    needed = emulator.with_name(f"{emulator.name}.lock").open("w")
    fcntl.flock(needed, fcntl.LOCK_SH)
    while not entry.exists():  # an ending bed may take it away until we share the lock
        fcntl.flock(needed, fcntl.LOCK_EX)
        if not entry.exists():
            magic = HEADER + MACHINES[architecture]
            (FORMATS / "register").write_text(f":{entry.name}:M::{magic}:{MASK}:{emulator}:{FLAGS}")
        fcntl.flock(needed, fcntl.LOCK_SH)
    return needed


def end(architecture: str, needed: IO[str]) -> None:
    """Need it no longer; the last bed takes it away."""
    with needed, suppress(BlockingIOError):
        fcntl.flock(needed, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _entry(architecture).write_text("-1")


def _entry(architecture: str) -> Path:
    """The registered format; each emulator has its own, so that checkouts with other images do not take it away."""
    digest = hashlib.sha256(str(images.emulator(architecture)).encode()).hexdigest()
    return FORMATS / f"cloudctl-{architecture}-{digest[:8]}"

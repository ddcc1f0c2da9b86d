"""The folder that each bed has: who holds it, what goes with it, and what becomes of those nobody holds."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.beds import CACHE
from tests.beds.servers import cgroups, machine


@contextmanager
def of_its_own() -> Iterator[Path]:
    """A bed's folder of its own, locked as long as the bed lives; those of killed keepers are removed."""
    beds = CACHE / "servers" / "beds"
    beds.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (beds / "lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        for other in (path for path in beds.iterdir() if path.is_dir()):
            with suppress(BlockingIOError):
                lock = _locked(other)
                clear(other)
                os.close(lock)
        folder = beds / f"bed-{os.getpid()}-{os.urandom(3).hex()}"
        folder.mkdir()
        lock = _locked(folder)
    groups = cgroups.groups(folder.name)
    (folder / "groups").write_text("".join(f"{group}\n" for group in groups))
    machine.new_key(folder / "admin", "admin")
    yield folder
    os.close(lock)


def _locked(folder: Path) -> int:
    lock = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise
    return lock


def clear(folder: Path) -> None:
    """Remove the folder of a bed whose servers are off, with its groups and loop devices."""
    machine.let_go(folder)
    if (folder / "groups").exists():
        for group in (folder / "groups").read_text().splitlines():
            cgroups.remove(Path(group))
    shutil.rmtree(folder)

"""Processes of a bed: they die with the process that started them, and what they leave is cleaned up after both.

The owner's death reaches each process from the kernel (its "parent death signal"), also when the owner is killed
with SIGKILL. Mind that the kernel means the *thread* that started it: start beds from a thread that stays.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

HERE = Path(__file__).parent
Found = TypeVar("Found")


def start(
    command: Sequence[str | Path], log: Path, net: str = "", sockets: Sequence[socket.socket] = ()
) -> subprocess.Popen[bytes]:
    """Start a process that dies with us.

    `net` is the network namespace to start it in, a path below /proc; `sockets` are open ones that it gets.
    """
    inside = ["nsenter", f"--net={net}", "--"] if net else []
    words = ["setpriv", "--pdeathsig", "KILL", "--", *inside, *map(str, command)]
    with log.open("ab") as out:
        numbers = [each.fileno() for each in sockets]
        return subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd="/", pass_fds=numbers)


def stop(process: subprocess.Popen[bytes], seconds: float = 15) -> None:
    """Kill a process that keeps nothing: a bed's end need not be polite, and a polite API server takes 25 s."""
    process.kill()
    process.send_signal(signal.SIGCONT)
    process.wait(seconds)


def until(what: str, found: Callable[[], Found | None], seconds: float = 60, every: float = 0.05) -> Found:
    """Ask until something is found, and give it back.

    Raises:
        TimeoutError: Nothing was found in time.
    """
    deadline = time.monotonic() + seconds
    while not (answer := found()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds:.0f} s")
        time.sleep(every)
    return answer


class Leavings:
    """A folder and control groups that vanish when their owner leaves, by whichever way it goes.

    A small process outside the owner's session waits for the end of its standard input, which the kernel closes
    at the owner's death, and cleans up then. An orderly owner calls `clear`, which takes the same way.
    """

    def __init__(self, kind: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix=f"cloudctl-{kind}-"))
        self.folder.chmod(0o755)
        self.group = self.folder.name
        self._cleaner = subprocess.Popen(
            [sys.executable, "-I", str(HERE / "processes.py"), str(self.folder)],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, cwd="/", start_new_session=True,
        )  # fmt: skip

    def clear(self) -> None:
        """Remove all; returns when it is gone."""
        assert self._cleaner.stdin
        self._cleaner.stdin.close()
        self._cleaner.wait(60)


def groups(name: str) -> list[Path]:
    """The control groups of that name: one in each hierarchy of version 1, one in the only one of version 2."""
    root = Path("/sys/fs/cgroup")
    tops = [root] if (root / "cgroup.controllers").exists() else [path for path in root.iterdir() if path.is_dir()]
    return sorted({top.resolve() / name for top in tops})


def ungroup(name: str, seconds: float = 20) -> None:
    """Remove control groups with all below them, as soon as their processes have ended."""
    deadline = time.monotonic() + seconds
    for top in groups(name):
        while top.exists():
            for folder, _, _ in os.walk(top, topdown=False):
                try:
                    Path(folder).rmdir()
                except OSError:  # a process in it still ends
                    time.sleep(0.02)
            if time.monotonic() > deadline:
                raise TimeoutError(f"{top} still holds processes")


def _clean_up_after_the_owner(folder: Path) -> None:
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    sys.stdin.buffer.read()
    try:
        ungroup(folder.name)
    finally:
        until("the folder is gone", lambda: shutil.rmtree(folder, ignore_errors=True) or not folder.exists(), 20)


if __name__ == "__main__":
    _clean_up_after_the_owner(Path(sys.argv[1]))

"""The few system calls that a bed needs and Python 3.11 does not offer."""

import ctypes
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

NEW_MOUNTS, NEW_CGROUPS, NEW_NAMES, NEW_IPC = 0x20000, 0x2000000, 0x4000000, 0x8000000
NEW_PROCESSES, NEW_NETWORK = 0x20000000, 0x40000000
READ_ONLY, NO_SUID, NO_DEV, NO_EXEC, REMOUNT, BIND, RECURSIVE, PRIVATE = 1, 2, 4, 8, 32, 4096, 16384, 1 << 18
DETACH = 2
DIE_WITH_PARENT = 1
PIVOT_ROOT = 155  # on x86-64; the C library has no name for it

libc = ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: str) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)


def mount(source: Path | str, target: Path | str, kind: str = "", flags: int = 0, options: str = "") -> None:
    """Mount as mount(2) does; options are the file system's own."""
    arguments = (str(source).encode(), str(target).encode(), kind.encode(), flags, options.encode())
    _checked(libc.mount(*arguments), f"mount of {source} on {target}")


def unmount(target: Path | str) -> None:
    """Take a mount out of the tree now; it ends when nobody uses it any more."""
    _checked(libc.umount2(str(target).encode(), DETACH), f"umount of {target}")


def own_mounts() -> None:
    """Give this process mounts of its own; what it mounts nobody else sees, and it ends with the last of its family."""
    unshare(NEW_MOUNTS)
    mount("none", "/", flags=RECURSIVE | PRIVATE)


def unshare(kinds: int) -> None:
    """Give this process (its later children, where processes are concerned) new namespaces of these kinds."""
    _checked(libc.unshare(kinds), "unshare")


def pivot_root(root: Path) -> None:
    """Make a mounted folder the root of this process's mounts; nothing of the old root remains reachable."""
    os.chdir(root)
    _checked(libc.syscall(PIVOT_ROOT, b".", b"."), "pivot_root")
    unmount(".")
    os.chroot(".")
    os.chdir("/")


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent ends, however it ends; survives exec."""
    _checked(libc.prctl(DIE_WITH_PARENT, signal.SIGKILL, 0, 0, 0), "prctl")


def join(namespace: Path, kind: int) -> None:
    """Enter a namespace with the calling thread (for processes: its later children)."""
    entry = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _checked(libc.setns(entry, kind), f"setns to {namespace}")
    finally:
        os.close(entry)


@contextmanager
def inside(network: Path) -> Iterator[None]:
    """Be in another network for a while, with the calling thread; the processes it starts are in it for good."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        join(network, NEW_NETWORK)
        try:
            yield
        finally:
            _checked(libc.setns(home, NEW_NETWORK), "setns back")
    finally:
        os.close(home)


def fork_first() -> int:
    """Fork a child that is process 1 of a new process namespace; returns as fork does. Needs a single thread."""
    unshare(NEW_PROCESSES)
    child = os.fork()
    if child:
        join(Path("/proc/self/ns/pid"), NEW_PROCESSES)
    return child


def kill(process: int) -> None:
    """Kill a child with all its namespace and wait until nothing of it is left; fine when it ended already."""
    with suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)
    with suppress(ChildProcessError):
        os.waitpid(process, 0)

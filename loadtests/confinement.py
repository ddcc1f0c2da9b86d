"""Confinement: runs a program that is not ours in namespaces of its own, where it sees itself and what Python needs.

It has no network but loopback, on which one socket listens; that is handed out to whoever confines, who alone decides
where it leads. Linux only. Where this is root, the program is an unprivileged user; else the kernel must let ordinary
users make namespaces. It is never run less confined than that.

    whoever confines  (holds the leash, the listening socket, the program's input and output)
      keeper          (the namespaces; waits)
        first         (process 1 inside: ends when the leash is let go, and the kernel ends everything inside with it)
          the program (its user, its limits, no privilege to be had any more)
"""

import ctypes
import errno
import fcntl
import ipaddress
import os
import resource
import select
import signal
import socket
import struct
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from loadtests import calls, rooms

NAMESPACES = (
    0x00020000 | 0x08000000 | 0x04000000 | 0x20000000 | 0x40000000
)  # mounts, ipc, host name, processes, network
USERS = 0x10000000
NO_NEW_PRIVILEGES, DIE_WITH_PARENT, DUMPABLE, DROP_FROM_BOUNDS = 38, 1, 4, 24
GET_FLAGS, SET_FLAGS, SET_ADDRESS, UP = 0x8913, 0x8914, 0x8916, 1
LOOK = 50  # milliseconds between two looks at the leash and the program

_libc = ctypes.CDLL(None, use_errno=True)


class Unconfined(Exception):
    """This machine does not let the program be confined, and why; it was not run."""


@dataclass(frozen=True)
class Limits:
    """What each process of the program may use, and how many there may be beside what its user runs already."""

    memory: int = 2 * 2**30  # bytes of addresses
    files: int = 4096  # open at once
    processes: int = 64  # and threads
    seconds: int = 3600  # of processor
    written: int = 16 * 2**20  # bytes of one file


@dataclass(frozen=True)
class Confined:
    """A program that runs confined. `listening` is inside; `asking` and `telling` are its input and its output."""

    keeper: int
    listening: socket.socket
    asking: int
    telling: int
    leash: int

    def end(self, within: float = 2.0) -> None:
        """Let the leash go, at which everything inside ends, and wait until it has."""
        os.close(self.leash)
        until = time.monotonic() + within
        with suppress(ChildProcessError):
            while os.waitpid(self.keeper, os.WNOHANG)[0] == 0 and time.monotonic() < until:
                time.sleep(0.01)


@dataclass(frozen=True)
class Program:
    """What is run: where its only way out is said to be (host and port), as whom, with which limits and files."""

    words: Sequence[str]
    host: str
    port: int
    user: int  # uid and gid, where this is root
    environment: Mapping[str, str]
    limits: Limits = Limits()
    shown: Sequence[str] = field(default=())  # files of which it sees a copy


def confine(program: Program, folder: Path) -> Confined:
    """Run a program confined. To be called from a process with one thread.

    Args:
        folder: an empty folder of its own, which becomes its root.

    Raises:
        Unconfined: this is not allowed here.
    """
    ours, theirs = socket.socketpair()
    held, leash = os.pipe()
    asked, asking = os.pipe()
    telling, told = os.pipe()
    keeper = os.fork()
    if keeper == 0:
        for mine in (leash, asking, telling):
            os.close(mine)
        ours.close()
        _keep(program, folder, theirs, held, (asked, told))
    theirs.close()
    for other in (held, asked, told):
        os.close(other)
    said, sockets, _, _ = socket.recv_fds(ours, 4096, 1)
    ours.close()
    if not sockets:
        for mine in (leash, asking, telling):
            os.close(mine)
        os.waitpid(keeper, 0)
        raise Unconfined(said.decode() or "ended")
    return Confined(keeper, socket.socket(fileno=sockets[0]), asking, telling, leash)


def _keep(program: Program, folder: Path, outside: socket.socket, held: int, ends: tuple[int, int]) -> NoReturn:
    try:
        nothing = os.open(os.devnull, os.O_RDWR)
        os.dup2(nothing, 0)
        os.dup2(nothing, 1)
        _unshare()
        listening = _listen(program.host, program.port)
        first = os.fork()
        if first == 0:
            _begin(program, folder, outside, listening, held, ends)
        for theirs in (held, *ends, outside.detach(), listening.detach()):
            os.close(theirs)
        os.waitpid(first, 0)
    except OSError as error:
        with suppress(OSError):
            outside.send(_said(error))
    finally:
        os._exit(0)


def _begin(
    program: Program, folder: Path, outside: socket.socket, listening: socket.socket, held: int, ends: tuple[int, int]
) -> NoReturn:
    """Process 1: furnish the room, run the program in it, and end when it has or when the leash is let go."""
    try:
        _prctl(DIE_WITH_PARENT, signal.SIGKILL)
        _prctl(DUMPABLE, 0)  # nobody inside looks into this process
        own = _own_processes(program.user if os.geteuid() == 0 else os.geteuid())
        rooms.furnish(folder, program.host, program.user, program.shown)
        failed, failing = os.pipe()
        running = os.fork()
        if running == 0:
            _become(program, ends, own, failing)
        for theirs in (*ends, failing):
            os.close(theirs)
        if because := os.read(failed, 400):  # nothing, once it is the program
            raise OSError(errno.EPERM, because.decode())
        socket.send_fds(outside, [b"."], [listening.fileno()])
        outside.close()
        listening.close()
        leash = select.poll()
        leash.register(held, select.POLLHUP)
        while not leash.poll(LOOK) and _goes_on(running):
            continue
    except OSError as error:
        with suppress(OSError):
            outside.send(_said(error))
    finally:
        os._exit(0)


def _goes_on(program: int) -> bool:
    """Whether the program does; what it has left behind is buried here."""
    with suppress(ChildProcessError):
        while pid := os.waitpid(-1, os.WNOHANG)[0]:
            if pid == program:
                return False
        return True
    return False


def _become(program: Program, ends: tuple[int, int], own: int, failing: int) -> NoReturn:
    """Be the program: its ends, its limits, its user, with no privilege and none to be had; or tell why not."""
    try:
        os.dup2(ends[0], 0)
        os.dup2(ends[1], 1)
        os.dup2(failing, 3, inheritable=False)
        os.closerange(4, 65536)
        limits = program.limits
        for what, most in (
            (resource.RLIMIT_CORE, 0),
            (resource.RLIMIT_AS, limits.memory),
            (resource.RLIMIT_NOFILE, limits.files),
            (resource.RLIMIT_NPROC, own + limits.processes),
            (resource.RLIMIT_CPU, limits.seconds),
            (resource.RLIMIT_FSIZE, limits.written),
        ):
            already = resource.getrlimit(what)[1]
            most = most if already == resource.RLIM_INFINITY else min(most, already)
            resource.setrlimit(what, (most, most))
        capability = 0
        while _libc.prctl(DROP_FROM_BOUNDS, capability, 0, 0, 0) == 0:
            capability += 1
        if os.geteuid() == 0:
            os.setgroups([])
            os.setresgid(program.user, program.user, program.user)
            os.setresuid(program.user, program.user, program.user)
        _prctl(NO_NEW_PRIVILEGES, 1)
        calls.forbid()
        os.chdir(rooms.WORK)
        os.execve(program.words[0], list(program.words), dict(program.environment))  # noqa: S606
    except Exception as error:
        os.write(3, _said(error))
    finally:
        os._exit(127)


def _unshare() -> None:
    """Have namespaces of one's own. An ordinary user is in one of users first, in which it is still itself."""
    user, group = os.geteuid(), os.getegid()
    if user == 0:
        _call("unshare", NAMESPACES)
        return
    _call("unshare", USERS | NAMESPACES)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1")


def _listen(host: str, port: int) -> socket.socket:
    """The one socket that listens in this network, where the host's name leads; its address is made loopback's own."""
    address = rooms.LOOPBACK
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        flags = fcntl.ioctl(asking, GET_FLAGS, struct.pack("16sh14x", b"lo", 0))
        fcntl.ioctl(asking, SET_FLAGS, struct.pack("16sh14x", b"lo", struct.unpack("16sh14x", flags)[1] | UP))
        with suppress(ValueError):
            address = str(ipaddress.IPv4Address(host))
            there = struct.pack("16sHH4s8x", b"lo:1", socket.AF_INET, 0, ipaddress.IPv4Address(host).packed)
            if not ipaddress.IPv4Address(host).is_loopback:
                fcntl.ioctl(asking, SET_ADDRESS, there)
    return socket.create_server((address, port), backlog=4096)


def _own_processes(user: int) -> int:
    """How many processes and threads a user has: the kernel's limit counts them all."""
    found = 0
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            found += len(list((process / "task").iterdir())) if process.stat().st_uid == user else 0
    return found


def _prctl(what: int, value: int) -> None:
    _call("prctl", what, value, 0, 0, 0)


def _call(name: str, *arguments: int) -> None:
    if getattr(_libc, name)(*arguments) != 0:
        raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")


def _said(error: Exception) -> bytes:
    return str(getattr(error, "strerror", None) or error)[:400].encode()

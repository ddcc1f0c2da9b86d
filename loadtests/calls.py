"""Calls of the kernel that a confined program may not make: what leads past namespaces, and what it never needs.

A network namespace holds some families of sockets only: AF_VSOCK, for one, leads from a virtual machine to its host.
"""

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Iterator

SET_SECCOMP, BY_FILTER = 22, 2
LOAD, EQUAL, AT_LEAST, RETURN = 0x20, 0x15, 0x35, 0x06  # instructions of a filter
ALLOW, REFUSE, KILL = 0x7FFF0000, 0x00050000, 0x80000000
NUMBER, MACHINE, FIRST = 0, 4, 16  # where the kernel puts the call's number, its machine and its first argument
FAMILIES = (1, 2, 10, 16)  # unix, internet, internet 6, netlink (by which libc asks for interfaces)
ODD = 0x40000000  # numbers from here are x86's other calls, which have the same effects

# keys (add, request, control), unshare, bpf, perf events, user faults, rings of calls; and first, socket
_NEWER = (198, 217, 218, 219, 97, 280, 241, 282, 425)
_MACHINES = {
    "x86_64": (0xC000003E, (41, 248, 249, 250, 272, 321, 298, 323, 425)),
    "aarch64": (0xC00000B7, _NEWER),
    "loongarch64": (0xC0000102, _NEWER),
    "riscv64": (0xC00000F3, _NEWER),
}


def forbid() -> None:
    """Have this process, and all that come of it, not make them. No privilege may be left to be had.

    Raises:
        OSError: it is not known how on this machine, or the kernel has no filters.
    """
    if platform.machine() not in _MACHINES:
        raise OSError(errno.ENOSYS, f"no filter of calls for {platform.machine()}")
    rules = list(_filter(*_MACHINES[platform.machine()]))
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *rule) for rule in rules))
    program = ctypes.create_string_buffer(struct.pack("H6xQ", len(rules), ctypes.addressof(code)))
    if ctypes.CDLL(None, use_errno=True).prctl(SET_SECCOMP, BY_FILTER, program, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"seccomp: {os.strerror(number)}")


def _filter(machine: int, calls: tuple[int, ...]) -> Iterator[tuple[int, int, int, int]]:
    """Instructions: what they do, how many are left out where it is so and where it is not, and the value."""
    socket, *never = calls
    yield LOAD, 0, 0, MACHINE
    yield EQUAL, 1, 0, machine
    yield RETURN, 0, 0, KILL
    yield LOAD, 0, 0, NUMBER
    yield AT_LEAST, 0, 1, ODD
    yield RETURN, 0, 0, KILL
    for call in never:
        yield EQUAL, 0, 1, call
        yield RETURN, 0, 0, REFUSE | errno.ENOSYS
    yield EQUAL, 1, 0, socket
    yield RETURN, 0, 0, ALLOW
    yield LOAD, 0, 0, FIRST
    for family in FAMILIES:
        yield EQUAL, 0, 1, family
        yield RETURN, 0, 0, ALLOW
    yield RETURN, 0, 0, REFUSE | errno.EAFNOSUPPORT

"""Rooms: a root folder of their own for confined programs, in which there is what Python needs, to be read only."""

import ctypes
import os
import shutil
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path

LOOPBACK = "127.0.0.1"
WORK = "/tmp"  # noqa: S108  the room's own, empty, and the only place in which something can be written
LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/share/zoneinfo", "/usr/share/ca-certificates")
OF_ETC = (
    "ld.so.cache",
    "localtime",
    "alternatives",
    "ssl/certs",
    "ssl/openssl.cnf",
    "pki/tls",
    "pki/ca-trust/extracted",
)
DEVICES = ("null", "zero", "full", "random", "urandom")
READ_ONLY, NO_SETUID, NO_DEVICES, REMOUNT, BIND, RECURSIVE, PRIVATE, DETACHED = 1, 2, 4, 32, 4096, 16384, 1 << 18, 2
KEPT = os.ST_NODEV | os.ST_NOEXEC  # what a mount has of these, an ordinary user may not take off

_libc = ctypes.CDLL(None, use_errno=True)


def furnish(root: Path, host: str, user: int, shown: Sequence[str]) -> None:
    """Make this folder the root of all processes of this namespace of mounts, of which the caller must be process 1.

    Args:
        host: name that leads to loopback.
        user: uid and gid that have a name.
        shown: files of which there is a copy, at their place.

    Raises:
        OSError: the kernel does not let it.
    """
    _mount(None, "/", None, RECURSIVE | PRIVATE)
    _mount("tmpfs", root, "tmpfs", NO_SETUID | NO_DEVICES, "mode=755,size=8m")
    _mount("tmpfs", _place(Path(WORK), root), "tmpfs", NO_SETUID | NO_DEVICES, "mode=1777,size=64m")
    for path in _outermost(_wanted()):
        _show(path, root)
    for name in DEVICES:
        place = _place(Path("/dev", name), root, is_file=True)
        _mount(f"/dev/{name}", place, None, BIND)
    for told, text in _told(host, user).items():
        _place(Path("/etc", told), root, is_file=True).write_text(text, encoding="utf-8")
    for file in map(os.path.abspath, shown):
        if not Path(f"{root}{file}").exists():
            shutil.copyfile(file, _place(Path(file), root, is_file=True))
    _mount("proc", _place(Path("/proc"), root), "proc", NO_SETUID | NO_DEVICES)
    _mount(None, root, None, REMOUNT | BIND | READ_ONLY | NO_SETUID | NO_DEVICES)
    os.chdir(root)
    _check(_libc.pivot_root(b".", b"."), "pivot_root")
    _check(_libc.umount2(b".", DETACHED), "umount")
    os.chdir("/")


def _wanted() -> Iterator[Path]:
    """What Python, its packages and our own ones need. Of a checkout only the packages: much else may lie beside."""
    here = Path(__file__).parent.parent
    yield from (here / "loadtests", here / "cloudctl")
    if sys.prefix != sys.base_prefix:
        yield Path(sys.prefix)
    yield Path(sys.base_prefix, "lib")
    for name in ("stdlib", "platstdlib", "purelib", "platlib"):
        yield Path(sysconfig.get_path(name))
    program = Path(sys.executable)
    while program.is_symlink():
        yield program.parent
        program = program.parent / program.readlink()
    yield program.parent
    yield from map(Path, LIBRARIES)
    yield from (Path("/etc", name) for name in OF_ETC)


def _outermost(paths: Iterator[Path]) -> list[Path]:
    """Those that there are, each once, and none within another."""
    there = sorted({Path(os.path.normpath(path)) for path in paths if path.exists()})
    found: list[Path] = []
    for path in there:
        if not any(path.is_relative_to(other) and not other.is_symlink() for other in found):
            found.append(path)
    return found


def _show(path: Path, root: Path) -> None:
    """Have it at its place, where nobody can change it."""
    if path.is_symlink() and len(path.parts) == 2:  # as /lib is, where it is usr/lib
        (root / path.name).symlink_to(path.readlink())
        return
    place = _place(path, root, is_file=path.is_file())
    _mount(path, place, None, BIND | RECURSIVE)
    _mount(None, place, None, REMOUNT | BIND | READ_ONLY | NO_SETUID | (os.statvfs(place).f_flag & KEPT))


def _place(path: Path, root: Path, *, is_file: bool = False) -> Path:
    """Where it is in the room, made there."""
    place = root / path.relative_to("/")
    (place.parent if is_file else place).mkdir(parents=True, exist_ok=True)
    if is_file:
        place.touch(exist_ok=True)
    return place


def _told(host: str, user: int) -> dict[str, str]:
    """Files of /etc: who there is, and where names lead."""
    named = sorted({"localhost", host})
    return {
        "hosts": f"{LOOPBACK} {' '.join(named)}\n",
        "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
        "passwd": f"load:x:{user}:{user}::{WORK}:/nonexistent\n",
        "group": f"load:x:{user}:\n",
    }


def _mount(source: str | Path | None, place: str | Path, kind: str | None, flags: int, options: str = "") -> None:
    words = [None if word is None else str(word).encode() for word in (source, place, kind)]
    done = _libc.mount(*words, ctypes.c_ulong(flags), options.encode() or None)
    _check(done, f"mount {source or place}")


def _check(answer: int, what: str) -> None:
    if answer != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")

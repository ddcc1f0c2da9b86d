"""The root file systems of the servers: built once, kept as squashfs images, which are mounted in no time."""

import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.beds import CACHE
from tests.beds.servers import debian

HERE = Path(__file__).parent
SCRIPTS = ("bare.sh", "graft.sh")
KEPT_UNUSED = 30 * 24 * 3600.0
# what is built dies with its builder and leaves no mounts: all happens in namespaces of its own
CAGE = ("setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")


@dataclass(frozen=True)
class Image:
    """A root file system: Debian's name of its architecture, its suite, and the image of amd64 it is grafted on."""

    architecture: str
    suite: str
    grafted_on: str | None = None


@dataclass(frozen=True)
class Emulator:
    """A static program that runs another architecture's, and the package and suite it comes from."""

    package: str
    suite: str
    program: str


IMAGES = {
    "amd64": Image("amd64", "bookworm"),
    "arm64": Image("arm64", "bookworm", grafted_on="amd64"),
    "amd64-forky": Image("amd64", "forky"),  # no server runs it: loong64 is grafted on it
    "loong64": Image("loong64", "forky", grafted_on="amd64-forky"),  # the first suite that has the architecture
}
EMULATORS = {
    "arm64": Emulator("qemu-user-static", "bookworm", "qemu-aarch64-static"),  # 7.2 is half again as fast as 10.0
    "loong64": Emulator("qemu-user", "trixie", "qemu-loongarch64"),  # the first that runs forky's programs
}


def folder() -> Path:
    """Where the images lie; what they are made of is in its name, so that a change makes new ones."""
    digest = hashlib.sha256(repr((IMAGES, EMULATORS)).encode())
    for name in SCRIPTS:
        digest.update((HERE / name).read_bytes())
    return CACHE / "servers" / digest.hexdigest()[:16]


def image(name: str) -> Path:
    return folder() / f"{name}.squashfs"


def emulator(architecture: str) -> Path:
    return folder() / f"{EMULATORS[architecture].program}"


def are_built() -> bool:
    return all(path.exists() for path in _all())


def build(tell: Callable[[str], None] = lambda line: None) -> None:
    """Build what is missing; whoever comes while somebody builds waits, and finds it done.

    Raises:
        NoDebian: the machine's apt names no mirror of Debian.
        RuntimeError: a step failed; carries its last words.
    """
    here = folder()
    here.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.utime(here)
    if are_built():
        tell(f"All images are there already, in {here}.")
        return
    with (CACHE / "servers" / "build.lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        _remove_old(here)
        if not are_built():
            debian.install_tools()
            work = here / "work"
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir()
            try:
                (work / "options").write_text(debian.options())
                with ThreadPoolExecutor(2) as pool:  # a chain for each suite
                    list(pool.map(lambda chain: _build_chain(chain, work, tell), ("arm64", "loong64")))
            finally:
                shutil.rmtree(work, ignore_errors=True)
    tell(f"All images are built, in {here}.")


def _build_chain(architecture: str, work: Path, tell: Callable[[str], None]) -> None:
    """The image of an emulated architecture, the one it is grafted on, and its emulator."""
    native = IMAGES[architecture].grafted_on
    assert native
    _kept(image(native), tell, _bare, native, work)
    _kept(emulator(architecture), tell, _emulator, architecture, work)
    _kept(image(architecture), tell, _graft, architecture, work)


def _kept(path: Path, tell: Callable[[str], None], make: Callable[[str, Path], Path], name: str, work: Path) -> None:
    """Make what is not there yet; it gets its place when it is whole."""
    if not path.exists():
        began = time.monotonic()
        tell(f"Building {path.name} …")
        make(name, work).rename(path)
        tell(f"{path.name} took {time.monotonic() - began:.0f} s and has {path.stat().st_size >> 20} MiB.")


def _bare(name: str, work: Path) -> Path:
    root = work / name
    debian.run(*CAGE, "sh", str(HERE / "bare.sh"), IMAGES[name].suite, debian.mirror(), f"{work}/options", str(root))
    return _packed(root)


def _graft(name: str, work: Path) -> Path:
    to_make, root, native = IMAGES[name], work / name, work / f"{name}-native"
    assert to_make.grafted_on
    debian.run("unsquashfs", "-quiet", "-no-progress", "-dest", str(native), str(image(to_make.grafted_on)))
    words = (to_make.architecture, to_make.suite, debian.mirror(), work / "options", native, emulator(name), root)
    debian.run(*CAGE, "sh", str(HERE / "graft.sh"), *map(str, words))
    return _packed(root)


def _emulator(architecture: str, work: Path) -> Path:
    wanted, there = EMULATORS[architecture], work / f"emulator-{architecture}"
    there.mkdir()
    debian.unpack(wanted.package, wanted.suite, there)
    return there / "usr/bin" / wanted.program


def _packed(root: Path) -> Path:
    packed = root.with_suffix(".squashfs")
    debian.run("mksquashfs", str(root), str(packed), "-quiet", "-no-progress", "-comp", "lz4")
    shutil.rmtree(root)
    return packed


def _all() -> Iterable[Path]:
    yield from map(image, IMAGES)
    yield from map(emulator, EMULATORS)


def _remove_old(here: Path) -> None:
    """Images of other contents, unless somebody used them lately: another checkout may still want them."""
    for other in here.parent.iterdir():
        is_images = other.is_dir() and other.name != "beds"
        if is_images and other != here and time.time() - other.stat().st_mtime > KEPT_UNUSED:
            shutil.rmtree(other)

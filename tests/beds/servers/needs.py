"""What a machine must have to carry a bed of servers, and which of it this one lacks."""

import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.beds import CACHE
from tests.beds.servers import debian, images

FILE_SYSTEMS = ("overlay", "squashfs", "binfmt_misc")
NAMESPACES = ("--mount", "--pid", "--fork", "--net", "--uts", "--ipc", "--cgroup")


def unmet() -> str | None:
    """What is missing here, in words; none when a bed can run."""
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        return "the machine is not Linux on x86-64"
    if os.geteuid() != 0:
        return "only root can make servers"
    if not Path("/dev/loop-control").exists():
        return "there are no loop devices"
    for kind in FILE_SYSTEMS:
        if not _knows(kind):
            return f"the kernel has no {kind}"
    if not images.are_built():
        try:
            debian.mirror()
        except debian.NoDebian as why:
            return f"their root file systems cannot be built, {why}"
    return _trouble_with_namespaces()


def _knows(kind: str) -> bool:
    """Whether the kernel has a file system, after its module was asked for."""

    def listed() -> bool:
        return any(line.split()[-1] == kind for line in Path("/proc/filesystems").read_text().splitlines())

    if not listed() and shutil.which("modprobe"):
        subprocess.run(["modprobe", "--quiet", kind], capture_output=True)
    return listed()


def _trouble_with_namespaces() -> str | None:
    """Make what a server is made of, for a moment: what fails says why."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        for part in ("image", "disk", "work", "root"):
            Path(folder, part).mkdir()
        layers = f"lowerdir={folder}/image,upperdir={folder}/disk,workdir={folder}/work"
        mount = ("mount", "-t", "overlay", "-o", layers, "overlay", f"{folder}/root")
        done = subprocess.run(["unshare", *NAMESPACES, *mount], capture_output=True, text=True)
    return f"namespaces or an overlay in {CACHE} are refused: {done.stderr.strip()}" if done.returncode else None

"""Debian's packages, unpacked into the cache once as the machine's own apt fetches them; nothing is installed."""

import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.beds.servers import debian


def unpack(packages: Sequence[str], folder: Path, finish: Callable[[], None] = lambda: None) -> None:
    """Have them in a folder of their own, whole or not at all; one process at a time fetches.

    Args:
        finish: what else is done to them, once, before anybody uses them.

    Raises:
        FileNotFoundError, RuntimeError: this machine has no apt, or it cannot fetch them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        whole = folder / "whole"
        said = " ".join(packages)
        if whole.exists() and whole.read_text() == said:
            return
        if not shutil.which("apt-get"):
            raise FileNotFoundError("there is no apt")
        for package in packages:
            _unpack(package, folder)
        finish()
        whole.write_text(said)


def _unpack(package: str, folder: Path) -> None:
    fetched = folder / "fetched"
    shutil.rmtree(fetched, ignore_errors=True)
    fetched.mkdir()
    options = ["-o", "APT::Sandbox::User=root"]
    try:
        debian.run("apt-get", "-qq", *options, "download", package, cwd=fetched)
    except RuntimeError:  # lists that were never fetched, or are older than the mirror
        own = fetched / "lists"
        (own / "partial").mkdir(parents=True)
        options += ["-o", f"Dir::State::lists={own}", "-o", f"Dir::Cache={fetched}"]
        debian.run("apt-get", "-qq", *options, "update", env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})
        debian.run("apt-get", "-qq", *options, "download", package, cwd=fetched)
    (archive,) = fetched.glob("*.deb")
    subprocess.run(["dpkg-deb", "-x", archive, folder], check=True, capture_output=True)
    shutil.rmtree(fetched)

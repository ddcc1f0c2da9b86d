"""The programs of the bed: Debian's packages, unpacked into the cache once; nothing is installed."""

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

from tests.beds import CACHE
from tests.beds.servers import debian

PACKAGES = ("prometheus", "prometheus-alertmanager", "prometheus-node-exporter", "victoria-metrics")
PROGRAMS = {
    "prometheus": "prometheus",
    "promtool": "promtool",
    "alertmanager": "prometheus-alertmanager",
    "amtool": "amtool",
    "node-exporter": "prometheus-node-exporter",
    "victoria-metrics": "victoria-metrics",
}
FOLDER = CACHE / "prometheus"


def build() -> None:
    """Fetch what is not there yet, as the machine's own apt fetches it; one process at a time does.

    Raises:
        FileNotFoundError, RuntimeError: this machine has no apt, or it cannot fetch them.
    """
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / "lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        if missing() and not shutil.which("apt-get"):
            raise FileNotFoundError("there is no apt")
        for package in PACKAGES if missing() else ():
            _unpack(package)
            _free_of_its_place(path("alertmanager"))


def missing() -> list[str]:
    """The programs that are not there."""
    return [name for name in PROGRAMS if not path(name).exists()]


def path(name: str) -> Path:
    """Where a program lies."""
    return FOLDER / "usr" / "bin" / PROGRAMS[name]


def _unpack(package: str) -> None:
    fetched = FOLDER / "fetched"
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
    subprocess.run(["dpkg-deb", "-x", archive, FOLDER], check=True, capture_output=True)
    shutil.rmtree(fetched)


def _free_of_its_place(program: Path) -> None:
    """Debian's Alertmanager reads its templates where the package is installed. This copy, which nobody installs, looks
    in the folder it is started in: a path of the same length, so that nothing else of the program moves."""
    if program.exists():
        there = b"/usr/share/prometheus/alertmanager"
        here = b"./" * 17
        program.write_bytes(program.read_bytes().replace(there, here))
        program.chmod(0o755)


def templates() -> Path:
    """The folder that Alertmanager is started in."""
    return FOLDER / "usr" / "share" / "prometheus" / "alertmanager"

"""The programs of the bed, from Debian's packages."""

from pathlib import Path

from tests.beds import CACHE, packages

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
    """Fetch what is not there yet.

    Raises:
        FileNotFoundError, RuntimeError: this machine has no apt, or it cannot fetch them.
    """
    packages.unpack(PACKAGES, FOLDER, finish=lambda: _free_of_its_place(path("alertmanager")))


def path(name: str) -> Path:
    """Where a program lies."""
    return FOLDER / "usr" / "bin" / PROGRAMS[name]


def _free_of_its_place(program: Path) -> None:
    """Debian's Alertmanager reads its templates where the package is installed. This copy, which nobody installs, looks
    in the folder it is started in: a path of the same length, so that nothing else of the program moves."""
    there = b"/usr/share/prometheus/alertmanager"
    here = b"./" * 17
    program.write_bytes(program.read_bytes().replace(there, here))
    program.chmod(0o755)


def templates() -> Path:
    """The folder that Alertmanager is started in."""
    return FOLDER / "usr" / "share" / "prometheus" / "alertmanager"

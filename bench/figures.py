"""One measured figure, and the fresh database that figures are measured on."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from cloudctl import migrations
from cloudctl.kernel import database


@dataclass(frozen=True)
class Figure:
    """Ours beside a reference; None where there is no reference, or no goal."""

    name: str
    ours: float
    reference: float | None
    unit: str
    ratio: float | None
    goal: str | None = None
    met: bool | None = None


@contextmanager
def fresh_database() -> Iterator[str]:
    """The address of a migrated database on a server of its own, as durable as in production; gone afterwards."""
    parent = Path("/var/lib/cloudctl/bench") if os.geteuid() == 0 else Path(tempfile.gettempdir())
    parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir=parent))
    folder.chmod(0o755)
    try:
        url = database.embedded(folder)["owner"]
        migrations.upgrade(url)
        yield url
    finally:
        database.stop_embedded(folder)
        shutil.rmtree(folder, ignore_errors=True)


def side_by_side(ours: Callable[[], float], reference: Callable[[], float], rounds: int = 5) -> tuple[float, float]:
    """The medians of both, measured in turn so that whatever else the machine does hits both."""
    pairs = [(ours(), reference()) for _ in range(rounds)]
    return median(pair[0] for pair in pairs), median(pair[1] for pair in pairs)

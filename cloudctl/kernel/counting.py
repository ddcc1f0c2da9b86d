"""Counting: where all processes of this machine keep what they count, so that any of them can tell it for all."""

import os
import sys
from contextlib import suppress
from pathlib import Path

from cloudctl.kernel.settings import Settings

_WHERE = "PROMETHEUS_MULTIPROC_DIR"


def share(settings: Settings) -> None:
    """Count where others count too. To be called before anything counts: prometheus-client looks once.

    What ended processes counted stays, since a sum must never fall while others go on; it goes when none is left.
    """
    assert "prometheus_client" not in sys.modules, "it has looked already"
    if _WHERE in os.environ:
        return
    folder = settings.data_dir / "metrics"
    folder.mkdir(parents=True, exist_ok=True)
    files = list(folder.glob("*.db"))
    if not any(Path("/proc", file.stem.rpartition("_")[2]).exists() for file in files):
        for file in files:
            with suppress(FileNotFoundError):  # another process that starts now was quicker
                file.unlink()
    os.environ[_WHERE] = str(folder)

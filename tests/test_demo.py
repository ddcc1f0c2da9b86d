"""The demo is the product's main job: it runs from end to end, in either language, and leaves nothing running."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT_FOLDER

pytestmark = pytest.mark.slow


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where the embedded database of root may lie, which is not below a home or /tmp/pytest-of-root."""
    ROOT_FOLDER.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="demo-", dir=ROOT_FOLDER))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def processes_of(folder: Path) -> list[str]:
    """Command lines of processes that name the folder, or have it in their environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            said = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        except OSError:
            continue
        if str(folder).encode() in said and process.name != str(os.getpid()):
            found.append(said.replace(b"\0", b" ").decode(errors="replace")[:200])
    return found


def test_the_demo_plays_to_its_end_and_ends_what_it_started(folder: Path) -> None:
    environment = {**os.environ, "CLOUDCTL_DATA_DIR": str(folder), "CLOUDCTL_LANG": "zh"}
    began = time.monotonic()
    command = [sys.executable, "-m", "cloudctl", "demo"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert time.monotonic() - began < 240
    assert "八音坐唱" in done.stdout
    assert "<svg" in (folder / "demo" / "report.html").read_text()
    time.sleep(1)  # a process that has ended is still listed for a moment
    assert processes_of(folder) == []
    left = [tenancy for tenancy in (folder / "demo" / "tenancies").iterdir() if tenancy.is_dir()]
    assert len(left) == 1  # of two, one was erased

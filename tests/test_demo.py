"""The demo is the product's main job: it runs from end to end, in either language, and leaves nothing running."""

import json
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


def played(folder: Path, language: str, *options: str) -> str:
    """What a demo tells, which has come to its end and left nothing running."""
    environment = {**os.environ, "CLOUDCTL_DATA_DIR": str(folder), "CLOUDCTL_LANG": language}
    command = [sys.executable, "-m", "cloudctl", "demo", *options]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    time.sleep(1)  # a process that has ended is still listed for a moment
    assert processes_of(folder) == []
    return done.stdout


def test_the_demo_plays_to_its_end_and_ends_what_it_started(folder: Path) -> None:
    began = time.monotonic()
    told = played(folder, "zh")
    assert time.monotonic() - began < 240
    assert "八音坐唱" in told
    assert "<svg" in (folder / "demo" / "report.html").read_text()
    assert len(list((folder / "demo" / "tenancies").glob("ten_*"))) == 1  # of two, one was erased


@pytest.mark.measures
def test_the_surge_is_told_from_too_little_to_enough_and_back(folder: Path) -> None:
    """A campaign fails, its proposal is approved and provisioned, a second one measures more and passes, the size goes
    back, the proof is expired: the demo breaks off where one of these is not so."""
    assert "pass" in played(folder, "en", "--surge")
    told = json.loads((folder / "demo" / "surge.json").read_text())
    first, second, proven = (told[name] for name in ("surge-first", "surge-second", "surge-proven"))
    assert first["proposal"]["headroom"] < 1
    assert second["size"] == first["proposal"]["size"]
    assert second["size"]["vcpu"] > first["size"]["vcpu"]
    assert second["result"]["goodput"] > 1.2 * first["result"]["goodput"]
    assert proven["result"]["capacity"] > first["result"]["goodput"]
    assert (folder / "demo" / "surge.html").read_text().count("&lt;svg") >= 3

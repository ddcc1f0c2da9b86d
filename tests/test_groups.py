"""Tests of one group run in one process: a bed is started once, and not once in every process."""

import subprocess
import sys
from pathlib import Path

TESTS = """
import os, pytest
@pytest.mark.xdist_group("one")
@pytest.mark.parametrize("number", range(8))
def test_it(number):
    with open(os.environ["TOLD"], "a") as told:
        told.write(os.environ["PYTEST_XDIST_WORKER"] + "\\n")
"""


def test_a_group_is_not_spread_over_processes(tmp_path: Path) -> None:
    (tmp_path / "test_them.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "2", "--dist", "loadgroup"]
    told = tmp_path / "told"
    environment = {"TOLD": str(told), "PATH": "/usr/bin:/bin"}
    subprocess.run([*command, "--rootdir", tmp_path, tmp_path], cwd=tmp_path, env=environment, check=True)
    assert len(set(told.read_text().split())) == 1

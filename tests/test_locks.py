"""The locks hold everything that pyproject.toml asks for, by hash, and name no index."""

import re
import tomllib
from pathlib import Path

import pytest

HERE = Path(__file__).parent.parent
ASKED = tomllib.loads((HERE / "pyproject.toml").read_text(encoding="utf-8"))
RUNS, BUILDS, TESTS = ASKED["project"]["dependencies"], *(ASKED["dependency-groups"][name] for name in ("build", "dev"))


def names(requirements: list[str]) -> set[str]:
    """Project names, as PEP 503 writes them."""
    return {re.sub(r"[-_.]+", "-", re.split(r"[\[<>=;!~ ]", one)[0]).lower() for one in requirements}


def locked(file: str) -> dict[str, int]:
    """How many hashes stand beside each locked project."""
    parts = re.split(r"^(?=\w)", (HERE / file).read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {part.partition("==")[0].partition("[")[0]: part.count("--hash=sha256:") for part in parts if "==" in part}


@pytest.mark.parametrize(
    ("file", "asked"), [("requirements.lock", RUNS + BUILDS), ("requirements-dev.lock", RUNS + BUILDS + TESTS)]
)
def test_everything_that_is_asked_for_is_locked_by_hash(file: str, asked: list[str]) -> None:
    found = locked(file)
    assert names(asked) - set(found) == set(), "run: make lock"
    assert [name for name, hashes in found.items() if not hashes] == []


@pytest.mark.parametrize("file", ["requirements.lock", "requirements-dev.lock"])
def test_a_lock_names_no_index(file: str) -> None:
    text = (HERE / file).read_text(encoding="utf-8")
    assert [mark for mark in ("://", "--index", "--find-links", "--extra") if mark in text] == []

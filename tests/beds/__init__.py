"""Test beds: real back ends that the tests start themselves, and the one rule for where they cannot."""

import os
from pathlib import Path
from typing import NoReturn

import pytest

CACHE = Path(
    os.environ.get("CLOUDCTL_TEST_CACHE")
    or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "cloudctl")
)
"""Where beds keep what takes long to make; may be removed at any time when no test runs."""


def missing(part: str, why: str) -> NoReturn:
    """This part of the tests cannot run here: skipped with the reason, but a failure with CI=true."""
    reason = f"{part}: {why}"
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)

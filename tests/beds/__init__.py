"""Test beds: real back ends that the tests start themselves, and the one rule for where they cannot."""

import os
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import pytest

CACHE = Path(
    os.environ.get("CLOUDCTL_TEST_CACHE")
    or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "cloudctl")
)
"""Where beds keep what takes long to make; may be removed at any time when no test runs."""


NOT_RUN = "not run here: "
"""Begins the reason of what was skipped because a part is missing; the run's last lines repeat each."""

WATCHERS = 1024  # as clusters' own guides have it


def missing(part: str, why: str) -> NoReturn:
    """This part of the tests cannot run here: skipped with the reason, but a failure with CI=true."""
    reason = f"{NOT_RUN}{part}: {why}"
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def let_many_be_watched() -> None:
    """Each systemd and each kubelet takes several of what a kernel gives one user to watch files with (inotify).

    It gives 128 of them; two handfuls of servers beside a cluster take more, and what comes last does not start.
    """
    limit = Path("/proc/sys/fs/inotify/max_user_instances")
    with suppress(OSError):
        if int(limit.read_text()) < WATCHERS:
            limit.write_text(str(WATCHERS))

"""How long `cloudctl --help` takes from a cold start, beside a Python that does nothing."""

import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from bench.figures import Figure, side_by_side

GOAL = 150.0  # milliseconds
STARTS = 10


def figures() -> Iterator[Figure]:
    """`cli-help`: milliseconds from start to end, each run in a process of its own."""
    ours, bare = side_by_side(
        partial(_milliseconds, str(Path(sys.executable).with_name("cloudctl")), "--help"),
        partial(_milliseconds, "-c", "pass"),
        rounds=5,
    )
    yield Figure("cli-help", ours, bare, "ms", ours / bare, f"<= {GOAL:.0f} ms", ours <= GOAL)


def _milliseconds(*words: str) -> float:
    """The best of several: a cold start is never faster than it can be, only disturbed."""
    return min(_one(*words) for _ in range(STARTS)) * 1000


def _one(*words: str) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, *words], stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began

"""A bed leaves nothing, however its owner ends: no process, mount, namespace, control group or folder."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from tests.beds.kubernetes.fixtures import shared
from tests.beds.kubernetes.processes import until

UP = (sys.executable, "-m", "tests.beds.kubernetes", "up")


def traces(folder: str) -> dict[str, list[str]]:
    """What there is of a bed, each kind found by the name of its folder."""
    found: dict[str, list[str]] = {"folder": [folder] if Path(folder).exists() else []}
    name = Path(folder).name
    found["groups"] = [path for path, *_ in os.walk("/sys/fs/cgroup") if Path(path).name == name]
    found["mounts"] = [line for line in Path("/proc/mounts").read_text().splitlines() if name in line]
    found["processes"] = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it ended meanwhile
            if name in (process / "cmdline").read_text() + (process / "mountinfo").read_text():
                found["processes"].append(process.name)
    return {kind: things for kind, things in found.items() if things}


def networks(processes: Iterable[str]) -> dict[int, str]:
    """The network namespaces that these processes are in, but ours: its number, and one of the processes."""
    found = {}
    for process in processes:
        with suppress(OSError):
            found[Path("/proc", process, "ns/net").stat().st_ino] = process
    found.pop(Path("/proc/self/ns/net").stat().st_ino, None)
    return found


@contextmanager
def kept(processes: Iterable[str]) -> Iterator[None]:
    """Their network namespaces stay meanwhile, so that no new one gets the number of one that is gone."""
    with ExitStack() as files:
        for process in processes:
            files.enter_context(Path("/proc", process, "ns/net").open())
        yield


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "asked to end"])
@pytest.mark.parametrize("kind", [pytest.param(kind, marks=shared(kind)) for kind in ("cluster", "workers")])
def test_nothing_is_left(request, kind, number):
    assert request.getfixturevalue(kind)  # so that it is known to run here
    kinds, count = {"folder", "processes"}, []
    if kind == "workers":
        kinds, count = kinds | {"groups"}, ["1"]
    with subprocess.Popen([*UP, *count], stdout=subprocess.PIPE, text=True, start_new_session=True) as owner:
        assert owner.stdout
        line = next(line for line in owner.stdout if line.startswith("export KUBECONFIG="))
        folder = str(Path(line.strip().partition("=")[2]).parent)
        seen = traces(folder)
        assert seen.keys() == kinds
        inside = networks(seen["processes"])
        assert len(inside) == (2 if count else 0)  # the control plane's and the worker's
        with kept(inside.values()):
            os.kill(owner.pid, number)
            until("nothing is left", lambda: not traces(folder), 30, every=0.2)
            everybody = [process.name for process in Path("/proc").glob("[0-9]*")]
            assert not inside.keys() & networks(everybody).keys()

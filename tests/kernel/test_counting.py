"""What the processes of a machine count is told by any of them, also after one has ended."""

import os
import subprocess
import sys
from pathlib import Path

COUNT = """
import sys
from cloudctl.kernel import counting
from cloudctl.kernel.settings import Settings
counting.share(Settings())
from cloudctl.kernel import telemetry
telemetry.OPERATIONS_ENDED.labels("toy.count", "done").inc(int(sys.argv[1]))
print(telemetry.exposition().decode())
sys.stdout.flush()
sys.stdin.readline()
"""
LINE = 'cloudctl_operations_ended_total{operation="toy.count",outcome="done"} '


def start(folder: Path, count: int) -> "subprocess.Popen[str]":
    environment = {**os.environ, "CLOUDCTL_DATA_DIR": str(folder)}
    environment.pop("PROMETHEUS_MULTIPROC_DIR", None)
    words = [sys.executable, "-c", COUNT, str(count)]
    return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)


def told(process: "subprocess.Popen[str]") -> float:
    """The sum that a process tells."""
    assert process.stdout
    for line in process.stdout:
        if line.startswith(LINE):
            return float(line.removeprefix(LINE))
    raise AssertionError("it tells nothing of it")


def test_any_process_tells_the_sum_and_it_begins_anew_once_none_is_left(tmp_path: Path) -> None:
    first = start(tmp_path, 2)
    assert told(first) == 2
    second = start(tmp_path, 3)
    assert told(second) == 5
    second.communicate("\n")
    third = start(tmp_path, 4)
    assert told(third) == 9
    for process in (first, third):
        process.communicate("\n")
    last = start(tmp_path, 1)
    assert told(last) == 1
    last.communicate("\n")

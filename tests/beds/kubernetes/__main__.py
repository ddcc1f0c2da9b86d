"""The bed from the command line.

python -m tests.beds.kubernetes build          build all programs, or say that they are there
python -m tests.beds.kubernetes up [WORKERS]   run a cluster until Ctrl-C; with real workers, where a number is given
"""

import os
import signal
import sys

from tests.beds.kubernetes import programs
from tests.beds.kubernetes.cluster import Cluster
from tests.beds.kubernetes.worker import CPU_FAMILIES


def tell(line: str) -> None:
    print(f"kubernetes: {line}", flush=True)


def build() -> None:
    place = programs.ready(programs.CONTROL | programs.WORKER, tell)
    tell(f"all programs of Kubernetes {programs.KUBERNETES} are in {place}")
    if os.geteuid() == 0:
        programs.debian(tell)


def up(workers: int = 0) -> None:
    with Cluster(workers) as cluster:
        for architecture in () if workers else CPU_FAMILIES:
            cluster.add_nodes(1, architecture)
        tell(f"{len(cluster.schedulable())} nodes are ready; Ctrl-C ends it; logs are in {cluster.folder}")
        print(f"export KUBECONFIG={cluster.kubeconfig()}", flush=True)
        signal.pause()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        match sys.argv[1:]:
            case ["build"]:
                build()
            case ["up", *workers]:
                up(*map(int, workers))
            case _:
                sys.exit(__doc__)
    except KeyboardInterrupt:
        tell("ended")
    except programs.Lacking as lacking:
        sys.exit(f"kubernetes: {lacking}")

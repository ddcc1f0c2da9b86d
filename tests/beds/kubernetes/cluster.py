"""A real Kubernetes of one test process: the control plane, and nodes played by kwok."""

import itertools
import json
import os
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
from kubernetes import client, config

from tests.beds.kubernetes import programs
from tests.beds.kubernetes.authority import Authority
from tests.beds.kubernetes.processes import HERE, Leavings, start, stop, until

CPU_FAMILIES = {"amd64": "hygon-c86", "arm64": "kunpeng-920", "loong64": "loongson-3c5000"}
"""The architectures of the bed's nodes, each with the family that its nodes are labelled with."""

STORAGE_CLASSES = ("ssd", "hdd")
API = "kube-apiserver"
SERVICES = "10.96.0.0/16"
_beds = itertools.count()


@dataclass(frozen=True)
class Request:
    """A request that the API server answered."""

    verb: str
    path: str
    status: int


class Cluster:
    """A control plane with its own authority, gone without a trace when its `with` block or its process ends.

    Everything listens on a loopback address that only this bed uses, and no root is needed; nodes are added with
    `add_nodes` and run nothing. Start it from a thread that stays: the kernel ends its processes when the thread that
    started them ends.
    """

    def __init__(self) -> None:
        """Raises Lacking: this machine cannot run it; says what is missing."""
        if not shutil.which("setpriv"):
            raise programs.Lacking("setpriv (of util-linux) is missing: Linux only")
        self._programs = programs.ready()
        bed = (os.getpid() << 2 | next(_beds) % 4) & 0xFFFFFF
        self._address = f"127.{bed >> 16}.{bed >> 8 & 255}.{bed & 255}"
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._commands: dict[str, list[str | Path]] = {}
        self._end = ExitStack()

    def __enter__(self) -> "Cluster":
        with self._end:
            leavings = Leavings("kubernetes")
            self._end.callback(leavings.clear)
            self.folder = leavings.folder
            self._end.callback(self._kill)
            self._start_control_plane()
            self._furnish()
            self._end = self._end.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._end.close()

    # -- who may come in ---------------------------------------------------------------------------------------------

    def kubeconfig(self, user: str = "admin", group: str | None = "system:masters") -> Path:
        """A kubeconfig for that user."""
        stem = user.replace(":", "-")
        self.authority.issue(stem, user, group)
        return self.authority.kubeconfig(stem, self.server)

    @cached_property
    def api(self) -> client.ApiClient:
        """The bed's own client, as administrator; its requests are not among `requests`."""
        return config.new_client_from_config(str(self.kubeconfig("bed")))

    @cached_property
    def core(self) -> client.CoreV1Api:
        return client.CoreV1Api(self.api)

    def requests(self, user: str) -> list[Request]:
        """What that user has asked the API server so far, in order. Watches are told when they end."""
        log, size = self.folder / "audit.log", -1
        while size != (size := log.stat().st_size):
            time.sleep(0.1)  # a line may follow its answer by some milliseconds
        lines = (json.loads(line) for line in log.read_text().splitlines())
        return [
            Request(line["verb"], line["requestURI"], line["responseStatus"]["code"])
            for line in lines
            if line["user"]["username"] == user
        ]

    # -- its troubles ------------------------------------------------------------------------------------------------

    @contextmanager
    def without_api(self) -> Iterator[None]:
        """The API server is dead in this block: whoever asks it is refused."""
        stop(self._processes[API])
        try:
            yield
        finally:
            self._run(API)
            self._await_api()

    # -- its nodes ---------------------------------------------------------------------------------------------------

    def add_nodes(
        self, count: int, architecture: str = "amd64", cpu: int = 64, memory_gib: int = 256, family: str | None = None
    ) -> list[str]:
        """Add nodes that run nothing; returns their names when pods can be scheduled to them. 1,000 take some 20 s."""
        size = {"cpu": str(cpu), "memory": f"{memory_gib}Gi", "pods": "110", "ephemeral-storage": "100Gi"}
        labels = {
            "kubernetes.io/arch": architecture,
            "kubernetes.io/os": "linux",
            "cloudctl/cpu-family": family or CPU_FAMILIES[architecture],
        }
        there = len(self.core.list_node().items)
        names = [f"node-{architecture}-{there + number:04d}" for number in range(count)]

        def add(name: str) -> None:
            metadata = {"name": name, "annotations": {"kwok.x-k8s.io/node": "fake"}}
            metadata["labels"] = labels | {"kubernetes.io/hostname": name}
            self.core.create_node({"metadata": metadata, "status": {"allocatable": size, "capacity": size}})

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(add, names))
        until("nodes take pods", lambda: self.schedulable() >= set(names), seconds=300, every=0.2)
        return names

    def schedulable(self) -> set[str]:
        """The nodes that are Ready and carry no taint."""
        return {node.metadata.name for node in self.core.list_node().items if not node.spec.taints and _is_ready(node)}

    # -- starting and ending -----------------------------------------------------------------------------------------

    def _start_control_plane(self) -> None:
        self.authority = Authority(self.folder)
        own = ("127.0.0.1", self._address, "localhost", "kubernetes.default", SERVICES.replace("0.0/16", "0.1"))
        self.authority.issue("server", "kube-apiserver", hosts=own)
        client_url, peer_url = (f"http://{self._address}:{self._port()}" for _ in range(2))
        self.server = f"https://{self._address}:{self._port()}"
        tls = ssl.create_default_context(cafile=str(self.folder / "ca.crt"))
        self.kubeconfig("bed")
        tls.load_cert_chain(self.folder / "bed.crt", self.folder / "bed.key")
        self._http = httpx.Client(verify=tls, timeout=2, trust_env=False)

        etcd = {"data-dir": self.folder / "etcd", "unsafe-no-fsync": "true", "log-level": "error",
                "listen-client-urls": client_url, "advertise-client-urls": client_url,
                "listen-peer-urls": peer_url, "initial-advertise-peer-urls": peer_url,
                "initial-cluster": f"default={peer_url}"}  # fmt: skip
        self._run("etcd", etcd)
        self._run(API, self._api_flags(client_url))
        self._await_api()

        controllers = {"service-account-private-key-file": self.folder / "tokens.key",
                       "root-ca-file": self.folder / "ca.crt", "use-service-account-credentials": "true",
                       "kube-api-qps": 300, "kube-api-burst": 600}  # fmt: skip
        self._run("kube-controller-manager", self._controller_flags("kube-controller-manager") | controllers)
        self._run("kube-scheduler", self._controller_flags("kube-scheduler"))
        kwok = {"kubeconfig": self.kubeconfig("bed"), "config": HERE / "stages.yaml", "manage-all-nodes": "false",
                "manage-nodes-with-annotation-selector": "kwok.x-k8s.io/node=fake",
                "node-lease-duration-seconds": 200, "server-address": f"{self._address}:{self._port()}"}  # fmt: skip
        self._run("kwok", kwok)

    def _api_flags(self, etcd: str) -> dict[str, Any]:
        at = self.folder
        return {"etcd-servers": etcd, "bind-address": self._address, "secure-port": self.server.rsplit(":")[-1],
                "tls-cert-file": at / "server.crt", "tls-private-key-file": at / "server.key",
                "client-ca-file": at / "ca.crt", "authorization-mode": "Node,RBAC",
                "enable-admission-plugins": "NodeRestriction", "allow-privileged": "true",
                "service-account-key-file": at / "tokens.key", "service-account-signing-key-file": at / "tokens.key",
                "service-account-issuer": "https://kubernetes.default.svc", "service-cluster-ip-range": SERVICES,
                "audit-policy-file": HERE / "audit.yaml", "audit-log-path": at / "audit.log"}  # fmt: skip

    def _controller_flags(self, name: str) -> dict[str, Any]:
        admin = self.kubeconfig("bed")
        own = self.kubeconfig(f"system:{name}", None)
        return {"kubeconfig": own, "authentication-kubeconfig": admin, "authorization-kubeconfig": admin,
                "leader-elect": "false", "bind-address": self._address, "secure-port": self._port(),
                "cert-dir": self.folder}  # fmt: skip

    def _run(self, name: str, flags: dict[str, Any] | None = None) -> None:
        """Start a program of the control plane, or start it again as it was."""
        if flags is not None:
            self._commands[name] = [self._programs / name, *(f"--{flag}={value}" for flag, value in flags.items())]
        self._processes[name] = start(self._commands[name], self.folder / f"{name}.log")

    def _await_api(self) -> None:
        def answers() -> bool:
            for name, process in self._processes.items():
                if process.poll() is not None:
                    said = (self.folder / f"{name}.log").read_text()[-2000:]
                    raise RuntimeError(f"{name} ended with {process.returncode}: {said}")
            try:
                return self._http.get(f"{self.server}/readyz").status_code == 200
            except httpx.HTTPError:
                return False

        until("the API server answers", answers)

    def _furnish(self) -> None:
        """What any cluster has before anybody works with it: storage classes, and service accounts of their own."""
        for name in STORAGE_CLASSES:
            body = {"metadata": {"name": name}, "provisioner": "kubernetes.io/no-provisioner"}
            client.StorageV1Api(self.api).create_storage_class(body | {"volumeBindingMode": "WaitForFirstConsumer"})
        until("service accounts are made", lambda: self.core.list_namespaced_service_account("default").items)

    def _port(self) -> int:
        """A free port of the bed's address, which nobody else uses."""
        with socket.socket() as probe:
            probe.bind((self._address, 0))
            return int(probe.getsockname()[1])

    def _kill(self) -> None:
        for process in reversed(self._processes.values()):
            stop(process)


def _is_ready(node: Any) -> bool:
    return any(one.type == "Ready" and one.status == "True" for one in node.status.conditions or ())

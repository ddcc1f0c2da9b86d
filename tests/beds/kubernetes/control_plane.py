"""The control plane of a bed: etcd, API server, controllers, scheduler, and kwok, which plays kubelets of nodes."""

import itertools
import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.beds.kubernetes.authority import Authority
from tests.beds.kubernetes.network import GATEWAY, SERVICES, Network
from tests.beds.kubernetes.processes import HERE, start, stop, until

API = "kube-apiserver"
OURSELVES = "bed"
"""The user, an administrator, as whom the bed itself asks the API server."""

_beds = itertools.count()


class ControlPlane:
    """The programs and who may ask them. Without a network it listens on a loopback address that nobody else uses.

    In a network namespace, a port of our own loopback leads to its API server: `server` is the address for us,
    `server_inside` the one for those who are in there.
    """

    def __init__(self, folder: Path, programs: Path, network: Network | None, api_flags: Mapping[str, str]) -> None:
        self.folder, self.programs, self._more_api_flags = folder, programs, api_flags
        self.authority = Authority(folder)
        self._net = network.path if network else ""
        bed = (os.getpid() << 2 | next(_beds) % 4) & 0xFFFFFF
        self._address = GATEWAY if network else f"127.{bed >> 16}.{bed >> 8 & 255}.{bed & 255}"
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._commands: dict[str, list[str | Path]] = {}
        self.server_inside = self.server = f"https://{self._address}:{self._port()}"

    def start(self) -> None:
        """Start all; returns when the API server answers. Controllers and scheduler take some seconds more."""
        own = ("127.0.0.1", self._address, "localhost", "kubernetes.default", SERVICES.replace("0.0/16", "0.1"))
        self.authority.issue("server", API, hosts=own)
        self.authority.issue("to-kubelets", "kube-apiserver-kubelet-client", "system:masters")
        if self._net:
            self.server = self._open_doorway()
        self.kubeconfig(OURSELVES)
        tls = ssl.create_default_context(cafile=str(self.folder / "ca.crt"))
        tls.load_cert_chain(self.folder / f"{OURSELVES}.crt", self.folder / f"{OURSELVES}.key")
        self._http = httpx.Client(verify=tls, timeout=2, trust_env=False)

        store = f"http://{self._address}:{self._port()}"
        self._run("etcd", self._store_flags(store))
        self._run(API, self._api_flags(store))
        self._await_api()
        self._run("kube-controller-manager", self._controllers_flags())
        self._run("kube-scheduler", self._common_flags("kube-scheduler"))
        if not self._net:
            self._run("kwok", self._kwok_flags())

    def kill(self) -> None:
        """End all, whatever state it is in."""
        for process in reversed(self._processes.values()):
            stop(process)

    def kubeconfig(self, user: str, group: str | None = "system:masters", *, inside: bool = False) -> Path:
        """A kubeconfig for that user, for us or for those `inside` the network namespace."""
        stem = user.replace(":", "-") + ("-inside" if inside else "")
        self.authority.issue(stem, user, group)
        return self.authority.kubeconfig(stem, self.server_inside if inside else self.server)

    @contextmanager
    def without_api(self) -> Iterator[None]:
        """The API server is dead in this block: whoever asks it is refused."""
        stop(self._processes[API])
        try:
            yield
        finally:
            self._run(API)
            self._await_api()

    @contextmanager
    def with_frozen_api(self) -> Iterator[None]:
        """The API server is stopped in this block: it takes connections and never answers."""
        self._processes[API].send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._processes[API].send_signal(signal.SIGCONT)
            self._await_api()

    def _store_flags(self, url: str) -> dict[str, Any]:
        peers = f"http://{self._address}:{self._port()}"
        return {
            "data-dir": self.folder / "etcd",
            "unsafe-no-fsync": "true",
            "log-level": "error",
            "listen-client-urls": url,
            "advertise-client-urls": url,
            "listen-peer-urls": peers,
            "initial-advertise-peer-urls": peers,
            "initial-cluster": f"default={peers}",
        }

    def _api_flags(self, store: str) -> dict[str, Any]:
        at = self.folder
        flags = {
            "etcd-servers": store,
            "bind-address": self._address,
            "secure-port": self.server_inside.rsplit(":")[-1],
            "tls-cert-file": at / "server.crt",
            "tls-private-key-file": at / "server.key",
            "client-ca-file": at / "ca.crt",
            "authorization-mode": "Node,RBAC",
            "enable-admission-plugins": "NodeRestriction",
            "allow-privileged": "true",
            "service-account-key-file": at / "tokens.key",
            "service-account-signing-key-file": at / "tokens.key",
            "service-account-issuer": "https://kubernetes.default.svc",
            "service-cluster-ip-range": SERVICES,
            "kubelet-client-certificate": at / "to-kubelets.crt",
            "kubelet-client-key": at / "to-kubelets.key",
            "kubelet-certificate-authority": at / "ca.crt",
            "kubelet-preferred-address-types": "InternalIP",
            "audit-policy-file": HERE / "audit.yaml",
            "audit-log-path": at / "audit.log",
        }
        if self._net:  # pods leave a dead worker within seconds
            flags |= {"default-not-ready-toleration-seconds": 5, "default-unreachable-toleration-seconds": 5}
        return flags | self._more_api_flags

    def _controllers_flags(self) -> dict[str, Any]:
        flags = self._common_flags("kube-controller-manager") | {
            "service-account-private-key-file": self.folder / "tokens.key",
            "root-ca-file": self.folder / "ca.crt",
            "use-service-account-credentials": "true",
            "kube-api-qps": 300,  # a thousand nodes lose their first taint in seconds, not minutes
            "kube-api-burst": 600,
        }
        if self._net:
            flags |= {"node-monitor-period": "1s", "node-monitor-grace-period": "12s"}
        return flags

    def _common_flags(self, name: str) -> dict[str, Any]:
        ourselves = self.kubeconfig(OURSELVES, inside=True)
        return {
            "kubeconfig": self.kubeconfig(f"system:{name}", None, inside=True),
            "authentication-kubeconfig": ourselves,
            "authorization-kubeconfig": ourselves,
            "leader-elect": "false",
            "bind-address": self._address,
            "secure-port": self._port(),
            "cert-dir": self.folder,
        }

    def _kwok_flags(self) -> dict[str, Any]:
        return {
            "kubeconfig": self.kubeconfig(OURSELVES, inside=True),
            "config": HERE / "stages.yaml",
            "manage-all-nodes": "false",
            "manage-nodes-with-annotation-selector": "kwok.x-k8s.io/node=fake",
            "node-lease-duration-seconds": 200,
            "server-address": f"{self._address}:{self._port()}",
        }

    def _run(self, name: str, flags: dict[str, Any] | None = None) -> None:
        """Start a program, or start it again as it was."""
        if flags is not None:
            self._commands[name] = [self.programs / name, *(f"--{flag}={value}" for flag, value in flags.items())]
        self._processes[name] = start(self._commands[name], self.folder / f"{name}.log", self._net)

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

    def _open_doorway(self) -> str:
        with socket.create_server(("127.0.0.1", 0)) as door:
            port = self.server_inside.rsplit(":")[-1]
            command = [sys.executable, "-I", HERE / "doorway.py", str(door.fileno()), self._address, port]
            self._processes["doorway"] = start(command, self.folder / "doorway.log", self._net, [door])
            return f"https://127.0.0.1:{door.getsockname()[1]}"

    def _port(self) -> int:
        """A free port of an address where nobody else looks for one."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1" if self._net else self._address, 0))
            return int(probe.getsockname()[1])

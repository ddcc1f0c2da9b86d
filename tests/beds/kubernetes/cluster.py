"""A real Kubernetes of one test process, with nodes that kwok plays or with workers that are real."""

import json
import shutil
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from kubernetes import client, config

from tests.beds import let_many_be_watched
from tests.beds.kubernetes import images, programs
from tests.beds.kubernetes.control_plane import OURSELVES, ControlPlane
from tests.beds.kubernetes.network import Network
from tests.beds.kubernetes.processes import Leavings, until
from tests.beds.kubernetes.worker import CPU_FAMILIES, CPU_FAMILY, Worker

STORAGE_CLASSES = ("ssd", "hdd")


@dataclass(frozen=True)
class Request:
    """A request that the API server answered."""

    verb: str
    path: str
    status: int


class Cluster:
    """A cluster that is gone without a trace when its `with` block or its process ends.

    Without workers no root is needed; nodes are added with `add_nodes` and run nothing. With workers (root only) the
    cluster lives in a network namespace; its API server is reached through a port of our loopback all the same.
    Start it from a thread that stays: the kernel ends its processes when the thread that started them ends.
    """

    def __init__(self, workers: int = 0, api_flags: Mapping[str, str] | None = None) -> None:
        """With other flags of the API server, where some are named.

        Raises Lacking: this machine cannot run it; says what is missing.
        """
        if not shutil.which("setpriv"):
            raise programs.Lacking("setpriv (of util-linux) is missing: the bed runs on Linux only")
        if workers:
            Worker.check()
        self._programs = programs.ready(programs.CONTROL | programs.WORKER if workers else programs.CONTROL)
        self._wanted, self._api_flags = workers, api_flags or {}
        self._end = ExitStack()
        self.workers: list[Worker] = []

    def __enter__(self) -> "Cluster":
        with ExitStack() as end:
            leavings = Leavings("kubernetes")
            end.callback(leavings.clear)
            let_many_be_watched()
            network = Network(leavings.folder / "network.log") if self._wanted else None
            if network:
                end.callback(network.close)
            self._plane = ControlPlane(leavings.folder, self._programs, network, self._api_flags)
            end.callback(self._plane.kill)
            self._plane.start()
            if network:
                archives = images.write(leavings.folder, self._programs / "pause")
                for number in range(1, self._wanted + 1):
                    worker = Worker(number, self._plane, network, leavings.group, archives)
                    end.callback(worker.power_off)
                    self.workers.append(worker)
                    worker.power_on()
            self._furnish()
            self._end = end.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._end.close()

    @property
    def folder(self) -> Path:
        """Where its logs and certificates lie."""
        return self._plane.folder

    @property
    def server(self) -> str:
        """The address of its API server."""
        return self._plane.server

    def kubeconfig(self, user: str = "admin", group: str | None = "system:masters") -> Path:
        """A kubeconfig for that user, made where there is none; an administrator, unless another group is named."""
        return self._plane.kubeconfig(user, group)

    @cached_property
    def api(self) -> client.ApiClient:
        """The bed's own client, as administrator; its requests are not among `requests`."""
        return config.new_client_from_config(str(self.kubeconfig(OURSELVES)))

    @cached_property
    def core(self) -> client.CoreV1Api:
        """The bed's own client of the core API."""
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

    def without_api(self) -> AbstractContextManager[None]:
        """The API server is dead in this block: whoever asks it is refused."""
        return self._plane.without_api()

    def with_frozen_api(self) -> AbstractContextManager[None]:
        """The API server is stopped in this block: it takes connections and never answers."""
        return self._plane.with_frozen_api()

    def add_nodes(
        self,
        count: int,
        architecture: str = "amd64",
        *,
        cpu: int = 64,
        memory_gib: int = 256,
        family: str | None = None,
    ) -> list[str]:
        """Add nodes that run nothing; returns their names when pods can be scheduled to them. 1,000 take some 20 s."""
        assert not self.workers, "a cluster has real workers or played nodes"
        size = {"cpu": str(cpu), "memory": f"{memory_gib}Gi", "pods": "110", "ephemeral-storage": "100Gi"}
        labels = {"kubernetes.io/arch": architecture, "kubernetes.io/os": "linux"}
        labels[CPU_FAMILY] = family or CPU_FAMILIES[architecture]
        there = len(self.core.list_node().items)
        names = [f"{architecture}-{there + number:04d}" for number in range(1, count + 1)]

        def add(name: str) -> None:
            own = {"kubernetes.io/hostname": name}
            metadata = {"name": name, "labels": labels | own, "annotations": {"kwok.x-k8s.io/node": "fake"}}
            self.core.create_node({"metadata": metadata, "status": {"allocatable": size, "capacity": size}})

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(add, names))
        until("nodes take pods", lambda: self.schedulable() >= set(names), seconds=300, every=0.2)
        return names

    def schedulable(self) -> set[str]:
        """The nodes that are Ready and carry no taint."""
        return {
            node.metadata.name
            for node in self.core.list_node().items
            if not node.spec.taints
            and any(c.type == "Ready" and c.status == "True" for c in node.status.conditions or ())
        }

    def _furnish(self) -> None:
        """What any cluster has before somebody works with it: storage classes, and controllers that have begun."""
        for name in STORAGE_CLASSES:
            body = {"metadata": {"name": name}, "provisioner": "kubernetes.io/no-provisioner"}
            client.StorageV1Api(self.api).create_storage_class(body | {"volumeBindingMode": "WaitForFirstConsumer"})
        until("controllers begin", lambda: self.core.list_namespaced_service_account("default").items)
        names = {worker.name for worker in self.workers}
        until("workers are ready", lambda: self.schedulable() >= names, 180)

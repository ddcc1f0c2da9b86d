"""Pods for tests: as small as the strictest Pod Security allows, from an image that every worker has."""

from typing import Any

from kubernetes import client
from kubernetes.stream import stream

from tests.beds.kubernetes.images import BUSYBOX
from tests.beds.kubernetes.processes import until

SAFE = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "runAsUser": 1000,
    "seccompProfile": {"type": "RuntimeDefault"},
}
"""What Pod Security `restricted` asks of a container."""

SERVER = "mkdir /tmp/www; echo served > /tmp/www/index.html; exec httpd -f -p 8080 -h /tmp/www"
"""A script that serves on port 8080."""


def pod(name: str, script: str = "exec sleep 1000", **spec: Any) -> dict[str, Any]:
    """A pod that runs a shell script; `spec` adds to its spec, `resources` and `labels` to where they belong."""
    container = {"name": "main", "image": BUSYBOX, "command": ["sh", "-c", script], "securityContext": SAFE}
    container["resources"] = spec.pop("resources", {})
    metadata = {"name": name, "labels": {"app": name} | spec.pop("labels", {})}
    return {"metadata": metadata, "spec": {"containers": [container], "terminationGracePeriodSeconds": 1} | spec}


def space(core: client.CoreV1Api, name: str) -> str:
    """Make a namespace in which pods can be made at once."""
    core.create_namespace({"metadata": {"name": name}})
    until("a service account", lambda: core.list_namespaced_service_account(name).items)
    return name


def running(core: client.CoreV1Api, name: str, namespace: str, seconds: float = 30) -> client.V1Pod:
    """The pod, once it runs and is ready."""

    def ready() -> client.V1Pod | None:
        found = core.read_namespaced_pod(name, namespace)
        states = found.status.container_statuses
        return found if found.status.phase == "Running" and states and all(each.ready for each in states) else None

    return until(f"{name} runs", ready, seconds)


def said(core: client.CoreV1Api, name: str, namespace: str, script: str) -> str:
    """What a script says that is run in the pod."""
    words = {"stdout": True, "stderr": True, "stdin": False, "tty": False}
    return str(stream(core.connect_get_namespaced_pod_exec, name, namespace, command=["sh", "-c", script], **words))


def heard(core: client.CoreV1Api, name: str, namespace: str, address: str, port: int = 8080) -> str:
    """What the pod hears from a web server, within two seconds; nothing if that does not answer."""
    ask = f"printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 2 {address} {port} 2>/dev/null | tail -1"
    return said(core, name, namespace, ask).strip()

"""Jobs of the platform's own on a cluster: tried once, at home in a namespace that nobody else has, gone when told.

A pod there may call whom it likes and is called by nobody. It runs as no user of note, on a file system that it cannot
write to, and knows nothing but what its Job says and the one secret that it finds in a file.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from provisioning.drivers import Place
from provisioning.kubernetes import cluster, connection, manifests
from provisioning.kubernetes.cluster import plainly
from provisioning.kubernetes.manifests import FAMILY, NODE_ARCHITECTURE, PREFIX, SECURITY, Manifest, made_of

SPACE = "cloudctl-load"
RUN = f"{PREFIX}run"
SECRETS = "/run/cloudctl"
SECRET = f"{SECRETS}/token"
"""The file in which a pod finds its secret."""

_NOBODY = 65532
_GRACE = 1  # second that a pod has to end
_KEPT = 300  # seconds that the cluster keeps what ended by itself


@dataclass(frozen=True)
class Job:
    """One pod that is tried once. `name` is one of the cluster's, `seconds` the longest that it may take."""

    name: str
    image: str
    command: Sequence[str]
    secret: str = field(repr=False)
    seconds: int
    environment: Mapping[str, str] = field(default_factory=dict)


def start(place: Place, run: str, jobs: Sequence[Job]) -> None:
    """Have these run for one purpose, on nodes of the pool's kind.

    Raises:
        GiveUp: `cluster-refused`, `not-authorised`, `bad-connection`, `bad-kubeconfig`.
        RetryLater: `cluster-unreachable`, `cluster-starting`, `cluster-busy`.
    """
    with plainly():
        there = cluster.of(place.connection)
        for manifest in _home():
            there.apply(manifest)
        for job in jobs:
            made = there.apply(_job(place, run, job)).body
            there.apply(_secret(run, job, made["metadata"]["uid"]))


def remove(place: Place, run: str) -> None:
    """Have all of them gone, with their pods and secrets; that there are none is right too. Raises as `start`."""
    with plainly():
        there = cluster.of(place.connection)
        for job in there.list("Job", f"{RUN}={run}", SPACE):
            there.delete("Job", job["metadata"]["name"], SPACE)


def runs(place: Place) -> set[str]:
    """For what there still are some. Raises as `start`."""
    with plainly():
        listed = cluster.of(place.connection).list("Job", RUN, SPACE)
        return {job["metadata"]["labels"][RUN] for job in listed}


def _home() -> Iterator[Manifest]:
    labels = {f"{SECURITY}{mode}": "restricted" for mode in ("enforce", "warn")}
    yield made_of("Namespace", SPACE, None, labels)
    outwards = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"], "egress": [{}]}
    yield made_of("NetworkPolicy", "outwards-only", SPACE, {}, spec=outwards)


def _job(place: Place, run: str, job: Job) -> Manifest:
    family = connection.read(place.connection).cpu_family
    nodes = {NODE_ARCHITECTURE: manifests.architecture(place.architecture), **({FAMILY: family} if family else {})}
    pod: dict[str, Any] = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": _GRACE,
        "nodeSelector": nodes,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _NOBODY,
            "runAsGroup": _NOBODY,
            "fsGroup": _NOBODY,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(job)],
        "volumes": [
            {"name": "secret", "secret": {"secretName": job.name, "defaultMode": 0o440}},
            {"name": "scratch", "emptyDir": {"sizeLimit": "64Mi"}},
        ],
    }
    spec = {
        "backoffLimit": 0,
        "completions": 1,
        "parallelism": 1,
        "activeDeadlineSeconds": job.seconds,
        "ttlSecondsAfterFinished": _KEPT,
        "template": {"metadata": {"labels": {RUN: run}}, "spec": pod},
    }
    return made_of("Job", job.name, SPACE, {RUN: run}, spec=spec)


def _container(job: Job) -> dict[str, Any]:
    return {
        "name": "main",
        "image": job.image,
        "command": list(job.command),
        "env": [{"name": name, "value": value} for name, value in sorted(job.environment.items())],
        "resources": {
            "requests": {"cpu": "1", "memory": "256Mi", "ephemeral-storage": "64Mi"},
            "limits": {"cpu": "2", "memory": "1Gi", "ephemeral-storage": "128Mi"},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "secret", "mountPath": SECRETS, "readOnly": True},
            {"name": "scratch", "mountPath": "/tmp"},  # noqa: S108  of the pod alone
        ],
    }


def _secret(run: str, job: Job, owner: str) -> Manifest:
    """What goes with its Job, whoever removes that."""
    made = made_of("Secret", job.name, SPACE, {RUN: run}, stringData={"token": job.secret}, immutable=True)
    of = {"apiVersion": "batch/v1", "kind": "Job", "name": job.name, "uid": owner}
    made["metadata"]["ownerReferences"] = [of]
    return made

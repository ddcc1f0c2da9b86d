"""What a tenancy is on a cluster, as manifests: everything said out loud, so that what is there can be compared."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from kubernetes.utils.quantity import parse_quantity

from provisioning.drivers import Place, Tenancy
from provisioning.kubernetes import connection
from provisioning.kubernetes.connection import Connection

Manifest = dict[str, Any]

PREFIX, SECURITY = "cloudctl/", "pod-security.kubernetes.io/"
TENANCY, ARCHITECTURE, FAMILY = f"{PREFIX}tenancy", f"{PREFIX}arch", f"{PREFIX}cpu-family"
"""Labels: what others select by. All else is an annotation, because a label takes neither Chinese nor every code."""

POOL, STORAGE_CLASSES, GPU = f"{PREFIX}pool", f"{PREFIX}storage-classes", f"{PREFIX}gpu-resource"
PRIORITY_CLASS, DOMAIN, DIGEST = f"{PREFIX}priority-class", f"{PREFIX}domain", f"{PREFIX}digest"
NODE_ARCHITECTURE = "kubernetes.io/arch"
TENANT = "tenant"
GIB = 1 << 30

KINDS = ("Namespace", "ResourceQuota", "LimitRange", "NetworkPolicy", "ServiceAccount", "Role", "RoleBinding")
"""Of what a tenancy consists, in the order in which it is made."""

PODS_A_CORE = 15
SCRATCH_A_CORE = {"requests.ephemeral-storage": 2, "limits.ephemeral-storage": 16}  # GiB of a node's own disk
CLAIMS = 50
MOST = {
    "count/configmaps": 100,
    "count/secrets": 100,
    "services": 50,
    "count/deployments.apps": 100,
    "count/statefulsets.apps": 100,
    "count/replicasets.apps": 1100,
    "count/jobs.batch": 500,
    "count/cronjobs.batch": 50,
    "count/horizontalpodautoscalers.autoscaling": 100,
    "count/poddisruptionbudgets.policy": 100,
    "count/ingresses.networking.k8s.io": 50,
}
"""How much of what costs the cluster itself a tenancy may have; generous, so that only accidents meet it."""

_RBAC = "rbac.authorization.k8s.io"
_GOARCH = {"x86_64": "amd64", "aarch64": "arm64", "loongarch64": "loong64"}
_CHANGE = ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"]
_LOOK = ["get", "list", "watch"]
_RULES = [
    {"apiGroups": list(groups), "resources": list(resources), "verbs": list(verbs)}
    for groups, resources, verbs in (
        (("",), ("pods", "services", "configmaps", "secrets", "persistentvolumeclaims"), _CHANGE),
        (("",), ("pods/exec", "pods/attach", "pods/portforward", "pods/eviction"), ("get", "create")),
        (("",), ("pods/log", "pods/status", "events", "endpoints"), _LOOK),
        (("",), ("resourcequotas", "limitranges", "serviceaccounts"), _LOOK),
        (("apps",), ("deployments", "statefulsets", "replicasets"), _CHANGE),
        (("apps",), ("deployments/scale", "statefulsets/scale"), ("get", "update", "patch")),
        (("batch",), ("jobs", "cronjobs"), _CHANGE),
        (("autoscaling",), ("horizontalpodautoscalers",), _CHANGE),
        (("policy",), ("poddisruptionbudgets",), _CHANGE),
        (("networking.k8s.io",), ("ingresses",), _CHANGE),
        (("networking.k8s.io",), ("networkpolicies",), _LOOK),
        (("discovery.k8s.io",), ("endpointslices",), _LOOK),
        (("events.k8s.io",), ("events",), _LOOK),
        (("metrics.k8s.io",), ("pods",), _LOOK),
    )
]
"""What a tenant may do in its namespace: run, store and publish, but move neither its walls nor its quota."""


def namespace(tenancy_id: str) -> str:
    """Its namespace; a name there has no underscore."""
    return tenancy_id.replace("_", "-")


def architecture(word: str) -> str:
    """An architecture as nodes say it; pools say it so, machines sometimes otherwise."""
    return _GOARCH.get(word, word)


def of(tenancy: Tenancy, account: str = TENANT) -> list[Manifest]:
    """All objects of a tenancy, in the order in which they are made; suspended, without a way in or room for pods.

    `account` is the service account by which the tenant comes in; another one shuts out whoever has the earlier.
    """
    space, there = namespace(tenancy.id), connection.read(tenancy.place.connection)
    labels = {TENANCY: tenancy.id}
    role = {"apiGroup": _RBAC, "kind": "Role", "name": TENANT}
    subjects = [{"kind": "ServiceAccount", "name": account, "namespace": space}]
    made = [
        _namespace(tenancy, there),
        made_of("ResourceQuota", "size", space, labels, spec={"hard": quota(tenancy)}),
        made_of("LimitRange", "defaults", space, labels, spec={"limits": [_defaults(tenancy)]}),
        *(made_of("NetworkPolicy", name, space, labels, spec=spec) for name, spec in walls(there).items()),
        made_of("ServiceAccount", account, space, labels, automountServiceAccountToken=False),
        made_of("Role", TENANT, space, labels, rules=_RULES),
        made_of("RoleBinding", TENANT, space, labels, roleRef=role, subjects=subjects),
    ]
    return made[:-1] if tenancy.suspended else made


def quota(tenancy: Tenancy) -> dict[str, str]:
    """The size in the cluster's own words. What is asked for and what is the limit are the same: nothing is lent.

    A pod takes some of both, so where only cores or only memory were ordered, a little of the other is there too.
    """
    size, there = tenancy.size, connection.read(tenancy.place.connection)
    vcpu, memory = size.get("vcpu", 0), size.get("memory_gib", 0)
    storage = {theirs: size.get(resource, 0) for resource, theirs in there.storage.items()}
    cores = max(vcpu, 1) if vcpu or memory else 0
    cpu = _count(vcpu) if vcpu or not memory else "500m"
    ram = _gib(memory) if memory or not vcpu else "512Mi"
    hard = {
        "requests.cpu": cpu,
        "limits.cpu": cpu,
        "requests.memory": ram,
        "limits.memory": ram,
        **{name: _gib(amount * cores) for name, amount in SCRATCH_A_CORE.items()},
        "pods": _count(0 if tenancy.suspended else cores * PODS_A_CORE),
        "requests.storage": _gib(sum(storage.values())),
        "persistentvolumeclaims": _count(CLAIMS if any(storage.values()) else 0),
        **{class_quota(theirs): _gib(amount) for theirs, amount in storage.items()},
        "services.nodeports": "0",
        "services.loadbalancers": "0",
        **{name: _count(amount) for name, amount in MOST.items()},
    }
    return hard | ({f"requests.{there.gpu_resource}": _count(size.get("gpu", 0))} if there.gpu_resource else {})


def counted(there: Connection) -> dict[str, tuple[str, int]]:
    """Our resource classes: what a quota calls each, and how many of its units are one of ours."""
    storage = {resource: (class_quota(theirs), GIB) for resource, theirs in there.storage.items()}
    gpu = {"gpu": (f"requests.{there.gpu_resource}", 1)} if there.gpu_resource else {}
    return {"vcpu": ("limits.cpu", 1), "memory_gib": ("limits.memory", GIB), **storage, **gpu}


def size_of(hard: Mapping[str, str], place: Place) -> dict[str, int]:
    """The size that a quota grants, back in our words; what is none of a class or a part of one is absent."""
    found = {}
    for resource, (name, unit) in counted(connection.read(place.connection)).items():
        amount = parse_quantity(hard.get(name, "0")) / unit
        if amount and amount == int(amount):
            found[resource] = int(amount)
    return found


def class_quota(storage_class: str) -> str:
    """What a quota calls the storage of one of the cluster's classes."""
    return f"{storage_class}.storageclass.storage.k8s.io/requests.storage"


def is_intact(found: Mapping[str, Any]) -> bool:
    """Whether an object is still what we made it: nobody has changed what we said, nor added to it."""
    return bool((found["metadata"].get("annotations") or {}).get(DIGEST) == digest(found))


def digest(manifest: Mapping[str, Any]) -> str:
    """Of what we say in a manifest, or of the same parts of what the cluster answers."""
    metadata = manifest["metadata"]
    labels, notes = (_ours(metadata.get(where) or {}) for where in ("labels", "annotations"))
    said = {name: manifest[name] for name in _SAID if manifest.get(name) is not None}
    said |= {name: metadata[name] for name in ("finalizers", "ownerReferences") if metadata.get(name)}
    if manifest.get("kind") == "Namespace":
        said.pop("spec", None)  # the cluster's own
    return hashlib.sha256(json.dumps([labels, notes, said], sort_keys=True).encode()).hexdigest()[:16]


def over(manifest: Manifest, found: Mapping[str, Any]) -> Manifest:
    """What takes the place of what was found. A namespace keeps what others say of it in words of their own."""
    if manifest["kind"] != "Namespace":
        return manifest
    metadata = dict(manifest["metadata"])
    for where in ("labels", "annotations"):
        others = {name: said for name, said in (found["metadata"].get(where) or {}).items() if not _is_ours(name)}
        metadata[where] = others | metadata[where]
    return {**manifest, "metadata": metadata}


def made_of(kind: str, name: str, space: str | None, labels: Mapping[str, str], **said: Any) -> Manifest:
    """An object that carries its digest; `annotations` are said beside the content."""
    metadata: Manifest = {"name": name, "labels": dict(labels), "annotations": said.pop("annotations", {})}
    if space:
        metadata["namespace"] = space
    made = {"apiVersion": _VERSIONS[kind], "kind": kind, "metadata": metadata, **said}
    metadata["annotations"] = {**metadata["annotations"], DIGEST: digest(made)}
    return made


def walls(there: Connection) -> dict[str, Manifest]:
    """Nobody in, nobody out; but among themselves, to ask for names, and from the entrance where there is one."""
    if not there.entrance:
        return _WALLS
    return _WALLS | {
        "entrance": {
            "podSelector": {},
            "policyTypes": ["Ingress"],
            "ingress": [{"from": [_namespace_named(there.entrance)]}],
        }
    }


def _namespace(tenancy: Tenancy, there: Connection) -> Manifest:
    labels = {
        TENANCY: tenancy.id,
        ARCHITECTURE: architecture(tenancy.place.architecture),
        **({FAMILY: there.cpu_family} if there.cpu_family else {}),
        **{f"{SECURITY}{mode}": "restricted" for mode in ("enforce", "warn")},
        f"{SECURITY}enforce-version": "latest",
    }
    had = sorted(theirs for resource, theirs in there.storage.items() if tenancy.size.get(resource))
    notes = {
        POOL: tenancy.place.pool,
        f"{PREFIX}name": tenancy.name,
        f"{PREFIX}project": tenancy.project,
        f"{PREFIX}department": tenancy.department,
        STORAGE_CLASSES: ",".join(had),
        GPU: there.gpu_resource,
        PRIORITY_CLASS: there.priority_class,
        DOMAIN: there.domain,
    }
    space = namespace(tenancy.id)
    return made_of("Namespace", space, None, labels, annotations={name: said for name, said in notes.items() if said})


def _defaults(tenancy: Tenancy) -> Manifest:
    """What a container gets that names no size; without it the quota would refuse that container."""
    cpu = ("500m", "250m") if tenancy.size.get("vcpu") else ("50m", "10m")
    ram = ("512Mi", "256Mi") if tenancy.size.get("memory_gib") else ("64Mi", "32Mi")
    limit, request = ({"cpu": cpu[at], "memory": ram[at], "ephemeral-storage": ("1Gi", "128Mi")[at]} for at in range(2))
    return {"type": "Container", "default": limit, "defaultRequest": request}


def _namespace_named(name: str) -> Manifest:
    return {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}}


def _is_ours(name: str) -> bool:
    return name.startswith((PREFIX, SECURITY))


def _ours(said: Mapping[str, str]) -> dict[str, str]:
    return {name: said[name] for name in said if _is_ours(name) and name != DIGEST}


def _gib(amount: int) -> str:
    """So many GiB as the cluster writes them: in the largest unit that leaves no fraction."""
    return _in_units(amount, 1024, ("Gi", "Ti", "Pi")) if amount else "0"


def _count(amount: int) -> str:
    return _in_units(amount, 1000, ("", "k", "M")) if amount else "0"


def _in_units(amount: int, step: int, units: tuple[str, ...]) -> str:
    unit, *larger = units
    if larger and amount % step == 0:
        return _in_units(amount // step, step, tuple(larger))
    return f"{amount}{unit}"


_SAID = ("spec", "rules", "roleRef", "subjects", "automountServiceAccountToken", "imagePullSecrets")
_VERSIONS = {
    **dict.fromkeys(("Namespace", "ResourceQuota", "LimitRange", "ServiceAccount", "Secret"), "v1"),
    "Job": "batch/v1",
    **dict.fromkeys(("Role", "RoleBinding"), f"{_RBAC}/v1"),
    "NetworkPolicy": "networking.k8s.io/v1",
    **{
        f"{kind}AdmissionPolicy{end}": "admissionregistration.k8s.io/v1"
        for kind in ("Mutating", "Validating")
        for end in ("", "Binding")
    },
}
_HOME: Manifest = {"podSelector": {}}
_WALLS: dict[str, Manifest] = {
    "default-deny": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]},
    "same-namespace": {
        "podSelector": {},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{"from": [_HOME]}],
        "egress": [{"to": [_HOME]}],
    },
    "dns": {
        "podSelector": {},
        "policyTypes": ["Egress"],
        "egress": [
            {
                "to": [_namespace_named("kube-system")],
                "ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}],
            }
        ],
    },
}

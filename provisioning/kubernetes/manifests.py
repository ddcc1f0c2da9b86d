"""What a tenancy is on a cluster, as manifests: everything said out loud, so that what is there can be compared."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from provisioning.drivers import Place, Tenancy

Manifest = dict[str, Any]

TENANCY, POOL, PROJECT, DEPARTMENT = "cloudctl/tenancy", "cloudctl/pool", "cloudctl/project", "cloudctl/department"
ARCHITECTURE, FAMILY = "cloudctl/arch", "cloudctl/cpu-family"
NODE_ARCHITECTURE = "kubernetes.io/arch"
DIGEST = "cloudctl/digest"
TENANT = "tenant"
PODS_A_VCPU = 15
MOST_CLAIMS = 50
STORAGE = "storage_gib."

KINDS = ("Namespace", "ResourceQuota", "LimitRange", "NetworkPolicy", "ServiceAccount", "Role", "RoleBinding")
"""Of what a tenancy consists, in the order in which it is made."""

_RBAC = "rbac.authorization.k8s.io"
_CHANGE = ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"]
_LOOK = ["get", "list", "watch"]
_RULES = [
    {
        "apiGroups": [""],
        "resources": ["pods", "services", "configmaps", "secrets", "persistentvolumeclaims"],
        "verbs": _CHANGE,
    },
    {
        "apiGroups": [""],
        "resources": ["pods/exec", "pods/attach", "pods/portforward", "pods/eviction"],
        "verbs": ["get", "create"],
    },
    {
        "apiGroups": [""],
        "resources": ["pods/log", "pods/status", "events", "resourcequotas", "limitranges", "serviceaccounts"],
        "verbs": _LOOK,
    },
    {"apiGroups": ["apps"], "resources": ["deployments", "statefulsets", "replicasets"], "verbs": _CHANGE},
    {
        "apiGroups": ["apps"],
        "resources": ["deployments/scale", "statefulsets/scale"],
        "verbs": ["get", "update", "patch"],
    },
    {"apiGroups": ["batch"], "resources": ["jobs", "cronjobs"], "verbs": _CHANGE},
    {"apiGroups": ["autoscaling"], "resources": ["horizontalpodautoscalers"], "verbs": _CHANGE},
    {"apiGroups": ["policy"], "resources": ["poddisruptionbudgets"], "verbs": _CHANGE},
    {"apiGroups": ["networking.k8s.io"], "resources": ["ingresses"], "verbs": _CHANGE},
    {"apiGroups": ["networking.k8s.io"], "resources": ["networkpolicies"], "verbs": _LOOK},
]
"""What a tenant may do in its namespace: run, store and publish, but move neither its walls nor its quota."""


def namespace(tenancy_id: str) -> str:
    """Its namespace; a name there has no underscore."""
    return tenancy_id.replace("_", "-")


def of(tenancy: Tenancy) -> list[Manifest]:
    """All objects of a tenancy, in the order in which they are made; suspended, without a way in or room for pods."""
    space = namespace(tenancy.id)
    labels = _labels(tenancy)
    made = [
        _object("Namespace", space, None, labels | _security()),
        _object("ResourceQuota", "size", space, labels, spec={"hard": quota(tenancy)}),
        _object("LimitRange", "defaults", space, labels, spec={"limits": [_DEFAULTS]}),
        *(_object("NetworkPolicy", name, space, labels, spec=spec) for name, spec in _WALLS.items()),
        _object("ServiceAccount", TENANT, space, labels, automountServiceAccountToken=False),
        _object("Role", TENANT, space, labels, rules=_RULES),
    ]
    return made if tenancy.suspended else [*made, binding(tenancy)]


def binding(tenancy: Tenancy) -> Manifest:
    """The way in: without it, a token opens nothing."""
    space = namespace(tenancy.id)
    return _object(
        "RoleBinding",
        TENANT,
        space,
        _labels(tenancy),
        roleRef={"apiGroup": _RBAC, "kind": "Role", "name": TENANT},
        subjects=[{"kind": "ServiceAccount", "name": TENANT, "namespace": space}],
    )


def quota(tenancy: Tenancy) -> dict[str, str]:
    """The size in the cluster's own words. What is asked for and what is the limit are the same: nothing is lent."""
    size, classes = tenancy.size, storage_classes(tenancy.place)
    vcpu, memory = size.get("vcpu", 0), size.get("memory_gib", 0)
    storage = {name: size.get(resource, 0) for resource, name in classes.items()}
    return {
        "requests.cpu": str(vcpu),
        "limits.cpu": str(vcpu),
        "requests.memory": _gib(memory),
        "limits.memory": _gib(memory),
        "pods": str(0 if tenancy.suspended else vcpu * PODS_A_VCPU),
        "requests.storage": _gib(sum(storage.values())),
        "persistentvolumeclaims": str(MOST_CLAIMS if any(storage.values()) else 0),
        **{class_quota(name): _gib(amount) for name, amount in storage.items()},
        "services.nodeports": "0",
        "services.loadbalancers": "0",
    }


def size_of(hard: Mapping[str, str], place: Place) -> dict[str, int]:
    """The size that a quota grants, back in our words; classes of which there is nothing are absent."""
    found = {"vcpu": hard.get("limits.cpu", "0"), "memory_gib": hard.get("limits.memory", "0")}
    for resource, name in storage_classes(place).items():
        found[resource] = hard.get(class_quota(name), "0")
    amounts = {resource: int(said.removesuffix("Gi")) for resource, said in found.items() if _is_ours(said)}
    return {resource: amount for resource, amount in amounts.items() if amount}


def storage_classes(place: Place) -> Mapping[str, str]:
    """Our storage classes and the cluster's, as the pool's connection says: storage_gib.ssd -> fast-disks."""
    said: Mapping[str, str] = place.connection.get("storage_classes", {})
    return {f"{STORAGE}{ours}": theirs for ours, theirs in sorted(said.items())}


def class_quota(storage_class: str) -> str:
    """What a quota calls the storage of one of the cluster's classes."""
    return f"{storage_class}.storageclass.storage.k8s.io/requests.storage"


def is_intact(found: Mapping[str, Any]) -> bool:
    """Whether an object is still what we made it: nobody has changed what we said, nor taken it away."""
    return bool(found["metadata"].get("annotations", {}).get(DIGEST) == _digest(found))


def parts(suspended: bool) -> set[tuple[str, str]]:
    """Kind and name of everything in a tenancy's namespace."""
    names = {("ResourceQuota", "size"), ("LimitRange", "defaults"), ("ServiceAccount", TENANT), ("Role", TENANT)}
    names |= {("NetworkPolicy", name) for name in _WALLS}
    return names if suspended else names | {("RoleBinding", TENANT)}


def policies(*, mutating: bool) -> Iterator[Manifest]:
    """The cluster's own admission: a tenancy's pod runs on its architecture and processor family, or not at all.

    Where the cluster knows mutating policies (1.36 and later), a pod that is silent about it is given the selector;
    elsewhere it has to say so itself. `nodeSelector` is an atomic map, so that only a JSON patch can add to it.
    """
    name = "cloudctl-place"
    for kind, spec in (
        (("Mutating", _MUTATING), ("Validating", _VALIDATING)) if mutating else (("Validating", _VALIDATING),)
    ):
        yield _object(f"{kind}AdmissionPolicy", name, None, {}, spec=spec)
        bound = {"policyName": name, **({"validationActions": ["Deny"]} if kind == "Validating" else {})}
        yield _object(f"{kind}AdmissionPolicyBinding", name, None, {}, spec=bound)


def _labels(tenancy: Tenancy) -> dict[str, str]:
    place = tenancy.place
    family = place.connection.get("cpu_family")
    return {
        TENANCY: tenancy.id,
        POOL: place.pool,
        PROJECT: tenancy.project,
        DEPARTMENT: tenancy.department,
        ARCHITECTURE: place.architecture,
        **({FAMILY: family} if family else {}),
    }


def _security() -> dict[str, str]:
    return {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}


def _object(kind: str, name: str, space: str | None, labels: Mapping[str, str], **said: Any) -> Manifest:
    metadata: Manifest = {"name": name, "labels": dict(labels)}
    if space:
        metadata["namespace"] = space
    made = {"apiVersion": _VERSIONS[kind], "kind": kind, "metadata": metadata, **said}
    metadata["annotations"] = {DIGEST: _digest(made)}
    return made


def _digest(manifest: Mapping[str, Any]) -> str:
    """Of what we say in a manifest, or of the same parts of what the cluster answers."""
    labels = manifest["metadata"].get("labels", {})
    ours = {name: labels[name] for name in labels if name.startswith(("cloudctl/", "pod-security.kubernetes.io/"))}
    said = {name: manifest[name] for name in ("spec", "rules", "roleRef", "subjects") if name in manifest}
    if manifest.get("kind") == "Namespace" or "finalizers" in said.get("spec", ()):
        said = {}
    return hashlib.sha256(json.dumps([ours, said], sort_keys=True).encode()).hexdigest()[:16]


def _gib(amount: int) -> str:
    return f"{amount}Gi" if amount else "0"


def _is_ours(said: str) -> bool:
    return said.removesuffix("Gi").isdigit()


_VERSIONS = {
    **dict.fromkeys(("Namespace", "ResourceQuota", "LimitRange", "ServiceAccount"), "v1"),
    **dict.fromkeys(("Role", "RoleBinding"), f"{_RBAC}/v1"),
    "NetworkPolicy": "networking.k8s.io/v1",
    **{
        f"{kind}AdmissionPolicy{end}": "admissionregistration.k8s.io/v1"
        for kind in ("Mutating", "Validating")
        for end in ("", "Binding")
    },
}
_DEFAULTS = {
    "type": "Container",
    "default": {"cpu": "500m", "memory": "512Mi"},
    "defaultRequest": {"cpu": "250m", "memory": "256Mi"},
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
                "to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}}],
                "ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}],
            }
        ],
    },
}

# -- admission, in CEL

_ON = {
    "resourceRules": [
        {
            "apiGroups": [""],
            "apiVersions": ["v1"],
            "operations": ["CREATE"],
            "resources": ["pods"],
            "scope": "Namespaced",
        }
    ],
    "namespaceSelector": {"matchExpressions": [{"key": TENANCY, "operator": "Exists"}]},
    "objectSelector": {},
    "matchPolicy": "Equivalent",
}


def _wanted(label: str) -> str:
    return f"namespaceObject.metadata.labels['{label}']"


def _selects(label: str) -> str:
    return f"has(object.spec.nodeSelector) && '{label}' in object.spec.nodeSelector"


def _given(label: str, ours: str) -> str:
    """The patch operations that add a selector where the tenancy has one and the pod is silent about it."""
    escaped = f"'/spec/nodeSelector/' + jsonpatch.escapeKey('{label}')"
    patch = f"JSONPatch{{op: 'add', path: {escaped}, value: {_wanted(ours)}}}"
    return f"('{ours}' in namespaceObject.metadata.labels && !({_selects(label)}) ? [{patch}] : [])"


def _as_placed(label: str, ours: str) -> str:
    return (
        f"!('{ours}' in namespaceObject.metadata.labels)"
        f" || ({_selects(label)} && object.spec.nodeSelector['{label}'] == {_wanted(ours)})"
    )


_EMPTY = "(has(object.spec.nodeSelector) ? [] : [JSONPatch{op: 'add', path: '/spec/nodeSelector', value: {}}])"
_MUTATING = {
    "matchConstraints": _ON,
    "failurePolicy": "Fail",
    "reinvocationPolicy": "IfNeeded",
    "mutations": [
        {
            "patchType": "JSONPatch",
            "jsonPatch": {
                "expression": f"{_EMPTY} + {_given(NODE_ARCHITECTURE, ARCHITECTURE)} + {_given(FAMILY, FAMILY)}"
            },
        }
    ],
}
_VALIDATING = {
    "matchConstraints": _ON,
    "failurePolicy": "Fail",
    "validations": [
        {
            "expression": _as_placed(NODE_ARCHITECTURE, ARCHITECTURE),
            "messageExpression": f"'该租用只在 ' + {_wanted(ARCHITECTURE)} + ' 节点上运行 / this tenancy runs on '"
            f" + {_wanted(ARCHITECTURE)} + ' nodes only: nodeSelector {NODE_ARCHITECTURE}'",
        },
        {
            "expression": _as_placed(FAMILY, FAMILY),
            "messageExpression": f"'该租用只在处理器系列 ' + {_wanted(FAMILY)} + ' 上运行 / this tenancy runs on '"
            f" + {_wanted(FAMILY)} + ' processors only: nodeSelector {FAMILY}'",
        },
        {
            "expression": "!has(object.spec.nodeName) || object.spec.nodeName == ''",
            "message": "不得自行指定节点 / a tenancy's pods do not choose their node: leave out nodeName",
        },
    ],
}

"""What the API server itself asks of all that tenants make: policies of the cluster, in CEL; it asks no server of ours.

They bind in every namespace that carries a tenancy's label and nowhere else, whoever creates something there (a
controller does what a tenant told it), and when the tenant itself changes it. From Kubernetes 1.36 a pod that is silent
about its architecture gets the tenancy's; on an older one it must name it.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from provisioning.kubernetes.manifests import (
    ARCHITECTURE,
    DOMAIN,
    FAMILY,
    GPU,
    NODE_ARCHITECTURE,
    PRIORITY_CLASS,
    STORAGE_CLASSES,
    TENANCY,
    Manifest,
    made_of,
)

MUTATING = ("MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding")
VALIDATING = ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")

Rule = tuple[str, str, str]
"""What must be so (CEL), and what is said where it is not, in Chinese and in English; `«…»` there is CEL too."""

_LABELS, _NOTES = "namespaceObject.metadata.labels", "namespaceObject.metadata.?annotations.orValue({})"
_SELECTOR = "object.spec.?nodeSelector.orValue({})"
_CONTAINERS = "(object.spec.containers + object.spec.?initContainers.orValue([]))"
_TOLERATED = ("not-ready", "unreachable", "memory-pressure")  # what the cluster itself lets pods bear


def policies(*, mutating: bool) -> Iterator[Manifest]:
    """All policies with their bindings, in the order in which they are applied."""
    if mutating:
        yield from _bound(MUTATING, "cloudctl-place-silent-pods", _SILENT_PODS)
    for name, kinds, rules in (
        ("pods", {"": ["pods"]}, _PODS),
        ("claims", {"": ["persistentvolumeclaims"]}, _CLAIMS),
        ("secrets", {"": ["secrets"]}, _SECRETS),
        ("services", {"": ["services"]}, _SERVICES),
        ("ingresses", {"networking.k8s.io": ["ingresses"]}, _INGRESSES),
        ("finalizers", _EVERYTHING, _FINALIZERS),
    ):
        spec = {
            "matchConstraints": _on(kinds, ["CREATE", "UPDATE"]),
            "matchConditions": [{"name": "made-or-the-tenants-change", "expression": _MADE_OR_CHANGED}],
            "failurePolicy": "Fail",
            "validations": [_validation(*rule) for rule in rules],
        }
        yield from _bound(VALIDATING, f"cloudctl-{name}", spec)


def _bound(kinds: tuple[str, str], name: str, spec: Manifest) -> Iterator[Manifest]:
    binding = {"policyName": name, **({"validationActions": ["Deny"]} if kinds == VALIDATING else {})}
    yield made_of(kinds[0], name, None, {}, spec=spec)
    yield made_of(kinds[1], name, None, {}, spec=binding)


def _on(kinds: dict[str, list[str]], operations: Sequence[str]) -> Manifest:
    """These kinds, in namespaces of tenancies; every default said, so that what is there can be compared."""
    rules = [
        {
            "apiGroups": [group],
            "apiVersions": ["*"],
            "operations": list(operations),
            "resources": resources,
            "scope": "Namespaced",
        }
        for group, resources in kinds.items()
    ]
    return {
        "resourceRules": rules,
        "namespaceSelector": {"matchExpressions": [{"key": TENANCY, "operator": "Exists"}]},
        "objectSelector": {},
        "matchPolicy": "Equivalent",
    }


def _validation(expression: str, chinese: str, english: str) -> dict[str, Any]:
    sentence = f"{chinese} / {english}"
    if "«" not in sentence:
        return {"expression": expression, "message": sentence, "reason": "Forbidden"}
    said = "'" + sentence.replace("«", "' + ").replace("»", " + '") + "'"
    return {"expression": expression, "messageExpression": said, "reason": "Forbidden"}


def _noted(name: str) -> str:
    """What the namespace's annotation says; nothing where it is not."""
    return f"{_NOTES}[?'{name}'].orValue('')"


def _kept_to(node_label: str, label: str, chinese: str, english: str) -> Rule:
    """Where the tenancy's namespace has the label, its pods select it and nothing else."""
    wanted, asked = f"{_LABELS}['{label}']", f"{_SELECTOR}[?'{node_label}'].orValue('-')"
    return (
        f"!('{label}' in {_LABELS}) || {asked} == {wanted}",
        f"本租户的容器组只能运行在 «{wanted}» {chinese}的节点上，不能是 «{asked}»",
        f"pods of this tenancy run on «{wanted}» {english} only, not on «{asked}» (nodeSelector {node_label})",
    )


def _given(node_label: str, label: str) -> str:
    """The patch that adds a selector where the tenancy has one and the pod is silent about it.

    `nodeSelector` is one value to server-side apply, so only a JSON patch can add to it.
    """
    path = f"'/spec/nodeSelector/' + jsonpatch.escapeKey('{node_label}')"
    patch = f"JSONPatch{{op: 'add', path: {path}, value: {_LABELS}['{label}']}}"
    return f"('{label}' in {_LABELS} && !('{node_label}' in {_SELECTOR}) ? [{patch}] : [])"


_EMPTY = "(has(object.spec.nodeSelector) ? [] : [JSONPatch{op: 'add', path: '/spec/nodeSelector', value: {}}])"
_SILENT_PODS: Manifest = {
    "matchConstraints": _on({"": ["pods"]}, ["CREATE"]),
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

_BY_THE_TENANT = "request.userInfo.username.startsWith('system:serviceaccount:' + request.namespace + ':')"
_MADE_OR_CHANGED = f"request.operation == 'CREATE' || {_BY_THE_TENANT}"

_TOLERATIONS = ", ".join(f"'node.kubernetes.io/{name}'" for name in _TOLERATED)
_RESOURCES = f"['cpu', 'memory', 'ephemeral-storage', {_noted(GPU)}]"
_LATER = "DuringSchedulingIgnoredDuringExecution"
_AFFINITY = "object.spec.?affinity"
_NEIGHBOURS = " + ".join(
    f"{_AFFINITY}.?{kind}.?{term}"
    for kind in ("podAffinity", "podAntiAffinity")
    for term in (f"required{_LATER}.orValue([])", f"preferred{_LATER}.orValue([]).map(one, one.podAffinityTerm)")
)
_PODS: tuple[Rule, ...] = (
    _kept_to(NODE_ARCHITECTURE, ARCHITECTURE, "架构", "nodes"),
    _kept_to(FAMILY, FAMILY, "处理器", "processors"),
    (
        "(request.operation == 'UPDATE' || object.spec.?nodeName.orValue('') == '')"
        f" && {_SELECTOR}.all(key, key in ['{NODE_ARCHITECTURE}', '{FAMILY}', 'kubernetes.io/os'])"
        f" && !{_AFFINITY}.?nodeAffinity.hasValue()",
        "容器组不能自行选择节点（nodeName、nodeAffinity 或其他 nodeSelector）",
        "pods of a tenancy do not choose their node: leave out nodeName, nodeAffinity and other nodeSelectors",
    ),
    (
        f"({_NEIGHBOURS}).all(term, !has(term.namespaceSelector)"
        " && term.?namespaces.orValue([]).all(name, name == request.namespace))",
        "亲和与反亲和只能针对本租户自己的容器组",
        "pods of a tenancy keep near to, or away from, its own pods only: leave out namespaces and namespaceSelector",
    ),
    (
        f"object.spec.?tolerations.orValue([]).all(one, one.?key.orValue('') in [{_TOLERATIONS}]"
        f" || one.?key.orValue('') != '' && one.?key.orValue('') == {_noted(GPU)})",
        "容器组不能容忍节点的污点（tolerations）",
        "pods of a tenancy bear no taints of nodes: leave out tolerations",
    ),
    (
        f"object.spec.?priorityClassName.orValue('') in ['', {_noted(PRIORITY_CLASS)}]",
        "容器组不能优先于他人（priorityClassName）",
        "pods of a tenancy do not go before others': leave out priorityClassName",
    ),
    (
        "object.spec.?serviceAccountName.orValue('default') == 'default'",
        "容器组只能使用账号 default",
        "pods of a tenancy run as the service account default only",
    ),
    (
        f"{_CONTAINERS}.all(one,"
        f" one.?resources.?limits.orValue({{}}).all(name, name in {_RESOURCES})"
        f" && one.?resources.?requests.orValue({{}}).all(name, name in {_RESOURCES}))",
        "容器组只能申请本租户额度内的资源",
        "pods of a tenancy ask for what its quota counts only: cpu, memory, ephemeral-storage, GPUs if it has some",
    ),
    (
        "object.spec.?volumes.orValue([]).all(one, !has(one.csi))",
        "存储须通过存储卷声明申请（不支持内联 CSI 卷）",
        "storage is claimed: volumes of a CSI driver within a pod are counted by no quota",
    ),
)
_CLASSES, _CLASS = _noted(STORAGE_CLASSES), "object.spec.?storageClassName.orValue('-')"
_CLAIMS: tuple[Rule, ...] = (
    (
        f"request.operation == 'UPDATE' || {_CLASS} in {_CLASSES}.split(',')",
        f"本租户的存储类别为：«{_CLASSES}»，没有 «{_CLASS}»",
        f"this tenancy has storage of these classes: «{_CLASSES}»; not of «{_CLASS}»",
    ),
    (
        "object.spec.?volumeName.orValue('') == ''"
        " || request.operation == 'UPDATE' && object.spec.?volumeName == oldObject.spec.?volumeName",
        "存储卷由平台选择（volumeName）",
        "which volume a claim gets is not the tenant's to say: leave out volumeName",
    ),
)
_SECRETS: tuple[Rule, ...] = (
    (
        "!(object.?type.orValue('') in ['kubernetes.io/service-account-token', 'bootstrap.kubernetes.io/token'])",
        "不允许长期令牌",
        "tokens without an end are not allowed here",
    ),
)
_SERVICES: tuple[Rule, ...] = (
    (
        "object.spec.?externalIPs.orValue([]).size() == 0",
        "服务不能占用外部地址（externalIPs）",
        "services of a tenancy take no addresses from outside: leave out externalIPs",
    ),
    (
        "object.spec.?type.orValue('') != 'ExternalName'",
        "服务不能是外部名称的别名（ExternalName）",
        "services of a tenancy are no names for what lies outside: not of type ExternalName",
    ),
)
_OWN = f"request.namespace + '.' + {_noted(DOMAIN)}"
_IS_OWN = f"(host == {_OWN} || host.endsWith('.' + {_OWN}))"
_INGRESSES: tuple[Rule, ...] = (
    (
        f"{_noted(DOMAIN)} != ''",
        "本资源池没有对外入口，不能使用 Ingress",
        "this pool has no entrance from outside: no Ingress can be served",
    ),
    (
        "!has(object.spec.defaultBackend)"
        f" && object.spec.?rules.orValue([]).all(rule, [rule.?host.orValue('')].all(host, {_IS_OWN}))"
        f" && object.spec.?tls.orValue([]).all(one, one.?hosts.orValue(['']).all(host, {_IS_OWN}))",
        f"Ingress 的每个主机名须为 «{_OWN}» 或其下级，且不能有 defaultBackend",
        f"each host of an Ingress is «{_OWN}» or below it, and there is no defaultBackend",
    ),
    (
        "object.metadata.?annotations.orValue({}).all(name, name.startsWith('kubectl.kubernetes.io/'))",
        "Ingress 不能带入口控制器的注解",
        "an Ingress of a tenancy has no annotations for its controller",
    ),
)
_EVERYTHING = {
    "": ["pods", "services", "configmaps", "secrets", "persistentvolumeclaims"],
    "apps": ["deployments", "statefulsets", "replicasets"],
    "batch": ["jobs", "cronjobs"],
    "autoscaling": ["horizontalpodautoscalers"],
    "policy": ["poddisruptionbudgets"],
    "networking.k8s.io": ["ingresses"],
}
"""All that a tenant can make."""

_FINALIZERS: tuple[Rule, ...] = (
    (
        "object.metadata.?finalizers.orValue([]).all(name,"
        " request.operation == 'UPDATE' && name in oldObject.metadata.?finalizers.orValue([])"
        " || request.resource.resource == 'pods' && name == 'batch.kubernetes.io/job-tracking'"
        f" && !{_BY_THE_TENANT}"
        " || request.resource.resource == 'persistentvolumeclaims' && name == 'kubernetes.io/pvc-protection')",
        "不能设置终结器（finalizers）",
        "nothing of a tenancy holds up its own removal: leave out finalizers",
    ),
)

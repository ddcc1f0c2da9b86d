"""What a tenant may do with its own kubeconfig, and what the API server refuses it."""

import pytest
from kubernetes import client

from tests.beds.kubernetes.pods import pod
from tests.beds.kubernetes.processes import until
from tests.provisioning.kubernetes.conftest import DRY, claim, refused

HOUR = {"spec": {"expirationSeconds": 3600}}
NO_QUOTA = {"spec": {"hard": {"pods": "999"}}}
OPEN = {"metadata": {"name": "open"}, "spec": {"podSelector": {}, "ingress": [{}]}}
SECRET = {"metadata": {"name": "mine"}, "stringData": {"password": "s3cret"}}
MORE = {
    "metadata": {"name": "more"},
    "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
    "subjects": [{"kind": "ServiceAccount", "name": "tenant"}],
}
LASTING = {
    "metadata": {"name": "lasting", "annotations": {"kubernetes.io/service-account.name": "tenant"}},
    "type": "kubernetes.io/service-account-token",
}
HELD = {"metadata": {"name": "held", "finalizers": ["example.com/hold"]}}
FOREIGN = {"labelSelector": {}, "namespaceSelector": {}, "topologyKey": "kubernetes.io/hostname"}
ZONE = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["node-1"]}]}


def service(kind="ClusterIP", **spec):
    return {"metadata": {"name": "door"}, "spec": {"type": kind, "ports": [{"port": 80}], **spec}}


def deployment(name):
    made = pod(name)
    template = {"metadata": made["metadata"], "spec": made["spec"]}
    selector = {"matchLabels": {"app": name}}
    return {"metadata": {"name": name}, "spec": {"replicas": 2, "selector": selector, "template": template}}


def job(name):
    return {"metadata": {"name": name}, "spec": {"template": {"spec": pod(name)["spec"] | {"restartPolicy": "Never"}}}}


def ingress(host, **more):
    backend = {"service": {"name": "web", "port": {"number": 80}}}
    http = {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}
    rule = {"http": http, **({"host": host} if host else {})}
    metadata = {"name": "web", "annotations": more.pop("annotations", {})}
    return {"metadata": metadata, "spec": {"rules": [rule], **more}}


def labels(**wanted):
    return {"metadata": {"labels": {key.replace("__", "/").replace("_", "-"): value for key, value in wanted.items()}}}


def privileged():
    made = pod("one")
    made["spec"]["containers"][0]["securityContext"] = {"privileged": True}
    return made


def asking(**limits):
    return {"limits": {"cpu": "1", "memory": "1Gi", **limits}}


ALLOWED = {
    "lists its pods": lambda t: t.core.list_namespaced_pod(t.space),
    "runs a pod": lambda t: t.runs(),
    "keeps pods apart": lambda t: t.runs(
        affinity={"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
            {"labelSelector": {"matchLabels": {"app": "one"}}, "topologyKey": "kubernetes.io/hostname"}]}}
    ),
    "runs a deployment": lambda t: t.apps.create_namespaced_deployment(t.space, deployment("shop"), **DRY),
    "runs a job": lambda t: t.batch.create_namespaced_job(t.space, job("once"), **DRY),
    "offers a service": lambda t: t.core.create_namespaced_service(t.space, service(), **DRY),
    "offers a site": lambda t: t.net.create_namespaced_ingress(
        t.space, ingress("exam.ten-01settled.apps.gov.cn", tls=[{"hosts": ["ten-01settled.apps.gov.cn"]}]), **DRY
    ),
    "keeps a secret": lambda t: t.core.create_namespaced_secret(t.space, SECRET, **DRY),
    "takes all its storage": lambda t: t.claims("10Gi"),
    "sees its quota": lambda t: t.core.read_namespaced_resource_quota("size", t.space),
    "sees its walls": lambda t: t.net.list_namespaced_network_policy(t.space),
}  # fmt: skip

FORBIDDEN = {
    "list another's pods": lambda t: t.core.list_namespaced_pod("kube-system"),
    "read another's secrets": lambda t: t.core.list_namespaced_secret("kube-system"),
    "list everybody's pods": lambda t: t.core.list_pod_for_all_namespaces(),
    "list nodes": lambda t: t.core.list_node(),
    "list namespaces": lambda t: t.core.list_namespace(),
    "make a namespace": lambda t: t.core.create_namespace({"metadata": {"name": "mine"}}, **DRY),
    "delete its namespace": lambda t: t.core.delete_namespace(t.space, **DRY),
    "lower its pod security": lambda t: t.core.patch_namespace(
        t.space, labels(pod_security_kubernetes_io__enforce="privileged"), **DRY
    ),
    "change its architecture": lambda t: t.core.patch_namespace(t.space, labels(cloudctl__arch="amd64"), **DRY),
    "raise its quota": lambda t: t.core.patch_namespaced_resource_quota("size", t.space, NO_QUOTA, **DRY),
    "remove its quota": lambda t: t.core.delete_namespaced_resource_quota("size", t.space, **DRY),
    "remove its defaults": lambda t: t.core.delete_namespaced_limit_range("defaults", t.space, **DRY),
    "open its walls": lambda t: t.net.create_namespaced_network_policy(t.space, OPEN, **DRY),
    "remove its walls": lambda t: t.net.delete_namespaced_network_policy("default-deny", t.space, **DRY),
    "make itself administrator": lambda t: t.rights.create_namespaced_role_binding(t.space, MORE, **DRY),
    "change its role": lambda t: t.rights.patch_namespaced_role("tenant", t.space, {"rules": []}, **DRY),
    "make itself a token": lambda t: t.core.create_namespaced_service_account_token("tenant", t.space, HOUR),
    "make an account": lambda t: t.core.create_namespaced_service_account(t.space, {"metadata": {"name": "a"}}, **DRY),
    "point a service at an address": lambda t: t.core.create_namespaced_endpoints(
        t.space, {"metadata": {"name": "door"}, "subsets": [{"addresses": [{"ip": "10.0.0.1"}]}]}, **DRY
    ),
}

BEYOND = {
    "a place before everybody": ("不能优先", lambda t: t.runs(priorityClassName="system-node-critical")),
    "a place before others": ("do not go before", lambda t: t.runs(priorityClassName="gold")),
    "a token without an end": ("without an end", lambda t: t.core.create_namespaced_secret(t.space, LASTING, **DRY)),
    "a pod with its own rights": ("account default only", lambda t: t.runs(serviceAccountName="tenant")),
    "a privileged pod": ("PodSecurity", lambda t: t.core.create_namespaced_pod(t.space, privileged(), **DRY)),
    "the network of a node": ("PodSecurity", lambda t: t.runs(hostNetwork=True)),
    "another architecture": (
        "只能运行在 arm64 架构的节点上，不能是 amd64 / .*arm64 nodes only, not on amd64",
        lambda t: t.runs(nodeSelector={"kubernetes.io/arch": "amd64"}),
    ),
    "another processor": (
        "只能运行在 kunpeng-920 处理器的节点上.*kunpeng-920 processors only, not on ft-2000",
        lambda t: t.runs(nodeSelector={"cloudctl/cpu-family": "ft-2000"}),
    ),
    "a node": ("do not choose their node", lambda t: t.runs(nodeName="arm64-0003")),
    "a node by its name": (
        "do not choose their node",
        lambda t: t.runs(nodeSelector={"kubernetes.io/hostname": "arm64-0003"}),
    ),
    "a node by affinity": (
        "do not choose their node",
        lambda t: t.runs(
            affinity={"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [ZONE]}}}
        ),
    ),
    "tainted nodes": ("bear no taints", lambda t: t.runs(tolerations=[{"operator": "Exists"}])),
    "a node of the control plane": (
        "bear no taints",
        lambda t: t.runs(tolerations=[{"key": "node-role.kubernetes.io/control-plane", "operator": "Exists"}]),
    ),
    "nodes without its neighbours": (
        "its own pods only",
        lambda t: t.runs(affinity={"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [FOREIGN]}}),
    ),
    "nodes of its neighbours": (
        "its own pods only",
        lambda t: t.runs(
            affinity={
                "podAffinity": {
                    "preferredDuringSchedulingIgnoredDuringExecution": [
                        {
                            "weight": 1,
                            "podAffinityTerm": {**FOREIGN, "namespaceSelector": None, "namespaces": ["kube-system"]},
                        }
                    ]
                }
            }
        ),
    ),
    "a device that no quota counts": (
        "what its quota counts",
        lambda t: t.runs(resources=asking(**{"example.com/fpga": "1"})),
    ),
    "a GPU that it has not": (
        "exceeded quota.*Ascend910",
        lambda t: t.runs(resources=asking(**{"huawei.com/Ascend910": "1"})),
    ),
    "the disk of a node": (
        "exceeded quota.*ephemeral",
        lambda t: t.runs(resources=asking(**{"ephemeral-storage": "65Gi"})),
    ),
    "storage within a pod": (
        "counted by no quota",
        lambda t: t.runs(volumes=[{"name": "v", "csi": {"driver": "example.com"}}]),
    ),
    "more CPU": ("exceeded quota: size.*limits.cpu", lambda t: t.runs(resources=asking(cpu="5"))),
    "more storage": ("exceeded quota: size.*ssd", lambda t: t.claims("11Gi")),
    "storage of a class it has none of": ("没有 hdd / .*not of hdd", lambda t: t.claims("1Gi", "hdd")),
    "storage of a class we do not know": ("没有 premium / .*not of premium", lambda t: t.claims("1Gi", "premium")),
    "storage of no class": ("not of -", lambda t: t.claims("1Gi", None)),
    "somebody's volume": ("leave out volumeName", lambda t: t.claims("1Gi", volumeName="pv-of-others")),
    "a port of every node": (
        "services.nodeports",
        lambda t: t.core.create_namespaced_service(t.space, service("NodePort"), **DRY),
    ),
    "a load balancer": (
        "services.loadbalancers",
        lambda t: t.core.create_namespaced_service(t.space, service("LoadBalancer"), **DRY),
    ),
    "an address from outside": (
        "no addresses from outside",
        lambda t: t.core.create_namespaced_service(t.space, service(externalIPs=["10.0.0.1"]), **DRY),
    ),
    "a name for what lies outside": (
        "not of type ExternalName",
        lambda t: t.core.create_namespaced_service(t.space, service("ExternalName", externalName="db.gov.cn"), **DRY),
    ),
    "another's site": (
        "主机名须为 ten-01settled.apps.gov.cn 或其下级",
        lambda t: t.net.create_namespaced_ingress(t.space, ingress("ten-01other.apps.gov.cn"), **DRY),
    ),
    "a site whose name ends alike": (
        "ten-01settled.apps.gov.cn or below it",
        lambda t: t.net.create_namespaced_ingress(t.space, ingress("evil-ten-01settled.apps.gov.cn"), **DRY),
    ),
    "everybody's sites": ("or below it", lambda t: t.net.create_namespaced_ingress(t.space, ingress(None), **DRY)),
    "another's certificate": (
        "or below it",
        lambda t: t.net.create_namespaced_ingress(
            t.space, ingress("ten-01settled.apps.gov.cn", tls=[{"hosts": ["pay.gov.cn"]}]), **DRY
        ),
    ),
    "what no rule takes": (
        "no defaultBackend",
        lambda t: t.net.create_namespaced_ingress(
            t.space,
            ingress("ten-01settled.apps.gov.cn", defaultBackend={"service": {"name": "w", "port": {"number": 1}}}),
            **DRY,
        ),
    ),
    "a word with the entrance": (
        "no annotations",
        lambda t: t.net.create_namespaced_ingress(
            t.space,
            ingress(
                "ten-01settled.apps.gov.cn", annotations={"nginx.ingress.kubernetes.io/server-alias": "pay.gov.cn"}
            ),
            **DRY,
        ),
    ),
    "an endless configuration": (
        "holds up its own removal",
        lambda t: t.core.create_namespaced_config_map(t.space, HELD, **DRY),
    ),
    "an endless secret": ("finalizers", lambda t: t.core.create_namespaced_secret(t.space, HELD, **DRY)),
    "an endless pod": (
        "finalizers",
        lambda t: t.core.create_namespaced_pod(
            t.space,
            pod("one") | {"metadata": {"name": "one", "finalizers": ["batch.kubernetes.io/job-tracking"]}},
            **DRY,
        ),
    ),
}


@pytest.fixture(scope="module", autouse=True)
def gold(cluster):
    """A priority class of the cluster's that goes before all tenants' pods."""
    scheduling = client.SchedulingV1Api(cluster.api)
    scheduling.create_priority_class({"metadata": {"name": "gold"}, "value": 1000})
    yield
    scheduling.delete_priority_class("gold")


@pytest.mark.parametrize("what", ALLOWED)
def test_a_tenant_in_its_own_space(settled, what):
    ALLOWED[what](settled)


@pytest.mark.parametrize("what", FORBIDDEN)
def test_a_tenant_may_not(settled, what):
    with refused(403, "system:serviceaccount:ten-01settled:tenant"):
        FORBIDDEN[what](settled)


@pytest.mark.parametrize("what", BEYOND)
def test_a_tenant_does_not_get(settled, what):
    reason, act = BEYOND[what]
    with refused(403, reason):
        act(settled)


def test_what_may_not_be_made_may_not_be_changed_into_either(tenant):
    core, space = tenant.core, tenant.space
    core.create_namespaced_persistent_volume_claim(space, claim("data", "1Gi"))
    core.create_namespaced_service(space, service())
    core.create_namespaced_config_map(space, {"metadata": {"name": "plain"}})
    core.create_namespaced_pod(space, pod("one"))
    held = {"metadata": {"finalizers": ["example.com/hold"]}}
    with refused(403, "leave out volumeName"):
        core.patch_namespaced_persistent_volume_claim("data", space, {"spec": {"volumeName": "pv-of-others"}})
    with refused(403, "no addresses from outside"):
        core.patch_namespaced_service("door", space, {"spec": {"externalIPs": ["10.0.0.1"]}})
    with refused(403, "exceeded quota: size.*nodeports"):
        core.patch_namespaced_service("door", space, {"spec": {"type": "NodePort"}})
    with refused(403, "finalizers"):
        core.patch_namespaced_config_map("plain", space, held)
    with refused(403, "bear no taints"):
        borne = [
            {
                "key": one.key,
                "operator": one.operator,
                "effect": one.effect,
                "tolerationSeconds": one.toleration_seconds,
            }
            for one in core.read_namespaced_pod("one", space).spec.tolerations
        ]
        core.patch_namespaced_pod("one", space, {"spec": {"tolerations": [*borne, {"operator": "Exists"}]}})


def test_what_a_controller_makes_for_a_tenant_is_held_to_the_same(cluster, tenant):
    shop = deployment("shop")
    shop["spec"]["template"]["spec"]["priorityClassName"] = "system-node-critical"
    tenant.apps.create_namespaced_deployment(tenant.space, shop)

    def told():
        sets = tenant.apps.list_namespaced_replica_set(tenant.space).items
        said = [c.message for each in sets for c in each.status.conditions or () if c.type == "ReplicaFailure"]
        return [message for message in said if "do not go before" in message]

    assert until("the refusal is told", told)
    assert tenant.core.list_namespaced_pod(tenant.space).items == []


def test_a_pod_gets_the_place_of_its_tenancy_where_it_is_silent(settled):
    place = {"kubernetes.io/arch": "arm64", "cloudctl/cpu-family": "kunpeng-920"}
    for asked in ({}, {"kubernetes.io/arch": "arm64"}, {"cloudctl/cpu-family": "kunpeng-920"}):
        assert settled.runs(**({"nodeSelector": asked} if asked else {})).spec.node_selector == place


def test_a_namespace_that_is_no_tenancy_is_left_alone(cluster, settled):
    free = pod("free", priorityClassName="gold")
    assert cluster.core.create_namespaced_pod("default", free, **DRY).spec.node_selector is None

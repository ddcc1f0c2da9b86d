"""Kubernetes: what a tenant can and cannot do with what it was handed, and the platform on a real cluster."""

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, config
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from cloudctl.kernel import engine as walker
from cloudctl.kernel import events
from cloudctl.kernel.operations import GiveUp
from cloudctl.kernel.settings import Settings
from provisioning import pools, reconcile
from provisioning.drivers import Place, Tenancy
from provisioning.kubernetes import KubernetesDriver, manifests
from tests.beds.kubernetes.cluster import Cluster
from tests.beds.kubernetes.processes import until
from tests.world import World

WITHIN = timedelta(seconds=60)
SIZE = {"vcpu": 2, "memory_gib": 4, "storage_gib.ssd": 10}
SAFE = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def quiet(slug: str, **figures: Any) -> None:
    """A log that nobody reads."""


def pod(name: str, *, cpu: str = "250m", security: Any = SAFE, **spec: Any) -> dict[str, Any]:
    size = {"cpu": cpu, "memory": "256Mi"}
    main = {"name": "main", "image": "example", "securityContext": security}
    main["resources"] = {"requests": size, "limits": size}
    return {"metadata": {"name": name}, "spec": {"containers": [main], **spec}}


def disk(name: str, gib: int, storage_class: str = "ssd") -> dict[str, Any]:
    wanted = {"storageClassName": storage_class, "resources": {"requests": {"storage": f"{gib}Gi"}}}
    return {"metadata": {"name": name}, "spec": {"accessModes": ["ReadWriteOnce"], **wanted}}


class Tenant:
    """Somebody with nothing but the kubeconfig that was handed over."""

    def __init__(self, kubeconfig: str, folder: Path, space: str) -> None:
        file = folder / f"{os.urandom(4).hex()}.kubeconfig"
        file.write_text(kubeconfig)
        self.api = config.new_client_from_config(str(file))
        self.core, self.space = client.CoreV1Api(self.api), space


@pytest.fixture
def place(cluster: Cluster) -> Place:
    connection = {"kubeconfig": str(cluster.kubeconfig("cloudctl")), "storage_classes": {"ssd": "ssd", "hdd": "hdd"}}
    return Place("pool_1", "kubernetes", "arm64", {**connection, "cpu_family": "kunpeng-920"})


@pytest.fixture
def tenancy(place: Place) -> Iterator[Tenancy]:
    tenancy = Tenancy(f"ten_{os.urandom(6).hex()}", "exam portal", "prj_1", "dep_1", SIZE, place)
    yield tenancy
    KubernetesDriver().remove(tenancy, quiet, WITHIN)


@pytest.fixture
def tenant(cluster: Cluster, tenancy: Tenancy, tmp_path: Path) -> Tenant:
    access = KubernetesDriver().provision(tenancy, quiet, WITHIN)
    space = manifests.namespace(tenancy.id)
    until("the default account", lambda: cluster.core.list_namespaced_service_account(space).items[1:])
    tenant = Tenant(access.secret or "", tmp_path, space)

    probe = on("probe", "amd64")
    until(
        "admission policies work",
        lambda: refusal(lambda: tenant.core.create_namespaced_pod(space, probe, dry_run="All"), 422),
        seconds=30,
        every=0.3,
    )
    return tenant


def on(name: str, architecture: str, **spec: Any) -> dict[str, Any]:
    return pod(name, nodeSelector={"kubernetes.io/arch": architecture}, **spec)


def refusal(call: Callable[[], object], status: int) -> str:
    """What the API server says when it refuses with this status; nothing where it does not refuse."""
    try:
        call()
    except client.ApiException as refused:
        if refused.status != status:
            raise
        return str(refused.body)
    return ""


FORBIDDEN: dict[str, Callable[[Tenant], object]] = {
    "lists another's pods": lambda t: t.core.list_namespaced_pod("kube-system"),
    "reads another's secrets": lambda t: t.core.list_namespaced_secret("kube-system"),
    "lists nodes": lambda t: t.core.list_node(),
    "lists namespaces": lambda t: t.core.list_namespace(),
    "raises its quota": lambda t: t.core.patch_namespaced_resource_quota(
        "size", t.space, {"spec": {"hard": {"pods": "999"}}}
    ),
    "lifts the default limits": lambda t: t.core.delete_namespaced_limit_range("defaults", t.space),
    "lowers its pod security": lambda t: t.core.patch_namespace(
        t.space, {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "privileged"}}}
    ),
    "opens its walls": lambda t: client.NetworkingV1Api(t.api).delete_namespaced_network_policy(
        "default-deny", t.space
    ),
    "adds a door in its walls": lambda t: client.NetworkingV1Api(t.api).create_namespaced_network_policy(
        t.space, {"metadata": {"name": "door"}, "spec": {"podSelector": {}, "ingress": [{}]}}
    ),
    "makes itself administrator": lambda t: client.RbacAuthorizationV1Api(t.api).create_namespaced_role_binding(
        t.space,
        {
            "metadata": {"name": "more"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"kind": "ServiceAccount", "name": "tenant", "namespace": t.space}],
        },
    ),
    "widens its role": lambda t: client.RbacAuthorizationV1Api(t.api).patch_namespaced_role(
        "tenant", t.space, {"rules": []}
    ),
    "makes itself a token": lambda t: t.core.create_namespaced_service_account_token(
        "tenant", t.space, {"spec": {"expirationSeconds": 3600}}
    ),
    "deletes its namespace": lambda t: t.core.delete_namespace(t.space),
    "runs a privileged pod": lambda t: t.core.create_namespaced_pod(
        t.space, pod("privileged", security={"privileged": True})
    ),
    "goes over its cores": lambda t: t.core.create_namespaced_pod(t.space, pod("big", cpu="3")),
    "asks for too large a disk": lambda t: t.core.create_namespaced_persistent_volume_claim(t.space, disk("d", 11)),
    "asks for a class that it has not": lambda t: t.core.create_namespaced_persistent_volume_claim(
        t.space, disk("h", 1, "hdd")
    ),
    "opens a node port": lambda t: t.core.create_namespaced_service(
        t.space, {"metadata": {"name": "door"}, "spec": {"type": "NodePort", "ports": [{"port": 80}]}}
    ),
    "asks for a load balancer": lambda t: t.core.create_namespaced_service(
        t.space, {"metadata": {"name": "lb"}, "spec": {"type": "LoadBalancer", "ports": [{"port": 80}]}}
    ),
}


def test_a_tenant_works_in_its_namespace_and_moves_neither_walls_nor_quota(tenant: Tenant, cluster: Cluster) -> None:
    for deed, attempt in FORBIDDEN.items():
        assert refusal(lambda attempt=attempt: attempt(tenant), 403), deed
    tenant.core.create_namespaced_pod(tenant.space, pod("silent"))
    tenant.core.create_namespaced_pod(tenant.space, on("right", "arm64"))
    tenant.core.create_namespaced_persistent_volume_claim(tenant.space, disk("data", 4))
    tenant.core.create_namespaced_service(
        tenant.space, {"metadata": {"name": "web"}, "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]}}
    )
    tenant.core.create_namespaced_secret(tenant.space, {"metadata": {"name": "s"}, "stringData": {"a": "b"}})
    assert tenant.core.read_namespaced_resource_quota("size", tenant.space).status.used["requests.storage"] == "4Gi"

    def running() -> bool:
        found = tenant.core.list_namespaced_pod(tenant.space).items
        return len(found) == 2 and all(one.status.phase == "Running" for one in found)

    until("both pods run", running)
    nodes = {one.spec.node_name for one in tenant.core.list_namespaced_pod(tenant.space).items}
    assert all("arm64" in node for node in nodes), "the silent one was given its place"


def test_a_pod_for_another_architecture_family_or_node_is_refused_in_both_languages(tenant: Tenant) -> None:
    create = tenant.core.create_namespaced_pod
    wrong = refusal(lambda: create(tenant.space, on("wrong", "amd64")), 422)
    assert "该租用只在 arm64 节点上运行" in wrong
    assert "this tenancy runs on arm64 nodes only" in wrong
    other = pod("family", nodeSelector={"cloudctl/cpu-family": "phytium"})
    assert "runs on kunpeng-920 processors only" in refusal(lambda: create(tenant.space, other), 422)
    chosen = on("chosen", "arm64", nodeName="node-amd64-0000")
    assert "leave out nodeName" in refusal(lambda: create(tenant.space, chosen), 422)


def test_suspended_nothing_runs_and_resumed_controllers_start_again(
    tenant: Tenant, tenancy: Tenancy, cluster: Cluster
) -> None:
    labels = {"app": "web"}
    deployment = {
        "metadata": {"name": "web"},
        "spec": {"replicas": 2, "selector": {"matchLabels": labels}, "template": pod("x")},
    }
    deployment["spec"]["template"]["metadata"] = {"labels": labels}  # type: ignore[index]
    client.AppsV1Api(tenant.api).create_namespaced_deployment(tenant.space, deployment)

    def pods() -> list[Any]:
        return list(cluster.core.list_namespaced_pod(tenant.space).items)

    until("the pods are there", lambda: len(pods()) == 2)
    KubernetesDriver().suspend(tenancy, quiet, WITHIN)
    until("the pods are gone", lambda: not pods())
    KubernetesDriver().resume(replace(tenancy, suspended=True), quiet, WITHIN)
    until("the pods are back", lambda: len(pods()) == 2, seconds=90)


def test_a_tenancy_does_not_become_smaller_than_what_it_uses(tenant: Tenant, tenancy: Tenancy) -> None:
    tenant.core.create_namespaced_persistent_volume_claim(tenant.space, disk("data", 4))
    with pytest.raises(GiveUp) as refused:
        KubernetesDriver().resize(replace(tenancy, size={**SIZE, "storage_gib.ssd": 3}), quiet, WITHIN)
    assert (refused.value.reason, refused.value.figures["used"]) == ("in-use", 4.0)


def test_what_has_no_nodes_offers_nothing_and_inventory_goes_by_architecture(place: Place) -> None:
    found = KubernetesDriver().inventory(place)
    assert (found.amounts, found.architecture) == ({"vcpu": 128, "memory_gib": 512}, "arm64")
    assert KubernetesDriver().inventory(replace(place, architecture="sw64")).amounts == {"vcpu": 0, "memory_gib": 0}


@pytest.mark.parametrize(
    ("connection", "reason"),
    [
        ({}, "bad-connection"),
        ({"kubeconfig": "relative/path"}, "bad-connection"),
        ({"kubeconfig": "/nowhere/at/all"}, "bad-kubeconfig"),
    ],
)
def test_a_connection_that_cannot_work_is_given_up_with_its_reason(
    place: Place, tenancy: Tenancy, connection: dict[str, str], reason: str
) -> None:
    with pytest.raises(GiveUp) as refused:
        KubernetesDriver().inventory(replace(place, connection=connection))
    assert refused.value.reason == reason


def test_a_kubeconfig_that_may_not_do_this_is_told_in_the_clusters_words(cluster: Cluster, tenancy: Tenancy) -> None:
    nobody = {**tenancy.place.connection, "kubeconfig": str(cluster.kubeconfig("nobody", None))}
    with pytest.raises(GiveUp) as refused:
        KubernetesDriver().provision(replace(tenancy, place=replace(tenancy.place, connection=nobody)), quiet, WITHIN)
    assert refused.value.reason == "not-authorised"
    assert "nobody" in refused.value.figures["message"]


# -- the platform on it


@pytest.fixture
def world(engine: Engine, settings: Settings, tmp_path: Path, cluster: Cluster) -> Iterator[World]:
    world = World(engine, settings, tmp_path / "servers")
    world.add_cluster(str(cluster.kubeconfig("cloudctl")))
    yield world
    for space in cluster.core.list_namespace(label_selector="cloudctl/tenancy").items:
        cluster.core.delete_namespace(space.metadata.name)


def create(world: World, name: str = "web") -> str:
    return world.create(SIZE, name, architectures=["arm64"])


def test_a_tenancy_lives_on_a_cluster_from_its_request_to_its_erasure(world: World, cluster: Cluster) -> None:
    tenancy = create(world)
    assert world.tenancy(tenancy).state == "active"
    assert all(limit["enforced"] for limit in world.tenancy(tenancy).limits)
    request = world.submit({"kind": "resize", "tenancy": tenancy, "size": {"vcpu": 3}})
    world.approve(request)
    world.walk()
    quota = cluster.core.read_namespaced_resource_quota("size", manifests.namespace(tenancy))
    assert quota.spec.hard["limits.cpu"] == "3"
    for kind in ("tenancy.quarantine", "tenancy.restore", "tenancy.quarantine", "tenancy.erase"):
        world.promise(kind, tenancy, reason="test")
        world.walk()
    assert (world.tenancy(tenancy).state, world.differences()) == ("erased", [])
    assert world.tenancy(tenancy).erasure["method"] == "namespace-deleted"
    spaces = [space.metadata.name for space in cluster.core.list_namespace().items]
    assert manifests.namespace(tenancy) not in spaces


def test_what_an_administrator_changed_by_hand_is_put_right(world: World, cluster: Cluster) -> None:
    tenancy, _ = create(world), create(world, "other")
    space = manifests.namespace(tenancy)
    cluster.core.patch_namespaced_resource_quota("size", space, {"spec": {"hard": {"pods": "999"}}})
    reconcile.sweep(world.engine, world.settings)
    with Session(world.engine) as session:
        (drift,) = [event for event in events.after(session, [tenancy]) if event.slug == "tenancy-drifted"]
    assert drift.figures["found"] == {"damaged": [[], ["ResourceQuota size"]]}
    world.walk()
    assert cluster.core.read_namespaced_resource_quota("size", space).spec.hard["pods"] == "30"


def test_while_the_cluster_is_down_nothing_is_judged_and_operations_wait(world: World, cluster: Cluster) -> None:
    tenancy = create(world)
    operation = world.promise("tenancy.suspend", tenancy)
    with cluster.without_api():
        reconcile.sweep(world.engine, world.settings)
        row = world.operation(operation)
        walker.advance(world.engine, world.settings, row.id, row.ticket)
        waiting = world.operation(operation)
        assert (waiting.state, waiting.reason["slug"]) == ("running", "cluster-unreachable")
        with Session(world.engine) as session:
            condition = pools.seen_by(session, world.operator, "kunpeng").condition
        assert (list(condition["unreachable"]), condition["breaker"]) == (["kunpeng"], None)
    world.walk()
    assert world.tenancy(tenancy).state == "suspended"


def test_a_cluster_that_answers_with_nothing_is_not_believed(world: World, cluster: Cluster) -> None:
    tenancy = create(world)
    cluster.core.patch_namespace(manifests.namespace(tenancy), {"metadata": {"labels": {"cloudctl/pool": "other"}}})
    reconcile.sweep(world.engine, world.settings)
    with Session(world.engine) as session:
        breaker = pools.seen_by(session, world.operator, "kunpeng").condition["breaker"]
    assert breaker["empty"] == ["kunpeng"]
    assert cluster.core.read_namespace(manifests.namespace(tenancy)).status.phase == "Active"


def test_a_look_at_many_tenancies_takes_lists_and_not_a_call_for_each(world: World, cluster: Cluster) -> None:
    for number in range(12):
        create(world, f"web-{number}")
    before = len(cluster.requests("cloudctl"))
    reconcile.sweep(world.engine, world.settings)
    asked = cluster.requests("cloudctl")[before:]
    assert len(asked) <= len(manifests.KINDS) + 3, [one.path for one in asked]
    assert {one.verb for one in asked} <= {"list", "get"}

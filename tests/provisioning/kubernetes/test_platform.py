"""The platform on a real cluster: tenancies from request to erasure, drift told and repaired, troubles waited out."""

import pytest
from kubernetes import client
from sqlalchemy.orm import Session

from cloudctl.kernel import engine as walker
from cloudctl.kernel import events
from provisioning import pools, reconcile
from provisioning.kubernetes import admission, manifests
from tests.beds.kubernetes.cluster import Cluster
from tests.world import World

SIZE = {"vcpu": 2, "memory_gib": 4, "storage_gib.ssd": 10}
POLICIES = (*admission.VALIDATING, *admission.MUTATING)


@pytest.fixture
def world(on_cluster: World) -> World:
    on_cluster.add_cluster(on_cluster.kubeconfig)
    return on_cluster


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
    cluster.core.patch_namespace(
        manifests.namespace(tenancy), {"metadata": {"annotations": {"cloudctl/pool": "other"}}}
    )
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
    assert len(asked) <= len(manifests.KINDS) + len(POLICIES) + 2, [one.path for one in asked]
    assert {one.verb for one in asked} <= {"list", "get"}


def test_a_namespace_that_copies_our_label_is_a_stranger_and_repairs_nothing(world: World, cluster: Cluster) -> None:
    tenancy = create(world)
    copy = {"metadata": {"name": "copy", "labels": {"cloudctl/tenancy": tenancy}}}
    cluster.core.create_namespace(copy)
    try:
        for _ in range(2):
            reconcile.sweep(world.engine, world.settings)
    finally:
        cluster.core.delete_namespace("copy")
    with Session(world.engine) as session:
        condition = pools.seen_by(session, world.operator, "kunpeng").condition
        told = [event.slug for event in events.after(session, [tenancy])]
    assert (condition["strangers"], condition["breaker"]) == (["copy"], None)
    assert "tenancy-drifted" not in told


def test_a_look_puts_the_clusters_policies_right(world: World, cluster: Cluster) -> None:
    create(world)
    rules = client.AdmissionregistrationV1Api(cluster.api)
    rules.delete_validating_admission_policy_binding("cloudctl-secrets")
    rules.patch_validating_admission_policy("cloudctl-pods", {"spec": {"failurePolicy": "Ignore"}})
    reconcile.sweep(world.engine, world.settings)
    assert rules.read_validating_admission_policy_binding("cloudctl-secrets").spec.validation_actions == ["Deny"]
    assert rules.read_validating_admission_policy("cloudctl-pods").spec.failure_policy == "Fail"

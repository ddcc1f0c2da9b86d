"""What others did to a tenancy behind our back: seen, told by its name, and taken back to the last word."""

from dataclasses import replace

import pytest
from kubernetes import client

from cloudctl.kernel.operations import GiveUp
from provisioning.drivers import Tenancy
from provisioning.kubernetes import manifests
from tests.beds.kubernetes.pods import pod
from tests.beds.kubernetes.processes import until
from tests.provisioning.kubernetes.conftest import DRIVER, SIZE, WITHIN, claim, is_refused, quiet, removed

ADMIN = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
DOOR = {
    "metadata": {"name": "door"},
    "roleRef": ADMIN,
    "subjects": [{"kind": "User", "name": "eve", "apiGroup": ADMIN["apiGroup"]}],
}
OPEN = {"metadata": {"name": "open"}, "spec": {"podSelector": {}, "ingress": [{}], "egress": [{}]}}
WIDE = [{"op": "add", "path": "/rules/-", "value": {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}}]
TWO = [{"op": "add", "path": "/spec/limits/-", "value": {"type": "Pod", "max": {"cpu": "1"}}}]


class Hands:
    """An administrator of the cluster, who works by hand."""

    def __init__(self, cluster, space):
        self.core, self.space = cluster.core, space
        self.rights, self.net = client.RbacAuthorizationV1Api(cluster.api), client.NetworkingV1Api(cluster.api)


DEEDS = {
    "adds a door": ("RoleBinding door", lambda h: h.rights.create_namespaced_role_binding(h.space, DOOR)),
    "adds a role": (
        "Role more",
        lambda h: h.rights.create_namespaced_role(h.space, {"metadata": {"name": "more"}, "rules": []}),
    ),
    "opens the walls": ("NetworkPolicy open", lambda h: h.net.create_namespaced_network_policy(h.space, OPEN)),
    "adds a quota": (
        "ResourceQuota less",
        lambda h: h.core.create_namespaced_resource_quota(
            h.space, {"metadata": {"name": "less"}, "spec": {"hard": {"pods": "0"}}}
        ),
    ),
    "adds an account": (
        "ServiceAccount robot",
        lambda h: h.core.create_namespaced_service_account(h.space, {"metadata": {"name": "robot"}}),
    ),
    "widens the role": ("Role tenant", lambda h: h.rights.patch_namespaced_role("tenant", h.space, WIDE)),
    "adds to the defaults": (
        "LimitRange defaults",
        lambda h: h.core.patch_namespaced_limit_range("defaults", h.space, TWO),
    ),
    "adds to the quota": (
        "ResourceQuota size",
        lambda h: h.core.patch_namespaced_resource_quota("size", h.space, {"spec": {"hard": {"count/leases.x": "0"}}}),
    ),
    "adds a subject": (
        "RoleBinding tenant",
        lambda h: h.rights.patch_namespaced_role_binding(
            "tenant", h.space, {"subjects": [*DOOR["subjects"], {"kind": "ServiceAccount", "name": "tenant"}]}
        ),
    ),
    "hands out tokens": (
        "ServiceAccount tenant",
        lambda h: h.core.patch_namespaced_service_account("tenant", h.space, {"automountServiceAccountToken": True}),
    ),
    "lowers pod security": (
        "Namespace",
        lambda h: h.core.patch_namespace(
            h.space, {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "privileged"}}}
        ),
    ),
    "exempts from pod security by version": (
        "Namespace",
        lambda h: h.core.patch_namespace(
            h.space, {"metadata": {"labels": {"pod-security.kubernetes.io/audit-version": "v1.20"}}}
        ),
    ),
    "gives another class of storage": (
        "Namespace",
        lambda h: h.core.patch_namespace(
            h.space, {"metadata": {"annotations": {"cloudctl/storage-classes": "ssd,hdd,premium"}}}
        ),
    ),
    "takes our label away": (
        "Namespace",
        lambda h: h.core.patch_namespace(h.space, {"metadata": {"labels": {"cloudctl/tenancy": None}}}),
    ),
    "holds up a wall's removal": (
        "NetworkPolicy dns",
        lambda h: h.net.patch_namespaced_network_policy(
            "dns", h.space, {"metadata": {"finalizers": ["example.com/x"]}}
        ),
    ),
}


@pytest.fixture(scope="module")
def kept(cluster, place):
    """A tenancy to which each of these things is done, one after another."""
    tenancy = Tenancy("ten_01kept", "exam", "prj-1", "522300-jyj", SIZE, place)
    DRIVER.provision(tenancy, quiet, WITHIN)
    yield tenancy
    removed(tenancy)


@pytest.mark.parametrize("deed", DEEDS)
def test_whatever_an_administrator_does_is_seen_and_undone(cluster, kept, deed):
    name, do = DEEDS[deed]
    before = DRIVER.observe(kept)
    assert list(before.damaged) == []
    do(Hands(cluster, manifests.namespace(kept.id)))
    seen = DRIVER.observe(kept)
    assert [one for one in seen.damaged if one.startswith(name)] == list(seen.damaged) != []
    if deed != "takes our label away":
        assert DRIVER.survey(kept.place)[kept.id] == seen
    DRIVER.provision(kept, quiet, WITHIN)
    assert DRIVER.observe(kept) == before == DRIVER.survey(kept.place)[kept.id]


def test_a_namespace_keeps_what_others_say_of_it_in_words_of_their_own(cluster, kept):
    space = manifests.namespace(kept.id)
    theirs = {"metadata": {"annotations": {"field.cattle.io/projectId": "p-1", "cloudctl/domain": "evil.cn"}}}
    cluster.core.patch_namespace(space, theirs)
    DRIVER.provision(kept, quiet, WITHIN)
    notes = cluster.core.read_namespace(space).metadata.annotations
    assert (notes["field.cattle.io/projectId"], notes["cloudctl/domain"]) == ("p-1", "apps.gov.cn")


def test_suspended_no_door_is_left_and_nothing_runs_whatever_it_said(cluster, tenant, tenancy):
    stubborn = pod("one", "trap '' TERM; while :; do sleep 1; done", terminationGracePeriodSeconds=3600)
    tenant.core.create_namespaced_pod(tenant.space, stubborn)
    Hands(cluster, tenant.space).rights.create_namespaced_role_binding(tenant.space, DOOR)
    DRIVER.suspend(tenancy, quiet, WITHIN)
    assert client.RbacAuthorizationV1Api(cluster.api).list_namespaced_role_binding(tenant.space).items == []
    for left in cluster.core.list_namespaced_pod(tenant.space).items:
        assert left.metadata.deletion_grace_period_seconds <= 1
    until("the door is shut", lambda: is_refused(lambda: tenant.core.list_namespaced_pod(tenant.space)), 2)
    seen = DRIVER.observe(tenancy)
    assert (seen.suspended, list(seen.damaged)) == (True, [])


def test_controllers_start_again_what_was_ended(cluster, tenant, tenancy):
    made = pod("web")
    template = {"metadata": made["metadata"], "spec": made["spec"]}
    spec = {"replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": template}
    tenant.apps.create_namespaced_deployment(tenant.space, {"metadata": {"name": "web"}, "spec": spec})

    def pods():
        return cluster.core.list_namespaced_pod(tenant.space).items

    until("the pods are there", lambda: len(pods()) == 2)
    DRIVER.suspend(tenancy, quiet, WITHIN)
    until("the pods are gone", lambda: not pods())
    DRIVER.resume(replace(tenancy, suspended=True), quiet, WITHIN)
    until("the pods are back", lambda: len(pods()) == 2, seconds=90)


def test_another_access_shuts_out_the_earlier_one_at_once_and_keeps_no_account_of_it(cluster, tenant, tenancy):
    DRIVER.rotate(tenancy, quiet, WITHIN)
    until("it is shut out", lambda: is_refused(lambda: tenant.core.list_namespaced_pod(tenant.space)), 1)
    names = {one.metadata.name for one in cluster.core.list_namespaced_service_account(tenant.space).items}
    assert (len(names), "tenant" in names) == (2, False)
    assert list(DRIVER.observe(tenancy).damaged) == []


def test_who_took_more_than_the_size_behind_our_back_is_held_to_it_again_and_can_be_shut_out(cluster, tenant, tenancy):
    more = {"spec": {"hard": {"ssd.storageclass.storage.k8s.io/requests.storage": "99Gi", "requests.storage": "99Gi"}}}
    cluster.core.patch_namespaced_resource_quota("size", tenant.space, more)
    beyond = tenancy.size["storage_gib.ssd"] + 1
    until(
        "it has more",
        lambda: (
            not is_refused(
                lambda: tenant.core.create_namespaced_persistent_volume_claim(
                    tenant.space, claim("more", f"{beyond}Gi")
                )
            )
        ),
        10,
    )
    DRIVER.provision(tenancy, quiet, WITHIN)
    assert DRIVER.observe(tenancy).size == tenancy.size
    DRIVER.suspend(tenancy, quiet, WITHIN)
    assert DRIVER.observe(tenancy).suspended


def test_it_becomes_no_smaller_than_what_it_uses(tenant, tenancy):
    tenant.core.create_namespaced_persistent_volume_claim(tenant.space, claim("data", "4Gi"))
    smaller = {**tenancy.size, "storage_gib.ssd": 3}
    with pytest.raises(GiveUp) as refusal:
        DRIVER.resize(replace(tenancy, size=smaller), quiet, WITHIN)
    assert (refusal.value.reason, refusal.value.figures["used"]) == ("in-use", 4.0)

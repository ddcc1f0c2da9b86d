"""A cluster in trouble: what is waited for, what is given up, and that both say why."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from kubernetes import client

from cloudctl.kernel.operations import GiveUp, RetryLater
from provisioning.kubernetes import manifests
from tests.beds.kubernetes import rights
from tests.beds.kubernetes.cluster import Cluster
from tests.beds.kubernetes.pods import pod
from tests.beds.kubernetes.processes import until
from tests.provisioning.kubernetes.conftest import DRIVER, WITHIN, Tenant, is_refused, quiet, refused

HELD = {"metadata": {"finalizers": ["example.com/hold"]}}


def test_a_namespace_that_does_not_go_is_waited_for_in_turns_and_says_what_holds_it(cluster, tenancy):
    DRIVER.provision(tenancy, quiet, WITHIN)
    space = manifests.namespace(tenancy.id)
    walls = client.NetworkingV1Api(cluster.api)
    walls.patch_namespaced_network_policy("dns", space, HELD)  # only an administrator can
    began = time.monotonic()
    with pytest.raises(RetryLater) as later:
        until("it is told", lambda: DRIVER.remove(tenancy, quiet, WITHIN), seconds=1)
    assert time.monotonic() - began < 30
    assert (later.value.reason, "example.com/hold" in later.value.figures["holding"]) == ("terminating", True)
    assert DRIVER.observe(tenancy) is None
    with pytest.raises(RetryLater, match="terminating"):
        DRIVER.provision(tenancy, quiet, WITHIN)
    walls.patch_namespaced_network_policy("dns", space, {"metadata": {"finalizers": None}})


def test_while_the_api_server_starts_again_under_load_nobody_gives_up(cluster, tenancy, tmp_path):
    file = str(rights.account(cluster, tmp_path))
    place = replace(tenancy.place, connection={**tenancy.place.connection, "kubeconfig": file})
    mine = replace(tenancy, place=place)
    DRIVER.provision(mine, quiet, WITHIN)
    waited, given_up, done = [], [], []
    ends = time.monotonic() + 60

    def load(call):
        while len(done) < 3 and time.monotonic() < ends:
            try:
                call()
            except RetryLater as later:
                waited.append(later.reason)
                time.sleep(0.02)
            except GiveUp as over:
                given_up.append(over)

    def restart():
        for _ in range(3):
            with cluster.without_api():
                time.sleep(0.5)
            done.append(1)
            time.sleep(1)

    calls = [
        lambda: DRIVER.provision(mine, quiet, WITHIN),
        lambda: DRIVER.observe(mine),
        lambda: DRIVER.survey(place),
    ]
    with ThreadPoolExecutor(4) as pool:
        work = [pool.submit(load, call) for call in calls]
        restart()
        for each in work:
            each.result()
    assert given_up == []
    assert "cluster-unreachable" in waited
    assert list(DRIVER.observe(mine).damaged) == []


def test_a_frozen_api_server_is_not_waited_for_for_ever(cluster, tenancy, monkeypatch):
    monkeypatch.setattr("provisioning.kubernetes.cluster._PATIENCE", 1.0)
    with cluster.with_frozen_api(), pytest.raises(RetryLater, match="cluster-unreachable"):
        DRIVER.observe(tenancy)


def test_a_kubeconfig_that_may_not_do_this_is_told_in_the_clusters_words(cluster, tenancy):
    nobody = {**tenancy.place.connection, "kubeconfig": str(cluster.kubeconfig("nobody", None))}
    with pytest.raises(GiveUp) as over:
        DRIVER.provision(replace(tenancy, place=replace(tenancy.place, connection=nobody)), quiet, WITHIN)
    assert over.value.reason == "not-authorised"
    assert "nobody" in over.value.figures["message"]


OFF = {"disable-admission-plugins": "MutatingAdmissionPolicy"}
_KINDS = ("mutatingadmissionpolicies", "mutatingadmissionpolicybindings")
MISSING = OFF | {"runtime-config": ",".join(f"admissionregistration.k8s.io/v1/{kind}=false" for kind in _KINDS)}


@pytest.mark.parametrize("flags", [MISSING, OFF], ids=["not served", "switched off"])
def test_without_mutating_policies_a_pod_names_its_place_itself(cluster, tenancy, tmp_path, flags):
    with Cluster(api_flags=flags) as old:
        connection = {**tenancy.place.connection, "kubeconfig": str(rights.platform(old))}
        mine = replace(tenancy, id="ten_01old", place=replace(tenancy.place, connection=connection))
        access = DRIVER.provision(mine, quiet, WITHIN)
        tenant = Tenant(mine, access.secret or "", tmp_path)
        until("an account", lambda: len(old.core.list_namespaced_service_account(tenant.space).items) > 1)
        silent = pod("one")
        until("the policy binds", lambda: is_refused(lambda: tenant.runs()), every=0.2)
        with refused(403, r"不能是 - / .* not on - \(nodeSelector kubernetes.io/arch\)"):
            tenant.core.create_namespaced_pod(tenant.space, silent)
        place = {"kubernetes.io/arch": "arm64", "cloudctl/cpu-family": "kunpeng-920"}
        assert tenant.runs(nodeSelector=place).spec.node_selector == place
        assert list(DRIVER.survey(mine.place)[mine.id].damaged) == []

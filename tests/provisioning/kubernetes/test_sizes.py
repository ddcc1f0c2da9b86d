"""Sizes as a cluster's quota: large ones, one-sided ones, and what a tenancy can have beside its size."""

from dataclasses import replace

import pytest

from provisioning.kubernetes import manifests
from tests.beds.kubernetes.pods import pod
from tests.provisioning.kubernetes.conftest import DRIVER, WITHIN, let_in, quiet


@pytest.mark.parametrize(
    "size",
    [
        {"vcpu": 2000, "memory_gib": 4096, "storage_gib.ssd": 2048},
        {"vcpu": 1, "memory_gib": 1048576, "gpu": 8},
        {"storage_gib.ssd": 1000, "storage_gib.hdd": 1024},
    ],
    ids=["thousands", "pebibytes and gpus", "storage"],
)
def test_a_large_size_is_read_back_as_it_was_said(tenancy, size):
    large = replace(tenancy, size=size)
    DRIVER.provision(large, quiet, WITHIN)
    seen = DRIVER.observe(large)
    assert (seen.size, list(seen.damaged)) == (size, [])


@pytest.mark.parametrize("size", [{"memory_gib": 4}, {"vcpu": 2}], ids=["memory alone", "cores alone"])
def test_with_memory_alone_or_cores_alone_something_runs(cluster, tenancy, tmp_path, size):
    one_sided = replace(tenancy, size=size)
    tenant = let_in(cluster, one_sided, tmp_path)
    assert DRIVER.observe(one_sided).size == size
    for number in range(3):
        tenant.core.create_namespaced_pod(tenant.space, pod(f"one-{number}"))
    DRIVER.provision(one_sided, quiet, WITHIN)
    assert set(DRIVER.usage(one_sided).used) <= set(size)
    seen = DRIVER.observe(one_sided)
    assert (seen.size, list(seen.damaged)) == (size, [])


def test_what_costs_the_cluster_itself_is_bounded(tenancy):
    hard = manifests.quota(tenancy)
    for name in ("pods", "services", "count/secrets", "count/configmaps", "persistentvolumeclaims"):
        assert 0 < int(hard[name]) <= 100
    assert hard["requests.huawei.com/Ascend910"] == hard["services.nodeports"] == "0"
    assert (hard["requests.ephemeral-storage"], hard["limits.ephemeral-storage"]) == ("8Gi", "64Gi")

"""A tenancy on real workers: its pods run within their limits, it reads them, and no neighbour reaches them."""

import time

import pytest

from provisioning.drivers import Place, Tenancy
from tests.beds.kubernetes import rights
from tests.beds.kubernetes.images import MACHINE
from tests.beds.kubernetes.pods import SERVER, heard, pod, running, said
from tests.beds.kubernetes.processes import until
from tests.provisioning.kubernetes.conftest import let_in, refused, removed

NAMES = "mkdir /tmp/www; echo names > /tmp/www/index.html; exec httpd -f -p 53 -h /tmp/www"
USED = """cat /sys/fs/cgroup/cpuacct/cpuacct.usage 2>/dev/null ||
          sed -n 's/usage_usec \\(.*\\)/\1000/p' /sys/fs/cgroup/cpu.stat"""
OTHER = "arm64" if MACHINE == "amd64" else "amd64"


@pytest.fixture(scope="module")
def tenants(workers, tmp_path_factory):
    """Two neighbours, each with a web server and a guest."""
    place = Place("pool_1", "kubernetes", MACHINE, {"kubeconfig": str(rights.platform(workers))})
    size = {"vcpu": 2, "memory_gib": 2}
    both = [
        let_in(workers, Tenancy(id, "walls", "exam", "522300-jyj", size, place), tmp_path_factory.mktemp(id))
        for id in ("ten_01here", "ten_01there")
    ]
    for tenant in both:
        for name, script in (("web", SERVER), ("guest", "exec sleep 1000")):
            tenant.core.create_namespaced_pod(tenant.space, pod(name, script))
    for tenant in both:
        until("it serves", lambda tenant=tenant: _asks(tenant, tenant) == "served")
    yield both
    for tenant in both:
        removed(tenant.tenancy)


def _asks(guest, host):
    """What the guest hears from the host's web server; both with their own kubeconfigs."""
    for tenant, name in ((host, "web"), (guest, "guest")):
        running(tenant.core, name, tenant.space)
    address = host.core.read_namespaced_pod("web", host.space).status.pod_ip
    return heard(guest.core, "guest", guest.space, address)


def test_a_tenant_runs_a_pod_and_reads_its_log_with_its_own_kubeconfig(tenants):
    here, there = tenants
    here.core.create_namespaced_pod(here.space, pod("speaker", "echo hello; exec sleep 1000"))
    running(here.core, "speaker", here.space)
    assert until("a log", lambda: here.core.read_namespaced_pod_log("speaker", here.space)) == "hello\n"
    with refused(403):
        there.core.read_namespaced_pod_log("speaker", here.space)


@pytest.mark.measures
def test_the_limit_of_a_pods_cores_binds(tenants):
    here, _ = tenants
    size = {"limits": {"cpu": "200m", "memory": "64Mi"}}
    here.core.create_namespaced_pod(here.space, pod("busy", "while :; do :; done", resources=size))
    try:
        running(here.core, "busy", here.space)
        began, before = time.monotonic(), int(said(here.core, "busy", here.space, USED))
        time.sleep(5)
        used = (int(said(here.core, "busy", here.space, USED)) - before) / 1e9
        assert 0.1 < used / (time.monotonic() - began) < 0.26
    finally:
        here.core.delete_namespaced_pod("busy", here.space, grace_period_seconds=0)


def test_whoever_takes_more_memory_than_its_limit_is_killed(tenants):
    here, _ = tenants
    size = {"limits": {"cpu": "200m", "memory": "32Mi"}}
    greedy = pod("greedy", "tail /dev/zero", resources=size, restartPolicy="Never")
    here.core.create_namespaced_pod(here.space, greedy)
    ended = until(
        "its end", lambda: (p := here.core.read_namespaced_pod("greedy", here.space)).status.phase == "Failed" and p
    )
    assert ended.status.container_statuses[0].state.terminated.reason == "OOMKilled"


def test_no_neighbour_is_heard(tenants):
    here, there = tenants
    assert [_asks(*each) for each in ((here, here), (there, there))] == ["served", "served"]
    assert [_asks(*each) for each in ((here, there), (there, here))] == ["", ""]


def test_name_servers_are_heard_and_nothing_else_of_the_system(workers, tenants):
    here, _ = tenants
    names = pod("names", NAMES)
    names["spec"]["containers"][0]["securityContext"] = {}
    for made in (names, pod("other", SERVER)):
        workers.core.create_namespaced_pod("kube-system", made)
    heard_there = {name: running(workers.core, name, "kube-system").status.pod_ip for name in ("names", "other")}
    until("names", lambda: heard(here.core, "guest", here.space, heard_there["names"], 53) == "names")
    assert heard(here.core, "guest", here.space, heard_there["other"]) == ""
    for name in heard_there:
        workers.core.delete_namespaced_pod(name, "kube-system")


def test_a_pod_for_another_architecture_is_refused_before_it_reaches_a_worker(tenants):
    here, _ = tenants
    with refused(403, f"this tenancy run on {MACHINE} nodes only, not on {OTHER}"):
        here.runs(nodeSelector={"kubernetes.io/arch": OTHER})

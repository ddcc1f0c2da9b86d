"""Real workers: what they are given runs, within its limits and behind its walls."""

import pytest
from kubernetes import client

from tests.beds.kubernetes.pods import SERVER, heard, pod, running, said, space
from tests.beds.kubernetes.processes import until


@pytest.fixture(scope="module")
def core(workers):
    return workers.core


@pytest.fixture(scope="module")
def namespace(core):
    yield space(core, "workers")
    core.delete_namespace("workers")


def test_a_pod_runs_and_its_log_is_read(core, namespace):
    core.create_namespaced_pod(namespace, pod("speaker", "echo hello from inside; exec sleep 1000"))
    running(core, "speaker", namespace)
    assert until("a log", lambda: core.read_namespaced_pod_log("speaker", namespace)) == "hello from inside\n"
    assert said(core, "speaker", namespace, "id -u; hostname").split() == ["1000", "speaker"]


def test_a_container_that_takes_more_memory_than_its_limit_is_killed(core, namespace):
    greedy = pod("greedy", "tail /dev/zero", resources={"limits": {"memory": "32Mi"}}, restartPolicy="Never")
    core.create_namespaced_pod(namespace, greedy)
    ended = until(
        "its end", lambda: (p := core.read_namespaced_pod("greedy", namespace)).status.phase == "Failed" and p
    )
    assert ended.status.container_statuses[0].state.terminated.reason == "OOMKilled"


def test_pods_on_two_workers_reach_each_other_until_a_policy_forbids_it(workers, core, namespace):
    here, there = (worker.name for worker in workers.workers)
    for name, script, node in (("web", SERVER, here), ("friend", "", here), ("foe", "", there)):
        core.create_namespaced_pod(namespace, pod(name, script or "exec sleep 1000", nodeName=node))
    web = running(core, "web", namespace).status.pod_ip
    for name in ("friend", "foe"):
        running(core, name, namespace)
        assert until("an answer", lambda name=name: heard(core, name, namespace, web)) == "served"
    only_friends = {
        "podSelector": {"matchLabels": {"app": "web"}},
        "ingress": [{"from": [{"podSelector": {"matchLabels": {"app": "friend"}}}], "ports": [{"port": 8080}]}],
    }
    policies = client.NetworkingV1Api(core.api_client)
    policies.create_namespaced_network_policy(namespace, {"metadata": {"name": "friends"}, "spec": only_friends})
    until("the foe is shut out", lambda: heard(core, "foe", namespace, web) == "")
    assert heard(core, "friend", namespace, web) == "served"
    policies.delete_namespaced_network_policy("friends", namespace)
    until("the foe is let in again", lambda: heard(core, "foe", namespace, web) == "served")


def test_a_service_leads_to_its_pods_from_every_worker(workers, core, namespace):
    core.create_namespaced_pod(namespace, pod("served", SERVER))
    service = {
        "metadata": {"name": "served"},
        "spec": {"selector": {"app": "served"}, "ports": [{"port": 80, "targetPort": 8080}]},
    }
    address = core.create_namespaced_service(namespace, service).spec.cluster_ip
    running(core, "served", namespace)
    for worker in workers.workers:
        core.create_namespaced_pod(namespace, pod(f"asks-{worker.name}", nodeName=worker.name))
        name = running(core, f"asks-{worker.name}", namespace).metadata.name
        until("the service answers", lambda name=name: heard(core, name, namespace, address, 80) == "served")


def test_a_worker_without_power_is_not_ready_and_comes_back(workers):
    other, worker = workers.workers
    worker.power_off()
    until("it is missed", lambda: worker.name not in workers.schedulable(), 30)
    assert workers.schedulable() == {other.name}
    worker.power_on()
    until("it is back", lambda: worker.name in workers.schedulable(), 30)


def test_a_kubelet_that_dies_is_missed_and_comes_back(workers):
    worker = workers.workers[0]
    assert worker.name in workers.schedulable()
    worker.kill("kubelet")
    until("it is missed", lambda: worker.name not in workers.schedulable(), 30)
    worker.start("kubelet")
    until("it is back", lambda: worker.name in workers.schedulable(), 30)

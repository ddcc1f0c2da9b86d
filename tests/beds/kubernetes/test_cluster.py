"""The bed's control plane and its played nodes."""

import pytest
from kubernetes import client, config
from urllib3 import Retry
from urllib3.exceptions import HTTPError

from tests.beds.kubernetes.pods import pod, running, space
from tests.beds.kubernetes.programs import KUBERNETES
from tests.beds.kubernetes.worker import CPU_FAMILIES


@pytest.fixture
def impatient(cluster):
    """A client that waits half a second for an answer and asks once."""
    settings = client.Configuration()
    config.load_kube_config(str(cluster.kubeconfig("impatient")), client_configuration=settings)
    settings.retries = Retry(0)
    core = client.CoreV1Api(client.ApiClient(settings))
    return lambda: core.list_namespace(_request_timeout=0.5)


def test_it_is_the_release_that_its_programs_were_built_from(cluster):
    assert client.VersionApi(cluster.api).get_code().git_version == f"v{KUBERNETES}"


def test_there_is_a_ready_node_of_each_architecture_and_family(cluster):
    nodes = [
        node.metadata.labels for node in cluster.core.list_node().items if node.metadata.name in cluster.schedulable()
    ]
    assert {each["kubernetes.io/arch"]: each["cloudctl/cpu-family"] for each in nodes} == CPU_FAMILIES


@pytest.mark.parametrize("architecture", CPU_FAMILIES)
def test_a_pod_runs_on_the_architecture_it_asks_for(cluster, architecture):
    namespace = space(cluster.core, f"runs-on-{architecture}")
    cluster.core.create_namespaced_pod(namespace, pod("one", nodeSelector={"kubernetes.io/arch": architecture}))
    node = running(cluster.core, "one", namespace).spec.node_name
    assert cluster.core.read_node(node).metadata.labels["kubernetes.io/arch"] == architecture
    cluster.core.delete_namespace(namespace)


def test_nodes_can_be_added(cluster):
    added = cluster.add_nodes(5, "arm64", family="phytium-ft2000")
    assert set(added) <= cluster.schedulable()
    for name in added:
        assert cluster.core.read_node(name).metadata.labels["cloudctl/cpu-family"] == "phytium-ft2000"
        cluster.core.delete_node(name)


def test_what_a_user_asked_is_known_request_by_request(cluster):
    core = client.CoreV1Api(config.new_client_from_config(str(cluster.kubeconfig("counted"))))
    for _ in range(3):
        core.list_namespaced_config_map("default")
    seen = cluster.requests("counted")
    assert [(each.verb, each.status) for each in seen] == [("list", 200)] * 3
    assert {each.path for each in seen} == {"/api/v1/namespaces/default/configmaps"}


def test_an_api_server_that_is_dead_refuses_and_comes_back(cluster, impatient):
    assert impatient()
    with cluster.without_api(), pytest.raises(HTTPError):
        impatient()
    assert impatient()


def test_an_api_server_that_is_frozen_does_not_answer_and_comes_back(cluster, impatient):
    assert impatient()
    with cluster.with_frozen_api(), pytest.raises(HTTPError):
        impatient()
    assert impatient()


def test_a_user_without_rights_is_refused(cluster):
    nobody = client.CoreV1Api(config.new_client_from_config(str(cluster.kubeconfig("nobody", None))))
    with pytest.raises(client.ApiException) as refused:
        nobody.list_namespace()
    assert refused.value.status == 403

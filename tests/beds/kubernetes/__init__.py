"""The Kubernetes test bed: a real control plane that the tests build and start, with played nodes or real workers.

    def test_a_pod_is_scheduled(cluster):                    # an ordinary user's: kwok plays the nodes
        core = client.CoreV1Api(config.new_client_from_config(str(cluster.kubeconfig("cloudctl"))))
        namespace = pods.space(cluster.core, "mine")
        core.create_namespaced_pod(namespace, pods.pod("one", nodeSelector={"kubernetes.io/arch": "loong64"}))
        pods.running(core, "one", namespace)
        assert len(cluster.requests("cloudctl")) < 10        # what that user has asked, request by request
        with cluster.without_api():                          # or with_frozen_api()
            ...

    def test_a_log_is_read(workers):                         # root's: two real workers, reached like any other
        namespace = pods.space(workers.core, "real")
        workers.core.create_namespaced_pod(namespace, pods.pod("one", "echo hello; exec sleep 100"))
        pods.running(workers.core, "one", namespace)
        workers.workers[0].power_off()                       # kill("kubelet"), start("kubelet"), power_on()

`python -m tests.beds.kubernetes build` builds the programs beforehand (about eight minutes, once), `… up` runs a
cluster by hand. They are kept in CLOUDCTL_TEST_CACHE (default: `cloudctl` in the user's cache folder). Programs in
KUBEBUILDER_ASSETS and a cluster named in CLOUDCTL_TEST_KUBECONFIG are used instead where they are given.
"""

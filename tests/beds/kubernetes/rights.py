"""An ordinary user of a cluster, with exactly the rights that our documentation asks operators to give."""

from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from kubernetes import client

if TYPE_CHECKING:
    from tests.beds.kubernetes.cluster import Cluster

RIGHTS = Path(__file__).parents[3] / "docs" / "kubernetes-rights.yaml"
PLATFORM = "cloudctl"
"""The user as whom the platform asks."""

_RBAC = "rbac.authorization.k8s.io"


def platform(cluster: "Cluster") -> Path:
    """The kubeconfig of a user who is in no group, and has the documented rights."""
    file = cluster.kubeconfig(PLATFORM, None)
    bind(cluster, {"kind": "User", "name": PLATFORM, "apiGroup": _RBAC})
    return file


def account(cluster: "Cluster", folder: Path) -> Path:
    """The kubeconfig of a service account with the same rights: the API server knows it by a token."""
    name = {"name": PLATFORM, "namespace": "kube-system"}
    try:
        cluster.core.create_namespaced_service_account("kube-system", {"metadata": {"name": PLATFORM}})
    except client.ApiException as there:
        if there.status != 409:
            raise
    bind(cluster, {"kind": "ServiceAccount", **name})
    asked = {"spec": {"expirationSeconds": 3600}}
    token = cluster.core.create_namespaced_service_account_token(PLATFORM, "kube-system", asked).status.token
    content = yaml.safe_load(cluster.kubeconfig("admin").read_text())
    content["users"][0]["user"] = {"token": token}
    file = folder / "account.kubeconfig"
    file.write_text(yaml.safe_dump(content))
    return file


def bind(cluster: "Cluster", subject: dict[str, str]) -> None:
    rights, role = client.RbacAuthorizationV1Api(cluster.api), yaml.safe_load(RIGHTS.read_text())
    named = {"apiGroup": _RBAC, "kind": "ClusterRole", "name": role["metadata"]["name"]}
    binding = {"metadata": {"name": f"platform-{subject['kind'].lower()}"}, "roleRef": named, "subjects": [subject]}
    for create, body in ((rights.create_cluster_role, role), (rights.create_cluster_role_binding, binding)):
        try:
            create(body)
        except client.ApiException as there:
            if there.status != 409:
                raise

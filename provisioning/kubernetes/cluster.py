"""One cluster as the driver speaks to it: server-side apply, lists, deletions; its refusals in our words."""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import urllib3
import yaml
from kubernetes import client, config

from cloudctl.kernel.operations import GiveUp, RetryLater
from provisioning.kubernetes import connection
from provisioning.kubernetes.manifests import Manifest

MANAGER = "cloudctl"

_CORE, _RBAC, _ADMISSION = "/api/v1", "/apis/rbac.authorization.k8s.io/v1", "/apis/admissionregistration.k8s.io/v1"
PATHS = {
    "Namespace": (_CORE, "namespaces"),
    "Node": (_CORE, "nodes"),
    "Pod": (_CORE, "pods"),
    "Secret": (_CORE, "secrets"),
    "Job": ("/apis/batch/v1", "jobs"),
    "ResourceQuota": (_CORE, "resourcequotas"),
    "LimitRange": (_CORE, "limitranges"),
    "ServiceAccount": (_CORE, "serviceaccounts"),
    "PersistentVolumeClaim": (_CORE, "persistentvolumeclaims"),
    "NetworkPolicy": ("/apis/networking.k8s.io/v1", "networkpolicies"),
    "Role": (_RBAC, "roles"),
    "RoleBinding": (_RBAC, "rolebindings"),
    "MutatingAdmissionPolicy": (_ADMISSION, "mutatingadmissionpolicies"),
    "MutatingAdmissionPolicyBinding": (_ADMISSION, "mutatingadmissionpolicybindings"),
    "ValidatingAdmissionPolicy": (_ADMISSION, "validatingadmissionpolicies"),
    "ValidatingAdmissionPolicyBinding": (_ADMISSION, "validatingadmissionpolicybindings"),
}
_PAGE = 500
_PATIENCE = 20.0  # seconds for one answer
_STARTING = 10.0  # seconds in which a server that is starting may take us for a stranger


@dataclass(frozen=True)
class Answer:
    """What the API server said: its status, and the object or list."""

    status: int
    body: Manifest

    @property
    def message(self) -> str:
        return str(self.body.get("message", self.body))[:500]

    @property
    def is_about_rights(self) -> bool:
        """Whether it refuses us, and not what we ask."""
        return self.status == 401 or (self.status == 403 and " cannot " in self.message)


class Refused(Exception):
    """The API server said no: its status and its own sentence."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


@contextmanager
def plainly() -> Iterator[None]:
    """What the API server refuses for a reason of its own will be refused again: its sentence is the reason."""
    try:
        yield
    except Refused as refused:
        raise GiveUp("cluster-refused", status=refused.status, message=refused.message) from None


@dataclass(frozen=True)
class Cluster:
    """Its API, by the kubeconfig that the pool's connection names."""

    api: client.ApiClient

    @property
    def server(self) -> str:
        return str(self.api.configuration.host)

    @property
    def authority(self) -> str:
        """The certificate by which its server is known, as PEM; empty where the system's are trusted."""
        file = self.api.configuration.ssl_ca_cert
        return Path(file).read_text() if file else ""

    def version(self) -> str:
        """As in `v1.37.2`."""
        return str(self._ask("GET", "/version").body["gitVersion"])

    def apply(self, manifest: Manifest) -> Answer:
        """Create, change or repair an object: what the manifest says becomes so, whoever said otherwise."""
        query = {"fieldManager": MANAGER, "force": "true"}
        return self._ask("PATCH", _path(manifest), query, manifest, "application/apply-patch+yaml")

    def replace(self, manifest: Manifest) -> Answer:
        """Put the manifest in the place of what is there: what others added is gone, too."""
        return self._ask("PUT", _path(manifest), {"fieldManager": MANAGER}, manifest)

    def token(self, account: str, namespace: str, life: timedelta) -> str:
        """A token by which whoever has it is that service account, for so long."""
        path = f"{_path(_reference('ServiceAccount', account, namespace))}/token"
        asked = {"spec": {"expirationSeconds": int(life.total_seconds())}}
        return str(self._ask("POST", path, body=asked).body["status"]["token"])

    def get(self, kind: str, name: str, namespace: str | None = None) -> Manifest | None:
        """The object; None where there is none."""
        try:
            return self._ask("GET", _path(_reference(kind, name, namespace))).body
        except Refused as refused:
            if refused.status == 404:
                return None
            raise

    def known(self, kind: str) -> "list[Manifest] | None":
        """All objects of a kind that older clusters do not know; None where this one does not."""
        try:
            return [*self.list(kind)]
        except Refused as refused:
            if refused.status == 404:
                return None
            raise

    def list(self, kind: str, selector: str = "", namespace: str | None = None) -> Iterator[Manifest]:
        """All objects of a kind that carry the labels, in pages of 500."""
        more: str | None = ""
        while more is not None:
            query = {"labelSelector": selector, "limit": str(_PAGE), **({"continue": more} if more else {})}
            page = self._ask("GET", _folder(kind, namespace), query).body
            yield from page["items"]
            more = page["metadata"].get("continue") or None

    def delete(self, kind: str, name: str, namespace: str | None = None) -> None:
        """Have the object deleted; that there is none is right too."""
        try:
            self._ask("DELETE", _path(_reference(kind, name, namespace)), {"propagationPolicy": "Background"})
        except Refused as refused:
            if refused.status != 404:
                raise

    def delete_all(self, kind: str, namespace: str, grace: int) -> None:
        """Have all of a kind deleted; what runs has so many seconds to end, whatever it said itself."""
        self._ask("DELETE", _folder(kind, namespace), {"gracePeriodSeconds": str(grace)})

    def _ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Manifest | None = None,
        media_type: str = "application/json",
    ) -> Answer:
        """One request.

        Raises:
            RetryLater: `cluster-unreachable`, `cluster-starting`, `cluster-busy`, `terminating`.
            GiveUp: `not-authorised`: our own kubeconfig does not do.
            Refused: anything else that is no success.
        """
        ask = partial(self._answer, method, path, query, body, media_type)
        answer = ask()
        if answer.is_about_rights:
            self._must_have_started()
            answer = ask()
        if answer.status < 300:
            return answer
        message = answer.message
        if answer.is_about_rights:
            raise GiveUp("not-authorised", server=self.server, message=message)
        if answer.status in (409, 429, 500, 502, 503, 504) or "not yet ready" in message:
            raise RetryLater("cluster-busy", timedelta(seconds=5), server=self.server, message=message)
        if answer.status == 403 and "being terminated" in message:
            raise RetryLater("terminating", timedelta(seconds=3), holding=message)
        raise Refused(answer.status, message)

    def _answer(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Manifest | None = None,
        media_type: str = "application/json",
    ) -> Answer:
        headers = {"Accept": "application/json", **({"Content-Type": media_type} if body else {})}
        asked = self.api.param_serialize(
            method,
            path,
            query_params=list((query or {}).items()),
            header_params=headers,
            body=body,
            auth_settings=["BearerToken"],
        )
        try:
            answer = self.api.call_api(*asked, _request_timeout=_PATIENCE)
            said = json.loads(answer.read() or b"{}")
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise RetryLater("cluster-unreachable", server=self.server, message=str(error)[:300]) from None
        except client.ApiException as error:
            raise RetryLater("cluster-unreachable", server=self.server, message=str(error.reason)[:300]) from None
        except ValueError:  # a page for people: of its health, or of something that stands before the cluster
            said = {"message": f"{method} {path}: {answer.status}"}
        return Answer(answer.status, said)

    def _must_have_started(self) -> None:
        """An API server that is starting knows nobody's rights for a moment; what it refuses then is not refused.

        One that does not tell us whether it has started is given some seconds.
        """
        deadline = time.monotonic() + _STARTING
        while (answer := self._answer("GET", "/readyz")).status in (401, 403) and time.monotonic() < deadline:
            time.sleep(0.5)
        if answer.status >= 300 and answer.status not in (401, 403):
            raise RetryLater("cluster-starting", timedelta(seconds=3), server=self.server, message=answer.message)


def of(said: Mapping[str, Any]) -> Cluster:
    """The cluster that a pool's connection names.

    Raises:
        GiveUp: `bad-connection`, `bad-kubeconfig`.
    """
    there = connection.read(said)
    try:
        return _cluster(there.kubeconfig, Path(there.kubeconfig).stat().st_mtime_ns, there.context)
    except (OSError, yaml.YAMLError, config.ConfigException) as error:
        raise GiveUp("bad-kubeconfig", file=there.kubeconfig, message=" ".join(str(error).split())[:300]) from None


@lru_cache(maxsize=32)
def _cluster(path: str, changed: int, context: str | None) -> Cluster:
    """One client a kubeconfig, until its file is changed."""
    api = config.new_client_from_config(path, context=context)
    api.configuration.retries = False
    return Cluster(client.ApiClient(api.configuration))


def _reference(kind: str, name: str, namespace: str | None) -> Manifest:
    return {"kind": kind, "metadata": {"name": name, "namespace": namespace}}


def _folder(kind: str, namespace: str | None) -> str:
    group, plural = PATHS[kind]
    return f"{group}/namespaces/{namespace}/{plural}" if namespace else f"{group}/{plural}"


def _path(manifest: Manifest) -> str:
    metadata = manifest["metadata"]
    return f"{_folder(manifest['kind'], metadata.get('namespace'))}/{metadata['name']}"

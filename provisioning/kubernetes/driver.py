"""The driver itself: makes, reads back and takes away what `manifests` says a tenancy is."""

import base64
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import yaml
from kubernetes.utils.quantity import parse_quantity

from cloudctl.kernel.operations import GiveUp, RetryLater
from provisioning.drivers import Access, Erasure, Inventory, Limit, Log, Observed, Place, Tenancy, Usage
from provisioning.kubernetes import cluster, manifests
from provisioning.kubernetes.cluster import Cluster, Refused
from provisioning.kubernetes.manifests import POOL, TENANCY, TENANT, Manifest, namespace

GIB = 1 << 30
MUTATING_SINCE = (1, 36)
_POLICIES_HOLD = 60.0  # seconds for which a cluster's policies are taken to be as they were found
_HOLDING: dict[str, float] = {}
_USED = {"vcpu": "limits.cpu", "memory_gib": "limits.memory"}


@dataclass(frozen=True)
class KubernetesDriver:
    """Makes tenancies on clusters. `token_life` is how long a kubeconfig that was handed over opens anything."""

    token_life: timedelta = timedelta(days=7)

    def inventory(self, place: Place) -> Inventory:
        """What the nodes of the pool's architecture (and processor family) have for pods."""
        with _plainly():
            there = cluster.of(place.connection)
            family = place.connection.get("cpu_family")
            selector = f"{manifests.NODE_ARCHITECTURE}={place.architecture}"
            nodes = [
                node
                for node in there.list("Node", f"{selector},{manifests.FAMILY}={family}" if family else selector)
                if not node["spec"].get("unschedulable")
            ]
            version = ".".join(map(str, _version(there)))
        return Inventory(
            amounts={
                "vcpu": int(sum(parse_quantity(node["status"]["allocatable"]["cpu"]) for node in nodes)),
                "memory_gib": int(
                    sum(parse_quantity(node["status"]["allocatable"]["memory"]) for node in nodes) // GIB
                ),
            },
            architecture=place.architecture,
            cpu_family=family or "any",
            traits=(f"kubernetes-{version}",),
        )

    def provision(self, tenancy: Tenancy, log: Log, within: timedelta) -> Access:
        """Make the tenancy's namespace and all in it what they shall be, and a kubeconfig that opens it.

        Raises:
            GiveUp: `not-offered`, `in-use` (more is in use than the new size has), `bad-connection`,
                `bad-kubeconfig`, `not-authorised`, `cluster-refused`.
            RetryLater: `cluster-unreachable`, `cluster-busy`, `terminating`.
        """
        with _plainly():
            there = self._offering(tenancy)
            _must_fit_what_is_used(there, tenancy)
            _apply_all(there, tenancy, log)
            if tenancy.suspended:
                _shut(there, tenancy)
                return Access(how=self._how(there, tenancy), limits=_limits(tenancy.size))
            return self._access(there, tenancy)

    resize = provision

    def suspend(self, tenancy: Tenancy, log: Log, within: timedelta) -> None:
        """Take the way in away and end what runs; volumes, configuration and what controllers shall run stay."""
        self.provision(replace(tenancy, suspended=True), log, within)

    def resume(self, tenancy: Tenancy, log: Log, within: timedelta) -> None:
        """Give back what `suspend` took; controllers start their pods again."""
        with _plainly():
            _apply_all(self._offering(tenancy), replace(tenancy, suspended=False), log)

    def rotate(self, tenancy: Tenancy, log: Log, within: timedelta) -> Access:
        """Hand over another kubeconfig; earlier ones open nothing any more, because their account is gone."""
        with _plainly():
            there = self._offering(tenancy)
            there.delete("ServiceAccount", TENANT, namespace(tenancy.id))
            _apply_all(there, tenancy, log)
            return self._access(there, tenancy)

    def remove(self, tenancy: Tenancy, log: Log, within: timedelta) -> Erasure:
        """Delete the namespace and wait until the cluster says that nothing of it is left.

        What becomes of the volumes' blocks is their provisioner's: the record names what it was told to delete.
        """
        space = namespace(tenancy.id)
        with _plainly():
            there = cluster.of(tenancy.place.connection)
            claims = [one["metadata"]["name"] for one in there.list("PersistentVolumeClaim", namespace=space)]
            there.delete("Namespace", space)
            _wait(lambda: there.get("Namespace", space) is None, within, "terminating", namespace=space)
        log("task", name="Namespace", host=space, status="changed")
        return Erasure("namespace-deleted", 0, verified=True, details={"namespace": space, "claims": claims})

    def observe(self, tenancy: Tenancy) -> Observed | None:
        """What is really there; none where the namespace is not, or is going away."""
        return _survey(tenancy.place, f"{TENANCY}={tenancy.id}", namespace(tenancy.id)).get(tenancy.id)

    def survey(self, place: Place) -> Mapping[str, Observed]:
        """What is there of a pool, by the tenancy's id: one list a kind, in pages of 500."""
        return _survey(place, f"{POOL}={place.pool}")

    def usage(self, tenancy: Tenancy) -> Usage:
        """What the cluster's own quota counts: requested cores, GiB of memory and of volumes."""
        with _plainly():
            found = cluster.of(tenancy.place.connection).get("ResourceQuota", "size", namespace(tenancy.id)) or {}
        return Usage(_used(found, tenancy))

    def _offering(self, tenancy: Tenancy) -> Cluster:
        """The cluster, if it offers all classes that the tenancy wants."""
        offered = [*_USED, *manifests.storage_classes(tenancy.place)]
        for resource, amount in tenancy.size.items():
            if amount and resource not in offered:
                raise GiveUp("not-offered", resource=resource, offered=offered)
        return cluster.of(tenancy.place.connection)

    def _access(self, there: Cluster, tenancy: Tenancy) -> Access:
        space = namespace(tenancy.id)
        kubeconfig = _kubeconfig(there, space, there.token(TENANT, space, self.token_life))
        return Access(how=self._how(there, tenancy), secret=kubeconfig, limits=_limits(tenancy.size))

    def _how(self, there: Cluster, tenancy: Tenancy) -> dict[str, str]:
        hint = "kubectl --kubeconfig FILE get pods"
        life = f"{self.token_life.days} days" if self.token_life.days else f"{int(self.token_life.total_seconds())} s"
        return {"server": there.server, "namespace": namespace(tenancy.id), "valid_for": life, "hint": hint}


@contextmanager
def _plainly() -> Iterator[None]:
    """What the API server refuses for a reason of its own will be refused again: its sentence is the reason."""
    try:
        yield
    except Refused as refused:
        raise GiveUp("cluster-refused", status=refused.status, message=refused.message) from None


def _version(there: Cluster) -> tuple[int, int]:
    major, minor, *_ = there.version().removeprefix("v").split(".")
    return int(major), int(minor)


def _apply_all(there: Cluster, tenancy: Tenancy, log: Log) -> None:
    """Apply every object, telling of each whether it was made or changed; the cluster's policies come first."""
    _see_that_policies_hold(there, log)
    space = namespace(tenancy.id)
    versions: dict[tuple[str, str], str] = {}
    for manifest in manifests.of(tenancy):
        kind, name = manifest["kind"], manifest["metadata"]["name"]
        answer = there.apply(manifest)
        if kind == "Namespace" and answer.status == 200:
            versions = {_key(one): _at(one) for one in _parts(there, f"{TENANCY}={tenancy.id}", space)}
        is_as_it_was = versions.get((kind, name)) == _at(answer.body)
        log("task", name=f"{kind} {name}", host=space, status="ok" if is_as_it_was else "changed")


def _key(found: Manifest) -> tuple[str, str]:
    return found["kind"], found["metadata"]["name"]


def _at(found: Manifest) -> str:
    return str(found["metadata"]["resourceVersion"])


def _see_that_policies_hold(there: Cluster, log: Log) -> None:
    """Apply the cluster's policies where they are not as they shall be; asked at most once a minute."""
    if time.monotonic() < _HOLDING.get(there.server, 0.0):
        return
    mutating = _version(there) >= MUTATING_SINCE
    for manifest in manifests.policies(mutating=mutating):
        found = there.get(manifest["kind"], manifest["metadata"]["name"])
        if not found or found["metadata"].get("annotations") != manifest["metadata"]["annotations"]:
            there.apply(manifest)
            log("task", name=manifest["kind"], host=there.server, status="changed")
    _HOLDING[there.server] = time.monotonic() + _POLICIES_HOLD


def _shut(there: Cluster, tenancy: Tenancy) -> None:
    space = namespace(tenancy.id)
    there.delete("RoleBinding", TENANT, space)
    there.delete_all("Pod", space)


def _must_fit_what_is_used(there: Cluster, tenancy: Tenancy) -> None:
    found = there.get("ResourceQuota", "size", namespace(tenancy.id))
    for resource, used in _used(found or {}, tenancy).items():
        if used > tenancy.size.get(resource, 0):
            raise GiveUp("in-use", resource=resource, used=used, wanted=tenancy.size.get(resource, 0))


def _used(found: Manifest, tenancy: Tenancy) -> dict[str, float]:
    """What a quota object counts, in our classes and units."""
    counted = found.get("status", {}).get("used", {})
    classes = manifests.storage_classes(tenancy.place)
    storage = {ours: manifests.class_quota(theirs) for ours, theirs in classes.items()}
    amounts = {}
    for resource, name in {**_USED, **storage}.items():
        if name in counted and (resource in tenancy.size or parse_quantity(counted[name])):
            unit = 1 if resource == "vcpu" else GIB
            amounts[resource] = round(float(parse_quantity(counted[name])) / unit, 3)
    return amounts


def _parts(there: Cluster, selector: str, space: str | None = None) -> Iterator[Manifest]:
    """Every object of the tenancies that the selector names. A list does not say the kind of what is in it: we do."""
    for kind in manifests.KINDS:
        for found in there.list(kind, selector, None if kind == "Namespace" else space):
            yield {"kind": kind, **found}


def _survey(place: Place, selector: str, space: str | None = None) -> dict[str, Observed]:
    with _plainly():
        found: dict[str, dict[tuple[str, str], Manifest]] = {}
        for part in _parts(cluster.of(place.connection), selector, space):
            labels = part["metadata"].get("labels", {})
            if part["kind"] == "Namespace" and part["status"]["phase"] == "Terminating":
                continue
            found.setdefault(labels[TENANCY], {})[_key(part)] = part
    return {
        tenancy_id: _observed(tenancy_id, parts, place)
        for tenancy_id, parts in found.items()
        if ("Namespace", namespace(tenancy_id)) in parts
    }


def _observed(tenancy_id: str, parts: Mapping[tuple[str, str], Manifest], place: Place) -> Observed:
    hard = parts.get(("ResourceQuota", "size"), {}).get("spec", {}).get("hard", {})
    suspended = ("RoleBinding", TENANT) not in parts
    size = manifests.size_of(hard, place)
    lacking = manifests.parts(suspended) - parts.keys()
    changed = {key for key, part in parts.items() if not manifests.is_intact(part)}
    damaged = tuple(sorted(f"{kind} {name}" for kind, name in lacking | changed))
    return Observed(size, suspended=suspended, limits=_limits(size), damaged=damaged)


def _limits(size: Mapping[str, int]) -> tuple[Limit, ...]:
    return tuple(Limit(resource, amount, enforced=True) for resource, amount in size.items() if amount)


def _kubeconfig(there: Cluster, space: str, token: str) -> str:
    at = {"server": there.server}
    if there.authority:
        at["certificate-authority-data"] = base64.b64encode(there.authority.encode()).decode()
    content: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "cloud", "cluster": at}],
        "users": [{"name": TENANT, "user": {"token": token}}],
        "contexts": [{"name": space, "context": {"cluster": "cloud", "user": TENANT, "namespace": space}}],
        "current-context": space,
    }
    return yaml.safe_dump(content, sort_keys=False)


def _wait(true: Callable[[], bool], within: timedelta, reason: str, **figures: Any) -> None:
    """Wait, in steps that grow, for what a cluster does in its own time."""
    deadline, pause = time.monotonic() + within.total_seconds(), 0.2
    while not true():
        if time.monotonic() > deadline:
            raise RetryLater(reason, timedelta(seconds=5), **figures)
        time.sleep(pause)
        pause = min(pause * 1.5, 2.0)

"""The driver itself: makes, reads back and takes away what `manifests` says a tenancy is."""

import base64
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import yaml
from kubernetes.utils.quantity import parse_quantity

from cloudctl.kernel.operations import GiveUp, RetryLater
from provisioning.drivers import Access, Erasure, Inventory, Log, Observed, Place, Tenancy, Usage
from provisioning.kubernetes import admission, cluster, connection, found, manifests
from provisioning.kubernetes.cluster import Cluster, Refused, plainly
from provisioning.kubernetes.found import Found
from provisioning.kubernetes.manifests import GIB, TENANT, Manifest, namespace

_POLICIES_HOLD = 60.0  # seconds for which a cluster's policies are taken to be as they were found
_POLICIES_REACH = 3.0  # seconds until every API server asks what a policy says that was just applied
_HOLDING: dict[str, float] = {}
_GOES_WITHIN = 20.0  # seconds in which an empty namespace goes
_GRACE = 1  # second for what runs in a tenancy that is shut
_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # ten times as fast, where PyYAML was built with libyaml


@dataclass(frozen=True)
class KubernetesDriver:
    """Makes tenancies on clusters. `token_life` is how long a kubeconfig that was handed over opens anything."""

    token_life: timedelta = timedelta(days=7)

    def check(self, place: Place) -> None:
        """See that the connection could be right, without a word to the cluster.

        Raises:
            GiveUp: `bad-connection`.
        """
        connection.read(place.connection)

    def inventory(self, place: Place) -> Inventory:
        """What the nodes of the pool's architecture (and processor family) have for pods."""
        there = connection.read(place.connection)
        with plainly():
            at = cluster.of(place.connection)
            family = f",{manifests.FAMILY}={there.cpu_family}" if there.cpu_family else ""
            selector = f"{manifests.NODE_ARCHITECTURE}={manifests.architecture(place.architecture)}{family}"
            nodes = [node for node in at.list("Node", selector) if not node["spec"].get("unschedulable")]
            version = ".".join(at.version().removeprefix("v").split(".")[:2])
        counted = {"vcpu": ("cpu", 1), "memory_gib": ("memory", GIB)}
        counted |= {"gpu": (there.gpu_resource, 1)} if there.gpu_resource else {}
        return Inventory(
            amounts={
                ours: int(sum(parse_quantity(node["status"]["allocatable"].get(name, "0")) for node in nodes) // unit)
                for ours, (name, unit) in counted.items()
            },
            architecture=place.architecture,
            cpu_family=there.cpu_family or "any",
            traits=(f"kubernetes-{version}",),
        )

    def provision(self, tenancy: Tenancy, log: Log, within: timedelta) -> Access:
        """Make the tenancy's namespace and all in it what they shall be, and a kubeconfig that opens it.

        Raises:
            GiveUp: `not-offered`, `bad-connection`, `bad-kubeconfig`, `not-authorised`, `cluster-refused`.
            RetryLater: `cluster-unreachable`, `cluster-starting`, `cluster-busy`, `terminating`, `still-running`.
        """
        with plainly():
            there = _offering(tenancy)
            account = _converge(there, tenancy, log)
            if tenancy.suspended:
                _shut(there, namespace(tenancy.id))
                return Access(how=self._how(there, tenancy), limits=found.limits(tenancy.size))
            return self._access(there, tenancy, account)

    def resize(self, tenancy: Tenancy, log: Log, within: timedelta) -> Access:
        """The same with another size, which must hold what is in use.

        Raises:
            GiveUp: `in-use`: more is in use than the new size has; whatever `provision` gives up for.
            RetryLater: as `provision`.
        """
        with plainly():
            _must_fit_what_is_used(_offering(tenancy), tenancy)
        return self.provision(tenancy, log, within)

    def suspend(self, tenancy: Tenancy, log: Log, within: timedelta) -> None:
        """Take every way in away and end what runs; volumes, configuration and what controllers shall run stay."""
        self.provision(replace(tenancy, suspended=True), log, within)

    def resume(self, tenancy: Tenancy, log: Log, within: timedelta) -> None:
        """Give back what `suspend` took; controllers start their pods again."""
        with plainly():
            _converge(_offering(tenancy), replace(tenancy, suspended=False), log)

    def rotate(self, tenancy: Tenancy, log: Log, within: timedelta) -> Access:
        """Hand over another kubeconfig, of another account; earlier ones open nothing any more.

        A token stays known to an API server for some seconds after its account is gone; an account that is bound
        to nothing may do nothing at once.
        """
        with plainly():
            there = _offering(tenancy)
            account = _converge(there, tenancy, log, account=f"{TENANT}-{os.urandom(4).hex()}")
            return self._access(there, tenancy, account)

    def remove(self, tenancy: Tenancy, log: Log, within: timedelta) -> Erasure:
        """Have the namespace deleted; the cluster says when nothing of it is left.

        What becomes of the volumes' blocks is their provisioner's: the record names what it was told to delete.

        Raises:
            RetryLater: `terminating`: it still goes; says what holds it.
        """
        space = namespace(tenancy.id)
        with plainly():
            there = cluster.of(tenancy.place.connection)
            claims = [one["metadata"]["name"] for one in there.list("PersistentVolumeClaim", namespace=space)]
            for name in claims:
                log("task", name=f"PersistentVolumeClaim {name}", host=space, status="changed")
            there.delete("Namespace", space)
            deadline = time.monotonic() + min(_GOES_WITHIN, within.total_seconds())
            while (left := there.get("Namespace", space)) is not None:
                if time.monotonic() > deadline:
                    raise RetryLater("terminating", timedelta(seconds=5), holding=_holding(left))
                time.sleep(0.5)
        log("task", name="Namespace", host=space, status="changed")
        return Erasure("namespace-deleted", 0, verified=True, details={"namespace": space, "claims": claims})

    def observe(self, tenancy: Tenancy) -> Observed | None:
        """What is really there; none where the namespace is not, or is going away."""
        with plainly():
            seen = found.of(cluster.of(tenancy.place.connection), namespace(tenancy.id))
        return None if seen is None or seen.is_going else seen.observed(tenancy.place)

    def survey(self, place: Place) -> Mapping[str, Observed]:
        """What is there of a pool, by the tenancy's id: one list a kind, in pages of 500.

        The cluster's own policies are every tenancy's walls: they are looked at too, and put right.
        """
        with plainly():
            there = cluster.of(place.connection)
            _put_policies_right(there)
            return found.on(there, place)

    def usage(self, tenancy: Tenancy) -> Usage:
        """What the cluster's own quota counts: cores, GiB of memory and of volumes that are asked for."""
        with plainly():
            quota = cluster.of(tenancy.place.connection).get("ResourceQuota", "size", namespace(tenancy.id)) or {}
        used = quota.get("status", {}).get("used", {})
        names = manifests.counted(connection.read(tenancy.place.connection))
        return Usage(
            {
                resource: round(float(parse_quantity(used[name])) / unit, 3)
                for resource, (name, unit) in names.items()
                if tenancy.size.get(resource) and name in used
            }
        )

    def _access(self, there: Cluster, tenancy: Tenancy, account: str) -> Access:
        space = namespace(tenancy.id)
        kubeconfig = _kubeconfig(there, space, there.token(account, space, self.token_life))
        return Access(how=self._how(there, tenancy), secret=kubeconfig, limits=found.limits(tenancy.size))

    def _how(self, there: Cluster, tenancy: Tenancy) -> dict[str, str]:
        hint = "kubectl --kubeconfig FILE get pods"
        life = f"{self.token_life.days} days" if self.token_life.days else f"{int(self.token_life.total_seconds())} s"
        return {"server": there.server, "namespace": namespace(tenancy.id), "valid_for": life, "hint": hint}


def _offering(tenancy: Tenancy) -> Cluster:
    """The cluster, if it offers all classes that the tenancy wants."""
    offered = connection.read(tenancy.place.connection).offered
    for resource, amount in tenancy.size.items():
        if amount and resource not in offered:
            raise GiveUp("not-offered", resource=resource, offered=offered)
    return cluster.of(tenancy.place.connection)


def _converge(there: Cluster, tenancy: Tenancy, log: Log, account: str | None = None) -> str:
    """Make every object what it shall be and remove what others put beside them, telling of each what was done.

    The cluster's policies come first. Returns the account by which the tenant comes in, which stays unless another
    one is named.
    """
    _see_that_policies_hold(there, log)
    space = namespace(tenancy.id)
    seen = found.of(there, space) or Found(space, {})
    if seen.parts and seen.is_going:
        raise RetryLater("terminating", timedelta(seconds=5), holding=_holding(seen.parts[("Namespace", space)]))
    account = account or seen.account
    wanted = {(one["kind"], one["metadata"]["name"]): one for one in manifests.of(tenancy, account)}
    for (kind, name), manifest in wanted.items():
        changed = _put_right(there, manifest, seen.parts.get((kind, name)))
        log("task", name=f"{kind} {name}", host=space, status="changed" if changed else "ok")
    for kind, name in seen.strange(wanted.keys()):
        there.delete(kind, name, space)
        log("task", name=f"{kind} {name}", host=space, status="changed")
    return account


def _put_right(there: Cluster, manifest: Manifest, seen: Manifest | None) -> bool:
    """Make one object what the manifest says and nothing else; whether it was not.

    Server-side apply leaves what others have added; where they have, the manifest takes the object's place.
    """
    said = manifests.digest(manifest)
    if seen is not None and manifests.is_intact(seen) and manifests.digest(seen) == said:
        return False
    try:
        now = there.apply(manifest).body
    except Refused as refused:
        if refused.status != 422 or seen is None or manifest["kind"] == "Namespace":
            raise
        metadata = manifest["metadata"]  # it cannot be changed into what it shall be, only made anew
        there.delete(manifest["kind"], metadata["name"], metadata.get("namespace"))
        now = there.apply(manifest).body
    if manifests.digest({"kind": manifest["kind"], **now}) != said:
        there.replace(manifests.over(manifest, now))
    return True


def _see_that_policies_hold(there: Cluster, log: Log) -> None:
    """Put the cluster's policies right before anybody depends on them; asked at most once a minute."""
    if time.monotonic() < _HOLDING.get(there.server, 0.0):
        return
    changed = _put_policies_right(there)
    for kind, name in changed:
        log("task", name=f"{kind} {name}", host=there.server, status="changed")
    if changed:
        time.sleep(_POLICIES_REACH)
    _HOLDING[there.server] = time.monotonic() + _POLICIES_HOLD


def _put_policies_right(there: Cluster) -> list[found.Key]:
    """Make the cluster's policies what they shall be; which were not. An older cluster has no mutating ones."""
    lists = {kind: there.known(kind) for kind in (*admission.VALIDATING, *admission.MUTATING)}
    mutating = all(lists[kind] is not None for kind in admission.MUTATING)
    seen = {
        (kind, one["metadata"]["name"]): {"kind": kind, **one} for kind, listed in lists.items() for one in listed or ()
    }
    wanted = {(one["kind"], one["metadata"]["name"]): one for one in admission.policies(mutating=mutating)}
    return [key for key, manifest in wanted.items() if _put_right(there, manifest, seen.get(key))]


def _shut(there: Cluster, space: str) -> None:
    """End what runs, and see that nobody comes in any more and nothing runs on."""
    there.delete_all("Pod", space, _GRACE)
    doors = [one["metadata"]["name"] for one in there.list("RoleBinding", namespace=space)]
    running = [
        one["metadata"]["name"]
        for one in there.list("Pod", namespace=space)
        if "deletionTimestamp" not in one["metadata"]
    ]
    if doors or running:
        raise RetryLater("still-running", timedelta(seconds=3), left=[*doors, *running][:10])


def _must_fit_what_is_used(there: Cluster, tenancy: Tenancy) -> None:
    used = (there.get("ResourceQuota", "size", namespace(tenancy.id)) or {}).get("status", {}).get("used", {})
    hard = manifests.quota(tenancy)
    for resource, (name, unit) in manifests.counted(connection.read(tenancy.place.connection)).items():
        taken = parse_quantity(used.get(name, "0"))
        if taken > parse_quantity(hard[name]):
            in_units = round(float(taken) / unit, 3)
            raise GiveUp("in-use", resource=resource, used=in_units, wanted=tenancy.size.get(resource, 0))


def _holding(space: Manifest) -> str:
    """What keeps a namespace from going, in the cluster's words."""
    said = [one["message"] for one in space["status"].get("conditions", ()) if one["status"] == "True"]
    return "; ".join([*said, *space["metadata"].get("finalizers", ())])[:500] or "-"


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
    return str(yaml.dump(content, Dumper=_DUMPER, sort_keys=False))

"""What there is of tenancies on a cluster, in lists of each kind: all that lies in their namespaces, ours or not."""

import re
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from provisioning.drivers import Limit, Observed, Place
from provisioning.kubernetes import connection, manifests
from provisioning.kubernetes.cluster import Cluster
from provisioning.kubernetes.manifests import KINDS, POOL, TENANCY, TENANT, Manifest

Key = tuple[str, str]
"""Kind and name."""

ACCOUNT = re.compile(rf"{TENANT}(-[0-9a-f]+)?")
_CLUSTERS_OWN: frozenset[Key] = frozenset({("ServiceAccount", "default")})


@dataclass(frozen=True)
class Found:
    """One namespace with everything in it of the kinds that a tenancy consists of."""

    space: str
    parts: Mapping[Key, Manifest]

    @property
    def account(self) -> str:
        """The service account by which the tenant comes in: the one that is bound, else the one that there is."""
        subjects = self.parts.get(("RoleBinding", TENANT), {}).get("subjects") or []
        there = sorted(name for kind, name in self.parts if kind == "ServiceAccount" and ACCOUNT.fullmatch(name))
        bound = [subject["name"] for subject in subjects if subject["name"] in there]
        return (bound or there or [TENANT])[0]

    @property
    def is_going(self) -> bool:
        """Whether the namespace is being deleted."""
        return "deletionTimestamp" in self.parts[("Namespace", self.space)]["metadata"]

    def strange(self, wanted: AbstractSet[Key]) -> list[Key]:
        """What lies there and is none of what shall be: whoever put it there opens or closes what we did not."""
        return sorted(self.parts.keys() - wanted - _CLUSTERS_OWN)

    def observed(self, place: Place) -> Observed:
        """In the words of all drivers."""
        hard = self.parts.get(("ResourceQuota", "size"), {}).get("spec", {}).get("hard", {})
        size, suspended = manifests.size_of(hard, place), ("RoleBinding", TENANT) not in self.parts
        walls = manifests.walls(connection.read(place.connection))
        wanted = {("Namespace", self.space), ("ResourceQuota", "size"), ("LimitRange", "defaults"), ("Role", TENANT)}
        wanted |= {("ServiceAccount", self.account), *(("NetworkPolicy", name) for name in walls)}
        wanted |= set() if suspended else {("RoleBinding", TENANT)}
        lacking = wanted - self.parts.keys()
        changed = {key for key in wanted - lacking if not manifests.is_intact(self.parts[key])}
        wrong = sorted(lacking | changed | set(self.strange(wanted)))
        return Observed(
            size, suspended=suspended, limits=limits(size), damaged=tuple(f"{kind} {name}" for kind, name in wrong)
        )


def of(there: Cluster, space: str) -> Found | None:
    """What there is of one namespace; none where it is not."""
    found = there.get("Namespace", space)
    if found is None:
        return None
    parts = {("Namespace", space): found}
    for kind in KINDS[1:]:
        parts |= {(kind, one["metadata"]["name"]): one for one in _listed(there, kind, space)}
    return Found(space, parts)


def on(there: Cluster, place: Place) -> dict[str, Observed]:
    """What there is of a pool, by the tenancy's id; a namespace that only says to be a tenancy, by its own name."""
    spaces = {
        space["metadata"]["name"]: {("Namespace", space["metadata"]["name"]): space}
        for space in _listed(there, "Namespace", selector=TENANCY)
        if _is_of(space, place)
    }
    for kind in KINDS[1:]:
        for part in _listed(there, kind):
            if part["metadata"]["namespace"] in spaces:
                spaces[part["metadata"]["namespace"]][(kind, part["metadata"]["name"])] = part
    seen = {}
    for name, parts in spaces.items():
        tenancy_id, found = parts[("Namespace", name)]["metadata"]["labels"][TENANCY], Found(name, parts)
        if not found.is_going:
            is_one = manifests.namespace(tenancy_id) == name
            seen[tenancy_id if is_one else name] = found.observed(place) if is_one else Observed({})
    return seen


def limits(size: Mapping[str, int]) -> tuple[Limit, ...]:
    return tuple(Limit(resource, amount, enforced=True) for resource, amount in size.items() if amount)


def _is_of(space: Manifest, place: Place) -> bool:
    """Whether a namespace is the pool's; what names no pool could be anybody's, and everybody tells it."""
    return bool((space["metadata"].get("annotations") or {}).get(POOL, place.pool) == place.pool)


def _listed(there: Cluster, kind: str, space: str | None = None, selector: str = "") -> Iterator[Manifest]:
    """A list does not say the kind of what is in it: we do."""
    for found in there.list(kind, selector, space):
        yield {"kind": kind, **found}

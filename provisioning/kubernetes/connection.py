"""What a pool's connection says of its cluster: how to get there, and what tenancies are offered."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cloudctl.kernel.operations import GiveUp

STORAGE = "storage_gib."

_OURS = re.compile(r"[a-z0-9]+")
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*")
_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_RESOURCE = re.compile(rf"{_NAME.pattern}/{_LABEL.pattern}")
_FORMS = {
    "context": re.compile(r".+"),
    "cpu_family": _LABEL,
    "gpu_resource": _RESOURCE,
    "priority_class": _NAME,
    "entrance": _NAME,
    "domain": _NAME,
}


@dataclass(frozen=True)
class Connection:
    """A cluster, as a pool knows it.

    `storage_classes` says of each of ours by which name the cluster has it; others are not offered. `cpu_family` is
    the nodes' label `cloudctl/cpu-family`, `gpu_resource` the resource by which nodes offer GPUs, `priority_class`
    the only one that pods may name. From the namespace `entrance` Ingresses are served, below `domain`.
    """

    kubeconfig: str
    context: str | None = None
    storage_classes: Mapping[str, str] = field(default_factory=dict)
    cpu_family: str | None = None
    gpu_resource: str | None = None
    priority_class: str | None = None
    entrance: str | None = None
    domain: str | None = None

    @property
    def storage(self) -> dict[str, str]:
        """Our resource classes of storage and the cluster's: storage_gib.ssd -> fast-disks."""
        return {f"{STORAGE}{ours}": theirs for ours, theirs in sorted(self.storage_classes.items())}

    @property
    def offered(self) -> list[str]:
        """The resource classes that tenancies can have here."""
        return ["vcpu", "memory_gib", *self.storage, *(["gpu"] if self.gpu_resource else [])]


def read(said: Mapping[str, Any]) -> Connection:
    """What a connection says.

    Raises:
        GiveUp: `bad-connection`; names the field that is unknown, missing or of the wrong form.
    """
    for name in said:
        if name not in Connection.__dataclass_fields__:
            raise _bad(name)
    path, classes = said.get("kubeconfig"), said.get("storage_classes", {})
    if not isinstance(path, str) or not Path(path).is_absolute():
        raise _bad("kubeconfig")
    if not isinstance(classes, Mapping) or not all(map(_is_class, classes.items())):
        raise _bad("storage_classes")
    if len(set(classes.values())) < len(classes):  # one quota of the cluster cannot bound two classes of ours
        raise _bad("storage_classes")
    for name, form in _FORMS.items():
        if name in said and not (isinstance(said[name], str) and form.fullmatch(said[name])):
            raise _bad(name)
    for name, other in (("entrance", "domain"), ("domain", "entrance")):
        if name in said and other not in said:
            raise _bad(other)
    return Connection(**said)


def _is_class(pair: tuple[Any, Any]) -> bool:
    ours, theirs = pair
    return all(isinstance(name, str) for name in pair) and bool(_OURS.fullmatch(ours) and _NAME.fullmatch(theirs))


def _bad(name: str) -> GiveUp:
    return GiveUp("bad-connection", field=name)

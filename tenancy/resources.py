"""Resource classes: what can be asked for, in which unit, and what a size may say."""

from collections.abc import Mapping
from typing import Any

from cloudctl.kernel.database import Size
from cloudctl.kernel.errors import Invalid, Problem, all_or_none

MOST = 10**9
"""The largest amount of any class; beyond it a size is a slip of the pen."""

UNITS: dict[str, str] = {
    "vcpu": "vCPU",
    "memory_gib": "GiB",
    "storage_gib.ssd": "GiB",
    "storage_gib.hdd": "GiB",
    "object_gib": "GiB",
    "public_ip": "IP",
    "bandwidth_mbps": "Mbit/s",
    "gpu": "GPU",
}
"""Resource class -> unit. `declare` adds those that a site configures."""


class UnknownResource(Invalid):
    """There is no such resource class; names those there are."""

    def __init__(self, resource: str, field: str | None = None) -> None:
        super().__init__(resource=resource, known=list(UNITS), field=field)


class BadAmount(Invalid):
    """An amount is an integer of at least `least` and at most `most`, in the unit of its class."""

    def __init__(self, resource: str, amount: Any, least: int, field: str | None = None) -> None:
        given = amount if isinstance(amount, int | float | str) else type(amount).__name__
        super().__init__(resource=resource, amount=given, unit=UNITS[resource], least=least, most=MOST, field=field)


class EmptySize(Invalid):
    """A size names at least one resource class."""

    def __init__(self, field: str | None = None) -> None:
        super().__init__(known=list(UNITS), field=field)


def declare(classes: Mapping[str, str]) -> None:
    """Make further resource classes known (class -> unit), as the site's configuration says."""
    UNITS.update(classes)


def checked(size: Mapping[str, Any], field: str = "size") -> Size:
    """A size that can be asked for: known classes, each a positive integer. Storage alone is a size.

    Raises:
        EmptySize, UnknownResource, BadAmount: Several where more than one is wrong; each names its field.
    """
    all_or_none(problems(size, field))
    return dict(size)


def problems(size: Mapping[str, Any], field: str = "size") -> list[Problem]:
    """What is wrong with a size that somebody asks for."""
    return amount_problems(size, field, least=1) if size else [EmptySize(field)]


def amount_problems(amounts: Mapping[str, Any], field: str, least: int) -> list[Problem]:
    """What is wrong with amounts by class, of which there may be none (limits, inventories, reserves)."""
    found: list[Problem] = []
    for resource, amount in amounts.items():
        at = f"{field}.{resource}" if field else resource
        if resource not in UNITS:
            found.append(UnknownResource(resource, at))
        elif type(amount) is not int or not least <= amount <= MOST:
            found.append(BadAmount(resource, amount, least, at))
    return found

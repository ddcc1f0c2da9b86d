"""Drift: where what is there is not what shall be. Values only; what is done about it stands in `reconcile.py`."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cloudctl.kernel.operations import GiveUp, RetryLater
from provisioning import drivers
from provisioning.drivers import Observed
from provisioning.snapshots import Expected

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Look:
    """What was seen at one place; `found` is None where nobody answered, and `failure` says why."""

    expected: Expected
    found: Mapping[str, Observed] | None = None
    inventory: Mapping[str, int] = field(default_factory=dict)
    failure: Mapping[str, Any] | None = None

    @property
    def name(self) -> str:
        """The server, or the pool."""
        return self.expected.place.server or self.expected.place.pool

    @property
    def is_empty(self) -> bool:
        """Whether the place answered and has nothing of what should be there; what belongs to others does not count."""
        wanted = {tenancy.id for tenancy, _ in self.expected.tenancies}
        return self.found is not None and bool(wanted) and not wanted & set(self.found)

    def drifts(self) -> "Iterator[Drift]":
        """The tenancies there that are not what they shall be."""
        for tenancy, version in self.expected.tenancies:
            parts = differences(tenancy, (self.found or {}).get(tenancy.id))
            if parts:
                yield Drift(tenancy, version, parts, tenancy.id in self.expected.held)


@dataclass(frozen=True)
class Drift:
    """One tenancy that is not what it shall be: for each part, what was wanted and what was found.

    `held`: somebody works on it by hand.
    """

    tenancy: drivers.Tenancy
    version: int
    parts: Mapping[str, tuple[Any, Any]]
    held: bool = False


def look(expected: Expected) -> Look:
    """Ask one place what is there; no transaction is open here.

    A back end whose answer nobody understands counts as one that does not answer: its neighbours are looked at.
    """
    place = expected.place
    try:
        driver = drivers.of(place)
        return Look(expected, driver.survey(place), driver.inventory(place).amounts)
    except (RetryLater, GiveUp) as reason:
        return Look(expected, failure={"slug": reason.reason, "figures": reason.figures})
    except Exception as bug:
        log.exception("a place cannot be read", extra={"pool": place.pool, "server": place.server})
        figures = {"error": type(bug).__name__, "message": str(bug)[:500]}
        return Look(expected, failure={"slug": "unexpected", "figures": figures})


def differences(wanted: drivers.Tenancy, found: Observed | None) -> dict[str, tuple[Any, Any]]:
    """Where what is there is not what shall be: part -> (wanted, found)."""
    if found is None:
        return {"existence": (True, False)}
    parts: dict[str, tuple[Any, Any]] = {
        "size": ({name: amount for name, amount in wanted.size.items() if amount}, dict(found.size)),
        "suspended": (wanted.suspended, found.suspended),
        "damaged": ([], list(found.damaged)),
    }
    if found.keys is not None and not wanted.suspended:
        parts["keys"] = (sorted(key.strip() for key in wanted.keys), sorted(found.keys))
    return {name: both for name, both in parts.items() if both[0] != both[1]}


def strangers(looks: Sequence[Look]) -> list[str]:
    """What lies on a pool and belongs to none of its tenancies; nothing is done to it."""
    ours = {tenancy.id for look in looks for tenancy, _ in look.expected.tenancies}
    ours |= {tenancy for look in looks for tenancy in look.expected.others}
    return sorted({name for look in looks for name in look.found or ()} - ours)

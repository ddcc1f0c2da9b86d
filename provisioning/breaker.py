"""The breaker of a pool: whether what was found of it is believed. Pure; reconciling keeps it on the pool as JSON."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cloudctl.kernel import clock


@dataclass(frozen=True)
class Found:
    """What looks wrong of a pool at one look.

    `wrong` are ids of tenancies, those under repair among them, out of so many (`of`). `empty` are places that
    answered and had nothing of what should be there. `complete`: every place answered.
    """

    wrong: frozenset[str]
    of: int
    empty: frozenset[str]
    complete: bool = True


def after(before: Mapping[str, Any] | None, found: Found, percent: int) -> dict[str, Any] | None:
    """The breaker after a look: None where the pool is believed.

    A single tenancy is always believed, however small its pool; an empty answer never is. A confirmation covers
    what was shown to whoever confirmed, and opens nothing to what goes wrong later. Of a place that does not
    answer, nothing is taken back.
    """
    wrong, empty = found.wrong, found.empty
    if before and not found.complete:
        wrong, empty = wrong | set(before["wrong"]), empty | set(before["empty"])
    confirmed = bool(before and before["confirmed_by"])
    known = set(before["wrong"]) if before and confirmed else set()
    places = set(before["empty"]) if before and confirmed else set()
    if empty - places or _too_many(wrong - known, found.of, percent):
        since = before["since"] if before and not confirmed else clock.now().isoformat()
        return {"since": since, "confirmed_by": None, **_told(wrong, found.of, empty)}
    if before and confirmed and (wrong & known or empty & places):
        return {**before, "drifted": len(wrong), "of": found.of}
    return None


def stops(breaker: Mapping[str, Any] | None) -> bool:
    """Whether nothing of the pool is repaired until a person has looked."""
    return bool(breaker and not breaker["confirmed_by"])


def _too_many(wrong: set[str] | frozenset[str], of: int, percent: int) -> bool:
    return len(wrong) > 1 and len(wrong) * 100 > percent * of


def _told(wrong: frozenset[str], of: int, empty: frozenset[str]) -> dict[str, Any]:
    told = {"wrong": sorted(wrong), "empty": sorted(empty)}
    digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]
    return {**told, "drifted": len(wrong), "of": of, "digest": digest}

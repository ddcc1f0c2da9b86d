"""Reconciling: what shall exist on each pool beside what does; drift is told and repaired. Periodic, without input.

A pool of which much looks wrong at once is more likely misread than broken: its breaker opens, nothing is repaired,
and an operator says whether what was found is so.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from cloudctl.kernel import clock, events, operations, sweeps
from cloudctl.kernel.operations import GiveUp, RetryLater
from cloudctl.kernel.settings import Settings
from provisioning import drivers, pools, snapshots
from provisioning.drivers import Observed
from provisioning.models import Pool
from provisioning.operations import REPAIR
from provisioning.snapshots import Expected
from tenancy import tenancies
from tenancy.callers import SYSTEM


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


@dataclass(frozen=True)
class Drift:
    """One tenancy that is not what it shall be: for each part, what was wanted and what was found."""

    tenancy: drivers.Tenancy
    version: int
    parts: Mapping[str, tuple[Any, Any]]


def sweep(engine: Engine, settings: Settings) -> None:
    """Look at every pool; one that breaks stalls no other. May run at any time, and twice at once."""
    with Session(engine) as session:
        found = pools.everyone(session)
    sweeps.each(found, lambda pool_id: _reconcile(engine, settings, pool_id))


def _reconcile(engine: Engine, settings: Settings, pool_id: str) -> None:
    with Session(engine) as session:
        expected = snapshots.on_pool(session, pool_id)
    looks = [_look(each) for each in expected]
    with Session(engine) as session, session.begin():
        _judge(session, settings, pools.locked(session, pool_id), looks)


def _look(expected: Expected) -> Look:
    """Ask one place what is there; no transaction is open here."""
    driver = drivers.of(expected.place)
    try:
        return Look(expected, driver.survey(expected.place), driver.inventory(expected.place).amounts)
    except (RetryLater, GiveUp) as reason:
        return Look(expected, failure={"slug": reason.reason, "figures": reason.figures})


def _judge(session: Session, settings: Settings, pool: Pool, looks: Sequence[Look]) -> None:
    """Write down what was found of a pool, tell what is new of it, and begin the repairs that may begin."""
    answered = [look for look in looks if look.found is not None]
    drifted = [drift for look in answered for drift in _drifted(look)]
    figures = {
        "drifted": len(drifted),
        "of": sum(len(look.expected.tenancies) for look in answered),
        "empty": [look.name for look in answered if _is_empty(look)],
    }
    before, breaker = pool.condition, _breaker(settings, pool.condition.get("breaker"), figures)
    pool.condition = {
        "looked_at": clock.now().isoformat(),
        "unreachable": {look.name: dict(look.failure) for look in looks if look.failure},
        "strangers": sorted({name for look in answered for name in _strangers(look)}),
        "short": _short(session, pool, answered),
        "breaker": breaker,
    }
    _tell(session, pool, before)
    if breaker is None or breaker.get("confirmed_by"):
        _repair(session, settings, pool, drifted)


def _is_empty(look: Look) -> bool:
    """Whether nothing was found of what is expected; what belongs to others does not make an answer believable."""
    found = look.found or {}
    return bool(look.expected.tenancies) and not any(tenancy.id in found for tenancy, _ in look.expected.tenancies)


def _drifted(look: Look) -> Iterator[Drift]:
    for tenancy, version in look.expected.tenancies:
        parts = differences(tenancy, (look.found or {}).get(tenancy.id))
        if parts:
            yield Drift(tenancy, version, parts)


def differences(wanted: drivers.Tenancy, found: Observed | None) -> dict[str, tuple[Any, Any]]:
    """Where what is there is not what shall be: part -> (wanted, found)."""
    if found is None:
        return {"existence": (True, False)}
    parts: dict[str, tuple[Any, Any]] = {
        "size": (dict(wanted.size), dict(found.size)),
        "suspended": (wanted.suspended, found.suspended),
        "damaged": ([], list(found.damaged)),
    }
    if found.keys is not None and not wanted.suspended:
        parts["keys"] = (sorted(wanted.keys), sorted(found.keys))
    return {name: both for name, both in parts.items() if both[0] != both[1]}


def _strangers(look: Look) -> set[str]:
    """What lies there and belongs to nobody we know of; nothing is done to it."""
    return set(look.found or ()) - {tenancy.id for tenancy, _ in look.expected.tenancies} - look.expected.others


def _short(session: Session, pool: Pool, looks: Sequence[Look]) -> dict[str, dict[str, Any]]:
    """Where a place has less of a class than was entered: place -> class -> [entered, found]."""
    entered = {server.name: server.inventory for server in pools.servers_of(session, pool.id)} or {
        pool.name: pool.inventory
    }
    short: dict[str, dict[str, Any]] = {}
    for look in looks:
        for resource, amount in entered.get(look.name, {}).items():
            if resource in look.inventory and look.inventory[resource] < amount:
                short.setdefault(look.name, {})[resource] = [amount, look.inventory[resource]]
    return short


def _breaker(settings: Settings, before: Mapping[str, Any] | None, figures: Mapping[str, Any]) -> dict[str, Any] | None:
    """Whether the pool is to be believed: None, or since when it is not, and who has confirmed it nevertheless.

    A single tenancy is always repaired, however small its pool; an empty answer never is.
    """
    too_many = figures["drifted"] > 1 and figures["drifted"] * 100 > settings.drift_percent * figures["of"]
    if figures["empty"] or too_many:
        return {"since": clock.now().isoformat(), "confirmed_by": None, **(before or {}), **figures}
    return {**before, **figures} if before and before.get("confirmed_by") and figures["drifted"] else None


def _tell(session: Session, pool: Pool, before: Mapping[str, Any]) -> None:
    """What is new of the pool since it was looked at last."""
    now = pool.condition
    for slug, name in (("pool-unreachable", "unreachable"), ("pool-strangers", "strangers"), ("pool-short", "short")):
        new = [one for one in now[name] if one not in before.get(name, ())]
        if new:
            events.record(session, pool.id, slug, pool=pool.name, found=new)
    if now["breaker"] and not before.get("breaker"):
        events.record(session, pool.id, "breaker-opened", pool=pool.name, **_counts(now["breaker"]))
    if before.get("breaker") and not now["breaker"]:
        events.record(session, pool.id, "breaker-closed", pool=pool.name)


def _counts(breaker: Mapping[str, Any]) -> dict[str, Any]:
    return {name: breaker[name] for name in ("drifted", "of", "empty")}


def _repair(session: Session, settings: Settings, pool: Pool, drifted: Sequence[Drift]) -> None:
    """Begin as many repairs as may be under way; the others come with the next look."""
    here = [tenancy.id for tenancy, _, _ in tenancies.on_pool(session, pool.id)] if drifted else []
    room = settings.repairs_at_once - sum(kind == REPAIR.kind for kind in operations.busy(session, here).values())
    for drift in drifted:
        if room <= 0:
            return
        tenancy = tenancies.get(session, drift.tenancy.id, lock=True)
        if tenancy.version != drift.version or operations.under_way(session, tenancy.id):
            continue  # it was changed since it was looked at
        parts = {name: list(both) for name, both in drift.parts.items()}
        events.record(session, tenancy.id, "tenancy-drifted", SYSTEM.id, parts=sorted(parts), found=parts)
        tenancies.note(session, SYSTEM, tenancy, REPAIR.kind, ", ".join(sorted(parts)))
        operations.submit(session, REPAIR.kind, tenancy.id, tenancy.department_id, SYSTEM.id, drift=parts)
        room -= 1

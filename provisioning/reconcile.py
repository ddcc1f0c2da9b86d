"""Reconciling: what shall exist on each pool beside what does; drift is told and repaired. Periodic, without input.

A pool of which much looks wrong at once is more likely misread than broken: its breaker opens, nothing is repaired,
and an operator says whether what was found is so.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from cloudctl.kernel import clock, events, operations, sweeps
from cloudctl.kernel.settings import Settings
from provisioning import breaker, drift, pools, snapshots
from provisioning.drift import Drift, Look
from provisioning.models import Pool
from provisioning.operations import REPAIR
from tenancy import tenancies
from tenancy.callers import SYSTEM

DAY, PAUSE, LONGEST_PAUSE = timedelta(days=1), timedelta(minutes=10), timedelta(hours=6)


def sweep(engine: Engine, settings: Settings) -> None:
    """Look at every pool; one that breaks stalls no other. May run at any time, and twice at once."""
    with Session(engine) as session:
        found = pools.everyone(session)
    sweeps.each(found, lambda pool_id: _reconcile(engine, settings, pool_id))


def _reconcile(engine: Engine, settings: Settings, pool_id: str) -> None:
    with Session(engine) as session:
        expected = snapshots.on_pool(session, pool_id)
    looks = [drift.look(each) for each in expected]
    with Session(engine) as session, session.begin():
        _judge(session, settings, pools.locked(session, pool_id), looks)


def _judge(session: Session, settings: Settings, pool: Pool, looks: Sequence[Look]) -> None:
    """Write down what was found of a pool, tell what is new of it, and begin the repairs that may begin."""
    answered = [look for look in looks if look.found is not None]
    drifted = [each for look in answered for each in look.drifts()]
    free = [each for each in drifted if not each.held]
    repairing = {tenancy for look in looks for tenancy in look.expected.repairing}
    found = breaker.Found(
        wrong=frozenset({each.tenancy.id for each in free} | repairing),
        of=len(repairing) + sum(len(look.expected.tenancies) - len(look.expected.held) for look in answered),
        empty=frozenset(look.name for look in answered if look.is_empty),
        complete=len(answered) == len(looks),
    )
    before = pool.condition
    pool.condition = {
        "looked_at": clock.now().isoformat(),
        "unreachable": {look.name: dict(look.failure) for look in looks if look.failure},
        "strangers": drift.strangers(answered),
        "drifted": len({each.tenancy.id for each in drifted} | repairing),
        "short": _short(session, settings, pool, answered),
        "held": {each.tenancy.id: sorted(each.parts) for each in drifted if each.held},
        "breaker": (now := breaker.after(before.get("breaker"), found, settings.drift_percent)),
        "stopped": {each.tenancy.id: sorted(each.parts) for each in free} if breaker.stops(now) else {},
    }
    _tell(session, pool, before)
    if not breaker.stops(now):
        _repair(session, free, settings.repairs_at_once - len(repairing))


def _short(session: Session, settings: Settings, pool: Pool, looks: Sequence[Look]) -> dict[str, dict[str, Any]]:
    """Where a place has notably less of a class than was entered: place -> class -> [entered, found]."""
    entered = {server.name: server.inventory for server in pools.servers_of(session, pool.id)} or {
        pool.name: pool.inventory
    }
    short: dict[str, dict[str, Any]] = {}
    for look in looks:
        for resource, amount in entered.get(look.name, {}).items():
            lacking = amount - look.inventory.get(resource, amount)
            if lacking * 100 > settings.shortage_percent * amount:
                short.setdefault(look.name, {})[resource] = [amount, look.inventory[resource]]
    return short


def _tell(session: Session, pool: Pool, before: Mapping[str, Any]) -> None:
    """What is new of the pool since it was looked at last."""
    now = pool.condition
    for slug, name in (("pool-unreachable", "unreachable"), ("pool-strangers", "strangers"), ("pool-short", "short")):
        new = [one for one in now[name] if one not in before.get(name, ())]
        if new:
            events.record(session, pool.id, slug, pool=pool.name, found=new)
    for slug, name in (("tenancy-drifted-held", "held"), ("tenancy-drifted-stopped", "stopped")):
        for tenancy, parts in now[name].items():
            if parts != before.get(name, {}).get(tenancy):
                events.record(session, tenancy, slug, SYSTEM.id, parts=parts)
    opened, was = now["breaker"], before.get("breaker")
    if opened and breaker.stops(opened) and not breaker.stops(was):
        figures = {name: opened[name] for name in ("drifted", "of", "empty")}
        events.record(session, pool.id, "breaker-opened", pool=pool.name, **figures)
    if was and not opened:
        events.record(session, pool.id, "breaker-closed", pool=pool.name)


def _repair(session: Session, drifted: Sequence[Drift], room: int) -> None:
    """Begin as many repairs as there is room for; the others come with the next look."""
    since = clock.now() - DAY
    ended = operations.ended_since(session, REPAIR.kind, [each.tenancy.id for each in drifted], since)
    for each in drifted:
        if room <= 0:
            return
        if _pauses(ended.get(each.tenancy.id, [])):
            continue
        tenancy = tenancies.get(session, each.tenancy.id, lock=True)
        if tenancy.version != each.version or operations.under_way(session, tenancy.id):
            continue  # it was changed since it was looked at
        parts = {name: list(both) for name, both in each.parts.items()}
        events.record(session, tenancy.id, "tenancy-drifted", SYSTEM.id, parts=sorted(parts), found=parts)
        tenancies.note(session, SYSTEM, tenancy, REPAIR.kind, ", ".join(sorted(parts)))
        operations.submit(session, REPAIR.kind, tenancy.id, tenancy.department_id, SYSTEM.id, drift=parts)
        room -= 1


def _pauses(ended: Sequence[datetime]) -> bool:
    """Whether repair rests: what drifts again at once will not hold by being repeated, each pause is twice as long."""
    return bool(ended) and clock.now() < max(ended) + min(PAUSE * 2 ** (len(ended) - 1), LONGEST_PAUSE)

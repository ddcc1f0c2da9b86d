"""A tenancy as its driver is told of it: values read once, before anybody talks to the outside."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy.orm import Session

from cloudctl.kernel import operations
from provisioning import drivers, pools
from provisioning.drivers import Place
from tenancy import tenancies

SHUT = ("suspended", "quarantined")
AT_REST = ("active", *SHUT)
REPAIR = "tenancy.repair"  # the kind of operation that reconciling begins


@dataclass(frozen=True)
class Expected:
    """What shall exist at one place.

    `tenancies` are those at rest, with the version of each, `held` those of them on which somebody works by hand.
    `others` are ids of which nothing is said now, as an operation is under way; `repairing` those of them that
    are being repaired.
    """

    place: Place
    tenancies: Sequence[tuple[drivers.Tenancy, int]]
    others: frozenset[str] = frozenset()
    held: frozenset[str] = frozenset()
    repairing: frozenset[str] = frozenset()


def of(
    session: Session,
    tenancy_id: str,
    *,
    size: Mapping[str, int] | None = None,
    keys: Sequence[str] | None = None,
) -> drivers.Tenancy:
    """The share that shall exist for the tenancy; of another `size`, for other `keys`, where they are given."""
    tenancy, project, department = tenancies.with_codes(session, tenancy_id)
    assert tenancy.pool_id, "operations talk to drivers only about tenancies that have a place"
    place = pools.place_of(session, tenancy.pool_id, tenancy.server_id)
    found = _snapshot(tenancy, project, department, place)
    return replace(found, size=dict(size or found.size), keys=found.keys if keys is None else tuple(keys))


def on_pool(session: Session, pool_id: str) -> list[Expected]:
    """What shall exist on a pool, by place: on each of its servers, or on the pool itself."""
    here = tenancies.on_pool(session, pool_id)
    busy = operations.busy(session, [tenancy.id for tenancy, _, _ in here])
    expected = []
    for server_id, place in pools.places_of(session, pool_id):
        at = [row for row in here if row[0].server_id == server_id]
        resting = [row for row in at if row[0].state in AT_REST and row[0].id not in busy]
        ids = frozenset(row[0].id for row in resting)
        expected.append(
            Expected(
                place,
                [(_snapshot(*row, place), row[0].version) for row in resting],
                others=frozenset(row[0].id for row in at) - ids,
                held=frozenset(row[0].id for row in resting if tenancies.is_held(row[0])),
                repairing=frozenset(row[0].id for row in at if busy.get(row[0].id) == REPAIR),
            )
        )
    return expected


def _snapshot(tenancy: tenancies.Tenancy, project: str, department: str, place: Place) -> drivers.Tenancy:
    return drivers.Tenancy(
        id=tenancy.id,
        name=tenancy.name,
        project=project,
        department=department,
        size=dict(tenancy.size),
        place=place,
        keys=tuple(tenancy.keys),
        suspended=tenancy.state in SHUT,
    )

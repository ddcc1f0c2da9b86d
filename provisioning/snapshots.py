"""A tenancy as its driver is told of it: values read once, before anybody talks to the outside."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from cloudctl.kernel import clock, operations
from provisioning import drivers, pools
from provisioning.drivers import Place
from tenancy import tenancies

SHUT = ("suspended", "quarantined")
AT_REST = ("active", *SHUT)


@dataclass(frozen=True)
class Expected:
    """What shall exist at one place.

    `tenancies` are those at rest, with the version of each; `held` those on which somebody works by hand; `others` are
    ids of which nothing is repaired now: the held, and those with an operation under way.
    """

    place: Place
    tenancies: Sequence[tuple[drivers.Tenancy, int]]
    others: frozenset[str]
    held: Sequence[drivers.Tenancy] = ()


def of(session: Session, tenancy_id: str, *, size: Mapping[str, int] | None = None) -> drivers.Tenancy:
    """The share that shall exist for the tenancy; of another `size` where one is given."""
    tenancy = tenancies.get(session, tenancy_id)
    assert tenancy.pool_id, "operations talk to drivers only about tenancies that have a place"
    project, department = tenancies.project_of(session, tenancy).code, tenancies.department_of(session, tenancy).code
    place = pools.place_of(session, tenancy.pool_id, tenancy.server_id)
    return _snapshot(tenancy, project, department, place, size)


def on_pool(session: Session, pool_id: str) -> list[Expected]:
    """What shall exist on a pool, by place: on each of its servers, or on the pool itself."""
    here = tenancies.on_pool(session, pool_id)
    busy = operations.busy(session, [tenancy.id for tenancy, _, _ in here])
    expected = []
    for server_id, place in pools.places_of(session, pool_id):
        at = [row for row in here if row[0].server_id == server_id]
        resting = [row for row in at if row[0].state in AT_REST and row[0].id not in busy]
        wanted = [(_snapshot(*row, place), row[0].version) for row in resting if not _is_held(row[0])]
        held = [_snapshot(*row, place) for row in resting if _is_held(row[0])]
        others = frozenset({row[0].id for row in at} - {one.id for one, _ in wanted})
        expected.append(Expected(place, wanted, others, held))
    return expected


def _is_held(tenancy: tenancies.Tenancy) -> bool:
    return tenancy.held_until is not None and tenancy.held_until > clock.now()


def _snapshot(
    tenancy: tenancies.Tenancy, project: str, department: str, place: Place, size: Mapping[str, int] | None = None
) -> drivers.Tenancy:
    return drivers.Tenancy(
        id=tenancy.id,
        name=tenancy.name,
        project=project,
        department=department,
        size=dict(size or tenancy.size),
        place=place,
        keys=tuple(tenancy.keys),
        suspended=tenancy.state in SHUT,
    )

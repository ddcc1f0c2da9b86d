"""A tenancy as its driver is told of it: values read once, before anybody talks to the outside."""

from collections.abc import Mapping

from sqlalchemy.orm import Session

from provisioning import drivers, pools
from tenancy import tenancies


def of(session: Session, tenancy_id: str, *, size: Mapping[str, int] | None = None) -> drivers.Tenancy:
    """The share that shall exist for the tenancy; of another `size` where one is given."""
    tenancy = tenancies.get(session, tenancy_id)
    assert tenancy.pool_id, "operations talk to drivers only about tenancies that have a place"
    return drivers.Tenancy(
        id=tenancy.id,
        name=tenancy.name,
        project=tenancies.project_of(session, tenancy).code,
        department=tenancies.department_of(session, tenancy).code,
        size=dict(size or tenancy.size),
        place=pools.place_of(session, tenancy.pool_id, tenancy.server_id),
        keys=tuple(tenancy.keys),
        suspended=tenancy.state in ("suspended", "quarantined"),
    )

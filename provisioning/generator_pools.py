"""Generator pools: clusters on whose machines engines of load tests may run. Operators say so, by a trait."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from cloudctl.kernel.errors import Invalid
from provisioning.drivers import Place
from provisioning.models import Pool
from provisioning.pools import place_of

TRAIT = "load-generators"
DRIVER = "kubernetes"


class NoGeneratorPool(Invalid):
    """No pool of this name is there for engines of load tests; tells which are."""


def named(session: Session, name: str) -> Place:
    """The generator pool of this name, as drivers are told of it.

    Raises:
        NoGeneratorPool: there is none, or it is not one for that.
    """
    pools = everyone(session)
    if name not in pools:
        raise NoGeneratorPool(field="on", given=name, allowed=sorted(pools))
    return pools[name]


def everyone(session: Session) -> dict[str, Place]:
    """All generator pools, by name."""
    marked = select(Pool.name, Pool.id).where(Pool.driver == DRIVER, Pool.traits.contains([TRAIT]))
    return {name: place_of(session, id) for name, id in session.execute(marked)}

"""What a back end must be able to do, in values that know no table and no session."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Protocol


@dataclass(frozen=True)
class Place:
    """Where a tenancy lives: a pool and, where the pool is of servers, one of them.

    `host_key` is the public key (type and key) by which the server is known since it was enrolled.
    """

    pool: str
    driver: str
    architecture: str
    connection: Mapping[str, Any]
    server: str | None = None
    address: str | None = None
    host_key: str | None = None


@dataclass(frozen=True)
class Tenancy:
    """The share that shall exist. Sizes are integers in the units of their resource class."""

    id: str
    name: str
    project: str
    department: str
    size: Mapping[str, int]
    place: Place
    keys: Sequence[str] = ()
    suspended: bool = False


@dataclass(frozen=True)
class Limit:
    """One limit of a tenancy and whether the back end really enforces it; if not, `because` says why (a slug)."""

    resource: str
    amount: int
    enforced: bool
    because: str | None = None


@dataclass(frozen=True)
class Endpoint:
    """An address at which a tenancy answers."""

    host: str
    port: int | None = None


@dataclass(frozen=True)
class Access:
    """How the tenant gets in. `secret` is handed over once and never stored in clear."""

    how: Mapping[str, str]
    secret: str | None = None
    endpoints: Sequence[Endpoint] = ()
    limits: Sequence[Limit] = ()


@dataclass(frozen=True)
class Observed:
    """What is really there, in the same words as what shall be.

    `keys` is None where a back end knows no keys. `damaged` names what else of the tenancy was changed or taken away
    behind our back, in the back end's own words.
    """

    size: Mapping[str, int]
    keys: Sequence[str] | None = None
    suspended: bool = False
    limits: Sequence[Limit] = ()
    damaged: Sequence[str] = ()


@dataclass(frozen=True)
class Usage:
    """How much of its share a tenancy uses, by resource class, in its unit. What cannot be measured is absent."""

    used: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Erasure:
    """The record that a tenancy's data was erased: by which method, over how many bytes, with which check."""

    method: str
    bytes: int
    verified: bool
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Inventory:
    """What one place has in all: resource class -> amount; and what it is made of."""

    amounts: Mapping[str, int]
    architecture: str
    cpu_family: str
    traits: Sequence[str] = ()


class Log(Protocol):
    """Where a driver tells its progress: a slug and figures, task by task."""

    def __call__(self, slug: str, **figures: Any) -> None: ...


class Driver(Protocol):
    """Every call converges: what is right already is kept, and calling twice is calling once.

    A call raises RetryLater when the back end does not answer, and GiveUp when it never will do this
    (both from `cloudctl.kernel.operations`). Anything else it raises is a bug.
    """

    def check(self, place: Place) -> None:
        """See that what the place's connection says could be right, without a word to the back end.

        Raises:
            GiveUp: `bad-connection`, with the field.
        """
        ...

    def inventory(self, place: Place) -> Inventory: ...

    def provision(self, tenancy: Tenancy, log: Log, within: timedelta) -> Access: ...

    def observe(self, tenancy: Tenancy) -> Observed | None: ...

    def survey(self, place: Place) -> Mapping[str, Observed]:
        """All that is there, by the tenancy's id: what `observe` would say of each, in a bounded number of calls."""
        ...

    def usage(self, tenancy: Tenancy) -> Usage: ...

    def resize(self, tenancy: Tenancy, log: Log, within: timedelta) -> Access: ...

    def suspend(self, tenancy: Tenancy, log: Log, within: timedelta) -> None: ...

    def resume(self, tenancy: Tenancy, log: Log, within: timedelta) -> None: ...

    def rotate(self, tenancy: Tenancy, log: Log, within: timedelta) -> Access: ...

    def remove(self, tenancy: Tenancy, log: Log, within: timedelta) -> Erasure: ...


DRIVERS: dict[str, Driver] = {}
"""Name, as pools say it -> driver. The roof fills it at start."""


def of(place: Place) -> Driver:
    """The driver of a place."""
    return DRIVERS[place.driver]

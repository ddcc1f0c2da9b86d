"""Pools and their servers: where tenancies live, as operators enter them."""

from datetime import datetime
from typing import Any

from pydantic import Field, FiniteFloat
from sqlalchemy.orm import Session

from cloudctl.api.calls import CallerDep, LanguageDep, SessionDep, router
from cloudctl.api.departments import BalanceView
from cloudctl.api.request_views import Told
from cloudctl.api.servers import ServerView, capacity_of
from cloudctl.api.views import After, Body, IfMatch, Limit, Page, View, page
from cloudctl.kernel import secrets
from cloudctl.kernel.messages import Language
from provisioning import capacity, conditions, pool_servers, pools
from provisioning.pools import Pool

routes = router("/pools", "pools")

_NAME = "Name: small letters, digits, dots and hyphens, at most 63."
_ABI = "`x86-64`, `aapcs64`, `lp64d` (LoongArch; `lp64d-1.0` is its older one, which does not mix), `sw64`."
_AMOUNTS = "Amounts by resource class, in the unit of the class (see `/v1/resources`)."
_CONNECTION = "The driver's own settings; secrets only by reference (`file:…`, `env:…`)."
_OVERCOMMIT = "Factor by resource class; 1 where absent."
_RESERVE = "Kept back for the loss of a host and for surges. " + _AMOUNTS
_STATE = "`open`, or `draining`: nothing new is placed there."


class BreakerView(View):
    since: datetime = Field(description="When it opened (UTC).", examples=["2026-03-02T01:00:00Z"])
    drifted: int = Field(description="How many tenancies look wrong.", examples=[40])
    of: int = Field(description="Of how many that were looked at.", examples=[400])
    empty: list[str] = Field(description="Places that answered with nothing where much should be.", examples=[[]])
    wrong: list[str] = Field(description="Ids of the tenancies that look wrong.", examples=[[]])
    digest: str = Field(description="Stands for exactly this; who confirms sends it.", examples=["0f3a5c7e9b1d2468"])
    confirmed_by: str | None = Field(
        description="Who has said that it is so and may be repaired; null: nothing is.", examples=[None]
    )


class AwayView(View):
    place: str = Field(description="Name of the server, or of the pool.", examples=["node-07"])
    because: Told = Field(description="Why it does not answer.")


class ConditionView(View):
    """A pool as reconciling last found it; what was never looked at has no time."""

    looked_at: datetime | None = Field(None, description="When (UTC).", examples=["2026-03-02T01:00:00Z"])
    unreachable: list[AwayView] = Field([], description="Places that do not answer, and why.", examples=[[]])
    strangers: list[str] = Field(
        [], description="Ids of what lies there and belongs to no tenancy; nothing is done to it.", examples=[[]]
    )
    drifted: int = Field(0, description="Tenancies that were otherwise than they shall be.", examples=[0])
    short: dict[str, dict[str, list[int]]] = Field(
        {}, description="Where less was found than was entered: place, class, [entered, found].", examples=[{}]
    )
    held: dict[str, list[str]] = Field(
        {}, description="Tenancies that drifted while somebody works on them by hand, with the parts.", examples=[{}]
    )
    stopped: dict[str, list[str]] = Field(
        {}, description="Tenancies that drifted and are not repaired before a person has looked.", examples=[{}]
    )
    breaker: BreakerView | None = Field(
        None, description="Set while too much looks wrong at once; repairs wait for a person.", examples=[None]
    )

    @classmethod
    def of(cls, pool: Pool, language: Language) -> "ConditionView":
        away = sorted(conditions.unreachable(pool).items())
        told = [AwayView(place=place, because=Told.of(reason, language)) for place, reason in away]
        return cls(**{**pool.condition, "unreachable": told})


class PoolView(View):
    id: str = Field(description="Id of the pool.", examples=["pol_01k9xr3w8q7f5t2n6m4v0c1b8d"])
    name: str = Field(description=_NAME, examples=["kunpeng-1"])
    provider: str = Field(description="The company that runs it.", examples=["云上贵州"])
    driver: str = Field(description="What kind of back end it is.", examples=["servers"])
    connection: dict[str, Any] = Field(
        description="The driver's own settings; of a secret only the kind of its reference is shown.",
        examples=[{"kubeconfig": "/etc/cloudctl/kunpeng.kubeconfig", "token": "file:…"}],
    )
    zone: str = Field(description="Network zone.", examples=["extranet"])
    architecture: str = Field(description="Processor architecture.", examples=["arm64"])
    abi: str = Field(description=_ABI, examples=["aapcs64"])
    cpu_family: str = Field(description="Processor family.", examples=["Kunpeng-920"])
    level: int = Field(description="Highest MLPS (GB/T 22239) level it may carry.", examples=[3])
    traits: list[str] = Field(description="What else can be asked of it.", examples=[["local-ssd"]])
    overcommit: dict[str, FiniteFloat] = Field(description=_OVERCOMMIT, examples=[{"vcpu": 2.0}])
    reserve: dict[str, int] = Field(description=_RESERVE, examples=[{"vcpu": 16}])
    inventory: dict[str, int] = Field(description="What it really has. " + _AMOUNTS, examples=[{"vcpu": 128}])
    capacity: dict[str, BalanceView] = Field(description="What can be given, is held and used, by resource class.")
    compute_factor: float | None = Field(
        description="How fast its open servers compute, beside a reference core (1.0); null: not measured.",
        examples=[1.12],
    )
    state: str = Field(description=_STATE, examples=["open"])
    condition: ConditionView = Field(description="As reconciling last found it.")
    version: int = Field(description="Counts the changes, from 1.", examples=[2])
    created_at: datetime = Field(description="When it was entered (UTC).", examples=["2026-03-02T01:00:00Z"])

    @classmethod
    def of(cls, session: Session, pool: Pool, language: Language) -> "PoolView":
        made = {
            "connection": secrets.masked(pool.connection),
            "capacity": capacity_of(session, pool.id),
            "compute_factor": capacity.compute_factors(session).get(pool.id),
            "condition": ConditionView.of(pool, language),
        }
        return cls(**made, **{name: getattr(pool, name) for name in cls.model_fields if name not in made})


class ServerList(View):
    items: list[ServerView] = Field(description="The servers, by name.")


class NewPool(Body):
    name: str = Field(description=_NAME, examples=["kunpeng-1"])
    provider: str = Field(min_length=1, max_length=100, description="The company that runs it.", examples=["云上贵州"])
    driver: str = Field(description="What kind of back end it is.", examples=["servers"])
    connection: dict[str, Any] = Field({}, description=_CONNECTION, examples=[{"connection": "local"}])
    zone: str = Field(min_length=1, max_length=40, description="Network zone.", examples=["extranet"])
    architecture: str = Field(min_length=1, max_length=20, description="Processor architecture.", examples=["arm64"])
    abi: str = Field(min_length=1, max_length=20, description=_ABI, examples=["aapcs64"])
    cpu_family: str = Field(min_length=1, max_length=60, description="Processor family.", examples=["Kunpeng-920"])
    level: int = Field(description="Highest MLPS (GB/T 22239) level it may carry, 1 to 4.", examples=[3])
    traits: list[str] = Field([], max_length=50, description="What else can be asked of it.", examples=[["local-ssd"]])
    overcommit: dict[str, FiniteFloat] = Field({}, description=_OVERCOMMIT, examples=[{"vcpu": 2.0}])
    reserve: dict[str, int] = Field({}, description=_RESERVE, examples=[{"vcpu": 16}])
    inventory: dict[str, int] = Field(
        {},
        description="What it really has; nothing for a pool of servers. " + _AMOUNTS,
        examples=[{}],
    )


class PoolChange(Body):
    provider: str = Field("", min_length=1, max_length=100, description="The company that runs it.")
    connection: dict[str, Any] = Field({}, description=_CONNECTION)
    traits: list[str] = Field([], max_length=50, description="What else can be asked of it.", examples=[["local-ssd"]])
    overcommit: dict[str, FiniteFloat] = Field({}, description=_OVERCOMMIT, examples=[{"vcpu": 2.0}])
    reserve: dict[str, int] = Field({}, description=_RESERVE, examples=[{"vcpu": 16}])
    inventory: dict[str, int] = Field({}, description="What it really has. " + _AMOUNTS, examples=[{"vcpu": 128}])
    state: str = Field("open", description=_STATE, examples=["draining"])


class Confirmation(Body):
    digest: str = Field(description="The digest of what was found, as it was shown.", examples=["0f3a5c7e9b1d2468"])
    reason: str = Field(min_length=1, max_length=2000, description="Why, for the record.", examples=["重装了集群"])


class NewServer(Body):
    name: str = Field(description="Name within its pool; as a pool's.", examples=["node-07"])
    address: str = Field(min_length=1, max_length=253, description="Where it is reached.", examples=["10.0.0.7"])
    inventory: dict[str, int] = Field(description="What it really has. " + _AMOUNTS, examples=[{"vcpu": 64}])
    architecture: str | None = Field(None, description="As found on it; null: the pool's.", examples=[None])
    abi: str | None = Field(None, description="As found on it; null: the pool's.", examples=[None])


class ServerChange(Body):
    address: str = Field("", min_length=1, max_length=253, description="Where it is reached.", examples=["10.0.0.8"])
    inventory: dict[str, int] = Field({}, description="What it really has. " + _AMOUNTS, examples=[{"vcpu": 64}])


@routes.get("")
def list_pools(
    caller: CallerDep, session: SessionDep, language: LanguageDep, after: After = None, limit: Limit = 50
) -> Page[PoolView]:
    """All pools, by name."""
    found = pools.listed(session, caller, after=after, limit=limit + 1)
    return page(found, limit, lambda row: PoolView.of(session, row, language), lambda row: row.name)


@routes.post("", status_code=201)
def add_pool(new: NewPool, caller: CallerDep, session: SessionDep, language: LanguageDep) -> PoolView:
    """Enter a pool; its capacity can be claimed at once."""
    return PoolView.of(session, pools.add(session, caller, **new.model_dump()), language)


@routes.get("/{pool}")
def show_pool(pool: str, caller: CallerDep, session: SessionDep, language: LanguageDep) -> PoolView:
    """A pool, by id or name."""
    return PoolView.of(session, pools.seen_by(session, caller, pool), language)


@routes.patch("/{pool}")
def change_pool(
    pool: str, new: PoolChange, version: IfMatch, caller: CallerDep, session: SessionDep, language: LanguageDep
) -> PoolView:
    """Change a pool; what is left out stays. Zone, level and processor never change: tenancies were placed by them."""
    changes = new.model_dump(exclude_unset=True)
    return PoolView.of(session, pools.update(session, caller, pool, version=version, **changes), language)


@routes.post("/{pool}/confirm")
def confirm_pool(
    pool: str, new: Confirmation, caller: CallerDep, session: SessionDep, language: LanguageDep
) -> PoolView:
    """Say that what reconciling found is so: its breaker lets the repairs begin."""
    confirmed = pools.confirm(session, caller, pool, new.digest, new.reason)
    return PoolView.of(session, confirmed, language)


@routes.get("/{pool}/servers")
def list_servers(pool: str, caller: CallerDep, session: SessionDep, language: LanguageDep) -> ServerList:
    """The servers of a pool, by name."""
    found = pools.servers_of(session, pools.seen_by(session, caller, pool).id)
    return ServerList(items=[ServerView.of(session, caller, language, server) for server in found])


@routes.post("/{pool}/servers", status_code=201)
def add_server(pool: str, new: NewServer, caller: CallerDep, session: SessionDep, language: LanguageDep) -> ServerView:
    """Enter a server of a pool of servers by hand; nothing is done to it. Servers reached by SSH are enrolled."""
    return ServerView.of(session, caller, language, pool_servers.add(session, caller, pool, **new.model_dump()))


@routes.patch("/{pool}/servers/{server}")
def change_server(
    pool: str, server: str, new: ServerChange, caller: CallerDep, session: SessionDep, language: LanguageDep
) -> ServerView:
    """Change a server, by id or name; what is left out stays."""
    changes = new.model_dump(exclude_unset=True)
    return ServerView.of(session, caller, language, pool_servers.update(session, caller, pool, server, **changes))

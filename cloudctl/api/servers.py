"""Servers: enrolled in a pool, drained, opened again and retired, by operators."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import Query
from pydantic import Field
from sqlalchemy.orm import Session

from cloudctl.api.calls import CallerDep, LanguageDep, SessionDep, router
from cloudctl.api.departments import BalanceView
from cloudctl.api.tenancy_views import UnderWay
from cloudctl.api.views import After, Body, Limit, Page, View, page
from cloudctl.kernel import operations
from cloudctl.kernel.messages import Language
from provisioning import pool_servers
from provisioning.pool_servers import Server
from tenancy import ledger
from tenancy.callers import Caller

routes = router("/servers", "servers")

_AMOUNTS = "Amounts by resource class, in the unit of the class (see `/v1/resources`)."
_STATE = "`enrolling`, `open`, `draining` (nothing new is placed there), `failed` or `retired`."


class ComputeView(View):
    """How fast a server computes, by a short fixed benchmark on all its cores at once."""

    factor: float = Field(description="Beside a reference core (1.0); higher is faster.", examples=[1.12])
    version: int = Field(description="Which benchmark it was; factors of two cannot be compared.", examples=[1])
    seconds: float = Field(description="Seconds that one pass took.", examples=[0.0893])
    cores: int = Field(description="How many cores ran it at the same time.", examples=[64])
    python: str = Field(description="The interpreter that ran it.", examples=["3.11.2"])


class DiskView(View):
    name: str = Field(description="As the kernel names it.", examples=["nvme0n1"])
    gib: int = Field(description="Its size, in GiB.", examples=[3576])
    rotates: bool = Field(description="Whether it is a spinning disk.", examples=[False])


class FactsView(View):
    """What an enrolled server said of itself; all null of one that was entered by hand."""

    architecture: str | None = Field(None, description="Processor architecture.", examples=["arm64"])
    abi: str | None = Field(None, description="ABI; LoongArch has two that do not mix.", examples=["aapcs64"])
    processor: str | None = Field(None, description="Model of its processor.", examples=["Kunpeng-920"])
    memory_gib: int | None = Field(None, description="Memory, in GiB.", examples=[512])
    disks: list[DiskView] = Field([], description="Its disks.")
    system: str | None = Field(None, description="Operating system.", examples=["Debian GNU/Linux 12 (bookworm)"])
    kernel: str | None = Field(None, description="Version of its kernel.", examples=["6.1.0-35-arm64"])
    python: str | None = Field(None, description="Version of its Python, which plays need.", examples=["3.11.2"])
    compute: ComputeView | None = Field(None, description="How fast it computes; null: not measured.")


class ServerView(View):
    id: str = Field(description="Id of the server.", examples=["srv_01k9xr3w8q7f5t2n6m4v0c1b8d"])
    pool: str = Field(description="Id of its pool.", examples=["pol_01k9xr3w8q7f5t2n6m4v0c1b8d"])
    name: str = Field(description="Name within its pool.", examples=["node-07"])
    address: str = Field(description="Where it is reached.", examples=["10.0.0.7"])
    host_key: str | None = Field(
        description="The public SSH key by which it is known, pinned when it was enrolled; null: none.",
        examples=["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBpP5q6sJ7c0yJ0uJY0m9gk1x0Xw2vJkq0bqk5d9yV3u"],
    )
    facts: FactsView = Field(description="What it said of itself.")
    inventory: dict[str, int] = Field(description="What it really has. " + _AMOUNTS, examples=[{"vcpu": 64}])
    capacity: dict[str, BalanceView] = Field(description="What can be given, is held and used, by resource class.")
    state: str = Field(description=_STATE, examples=["open"])
    operation: UnderWay | None = Field(description="What is under way; null: nothing.", examples=[None])
    created_at: datetime = Field(description="When it was entered (UTC).", examples=["2026-03-02T01:00:00Z"])

    @classmethod
    def of(cls, session: Session, caller: Caller, language: Language, server: Server) -> "ServerView":
        made: dict[str, Any] = {
            "pool": server.pool_id,
            "facts": FactsView.model_validate(server.facts),
            "capacity": capacity_of(session, server.id),
            "operation": UnderWay.of(operations.under_way(session, server.id), caller, language),
        }
        return cls(**made, **{name: getattr(server, name) for name in cls.model_fields if name not in made})


class Enrolment(Body):
    pool: str = Field(max_length=63, description="Id or name of the pool.", examples=["kunpeng-1"])
    name: str = Field(
        description="Name within its pool: small letters, digits, dots and hyphens.", examples=["node-08"]
    )
    address: str = Field(description="Where it is reached: host name or address.", examples=["10.0.0.8"])
    host_key: str = Field(
        max_length=2000,
        description="Its public SSH key, type and key, seen on the server itself or told by whoever installed it.",
        examples=["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBpP5q6sJ7c0yJ0uJY0m9gk1x0Xw2vJkq0bqk5d9yV3u"],
    )


class Move(Body):
    reason: str | None = Field(None, max_length=2000, description="Why, for the record.", examples=["更换内存"])


class Retirement(Body):
    reason: str = Field(max_length=2000, description="Why, for the record.", examples=["超出使用年限"])
    gone: bool = Field(
        False,
        description="Nobody will reach it any more: what was done to it is not taken back, the books forget it.",
        examples=[False],
    )


@routes.get("")
def list_servers(
    caller: CallerDep,
    session: SessionDep,
    language: LanguageDep,
    pool: Annotated[str | None, Query(description="Id or name: only those of this pool.")] = None,
    state: Annotated[str | None, Query(description="Only those in this state.", examples=["open"])] = None,
    after: After = None,
    limit: Limit = 50,
) -> Page[ServerView]:
    """Servers of all pools, or of one, in the order in which they were entered."""
    found = pool_servers.listed(session, caller, pool=pool, state=state, after=after, limit=limit + 1)
    return page(found, limit, lambda row: ServerView.of(session, caller, language, row), lambda row: row.id)


@routes.post("", status_code=202)
def enroll_server(new: Enrolment, caller: CallerDep, session: SessionDep, language: LanguageDep) -> ServerView:
    """Make a server one of a pool of servers: an operation looks at it, prepares it by SSH, and opens it."""
    return ServerView.of(session, caller, language, pool_servers.enroll(session, caller, **new.model_dump()))


@routes.get("/{server}")
def show_server(server: str, caller: CallerDep, session: SessionDep, language: LanguageDep) -> ServerView:
    """A server, by id, or by name where no other pool has one of that name."""
    return ServerView.of(session, caller, language, pool_servers.seen_by(session, caller, server))


@routes.post("/{server}/drain")
def drain_server(server: str, said: Move, caller: CallerDep, session: SessionDep, language: LanguageDep) -> ServerView:
    """Place nothing new there; what is there stays."""
    return ServerView.of(session, caller, language, pool_servers.drain(session, caller, server, said.reason))


@routes.post("/{server}/open")
def open_server(server: str, said: Move, caller: CallerDep, session: SessionDep, language: LanguageDep) -> ServerView:
    """Place tenancies there again."""
    return ServerView.of(session, caller, language, pool_servers.reopen(session, caller, server, said.reason))


@routes.post("/{server}/retire", status_code=202)
def retire_server(
    server: str, said: Retirement, caller: CallerDep, session: SessionDep, language: LanguageDep
) -> ServerView:
    """Take it out of its pool; an operation takes back what was done to it. Refused while tenancies live on it."""
    return ServerView.of(
        session, caller, language, pool_servers.retire(session, caller, server, said.reason, gone=said.gone)
    )


def capacity_of(session: Session, place: str) -> dict[str, BalanceView]:
    """What a pool or server can give, by resource class."""
    accounts = ledger.balances(session, [place])[place]
    return {resource: BalanceView.model_validate(balance) for resource, balance in accounts.items()}

"""How tenancies look."""

from datetime import datetime
from typing import Any, ClassVar

from pydantic import Field
from sqlalchemy.orm import Session

from cloudctl.api.request_views import HoldView, SystemView, Told, UnitView
from cloudctl.api.views import Disclosure, View
from cloudctl.kernel import messages, operations
from cloudctl.kernel.messages import Language
from cloudctl.kernel.operations import OperationRow
from provisioning import conditions, pools
from tenancy import ledger, oversight, tenancies
from tenancy.callers import Caller
from tenancy.tenancies import Endpoint, Tenancy

_SIZE = "Amounts by resource class, in the unit of the class (see `/v1/resources`)."


class LimitView(View):
    resource: str = Field(description="Resource class.", examples=["vcpu"])
    amount: int = Field(description="The limit, in the unit of the class.", examples=[4])
    enforced: bool = Field(description="True: the back end enforces it. False: declared only.", examples=[True])
    because: Told | None = Field(description="Why it is declared only.", examples=[None])

    @classmethod
    def of(cls, limit: dict[str, Any], language: Language) -> "LimitView":
        because = {"slug": limit["because"], "figures": {}} if limit["because"] else None
        told = Told.of(because, language) if because else None
        return cls(resource=limit["resource"], amount=limit["amount"], enforced=limit["enforced"], because=told)


class EndpointView(View):
    id: str = Field(description="Id of the endpoint.", examples=["end_01k9xr3w8q7f5t2n6m4v0c1b8d"])
    host: str = Field(description="Host name or address.", examples=["10.20.30.40"])
    port: int | None = Field(description="TCP port; null: all of the host.", examples=[443])
    reported: bool = Field(description="Whether its driver reports it.", examples=[True])
    confirmed_by: str | None = Field(description="Id of the operator who vouches for it.", examples=[None])
    confirmed_at: datetime | None = Field(description="When it was confirmed (UTC).", examples=[None])
    counts: bool = Field(description="Whether it is taken for the tenancy's.", examples=[True])

    @classmethod
    def of(cls, endpoint: Endpoint) -> "EndpointView":
        return cls(
            id=endpoint.id,
            host=endpoint.host,
            port=endpoint.port,
            reported=endpoint.reported,
            confirmed_by=endpoint.confirmed_by,
            confirmed_at=endpoint.confirmed_at,
            counts=endpoint.reported or endpoint.confirmed_at is not None,
        )


class EndpointList(View):
    items: list[EndpointView] = Field(description="The endpoints.")


class PlaceView(View):
    pool: str = Field(description="Name of the pool.", examples=["kunpeng-1"])
    architecture: str = Field(description="Processor architecture.", examples=["arm64"])
    server: str | None = Field(description="Name of the server, on a pool of servers.", examples=["node-07"])


class UnderWay(View):
    id: str = Field(description="Id of the operation.", examples=["op_01k9xr3w8q7f5t2n6m4v0c1b8d"])
    kind: str = Field(description="What it does.", examples=["tenancy.resize"])
    state: str = Field(description="Where it stands.", examples=["running"])
    step: str | None = Field(description="The step it stands at.", examples=["provision"])
    standing: Told = Field(description="The same in words: who is acting, and since when.")

    @classmethod
    def of(cls, row: OperationRow | None, caller: Caller, language: Language) -> "UnderWay | None":
        if row is None:
            return None
        standing = Told.of(oversight.standing(caller, row), language)
        return cls(id=row.id, kind=row.kind, state=row.state, step=row.current, standing=standing)


class TenancyLine(View):
    """A tenancy in a list."""

    id: str = Field(description="Id of the tenancy.", examples=["ten_01k9xr3w8q7f5t2n6m4v0c1b8d"])
    name: str = Field(description="Name within its project.", examples=["exam-web"])
    department: UnitView = Field(description="The department that has it.")
    project: SystemView = Field(description="The project it is for.")
    state: str = Field(description="Where it is in its life.", examples=["active"])
    title: str = Field(description="The state in words.", examples=["使用中"])
    size: dict[str, int] = Field(description=_SIZE, examples=[{"vcpu": 4, "memory_gib": 8, "storage_gib.ssd": 10}])
    place: PlaceView | None = Field(description="Where it lives; null until it has a place.", examples=[None])
    ends_at: datetime | None = Field(description="End of its term (UTC).", examples=["2027-03-02T01:00:00Z"])

    @classmethod
    def of(cls, session: Session, tenancy: Tenancy, language: Language) -> "TenancyLine":
        return cls(**_line(session, tenancy, language))


class TenancyView(TenancyLine):
    """A tenancy with everything about it."""

    approved_size: dict[str, int] = Field(description="The size that a human last approved. " + _SIZE)
    architectures: list[str] = Field(description="Architectures its software runs on.", examples=[["arm64"]])
    zone: str = Field(description="Network zone.", examples=["extranet"])
    level: int = Field(description="MLPS (GB/T 22239) security level, 1 to 4.", examples=[2])
    keys: list[str] = Field(description="The tenant's own public keys.", examples=[["ssh-ed25519 AAAA… clerk"]])
    protected: bool = Field(description="Delete protection.", examples=[False])
    limits: list[LimitView] = Field(description="Its limits, and whether each is enforced or declared only.")
    endpoints: list[EndpointView] = Field(description="The addresses at which it answers.")
    holds: list[HoldView] = Field(description="What of quota and capacity it holds and uses.")
    operation: UnderWay | None = Field(description="What is under way; null: nothing.", examples=[None])
    unrepaired: Told | None = Field(
        description="Why nothing of it is repaired at present; null: drift is repaired.", examples=[None]
    )
    access_waits: bool = Field(description="Whether access can be handed over: it is told once.", examples=[True])
    term_days: int = Field(description="Length of its term, in calendar days.", examples=[365])
    activated_at: datetime | None = Field(description="Since when it is the tenant's (UTC).", examples=[None])
    quarantined_at: datetime | None = Field(description="Since when it is in quarantine (UTC).", examples=[None])
    erase_at: datetime | None = Field(description="Until when it can be restored (UTC).", examples=[None])
    erased_at: datetime | None = Field(description="When it was erased (UTC).", examples=[None])
    erasure: dict[str, Any] | None = Field(
        description="The record of the erasure: method, bytes, whether it was verified.", examples=[None]
    )
    held_until: datetime | None = Field(
        description="Until when nothing of it is repaired (UTC); null: drift is repaired.", examples=[None]
    )
    held_because: str | None = Field(description="Why it is held, in the operator's words.", examples=[None])
    version: int = Field(description="Counts the changes, from 1.", examples=[3])
    created_at: datetime = Field(description="When it was approved (UTC).", examples=["2026-03-02T01:00:00Z"])

    @classmethod
    def whole(cls, session: Session, tenancy: Tenancy, caller: Caller, language: Language) -> "TenancyView":
        """With its limits, endpoints, claims, and the operation under way."""
        under_way = operations.under_way(session, tenancy.id)
        unrepaired = conditions.hinders_repair(session, tenancy)
        return cls(
            **_line(session, tenancy, language),
            approved_size=tenancy.approved_size,
            architectures=tenancy.architectures,
            zone=tenancy.zone,
            level=tenancy.level,
            keys=tenancy.keys,
            protected=tenancy.protected,
            limits=[LimitView.of(limit, language) for limit in tenancy.limits],
            endpoints=[EndpointView.of(endpoint) for endpoint in tenancies.endpoints_of(session, tenancy.id)],
            holds=[HoldView.model_validate(claim) for claim in ledger.claims_of(session, tenancy.id)],
            operation=UnderWay.of(under_way, caller, language),
            unrepaired=Told.of(unrepaired, language) if unrepaired else None,
            access_waits=tenancy.access is not None,
            term_days=tenancy.term_days,
            activated_at=tenancy.activated_at,
            quarantined_at=tenancy.quarantined_at,
            erase_at=tenancy.erase_at,
            erased_at=tenancy.erased_at,
            erasure=tenancy.erasure,
            held_until=tenancy.held_until,
            held_because=tenancy.held_because,
            version=tenancy.version,
            created_at=tenancy.created_at,
        )


class AccessView(Disclosure):
    """How the tenant gets in; `secret` is told this one time."""

    once: ClassVar[tuple[str, ...]] = ("secret",)

    tenancy: str = Field(description="Id of the tenancy.", examples=["ten_01k9xr3w8q7f5t2n6m4v0c1b8d"])
    how: dict[str, str] = Field(description="Where and as whom.", examples=[{"command": "ssh ten_01k9xr@10.0.0.7"}])
    secret: str | None = Field(description="A password or token, where the driver makes one.", examples=[None])


def _line(session: Session, tenancy: Tenancy, language: Language) -> dict[str, Any]:
    place = pools.place_of(session, tenancy.pool_id, tenancy.server_id) if tenancy.pool_id else None
    return {
        "id": tenancy.id,
        "name": tenancy.name,
        "department": UnitView.model_validate(tenancies.department_of(session, tenancy)),
        "project": SystemView.model_validate(tenancies.project_of(session, tenancy)),
        "state": tenancy.state,
        "title": messages.word(tenancy.state, language),
        "size": tenancy.size,
        "place": PlaceView.model_validate(place) if place else None,
        "ends_at": tenancy.ends_at,
    }

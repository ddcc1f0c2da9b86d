"""Tenancies: what departments have, where it is, and what operators may do to it."""

import json
from typing import Annotated, Any

from fastapi import Query
from pydantic import AwareDatetime, Field
from sqlalchemy.orm import Session

from cloudctl.api.audit import EntryView
from cloudctl.api.calls import CallerDep, LanguageDep, SessionDep, VaultDep, router
from cloudctl.api.operations import OperationView
from cloudctl.api.placement import ExplanationView
from cloudctl.api.tenancy_views import AccessView, EndpointList, EndpointView, TenancyLine, TenancyView
from cloudctl.api.views import After, AfterNumber, Body, IfMatch, Limit, Page, page
from cloudctl.kernel.messages import Language
from cloudctl.kernel.operations import Operation
from provisioning import orders, placement, queue
from provisioning.operations import ERASE, QUARANTINE, RESTORE, RESUME, SUSPEND
from tenancy import tenancies, trail
from tenancy.applications import Keys
from tenancy.callers import Caller

routes = router("/tenancies", "tenancies")


class TenancyChange(Body):
    protected: bool = Field(
        description="Delete protection: while it is on, it is neither returned nor erased.", examples=[True]
    )


class Order(Body):
    reason: str | None = Field(
        None,
        max_length=2000,
        description="Why, for the record and the tenant; required to suspend, quarantine and erase.",
        examples=["安全事件处置"],
    )


class Rotation(Body):
    keys: Keys | None = Field(
        None,
        min_length=1,
        max_length=50,
        description="The public SSH keys that get in from now on, exactly these; null: those there are.",
        examples=[None],
    )
    reason: str | None = Field(None, max_length=2000, description="Why, for the record.", examples=["人员离职"])


class Hold(Body):
    until: AwareDatetime | None = Field(
        description="Until when nothing of it is repaired; null ends the hold.", examples=["2099-03-02T10:00:00Z"]
    )
    reason: str = Field(min_length=1, max_length=2000, description="Why, for the record.", examples=["换盘"])


class NewEndpoint(Body):
    host: str = Field(
        min_length=1,
        max_length=253,
        pattern=r"^[0-9A-Za-z][0-9A-Za-z.:-]*$",
        description="Host name or address.",
        examples=["10.20.30.40"],
    )
    port: int | None = Field(None, ge=1, le=65535, description="TCP port; null: all of the host.", examples=[443])


@routes.get("")
def list_tenancies(
    caller: CallerDep,
    session: SessionDep,
    language: LanguageDep,
    department: Annotated[str | None, Query(description="Id or code: only its own and those below it.")] = None,
    project: Annotated[str | None, Query(description="Id or code: only those of this project.")] = None,
    state: Annotated[str | None, Query(description="Only those in this state.", examples=["active"])] = None,
    pool: Annotated[str | None, Query(description="Id: only those on this pool.")] = None,
    after: After = None,
    limit: Limit = 50,
) -> Page[TenancyLine]:
    """The tenancies one can see, newest first."""
    wanted = {"department": department, "project": project, "state": state, "pool": pool}
    found = tenancies.listed(session, caller, **wanted, after=after, limit=limit + 1)
    return page(found, limit, lambda row: TenancyLine.of(session, row, language), lambda row: row.id)


@routes.get("/{tenancy}")
def show_tenancy(tenancy: str, caller: CallerDep, session: SessionDep, language: LanguageDep) -> TenancyView:
    """A tenancy: its limits and which of them are enforced, its endpoints, its term, and what is under way."""
    return TenancyView.whole(session, tenancies.seen_by(session, caller, tenancy), caller, language)


@routes.patch("/{tenancy}")
def change_tenancy(
    tenancy: str, new: TenancyChange, version: IfMatch, caller: CallerDep, session: SessionDep, language: LanguageDep
) -> TenancyView:
    """Turn delete protection on or off."""
    changed = tenancies.protect(session, caller, tenancy, new.protected, version)
    session.flush()
    return TenancyView.whole(session, changed, caller, language)


@routes.post("/{tenancy}/suspend", status_code=202)
def suspend_tenancy(
    tenancy: str, order: Order, caller: CallerDep, session: SessionDep, language: LanguageDep
) -> OperationView:
    """Refuse the tenant access; the data stays."""
    return _started(session, caller, language, SUSPEND, tenancy, order)


@routes.post("/{tenancy}/resume", status_code=202)
def resume_tenancy(
    tenancy: str, order: Order, caller: CallerDep, session: SessionDep, language: LanguageDep
) -> OperationView:
    """Let the tenant in again."""
    return _started(session, caller, language, RESUME, tenancy, order)


@routes.post("/{tenancy}/quarantine", status_code=202)
def quarantine_tenancy(
    tenancy: str, order: Order, caller: CallerDep, session: SessionDep, language: LanguageDep
) -> OperationView:
    """End it: the quota is free again, and it can be restored until it is erased."""
    return _started(session, caller, language, QUARANTINE, tenancy, order)


@routes.post("/{tenancy}/restore", status_code=202)
def restore_tenancy(
    tenancy: str, order: Order, caller: CallerDep, session: SessionDep, language: LanguageDep
) -> OperationView:
    """Bring it back from quarantine, if the department's quota has room for it."""
    return _started(session, caller, language, RESTORE, tenancy, order)


@routes.post("/{tenancy}/erase", status_code=202)
def erase_tenancy(
    tenancy: str, order: Order, caller: CallerDep, session: SessionDep, language: LanguageDep
) -> OperationView:
    """Erase it for good, before its quarantine ends; leaves a record of the erasure."""
    return _started(session, caller, language, ERASE, tenancy, order)


@routes.post("/{tenancy}/rotate", status_code=202)
def rotate_access(
    tenancy: str, new: Rotation, caller: CallerDep, session: SessionDep, language: LanguageDep
) -> OperationView:
    """Make another access; every earlier one ends. When it is done, the new one can be read once."""
    promised = orders.start_rotation(session, caller, tenancy, new.keys, new.reason)
    return OperationView.whole(session, promised, caller, language)


@routes.post("/{tenancy}/hold")
def hold_tenancy(
    tenancy: str, hold: Hold, caller: CallerDep, session: SessionDep, language: LanguageDep
) -> TenancyView:
    """Have nothing of it repaired for a while, because somebody works on it by hand."""
    held = tenancies.hold(session, caller, tenancy, hold.until, hold.reason)
    return TenancyView.whole(session, held, caller, language)


@routes.post("/{tenancy}/access")
def hand_over_access(tenancy: str, caller: CallerDep, session: SessionDep, vault: VaultDep) -> AccessView:
    """How the tenant gets in. It is told once; nobody can read it again."""
    found, sealed = tenancies.hand_over(session, caller, tenancy)
    access: dict[str, Any] = json.loads(vault.unseal(sealed or ""))
    return AccessView(tenancy=found.id, how=access["how"], secret=access["secret"])


@routes.get("/{tenancy}/endpoints")
def list_endpoints(tenancy: str, caller: CallerDep, session: SessionDep) -> EndpointList:
    """The addresses at which it answers: those its driver reports, and those that were entered."""
    found = tenancies.seen_by(session, caller, tenancy)
    return EndpointList(items=[EndpointView.of(one) for one in tenancies.endpoints_of(session, found.id)])


@routes.post("/{tenancy}/endpoints", status_code=201)
def add_endpoint(tenancy: str, new: NewEndpoint, caller: CallerDep, session: SessionDep) -> EndpointView:
    """Enter an address; it counts only once an operator has confirmed it."""
    return EndpointView.of(tenancies.add_endpoint(session, caller, tenancy, new.host, new.port))


@routes.post("/{tenancy}/endpoints/{endpoint}/confirm")
def confirm_endpoint(tenancy: str, endpoint: str, caller: CallerDep, session: SessionDep) -> EndpointView:
    """Vouch that the address is the tenancy's."""
    return EndpointView.of(tenancies.confirm_endpoint(session, caller, tenancy, endpoint))


@routes.get("/{tenancy}/audit")
def list_deeds(
    tenancy: str, caller: CallerDep, session: SessionDep, after: AfterNumber = None, limit: Limit = 50
) -> Page[EntryView]:
    """What was done to it, and by whom, newest first."""
    found = tenancies.seen_by(session, caller, tenancy)
    owner = tenancies.department_of(session, found).id
    deeds = trail.read(session, caller, department=owner, object=found.id, after=after, limit=limit + 1)
    return page(deeds, limit, EntryView.model_validate, lambda row: row.id)


@routes.get("/{tenancy}/placement")
def explain_placement(tenancy: str, caller: CallerDep, session: SessionDep, language: LanguageDep) -> ExplanationView:
    """For each pool: whether it would fit there now, or which rule or figure excludes it."""
    demand = queue.demand_of(tenancies.seen_by(session, caller, tenancy))
    caller.must("pool:read")
    return ExplanationView.of(placement.explain(session, demand), language)


def _started(
    session: Session, caller: Caller, language: Language, operation: Operation, tenancy: str, order: Order
) -> OperationView:
    started = orders.start(session, caller, operation, tenancy, order.reason)
    return OperationView.whole(session, started, caller, language)

"""Freezes: times in which the authority wants no load tests."""

from datetime import datetime

from pydantic import AwareDatetime, Field

from cloudctl.api.calls import CallerDep, SessionDep, router
from cloudctl.api.views import Body, Page, View, page
from loadtests import freezes

routes = router("/freezes", "freezes")


class NewFreeze(Body):
    starts_at: AwareDatetime = Field(description="When it begins.", examples=["2026-06-23T00:00:00Z"])
    ends_at: AwareDatetime = Field(description="When it ends.", examples=["2099-06-26T00:00:00Z"])
    reason: str = Field(min_length=1, max_length=2000, description="Why; everybody reads it.", examples=["高考出分"])


class FreezeView(View):
    id: str = Field(description="Id of the freeze.", examples=["frz_01k9xr3w8q7f5t2n6m4v0c1b8d"])
    starts_at: datetime = Field(description="When it begins (UTC).", examples=["2026-06-23T00:00:00Z"])
    ends_at: datetime = Field(description="When it ends (UTC).", examples=["2026-06-26T00:00:00Z"])
    reason: str = Field(description="Why.", examples=["高考出分"])
    created_by: str = Field(description="Id of who declared it.", examples=["usr_01k9xr3w8q7f5t2n6m4v0c1b8d"])


@routes.get("")
def list_freezes(caller: CallerDep, session: SessionDep) -> Page[FreezeView]:
    """Those that are not over, the first to begin first."""
    return page(freezes.listed(session), 10_000, FreezeView.model_validate, lambda row: row.id)


@routes.post("", status_code=201)
def declare_freeze(new: NewFreeze, caller: CallerDep, session: SessionDep) -> FreezeView:
    """Have nothing tried on anything in that time."""
    return FreezeView.model_validate(freezes.declare(session, caller, new.starts_at, new.ends_at, new.reason))


@routes.delete("/{freeze}")
def lift_freeze(freeze: str, caller: CallerDep, session: SessionDep) -> None:
    """End a freeze before its time."""
    freezes.lift(session, caller, freeze)

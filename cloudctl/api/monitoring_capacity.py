"""Capacity: how full each pool is, for how many more there is room, and the same as a page to mail."""

from datetime import datetime

from fastapi import APIRouter
from fastapi.responses import HTMLResponse
from pydantic import Field
from starlette.responses import Response

from cloudctl.api.calls import CallerDep, LanguageDep, Route, SessionDep, SettingsDep
from cloudctl.api.views import View
from monitoring import capacity, report

routes = APIRouter(prefix="/v1/capacity", tags=["monitoring"], route_class=Route)


class ClassView(View):
    resource: str = Field(description="Resource class.", examples=["vcpu"])
    total: int = Field(description="What the pool can give, the reserve included.", examples=[128])
    reserve: int = Field(description="What is kept back.", examples=[16])
    held: int = Field(description="What is promised and not in use yet.", examples=[4])
    used: int = Field(description="What tenancies have.", examples=[80])
    free: int = Field(description="What can still be promised.", examples=[28])


class PoolCapacityView(View):
    pool: str = Field(description="Name of the pool.", examples=["kunpeng-1"])
    arch: str = Field(description="Its architecture.", examples=["arm64"])
    zone: str = Field(description="Its zone.", examples=["extranet"])
    headroom: int = Field(description="How many more tenancies of the standard size fit.", examples=[7])
    classes: list[ClassView] = Field(description="Each class that it has.")


class CapacityView(View):
    at: datetime = Field(description="When this was so (UTC).")
    standard: dict[str, int] = Field(description="The standard size.", examples=[{"vcpu": 4}])
    usage_at: datetime | None = Field(description="When use was last measured (UTC); null where that is unknown.")
    peaks: dict[str, dict[str, float]] = Field(
        description="The most that was used at once within a week: zone, class, amount.",
        examples=[{"extranet": {"vcpu": 61.5}}],
    )
    pools: list[PoolCapacityView] = Field(description="Every pool, by name.")


@routes.get("")
def show_capacity(caller: CallerDep, session: SessionDep, settings: SettingsDep) -> CapacityView:
    """How full each pool is."""
    return CapacityView.model_validate(capacity.seen_by(session, caller, settings))


@routes.get("/report", response_class=HTMLResponse)
def show_report(caller: CallerDep, session: SessionDep, settings: SettingsDep, language: LanguageDep) -> Response:
    """The same as a page with charts that needs no network."""
    return HTMLResponse(report.page(capacity.seen_by(session, caller, settings), language))

"""Departments ask PromQL about their own tenancies, and see nothing of anybody else's."""

from typing import Annotated, Any

from fastapi import Query
from pydantic import AwareDatetime, Field

from cloudctl.api.calls import CallerDep, SessionDep, SettingsDep, router
from cloudctl.api.views import View
from monitoring.prometheus import Prometheus
from monitoring.promql import MAX_CHARS, confine
from tenancy import tenancies

routes = router("/tenancies", "monitoring")

PromQL = Annotated[
    str, Query(min_length=1, max_length=MAX_CHARS, description="PromQL; each selector sees this tenancy's series only.")
]
Moment = Annotated[AwareDatetime, Query(description="A moment (UTC).")]


class SeriesView(View):
    resultType: str = Field(description="As Prometheus says.", examples=["vector"])  # noqa: N815
    result: Any = Field(description="As Prometheus says.", examples=[[]])


@routes.get("/{tenancy}/query")
def query_series(
    tenancy: str,
    query: PromQL,
    caller: CallerDep,
    session: SessionDep,
    settings: SettingsDep,
    time: Annotated[AwareDatetime | None, Query(description="As of when (UTC); now where absent.")] = None,
) -> SeriesView:
    """The tenancy's own series, as Prometheus knows them now or knew them then."""
    said = {"query": confine(query, [tenancies.seen_by(session, caller, tenancy).id]), "timeout": "10s"}
    return SeriesView.model_validate(Prometheus(settings).ask("query", said | ({"time": _at(time)} if time else {})))


@routes.get("/{tenancy}/query_range")
def query_range(
    tenancy: str,
    query: PromQL,
    start: Moment,
    end: Moment,
    caller: CallerDep,
    session: SessionDep,
    settings: SettingsDep,
    step: Annotated[int, Query(ge=1, le=86_400, description="Seconds between two values.")] = 60,
) -> SeriesView:
    """The same over a time."""
    said = {"query": confine(query, [tenancies.seen_by(session, caller, tenancy).id]), "timeout": "10s"}
    told = Prometheus(settings).ask("query_range", {**said, "start": _at(start), "end": _at(end), "step": f"{step}s"})
    return SeriesView.model_validate(told)


def _at(moment: AwareDatetime) -> str:
    return f"{moment.timestamp():.3f}"

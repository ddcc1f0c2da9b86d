"""Monitoring: the platform's own metrics, what Prometheus is to look at, and alerts that come back."""

import json
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import PlainTextResponse
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from starlette.responses import Response

from cloudctl.api.calls import CallerDep, Route, SessionDep, SettingsDep
from cloudctl.api.views import View
from monitoring import alerts, exporter, targets

routes = APIRouter(tags=["monitoring"], route_class=Route)

_TEXT = "text/plain; version=0.0.4; charset=utf-8"
_JSON: dict[int | str, dict[str, Any]] = {200: {"content": {"application/json": {}}}}


class AlertTold(BaseModel):
    """One alert, as Alertmanager tells it; of what else it tells nothing is needed."""

    model_config = ConfigDict(frozen=True, str_max_length=10_000)

    status: str = Field(description="`firing` or `resolved`.", examples=["firing"])
    fingerprint: str = Field(max_length=64, description="Alertmanager's name for its labels.", examples=["b1f0a7c2"])
    labels: dict[str, str] = Field(
        max_length=64,
        description="What it speaks of.",
        examples=[{"alertname": "PoolHeadroomLow", "pool": "kunpeng-1"}],
    )
    annotations: dict[str, str] = Field({}, max_length=64, description="`summary` says it in words.", examples=[{}])
    startsAt: AwareDatetime = Field(description="Since when (UTC).", examples=["2026-03-02T01:00:00Z"])  # noqa: N815
    endsAt: AwareDatetime = Field(description="Until when, if resolved.", examples=["0001-01-01T00:00:00Z"])  # noqa: N815

    def told(self) -> alerts.Told:
        ended_at = self.endsAt if self.status == "resolved" else None
        return alerts.Told(self.fingerprint, self.labels, self.annotations.get("summary", ""), self.startsAt, ended_at)


class Notification(BaseModel):
    """What Alertmanager's webhook sends, version 4."""

    model_config = ConfigDict(frozen=True)

    alerts: list[AlertTold] = Field(
        max_length=10_000,
        description="The alerts of one group.",
        examples=[
            [
                {
                    "status": "firing",
                    "fingerprint": "b1f0a7c2",
                    "labels": {"alertname": "PoolHeadroomLow", "pool": "kunpeng-1"},
                    "startsAt": "2026-03-02T01:00:00Z",
                    "endsAt": "0001-01-01T00:00:00Z",
                }
            ]
        ],
    )


class Taken(View):
    changed: int = Field(description="How many of the alerts are news.", examples=[1])


@routes.get("/metrics", response_class=PlainTextResponse)
def read_metrics(caller: CallerDep, session: SessionDep, settings: SettingsDep) -> Response:
    """The platform's metrics in Prometheus' text format; what the books say is read now."""
    return Response(exporter.scrape(session, caller, settings), media_type=_TEXT)


@routes.get("/v1/discovery", response_class=Response, responses=_JSON)
def list_targets(
    caller: CallerDep,
    session: SessionDep,
    settings: SettingsDep,
    kind: Annotated[targets.Kind, Query(description="`servers`, `tenancies` or `platform`.")] = "platform",
) -> Response:
    """What Prometheus is to look at, as its HTTP service discovery (`http_sd_configs`) reads it."""
    found = targets.groups(session, caller, settings, kind)
    return Response(json.dumps(found, ensure_ascii=False), media_type="application/json")


@routes.post("/v1/alerts", status_code=202)
def report_alerts(told: Notification, caller: CallerDep, session: SessionDep) -> Taken:
    """Take what Alertmanager's webhook tells: alerts become events on the pool, server or tenancy they speak of."""
    return Taken(changed=alerts.report(session, caller, [one.told() for one in told.alerts]))

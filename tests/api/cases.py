"""Every route of the API: a call that works for somebody, and what each role is answered. Unlisted routes fail."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from fastapi.routing import APIRoute
from httpx import Response

from tests.api.world import KEY, LOCUSTFILE, SIZE, World

OWNED = ("department", "project", "request", "tenancy", "operation", "target", "locustfile", "campaign", "run")
"""What belongs to a department: in a path of B's, to somebody of A, it does not exist."""


@dataclass(frozen=True)
class Case:
    """A call and its statuses: one for each of ROLES, in their order.

    `json`, `query` and `at` may name ids of the world, as `{project}`; `at` also says which one a place in the path is.
    `looks`: a POST that changes nothing.
    """

    statuses: str
    json: Any = None
    query: dict[str, str] = field(default_factory=dict)
    at: dict[str, str] = field(default_factory=dict)
    files: Any = None
    csv: bytes | None = None
    looks: bool = False


def perform(world: World, role: str | None, name: str, ids: dict[str, str], **query: Any) -> Response:
    """The call of this case as somebody in this role, with these ids and this more to ask;
    at the version that there is."""
    method, template = name.split()
    case = CASES[name]
    path = template.format(**ids | {place: ids[which] for place, which in case.at.items()})
    options: dict[str, Any] = {"headers": {}}
    if case.json is not None:
        options["json"] = _filled(case.json, ids)
    if case.csv is not None:
        options |= {"content": case.csv, "headers": {"Content-Type": "text/csv"}}
    if case.files:
        options["files"] = case.files
    if method in ("PATCH", "PUT"):
        tag = world.call("operator", "GET", path).headers.get("etag")
        options["headers"] |= {"If-Match": tag or '"1"'}
    return world.call(role, method, path, params=_filled(case.query, ids) | query, **options)


def routes_of(world: World) -> dict[str, APIRoute]:
    """Every route below /v1, and what else needs a caller, by method and template."""
    found = [route for route in world.app.routes if isinstance(route, APIRoute)]
    return {f"{method} {route.path}": route for route in found for method in route.methods or ()}


def _filled(said: Any, ids: dict[str, str]) -> Any:
    match said:
        case str():
            return ids.get(said[1:-1], said) if said.startswith("{") else said
        case dict():
            return {_filled(name, ids): _filled(value, ids) for name, value in said.items()}
        case list():
            return [_filled(one, ids) for one in said]
    return said


_UNIT = {"code": "522300-C", "name": "新局", "name_en": "New", "parent": "522300"}
_PROJECT = {"name": "新", "name_en": "New", "owner": "王", "funding": "财政", "level": 2}
_ITEM = {"kind": "create", "name": "third", "size": SIZE, "keys": [KEY]}
_APPLICATION = {"department": "{department}", "project": "{project}", "purpose": "查分", "items": [_ITEM]}
_CSV = "code,name,name_en,parent_code\n522399,新设局,New Bureau,522300\n".encode()
_REASON = {"reason": "because"}
_POOL = {
    "name": "second",
    "provider": "here",
    "driver": "servers",
    "connection": {"connection": "local"},
    "zone": "extranet",
    "architecture": "arm64",
    "abi": "arm64",
    "cpu_family": "any",
    "level": 3,
}
_ENROLMENT = {"pool": "remote", "name": "node-08", "address": "10.0.0.8", "host_key": KEY}
_TARGET = {
    "project": "{project}",
    "tenancy": "{tenancy}",
    "name": "查分",
    "base_url": "https://scores.example",
    "contacts": ["王"],
    "ceiling": 500,
}
_CAMPAIGN = {
    "target": "{target}",
    "name": "exam",
    "journeys": {"journeys": [{"name": "look", "requests": [{"path": "/scores"}]}]},
    "profile": {"kind": "search"},
}
_LOCUSTFILE = {"name": "look", "text": LOCUSTFILE, **_REASON}
_FREEZE = {"starts_at": "2099-06-23T00:00:00Z", "ends_at": "2099-06-26T00:00:00Z", **_REASON}
_ALERT = {"status": "firing", "fingerprint": "b1f0a7c2", "labels": {"alertname": "PoolFull", "pool": "local"}}
_ALERTS = {"alerts": [{**_ALERT, "startsAt": "2026-03-02T01:00:00Z", "endsAt": "0001-01-01T00:00:00Z"}]}
_SILENCE = {"matchers": {"pool": "local"}, "until": (datetime.now(UTC) + timedelta(hours=1)).isoformat(), **_REASON}
_RANGE = {"query": "up", "start": "2026-03-02T01:00:00Z", "end": "2026-03-02T02:00:00Z"}
_DEMAND = {"size": SIZE, "architectures": ["amd64"]}
_MEASURED = {
    "kind": "usage",
    "subject": "{tenancy}",
    "value": {"vcpu": 1.5},
    "measured_at": (datetime.now(UTC) - timedelta(hours=1)).isoformat(),
}

#                                                          clerk approver authority operator security auditor reader
CASES = {
    "GET /healthz": Case("200 200 200 200 200 200 200"),
    "GET /v1/me": Case("200 200 200 200 200 200 200"),
    "GET /v1/departments": Case("200 200 200 200 200 200 200", query={"below": "{department}"}),
    "POST /v1/departments": Case("403 403 403 201 403 403 403", _UNIT),
    "POST /v1/departments/import": Case("403 403 403 201 403 403 403", csv=_CSV),
    "GET /v1/departments/{department}": Case("200 200 200 200 200 200 200"),
    "PATCH /v1/departments/{department}": Case("403 403 403 200 403 403 403", {"name": "改名"}),
    "POST /v1/departments/{department}/move": Case("403 403 403 200 403 403 403", {"parent": "522300"}),
    "GET /v1/departments/{department}/quota": Case("200 200 200 200 200 200 200"),
    "PUT /v1/departments/{department}/quota": Case(
        "404 404 403 200 403 403 404", {"limits": {"vcpu": 900}}, at={"department": "root"}
    ),
    "GET /v1/projects": Case("200 200 200 200 200 200 200", query={"department": "{department}"}),
    "POST /v1/projects": Case("403 403 403 201 403 403 403", {"department": "{department}", **_PROJECT}),
    "GET /v1/projects/{project}": Case("200 200 200 200 200 200 200"),
    "GET /v1/users": Case("200 200 200 200 200 200 200"),
    "POST /v1/users": Case("403 403 403 201 201 403 403", {"login": "li.wei", "name": "李伟"}),
    "GET /v1/users/{user}": Case("200 200 200 200 200 200 200"),
    "POST /v1/users/{user}/disable": Case("403 403 403 403 200 403 403"),
    "PUT /v1/users/{user}/role": Case("403 403 403 403 200 403 403", {"role": "auditor"}),
    "DELETE /v1/users/{user}/role": Case("403 403 403 403 204 403 403", at={"user": "auditor"}),
    "POST /v1/users/{user}/memberships": Case(
        "403 403 403 403 201 403 403", {"department": "{department}", "role": "approver"}
    ),
    "DELETE /v1/users/{user}/memberships/{department}/{role}": Case("403 403 403 403 204 403 403"),
    "GET /v1/tokens": Case("200 200 200 200 200 200 200"),
    "POST /v1/tokens": Case("201 201 201 201 201 201 403", {"name": "laptop"}),
    "DELETE /v1/tokens/{token}": Case("204 404 404 404 204 404 403"),
    "POST /v1/requests/preview": Case("200 200 200 200 200 200 200", _APPLICATION, looks=True),
    "POST /v1/requests": Case("202 403 403 403 403 403 403", _APPLICATION),
    "GET /v1/requests": Case("200 200 200 200 200 200 200", query={"department": "{department}"}),
    "GET /v1/requests/{request}": Case("200 200 200 200 200 200 200"),
    "POST /v1/requests/{request}/accept": Case("403 403 200 403 403 403 403", {"digest": "{digest}"}),
    "POST /v1/requests/{request}/approve": Case(
        "403 202 403 403 403 403 403", {"digest": "{accepted_digest}"}, at={"request": "accepted"}
    ),
    "POST /v1/requests/{request}/refuse": Case("403 403 200 403 403 403 403", {"digest": "{digest}", **_REASON}),
    "POST /v1/requests/{request}/return": Case("403 403 200 403 403 403 403", {"digest": "{digest}", **_REASON}),
    "POST /v1/requests/{request}/delegate": Case("403 403 200 403 403 403 403", {"to": "deputy"}),
    "POST /v1/requests/{request}/supplement": Case(
        "202 403 403 403 403 403 403", {"purpose": "查分系统"}, at={"request": "returned"}
    ),
    "POST /v1/requests/{request}/withdraw": Case("200 403 403 403 403 403 403"),
    "POST /v1/requests/{request}/attachments": Case(
        "201 403 403 403 403 403 403", files={"file": ("more.pdf", b"more", "application/pdf")}
    ),
    "GET /v1/requests/{request}/attachments/{attachment}": Case("200 200 200 200 200 200 200"),
    "GET /v1/tenancies": Case("200 200 200 200 200 200 200", query={"department": "{department}"}),
    "GET /v1/tenancies/{tenancy}": Case("200 200 200 200 200 200 200"),
    "PATCH /v1/tenancies/{tenancy}": Case("200 403 403 200 403 403 403", {"protected": True}),
    "POST /v1/tenancies/{tenancy}/suspend": Case("403 403 403 202 403 403 403", _REASON),
    "POST /v1/tenancies/{tenancy}/resume": Case("403 403 403 202 403 403 403", _REASON, at={"tenancy": "suspended"}),
    "POST /v1/tenancies/{tenancy}/quarantine": Case("403 403 403 202 403 403 403", _REASON),
    "POST /v1/tenancies/{tenancy}/restore": Case("202 403 403 202 403 403 403", _REASON, at={"tenancy": "quarantined"}),
    "POST /v1/tenancies/{tenancy}/erase": Case("403 403 403 202 403 403 403", _REASON, at={"tenancy": "quarantined"}),
    "POST /v1/tenancies/{tenancy}/rotate": Case("202 403 403 202 403 403 403", {"keys": [KEY]}),
    "POST /v1/tenancies/{tenancy}/hold": Case(
        "403 403 403 200 403 403 403", {"until": "2099-03-02T10:00:00Z", **_REASON}
    ),
    "POST /v1/tenancies/{tenancy}/access": Case("200 403 403 403 403 403 403"),
    "GET /v1/tenancies/{tenancy}/endpoints": Case("200 200 200 200 200 200 200"),
    "POST /v1/tenancies/{tenancy}/endpoints": Case("201 403 403 201 403 403 403", {"host": "10.0.0.2"}),
    "POST /v1/tenancies/{tenancy}/endpoints/{endpoint}/confirm": Case("403 403 403 200 403 403 403"),
    "GET /v1/tenancies/{tenancy}/audit": Case("200 200 200 403 200 200 200"),
    "GET /v1/tenancies/{tenancy}/placement": Case("403 403 403 200 403 200 403"),
    "GET /v1/operations": Case("200 200 200 200 200 200 200", query={"subject": "{busy}"}),
    "GET /v1/operations/{operation}": Case("200 200 200 200 200 200 200"),
    "POST /v1/operations/{operation}/cancel": Case(
        "202 403 403 202 403 403 403", _REASON, at={"operation": "returning"}
    ),
    "POST /v1/operations/{operation}/retry": Case("403 403 403 202 403 403 403", {}, at={"operation": "parked"}),
    "POST /v1/operations/{operation}/resolve": Case(
        "403 403 403 202 403 403 403", {"as": "done", **_REASON}, at={"operation": "parked"}
    ),
    "GET /v1/pools": Case("403 403 403 200 403 200 403"),
    "POST /v1/pools": Case("403 403 403 201 403 403 403", _POOL),
    "GET /v1/pools/{pool}": Case("403 403 403 200 403 200 403"),
    "PATCH /v1/pools/{pool}": Case("403 403 403 200 403 403 403", {"provider": "there"}),
    "POST /v1/pools/{pool}/confirm": Case("403 403 403 200 403 403 403", {"digest": "digest", **_REASON}),
    "GET /v1/pools/{pool}/servers": Case("403 403 403 200 403 200 403"),
    "POST /v1/pools/{pool}/servers": Case(
        "403 403 403 201 403 403 403", {"name": "two", "address": "localhost", "inventory": SIZE}
    ),
    "PATCH /v1/pools/{pool}/servers/{server}": Case("403 403 403 200 403 403 403", {"address": "127.0.0.1"}),
    "GET /v1/servers": Case("403 403 403 200 403 200 403"),
    "POST /v1/servers": Case("403 403 403 202 403 403 403", _ENROLMENT),
    "GET /v1/servers/{server}": Case("403 403 403 200 403 200 403"),
    "POST /v1/servers/{server}/drain": Case("403 403 403 200 403 403 403", {}),
    "POST /v1/servers/{server}/open": Case("403 403 403 200 403 403 403", {}, at={"server": "drained"}),
    "POST /v1/servers/{server}/retire": Case("403 403 403 202 403 403 403", _REASON),
    "POST /v1/placement/explain": Case("403 403 403 200 403 200 403", _DEMAND, looks=True),
    "GET /v1/targets": Case("200 200 200 200 200 200 200", query={"project": "{project}"}),
    "POST /v1/targets": Case("201 403 403 403 403 403 403", _TARGET),
    "GET /v1/targets/{target}": Case("200 200 200 200 200 200 200"),
    "PATCH /v1/targets/{target}": Case("200 403 403 403 403 403 403", {"ceiling": 400}),
    "POST /v1/targets/{target}/consent": Case("403 200 200 403 403 403 403", {"name": "identity"}),
    "GET /v1/campaigns": Case("200 200 200 200 200 200 200", query={"target": "{target}"}),
    "POST /v1/campaigns/preview": Case("200 200 200 200 200 200 200", _CAMPAIGN, looks=True),
    "POST /v1/campaigns": Case("201 403 403 403 403 403 403", _CAMPAIGN),
    "GET /v1/campaigns/{campaign}": Case("200 200 200 200 200 200 200"),
    "POST /v1/campaigns/{campaign}/approve": Case("403 200 200 403 403 403 403"),
    "POST /v1/campaigns/{campaign}/refuse": Case("403 200 200 403 403 403 403", _REASON),
    "POST /v1/campaigns/{campaign}/veto": Case("403 403 403 200 403 403 403", _REASON),
    "POST /v1/campaigns/{campaign}/pause": Case("200 403 403 403 403 403 403", at={"campaign": "approved"}),
    "POST /v1/campaigns/{campaign}/resume": Case("200 403 403 403 403 403 403", at={"campaign": "pausing"}),
    "POST /v1/campaigns/{campaign}/run": Case("202 403 403 403 403 403 403", at={"campaign": "approved"}),
    "GET /v1/runs": Case("200 200 200 200 200 200 200"),
    "GET /v1/runs/{run}": Case("200 200 200 200 200 200 200"),
    "POST /v1/runs/{run}/stop": Case("202 202 202 202 403 403 403", _REASON),
    "GET /v1/runs/{run}/report": Case("200 200 200 200 200 200 200", at={"run": "measured"}),
    "POST /v1/runs/{run}/resize": Case("202 403 403 403 403 403 403", at={"run": "measured"}),
    "GET /v1/locustfiles": Case("200 200 200 200 200 200 200"),
    "POST /v1/locustfiles": Case("403 403 403 201 403 403 403", _LOCUSTFILE),
    "GET /v1/locustfiles/{locustfile}": Case("200 200 200 200 200 200 200"),
    "POST /v1/locustfiles/{locustfile}/retire": Case("403 403 403 200 403 403 403", _REASON),
    "POST /v1/engines/{engine}/exchange": Case("401 401 401 401 401 401 401", {}, looks=True),
    "GET /v1/freezes": Case("200 200 200 200 200 200 200"),
    "POST /v1/freezes": Case("403 403 403 201 403 403 403", _FREEZE),
    "DELETE /v1/freezes/{freeze}": Case("403 403 403 204 403 403 403"),
    "POST /v1/evidence": Case("403 403 403 201 403 403 403", _MEASURED),
    "GET /metrics": Case("403 403 403 200 403 200 403"),
    "GET /v1/discovery": Case("403 403 403 200 403 200 403"),
    "POST /v1/alerts": Case("403 403 403 202 403 403 403", _ALERTS),
    "GET /v1/status": Case("403 403 403 200 403 200 403"),
    "GET /v1/capacity": Case("403 403 403 200 403 200 403"),
    "GET /v1/capacity/report": Case("403 403 403 200 403 200 403"),
    "GET /v1/silences": Case("403 403 403 200 403 200 403"),
    "POST /v1/silences": Case("403 403 403 201 403 403 403", _SILENCE),
    "DELETE /v1/silences/{silence}": Case("403 403 403 204 403 403 403"),
    "GET /v1/tenancies/{tenancy}/query": Case("409 409 409 409 409 409 409", query={"query": "up"}),
    "GET /v1/tenancies/{tenancy}/query_range": Case("409 409 409 409 409 409 409", query=_RANGE),
    "GET /v1/events": Case("200 200 200 200 200 200 200", query={"subject": "{request}"}),
    "GET /v1/audit": Case("200 200 200 403 200 200 200", query={"department": "{department}"}),
    "GET /v1/audit/export": Case("403 403 403 403 403 200 403"),
    "GET /v1/audit/key": Case("200 200 200 200 200 200 200"),
    "GET /v1/policy": Case("200 200 200 200 200 200 200"),
    "GET /v1/resources": Case("200 200 200 200 200 200 200"),
}

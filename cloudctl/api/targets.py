"""Targets: public service systems that load may be sent to, registered by their departments."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import Query
from pydantic import Field, FiniteFloat
from sqlalchemy.orm import Session

from cloudctl.api.calls import CallerDep, SessionDep, router
from cloudctl.api.views import After, Body, IfMatch, Limit, Page, View, page
from loadtests import targets
from loadtests.targets import WELL_KNOWN, Target

routes = router("/targets", "targets")

_NAME = "What it is called."
_CEILING = "Requests a second that are never exceeded, whoever orders them."
_SOFTWARE = "Its version, as its owner names it; a proven capacity holds for this one."


class Window(Body):
    start: str = Field(alias="from", max_length=5, description="Time of day at which it begins.", examples=["08:00"])
    end: str = Field(alias="to", max_length=5, description="Time of day at which it ends.", examples=["18:00"])
    days: list[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]] = Field(
        default=["mon", "tue", "wed", "thu", "fri", "sat", "sun"], description="Days on which it begins."
    )
    zone: str = Field("Asia/Shanghai", max_length=40, description="Time zone of the times of day.")


class Dependency(Body):
    name: str = Field(min_length=1, max_length=80, description="What it depends on.", examples=["身份认证"])
    department: str = Field(max_length=40, description="Id or code of whose it is.", examples=["522300-DSJ"])


class NewTarget(Body):
    project: str = Field(max_length=40, description="Id or code of its project.", examples=["QXN-2026-0001"])
    tenancy: str = Field(
        max_length=40, description="Id of the tenancy it runs in.", examples=["ten_01k9xr3w8q7f5t2n6m"]
    )
    name: str = Field(min_length=1, max_length=80, description=_NAME, examples=["高考查分"])
    base_url: str = Field(
        max_length=300,
        description="Where it answers: scheme, host and port. Its address must be an endpoint of the tenancy.",
        examples=["https://scores.example.gov.cn"],
    )
    contacts: list[str] = Field(max_length=10, description="Whom to call.", examples=[["王工 0859-3222222"]])
    ceiling: FiniteFloat = Field(description=_CEILING, examples=[500])
    production: bool = Field(True, description="Whether the public uses it: a campaign then needs a second approver.")
    blackouts: list[Window] = Field(default=[], max_length=20, description="When no load may be sent.")
    depends: list[Dependency] = Field(default=[], max_length=20, description="What else load on it would reach.")
    software: str = Field("", max_length=80, description=_SOFTWARE, examples=["2.4.1"])


class TargetChange(Body):
    contacts: list[str] | None = Field(None, max_length=10, description="Whom to call.")
    ceiling: FiniteFloat | None = Field(None, description=_CEILING)
    production: bool | None = Field(None, description="Whether the public uses it.")
    blackouts: list[Window] | None = Field(None, max_length=20, description="When no load may be sent.")
    depends: list[Dependency] | None = Field(None, max_length=20, description="What else load on it would reach.")
    software: str | None = Field(None, max_length=80, description=_SOFTWARE)


class Consent(Body):
    name: str = Field(max_length=80, description="What of the own department is depended on.", examples=["身份认证"])


class WindowView(View):
    start: str = Field(alias="from", description="Time of day at which it begins.", examples=["08:00"])
    end: str = Field(alias="to", description="Time of day at which it ends.", examples=["18:00"])
    days: list[str] = Field(description="Days on which it begins.", examples=[["mon"]])
    zone: str = Field(description="Time zone.", examples=["Asia/Shanghai"])


class DependencyView(View):
    name: str = Field(description="What it depends on.", examples=["身份认证"])
    department: str = Field(description="Id of whose it is.", examples=["dep_01k9xr3w8q7f5t2n6m4v0c1b8d"])
    consent_by: str | None = Field(None, description="Id of who has consented; null: nobody.", examples=[None])
    consent_at: datetime | None = Field(None, description="When (UTC).", examples=[None])


class ProvenView(View):
    capacity: float = Field(description="Requests a second that were found to hold.", examples=[385.0])
    planning: float = Field(description="Requests a second to plan with.", examples=[346.5])
    run: str = Field(description="Id of the run that found it.", examples=["run_01k9xr3w8q7f5t2n6m4v0c1b8d"])
    at: datetime = Field(description="When (UTC).", examples=["2026-03-02T01:00:00Z"])
    expires_at: datetime = Field(description="Until when it holds, if nothing changes (UTC).")
    size: dict[str, int] = Field(description="Of the tenancy then.", examples=[{"vcpu": 4}])


class TargetView(View):
    id: str = Field(description="Id of the target.", examples=["tgt_01k9xr3w8q7f5t2n6m4v0c1b8d"])
    department: str = Field(description="Id of its department.", examples=["dep_01k9xr3w8q7f5t2n6m4v0c1b8d"])
    project: str = Field(description="Id of its project.", examples=["prj_01k9xr3w8q7f5t2n6m4v0c1b8d"])
    tenancy: str = Field(description="Id of the tenancy it runs in.", examples=["ten_01k9xr3w8q7f5t2n6m4v0c1b8d"])
    name: str = Field(description=_NAME, examples=["高考查分"])
    base_url: str = Field(description="Where it answers.", examples=["https://scores.example.gov.cn"])
    contacts: list[str] = Field(description="Whom to call.", examples=[["王工 0859-3222222"]])
    ceiling: float = Field(description=_CEILING, examples=[500])
    production: bool = Field(description="Whether the public uses it.", examples=[True])
    blackouts: list[WindowView] = Field(description="When no load may be sent.")
    depends: list[DependencyView] = Field(description="What else load on it would reach, and who has consented.")
    software: str = Field(description=_SOFTWARE, examples=["2.4.1"])
    well_known: str = Field(
        description="Where it must answer `token`, before each run.",
        examples=["https://scores.example.gov.cn/.well-known/cloudctl-loadtest"],
    )
    token: str = Field(description="What it must answer there.", examples=["cloudctl-loadtest-0f3a5c7e9b1d2468"])
    proven_at: datetime | None = Field(description="When its ownership was seen last (UTC); null: never.")
    capacity: ProvenView | None = Field(
        description="Its proven capacity; null: none, or size, place, version or time have changed since."
    )
    version: int = Field(description="Counts the changes, from 1.", examples=[2])
    created_at: datetime = Field(description="When it was registered (UTC).", examples=["2026-03-02T01:00:00Z"])

    @classmethod
    def of(cls, session: Session, target: Target) -> "TargetView":
        proven = targets.proven(session, target)
        made: dict[str, Any] = {
            "department": target.department_id,
            "project": target.project_id,
            "tenancy": target.tenancy_id,
            "blackouts": [WindowView.model_validate(_window(one)) for one in target.blackouts],
            "depends": [DependencyView.model_validate(one) for one in target.depends],
            "well_known": target.base_url + WELL_KNOWN,
            "capacity": ProvenView.model_validate(proven) if proven else None,
        }
        return cls(**made, **{name: getattr(target, name) for name in cls.model_fields if name not in made})


@routes.get("")
def list_targets(
    caller: CallerDep,
    session: SessionDep,
    project: Annotated[str | None, Query(description="Id or code: only those of this project.")] = None,
    after: After = None,
    limit: Limit = 50,
) -> Page[TargetView]:
    """Targets of departments one can see, newest first."""
    found = targets.listed(session, caller, project=project, after=after, limit=limit + 1)
    return page(found, limit, lambda row: TargetView.of(session, row), lambda row: row.id)


@routes.post("", status_code=201)
def register_target(new: NewTarget, caller: CallerDep, session: SessionDep) -> TargetView:
    """Register a system. It must answer the token at the well-known address before anything is sent to it."""
    return TargetView.of(session, targets.register(session, caller, **new.model_dump(by_alias=True)))


@routes.get("/{target}")
def show_target(target: str, caller: CallerDep, session: SessionDep) -> TargetView:
    """A target: where, how much at most, when not, and what is proven of it."""
    return TargetView.of(session, targets.seen_by(session, caller, target))


@routes.patch("/{target}")
def update_target(
    target: str, change: TargetChange, version: IfMatch, caller: CallerDep, session: SessionDep
) -> TargetView:
    """Change what may change; another address is another target."""
    changes = change.model_dump(by_alias=True, exclude_none=True)
    return TargetView.of(session, targets.update(session, caller, target, version=version, **changes))


@routes.post("/{target}/consent")
def consent_to_target(target: str, said: Consent, caller: CallerDep, session: SessionDep) -> TargetView:
    """Consent, for the own department, that load may reach what the target depends on."""
    return TargetView.of(session, targets.consent(session, caller, target, said.name))


def _window(window: dict[str, Any]) -> dict[str, Any]:
    return {"days": list(targets.DAYS), "zone": "Asia/Shanghai", **window}

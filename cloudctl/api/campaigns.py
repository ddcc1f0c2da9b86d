"""Campaigns: what is tried on a target, allowed, run, paused and forbidden."""

from datetime import datetime
from itertools import pairwise
from typing import Annotated, Any

from fastapi import Query
from pydantic import Field

from cloudctl.api.calls import CallerDep, LanguageDep, SessionDep, router
from cloudctl.api.runs import RunView
from cloudctl.api.views import After, Body, Limit, Page, View, page
from loadtests import campaigns, profiles, runs, targets
from loadtests.campaigns import Campaign, Wanted

routes = router("/campaigns", "campaigns")


class CampaignView(View):
    id: str = Field(description="Id of the campaign.", examples=["cmp_01k9xr3w8q7f5t2n6m4v0c1b8d"])
    target: str = Field(description="Id of its target.", examples=["tgt_01k9xr3w8q7f5t2n6m4v0c1b8d"])
    department: str = Field(description="Id of its department.", examples=["dep_01k9xr3w8q7f5t2n6m4v0c1b8d"])
    name: str = Field(description="Its name.", examples=["exam scores 2026"])
    journeys: dict[str, Any] | None = Field(description="What visitors do; null: what the locustfile says.")
    locustfile: str | None = Field(description="Id of the locustfile that says what they do.", examples=[None])
    profile: dict[str, Any] = Field(description="How load comes over time.", examples=[{"kind": "search"}])
    level: dict[str, Any] = Field(description="The service level that is tried.", examples=[{"latency_ms": 300}])
    peak: dict[str, Any] | None = Field(description="The model of the peak.", examples=[None])
    forecast: float | None = Field(description="Requests a second that are expected at most.", examples=[400.0])
    generators: int = Field(description="Engines that share the load.", examples=[1])
    on: str | None = Field(description="Pool on whose machines they run; null: the platform's.", examples=[None])
    cron: str | None = Field(description="When it runs again and again.", examples=["30 6 * * 1"])
    zone: str = Field(description="Time zone of `cron`.", examples=["Asia/Shanghai"])
    expires_at: datetime | None = Field(description="After which it does not run by itself (UTC).", examples=[None])
    next_run_at: datetime | None = Field(description="When it runs next by itself (UTC).", examples=[None])
    state: str = Field(
        description="`waiting` (for approval), `ready`, `paused`, `refused`, `vetoed` or `finished`.",
        examples=["ready"],
    )
    reason: str | None = Field(description="Of a veto or refusal.", examples=[None])
    submitted_by: str = Field(description="Id of who asked for it.", examples=["usr_01k9xr3w8q7f5t2n6m4v0c1b8d"])
    approved_by: str | None = Field(description="Id of who allowed it; null: nobody had to.", examples=[None])
    version: int = Field(description="Counts the changes, from 1.", examples=[2])
    created_at: datetime = Field(description="When it was submitted (UTC).", examples=["2026-03-02T01:00:00Z"])

    @classmethod
    def of(cls, campaign: Campaign) -> "CampaignView":
        made = {
            "target": campaign.target_id,
            "department": campaign.department_id,
            "locustfile": campaign.locustfile_id,
        }
        return cls(**made, **{name: getattr(campaign, name) for name in cls.model_fields if name not in made})


class PreviewView(View):
    """What a campaign would send, before it is submitted."""

    points: list[list[float]] = Field(
        description="Its curve: [seconds, requests a second]; none of a search.", examples=[[[0, 5], [60, 400]]]
    )
    drawn: list[str] = Field(description="The same, drawn in lines of text.")
    seconds: float = Field(description="How long it is; 0 of a search.", examples=[1260.0])
    highest: float = Field(description="Its highest rate; of a search the target's ceiling.", examples=[400.0])
    requests: float = Field(description="How many requests it sends, without retries.", examples=[96000.0])
    forecast: float | None = Field(description="Requests a second that are expected at most.", examples=[400.0])
    approval: bool = Field(description="Whether a second person must approve it.", examples=[True])


class Because(Body):
    reason: str = Field(max_length=2000, description="Why, for the record.", examples=["当日有高考录取"])


@routes.get("")
def list_campaigns(
    caller: CallerDep,
    session: SessionDep,
    target: Annotated[str | None, Query(description="Id: only those on this target.")] = None,
    state: Annotated[str | None, Query(description="Only those in this state.", examples=["waiting"])] = None,
    after: After = None,
    limit: Limit = 50,
) -> Page[CampaignView]:
    """Campaigns of departments one can see, newest first."""
    found = campaigns.listed(session, caller, target=target, state=state, after=after, limit=limit + 1)
    return page(found, limit, CampaignView.of, lambda row: row.id)


@routes.post("/preview")
def preview_campaign(wanted: Wanted, caller: CallerDep, session: SessionDep) -> PreviewView:
    """The curve of a campaign, and whether somebody must approve it. Nothing is kept."""
    target = targets.seen_by(session, caller, wanted.target)
    campaigns.must_be_possible(session, caller, target, wanted)
    profile = wanted.played()
    points = profile.points()
    area = sum((low + high) / 2 * (end - start) for (start, low), (end, high) in pairwise(points))
    return PreviewView(
        points=[list(point) for point in points],
        drawn=profiles.drawn(points),
        seconds=profiles.seconds(profile),
        highest=profiles.peak(profile) or target.ceiling,
        requests=round(area),
        forecast=wanted.forecast or (wanted.peak.rate() if wanted.peak else None),
        approval=target.production,
    )


@routes.post("", status_code=201)
def submit_campaign(wanted: Wanted, caller: CallerDep, session: SessionDep) -> CampaignView:
    """Submit a campaign. On a production target it waits until somebody else approves it."""
    return CampaignView.of(campaigns.submit(session, caller, wanted))


@routes.get("/{campaign}")
def show_campaign(campaign: str, caller: CallerDep, session: SessionDep) -> CampaignView:
    """A campaign."""
    return CampaignView.of(campaigns.seen_by(session, caller, campaign))


@routes.post("/{campaign}/approve")
def approve_campaign(campaign: str, caller: CallerDep, session: SessionDep) -> CampaignView:
    """Allow it, as a second person."""
    return CampaignView.of(campaigns.approve(session, caller, campaign))


@routes.post("/{campaign}/refuse")
def refuse_campaign(campaign: str, said: Because, caller: CallerDep, session: SessionDep) -> CampaignView:
    """Do not allow it."""
    return CampaignView.of(campaigns.refuse(session, caller, campaign, said.reason))


@routes.post("/{campaign}/veto")
def veto_campaign(campaign: str, said: Because, caller: CallerDep, session: SessionDep) -> CampaignView:
    """Forbid it, as whoever runs the pool; a run under way stops within a second."""
    return CampaignView.of(campaigns.veto(session, caller, campaign, said.reason))


@routes.post("/{campaign}/pause")
def pause_campaign(campaign: str, caller: CallerDep, session: SessionDep) -> CampaignView:
    """Have it not run by itself for a while."""
    return CampaignView.of(campaigns.pause(session, caller, campaign))


@routes.post("/{campaign}/resume")
def resume_campaign(campaign: str, caller: CallerDep, session: SessionDep) -> CampaignView:
    """Have it run again when it is due next."""
    return CampaignView.of(campaigns.resume(session, caller, campaign))


@routes.post("/{campaign}/run", status_code=202)
def run_campaign(campaign: str, caller: CallerDep, session: SessionDep, language: LanguageDep) -> RunView:
    """Run it now. One run at a time on a target; ownership is looked at before the first request."""
    return RunView.of(session, caller, language, runs.start(session, caller, campaign))

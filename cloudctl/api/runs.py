"""Runs: campaigns carried out, watched, stopped, and what came of them."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import Query
from pydantic import Field
from sqlalchemy.orm import Session
from starlette.responses import Response

from cloudctl.api.calls import CallerDep, LanguageDep, SessionDep, router
from cloudctl.api.request_views import RequestView, Told
from cloudctl.api.requests import DeskDep
from cloudctl.api.views import After, Body, Limit, Page, View, page
from cloudctl.kernel import messages
from cloudctl.kernel.errors import Conflict
from cloudctl.kernel.messages import Language
from loadtests import report, runs
from loadtests.orders import Result
from loadtests.runs import Run
from tenancy import oversight
from tenancy.callers import Caller

routes = router("/runs", "runs")


class NotOverYet(Conflict):
    """The run has measured nothing yet, or nothing at all; there is no report of it."""


class ProposalView(View):
    headroom: float = Field(description="Planning capacity over the forecast; 1.3 is enough.", examples=[0.87])
    planning: float = Field(description="Requests a second to plan with.", examples=[346.5])
    peak: float = Field(description="Requests a second that are expected at most.", examples=[400.0])
    assumed: bool = Field(description="Whether capacity is only taken to grow with the size.", examples=[True])
    size: dict[str, int] | None = Field(
        description="The size with enough; null: it has enough.", examples=[{"vcpu": 8}]
    )


class RunView(View):
    id: str = Field(description="Id of the run.", examples=["run_01k9xr3w8q7f5t2n6m4v0c1b8d"])
    campaign: str = Field(description="Id of its campaign.", examples=["cmp_01k9xr3w8q7f5t2n6m4v0c1b8d"])
    target: str = Field(description="Id of its target.", examples=["tgt_01k9xr3w8q7f5t2n6m4v0c1b8d"])
    operation: str | None = Field(description="Id of the operation that carries it out; null: it was missed.")
    outcome: str | None = Field(
        description="`pass`, `likely`, `unlikely`, `fail`, `invalid`, `aborted`, `lost`, `refused` or `missed`.",
        examples=["pass"],
    )
    reasons: list[Told] = Field(description="What it rests on, or why it did not come about.")
    progress: dict[str, Any] | None = Field(description="How it goes: rates a second, times in ms.", examples=[None])
    result: dict[str, Any] | None = Field(
        description="What was measured; rates a second, times in ms.", examples=[None]
    )
    compared: str | None = Field(description="Id of the run it compares with; null: none.", examples=[None])
    proposal: ProposalView | None = Field(description="Whether it is enough for the forecast; null: unknown.")
    size: dict[str, int] = Field(description="Of the tenancy when it began.", examples=[{"vcpu": 4}])
    created_at: datetime = Field(description="When it was promised (UTC).", examples=["2026-03-02T01:00:00Z"])
    started_at: datetime | None = Field(description="When it began (UTC).", examples=[None])
    finished_at: datetime | None = Field(description="When it ended (UTC).", examples=[None])

    @classmethod
    def of(cls, session: Session, caller: Caller, language: Language, run: Run) -> "RunView":
        told = [oversight.told_to(caller, run.reason)] if run.reason else (run.result or {}).get("reasons", [])
        earlier = runs.before(session, run)
        made: dict[str, Any] = {
            "campaign": run.campaign_id,
            "target": run.target_id,
            "operation": run.operation_id,
            "reasons": [Told.of(reason, language) for reason in told],
            "result": run.result and {name: value for name, value in run.result.items() if name != "histogram"},
            "compared": earlier.id if earlier else None,
            "proposal": ProposalView.model_validate(run.proposal) if run.proposal else None,
        }
        return cls(**made, **{name: getattr(run, name) for name in cls.model_fields if name not in made})


class Stop(Body):
    reason: str = Field(min_length=1, max_length=2000, description="Why, for the record.", examples=["大厅反映变慢"])


@routes.get("")
def list_runs(
    caller: CallerDep,
    session: SessionDep,
    language: LanguageDep,
    campaign: Annotated[str | None, Query(description="Id: only those of this campaign.")] = None,
    after: After = None,
    limit: Limit = 50,
) -> Page[RunView]:
    """Runs of departments one can see, newest first."""
    found = runs.listed(session, caller, campaign=campaign, after=after, limit=limit + 1)
    return page(found, limit, lambda row: RunView.of(session, caller, language, row), lambda row: row.id)


@routes.get("/{run}")
def show_run(run: str, caller: CallerDep, session: SessionDep, language: LanguageDep) -> RunView:
    """A run: how it goes, or what came of it."""
    return RunView.of(session, caller, language, runs.seen_by(session, caller, run))


@routes.post("/{run}/stop", status_code=202)
def stop_run(run: str, said: Stop, caller: CallerDep, session: SessionDep, language: LanguageDep) -> RunView:
    """The kill switch: the last request leaves within a second."""
    return RunView.of(session, caller, language, runs.stop(session, caller, run, said.reason))


@routes.get("/{run}/report", response_class=Response, responses={200: {"content": {"text/html": {}}}})
def report_run(run: str, caller: CallerDep, session: SessionDep, language: LanguageDep) -> Response:
    """One HTML page with its pictures, which needs no network."""
    found = runs.seen_by(session, caller, run)
    if not found.result:
        raise NotOverYet(run=found.id, outcome=found.outcome)
    earlier = runs.before(session, found)
    about = {
        "campaign": found.campaign.name,
        "target": found.target.name,
        "run": found.id,
        "at": f"{found.started_at:%Y-%m-%d %H:%M:%S} UTC",
        "size": messages.render("size", {"size": dict(found.size)}, language),
        "comparable": found.result["comparable"],
    }

    def say(slug: str, **figures: Any) -> str:
        return messages.render(slug, figures, language)

    before = Result.model_validate(earlier.result) if earlier else None
    return Response(report.page(about, Result.model_validate(found.result), say, before), media_type="text/html")


@routes.post("/{run}/resize", status_code=202)
def resize_after_run(run: str, desk: DeskDep) -> RequestView:
    """Ask for the size that the run proposes, as an application like any other."""
    return desk.shown(runs.resize(desk.session, desk.caller, desk.rules, run))

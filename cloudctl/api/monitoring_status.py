"""What is wrong now, and silences."""

from datetime import datetime

from fastapi import APIRouter
from pydantic import AwareDatetime, Field

from cloudctl.api.calls import CallerDep, LanguageDep, Route, SessionDep, SettingsDep
from cloudctl.api.views import Body, View
from cloudctl.kernel import messages
from loadtests import troubles as load
from monitoring import silences, status

routes = APIRouter(prefix="/v1", tags=["monitoring"], route_class=Route)


class TroubleView(View):
    slug: str = Field(description="The trouble's stable name.", examples=["trouble-parked"])
    text: str = Field(description="What is wrong, in words.", examples=["An operation waits for an operator."])
    wakes: bool = Field(description="Whether somebody should be woken for it.", examples=[False])
    since: datetime | None = Field(description="Since when (UTC); null where nobody knows.")
    who: str = Field(description="Who suffers: a pool, a department, a tenancy.", examples=["kunpeng-1"])
    next: str = Field(description="The command to type next.", examples=["cloudctl pool show kunpeng-1"])


class StatusView(View):
    wakes: bool = Field(description="Whether somebody should be woken.", examples=[False])
    troubles: list[TroubleView] = Field(description="What is wrong, worst first.")


class NewSilence(Body):
    matchers: dict[str, str] = Field(
        max_length=20,
        description="Labels of the alerts, and their values.",
        examples=[{"alertname": "PoolHeadroomLow"}],
    )
    reason: str = Field(min_length=1, max_length=2000, description="Why, for the record.", examples=["扩容施工"])
    until: AwareDatetime = Field(description="Until when (UTC), at most 30 days.", examples=["2099-03-02T10:00:00Z"])


class SilenceView(View):
    id: str = Field(description="Id of the silence.", examples=["sil_01k9xr3w8q7f5t2n6m4v0c1b8d"])
    matchers: dict[str, str] = Field(description="Labels of the alerts.", examples=[{"pool": "kunpeng-1"}])
    reason: str = Field(description="Why.", examples=["扩容施工"])
    made_by: str = Field(description="Who wanted it.", examples=["罗志远"])
    starts_at: datetime = Field(description="Since when (UTC).")
    ends_at: datetime = Field(description="Until when (UTC).")


class SilenceList(View):
    items: list[SilenceView] = Field(description="The silences that hold now, the newest first.")


@routes.get("/status")
def show_status(caller: CallerDep, session: SessionDep, settings: SettingsDep, language: LanguageDep) -> StatusView:
    """What is wrong now, worst first."""
    found = [
        TroubleView(
            slug=one.slug,
            text=messages.render(one.slug, one.figures, language),
            wakes=one.wakes,
            since=one.since,
            who=one.who,
            next=one.next,
        )
        for one in status.troubles(session, caller, settings, load.troubles(session))
    ]
    return StatusView(wakes=any(one.wakes for one in found), troubles=found)


@routes.get("/silences")
def list_silences(caller: CallerDep, session: SessionDep) -> SilenceList:
    """The silences that hold now."""
    return SilenceList(items=[SilenceView.model_validate(one) for one in silences.listed(session, caller)])


@routes.post("/silences", status_code=201)
def create_silence(new: NewSilence, caller: CallerDep, session: SessionDep) -> SilenceView:
    """Have nobody told of some alerts for a while; Alertmanager knows within half a minute."""
    return SilenceView.model_validate(silences.create(session, caller, new.matchers, new.reason, new.until))


@routes.delete("/silences/{silence}")
def end_silence(silence: str, caller: CallerDep, session: SessionDep) -> None:
    """End a silence before its time."""
    silences.end(session, caller, silence)

"""Locustfiles: code of visitors that operators answer for, and campaigns may name instead of journeys."""

from datetime import datetime

from pydantic import Field

from cloudctl.api.calls import CallerDep, SessionDep, router
from cloudctl.api.views import After, Body, Limit, Page, View, page
from loadtests import locustfiles
from loadtests.locustfiles import Locustfile

routes = router("/locustfiles", "locustfiles")

_NAME = "What it is called."
_TEXT = "from locust import FastHttpUser, task\n\n\nclass Visitor(FastHttpUser):\n    tasks = []\n"


class NewLocustfile(Body):
    name: str = Field(min_length=1, max_length=80, description=_NAME, examples=["高考查分"])
    text: str = Field(
        min_length=1, max_length=locustfiles.MOST, description="Python, at most 64 KiB.", examples=[_TEXT]
    )
    reason: str = Field(min_length=1, max_length=2000, description="Why, for the record.", examples=["签名算法"])
    department: str | None = Field(
        None, max_length=40, description="Id or code of whose targets it is for; null: everybody's.", examples=[None]
    )


class Retirement(Body):
    reason: str = Field(min_length=1, max_length=2000, description="Why, for the record.", examples=["已有新版"])


class LocustfileView(View):
    id: str = Field(description="Id of the locustfile.", examples=["loc_01k9xr3w8q7f5t2n6m4v0c1b8d"])
    name: str = Field(description=_NAME, examples=["高考查分"])
    sha256: str = Field(description="Digest of its text, as it stands in the audit log.")
    department: str | None = Field(description="Id of whose targets it is for; null: everybody's.", examples=[None])
    reason: str = Field(description="Why it was registered.", examples=["签名算法"])
    registered_by: str = Field(description="Id of who answers for it.", examples=["usr_01k9xr3w8q7f5t2n6m4v0c1b8d"])
    created_at: datetime = Field(description="When it was registered (UTC).", examples=["2026-03-02T01:00:00Z"])
    retired_at: datetime | None = Field(description="Since when nothing is tried with it (UTC).", examples=[None])

    @classmethod
    def of(cls, found: Locustfile) -> "LocustfileView":
        made = {"department": found.department_id}
        return cls(**made, **{name: getattr(found, name) for name in cls.model_fields if name not in made})


class LocustfileText(LocustfileView):
    text: str = Field(description="Its text.", examples=[_TEXT])


@routes.get("")
def list_locustfiles(
    caller: CallerDep, session: SessionDep, after: After = None, limit: Limit = 50
) -> Page[LocustfileView]:
    """Those for everybody and for departments one can see, newest first."""
    found = locustfiles.listed(session, caller, after=after, limit=limit + 1)
    return page(found, limit, LocustfileView.of, lambda row: row.id)


@routes.post("", status_code=201)
def register_locustfile(new: NewLocustfile, caller: CallerDep, session: SessionDep) -> LocustfileView:
    """Answer for a locustfile. It is looked at, and run only in runs of campaigns, confined."""
    return LocustfileView.of(locustfiles.register(session, caller, **new.model_dump()))


@routes.get("/{locustfile}")
def show_locustfile(locustfile: str, caller: CallerDep, session: SessionDep) -> LocustfileText:
    """A locustfile with its text."""
    found = locustfiles.seen_by(session, caller, locustfile)
    return LocustfileText(text=found.text, **LocustfileView.of(found).model_dump())


@routes.post("/{locustfile}/retire")
def retire_locustfile(locustfile: str, said: Retirement, caller: CallerDep, session: SessionDep) -> LocustfileView:
    """Have nothing tried with it any more."""
    return LocustfileView.of(locustfiles.retire(session, caller, locustfile, said.reason))

"""Events: what happened to a request, a tenancy, an operation, …; as a list, or watched as it happens."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from time import monotonic
from typing import Annotated, Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, Header, Query
from pydantic import Field
from sqlalchemy.orm import Session
from sse_starlette import EventSourceResponse, ServerSentEvent

from cloudctl.api.bell import Bell
from cloudctl.api.calls import CallerDep, LanguageDep, PlatformDep, RequestDep, Route, SessionDep, secret_of
from cloudctl.api.platform import Platform
from cloudctl.api.views import AfterNumber, Limit, Page, View, page
from cloudctl.kernel import events, messages
from cloudctl.kernel.errors import Forbidden, NotFound, Problem
from cloudctl.kernel.events import Event
from cloudctl.kernel.messages import Language
from loadtests import campaigns, locustfiles, runs, targets
from provisioning import pool_servers, pools
from tenancy import departments, members, oversight, projects, requests, tenancies, tokens
from tenancy.callers import Caller

routes = APIRouter(prefix="/v1", tags=["events"], route_class=Route)

STREAM = "text/event-stream"
_PING = 15  # seconds between two signs of life
_LONGEST = 900.0  # seconds; then a watcher comes again, and shows its token again
_TRUSTED = 60.0  # seconds after which a watcher's token and rights are looked at again
_BATCH = 200


class NoSuchSubject(NotFound):
    """Nothing has this id, or the caller may not know of it."""


class EventView(View):
    subject: str = Field(description="Id of what it happened to.", examples=["ten_01k9xr3w8q7f5t2n6m4v0c1b8d"])
    sequence: int = Field(description="Counts 1, 2, 3, … within the subject, without a gap.", examples=[3])
    slug: str = Field(description="What happened.", examples=["tenancy-succeed"])
    text: str = Field(description="The same as a sentence in the caller's language.", examples=["租户已开通。"])
    figures: dict[str, Any] = Field(description="What the sentence speaks of.", examples=[{"state": "active"}])
    actor: str | None = Field(description="Id of whoever did it.", examples=["usr_01k9xr3w8q7f5t2n6m4v0c1b8d"])
    at: datetime = Field(description="When.", examples=["2026-03-02T01:00:00Z"])


SUBJECTS: Mapping[str, Callable[[Session, Caller, str], Any]] = {
    "dep": departments.seen_by,
    "prj": projects.seen_by,
    "usr": members.seen_by,
    "req": requests.seen_by,
    "ten": tenancies.seen_by,
    "op": oversight.seen_by,
    "pol": pools.seen_by,
    "srv": pool_servers.seen_by,
    "tgt": targets.seen_by,
    "loc": locustfiles.seen_by,
    "cmp": campaigns.seen_by,
    "run": runs.seen_by,
}
"""What can be watched, by the prefix of its id: the verb that refuses whoever may not know of it."""


@routes.get("/events", response_model=Page[EventView], responses={200: {"content": {STREAM: {}}}})
def list_events(
    caller: CallerDep,
    session: SessionDep,
    platform: PlatformDep,
    language: LanguageDep,
    request: RequestDep,
    subject: Annotated[
        str,
        Query(
            description="Id of a request, tenancy, operation, department, project, person, pool, server, target, …",
            max_length=40,
            examples=["ten_01k9xr3w8q7f5t2n6m4v0c1b8d"],
        ),
    ],
    after: AfterNumber = None,
    limit: Limit = 50,
    last_event_id: Annotated[
        int | None,
        Header(alias="Last-Event-ID", ge=0, lt=2**63, description="Of a stream: the sequence to go on from."),
    ] = None,
) -> Any:
    """What happened to one subject, oldest first. With `Accept: text/event-stream` it goes on as things happen."""
    _must_see(session, caller, subject)
    first = int(after or last_event_id or 0)
    if STREAM in request.headers.get("accept", ""):
        bell: Bell = request.app.state.bell
        bell.must_have_room()
        watching = Watching(platform, subject, secret_of(request), language, caller)
        return EventSourceResponse(stream(bell, watching, first), ping=_PING, send_timeout=_PING)
    found = events.after(session, [subject], first, limit + 1)
    return page(found, limit, partial(_shown, caller=caller, language=language), lambda row: row.sequence)


@dataclass
class Watching:
    """Somebody who watches a subject, for as long as their token lasts and the subject is theirs to see."""

    platform: Platform
    subject: str
    secret: str = field(repr=False)
    language: Language
    caller: Caller

    def may_go_on(self) -> bool:
        """Whether it is still so; what changed of the caller's roles counts from now on."""
        with Session(self.platform.engine) as session:
            try:
                self.caller = tokens.authenticate(session, self.platform.settings, self.secret)
                _must_see(session, self.caller, self.subject)
            except Problem:
                return False
            return True


def _must_see(session: Session, caller: Caller, subject: str) -> None:
    seen_by = SUBJECTS.get(subject.partition("_")[0])
    try:
        if seen_by is None:
            raise NoSuchSubject
        seen_by(session, caller, subject)
    except (NotFound, Forbidden):
        raise NoSuchSubject(subject=subject, field="subject") from None


async def stream(
    bell: Bell, watching: Watching, sequence: int, trusted_for: float = _TRUSTED
) -> AsyncIterator[ServerSentEvent]:
    """The events of a subject after that one, as they happen, until whoever watches has to come again."""
    end, trusted = monotonic() + _LONGEST, monotonic() + trusted_for
    with bell.watching(watching.subject) as rung:
        while monotonic() < end:
            rung.clear()
            if monotonic() > trusted:
                if not await run_sync(watching.may_go_on):
                    return
                trusted = monotonic() + trusted_for
            found = await run_sync(_later, watching.platform, watching.subject, sequence)
            for event in found:
                sequence = event.sequence
                text = _shown(event, caller=watching.caller, language=watching.language).model_dump_json()
                yield ServerSentEvent(text, id=str(sequence), event=event.slug)
            if len(found) < _BATCH:
                with suppress(TimeoutError):
                    await asyncio.wait_for(rung.wait(), _PING)


def _later(platform: Platform, subject: str, sequence: int) -> list[Event]:
    with Session(platform.engine, expire_on_commit=False) as session:
        return events.after(session, [subject], sequence, _BATCH)


def _shown(event: Event, *, caller: Caller, language: Language) -> EventView:
    figures = oversight.told_to(caller, event.figures)
    own = {name: getattr(event, name) for name in EventView.model_fields if name not in ("text", "figures")}
    return EventView(text=messages.render(event.slug, figures, language), figures=figures, **own)

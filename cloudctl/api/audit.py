"""The audit log: who did what, and how anybody can prove that nobody touched the record of it."""

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any

from fastapi import Query
from pydantic import Field
from sqlalchemy.orm import Session
from starlette.responses import StreamingResponse

from cloudctl.api.calls import CallerDep, PlatformDep, SessionDep, SettingsDep, router
from cloudctl.api.platform import Platform
from cloudctl.api.views import AfterNumber, Limit, Page, View, page
from cloudctl.kernel import audit_seals
from cloudctl.kernel.audit_seals import Sealer
from tenancy import trail

routes = router("/audit", "audit")

NDJSON = "application/x-ndjson"
_LINES = 500  # a chunk of an export


class EntryView(View):
    id: int = Field(description="Number of the entry.", examples=[4711])
    at: datetime = Field(description="When it was done.", examples=["2026-03-02T01:00:00Z"])
    actor: str = Field(description="Id of whoever did it.", examples=["usr_01k9xr3w8q7f5t2n6m4v0c1b8d"])
    actor_name: str = Field(description="Their name then.", examples=["王芳"])
    address: str | None = Field(description="Network address it came from.", examples=["10.20.30.40"])
    request_id: str | None = Field(description="Id of the call, as X-Request-Id told it.", examples=["cal_01k9xr3w8q"])
    action: str = Field(description="What was done, as its permission is written.", examples=["request:submit"])
    object: str = Field(description="Id of what it was done to.", examples=["req_01k9xr3w8q7f5t2n6m4v0c1b8d"])
    department: str | None = Field(description="Id of the department whose it is.", examples=["dep_01k9xr3w8q7f"])
    result: str = Field(description="`ok`, `refused` or `failed`.", examples=["ok"])
    reason: str | None = Field(
        description="Why, in the actor's words; of a refusal, its slug.", examples=["not-permitted"]
    )
    seen: str | None = Field(description="Digest of what the actor was shown when deciding.", examples=[None])
    figures: dict[str, Any] = Field(description="What else matters.", examples=[{"code": "522301"}])


class PublicKey(View):
    algorithm: str = Field(description="Kind of the key.", examples=["Ed25519"])
    pem: str = Field(description="The key in PEM; `cloudctl audit verify` takes it.", examples=["-----BEGIN…"])


@routes.get("")
def list_entries(
    caller: CallerDep,
    session: SessionDep,
    department: Annotated[str | None, Query(description="Id or code: only what was done to what is its own.")] = None,
    object: Annotated[str | None, Query(description="Id of what it was done to.")] = None,
    actor: Annotated[str | None, Query(description="Id of whoever did it.")] = None,
    action: Annotated[str | None, Query(description="What was done.", examples=["token:create"])] = None,
    after: AfterNumber = None,
    limit: Limit = 50,
) -> Page[EntryView]:
    """Entries of the audit log, newest first. Reading is audited too."""
    wanted = {"department": department, "object": object, "actor": actor, "action": action}
    found = trail.read(session, caller, **wanted, after=after, limit=limit + 1)
    return page(found, limit, EntryView.model_validate, lambda row: row.id)


@routes.get("/export", response_class=StreamingResponse, responses={200: {"content": {NDJSON: {}}}})
def export_log(caller: CallerDep, session: SessionDep, platform: PlatformDep) -> StreamingResponse:
    """The whole log with its seals, a JSON object a line, for `cloudctl audit verify`."""
    trail.export(session, caller)
    return StreamingResponse(_chunks(platform), media_type=NDJSON)


@routes.get("/key")
def show_key(caller: CallerDep, settings: SettingsDep) -> PublicKey:
    """The public key with which anybody verifies an export."""
    return PublicKey(algorithm="Ed25519", pem=Sealer(settings).public_key())


def _chunks(platform: Platform) -> Iterator[str]:
    with Session(platform.engine) as session:
        lines: list[str] = []
        for line in audit_seals.export(session):
            lines.append(line + "\n")
            if len(lines) == _LINES:
                yield "".join(lines)
                lines.clear()
        yield "".join(lines)

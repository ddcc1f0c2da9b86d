"""Requests: applications of departments, from the preview to the last decision."""

from typing import Annotated, Any
from urllib.parse import quote

from fastapi import File, Query, UploadFile
from pydantic import Field
from sqlalchemy.orm import Session
from starlette.responses import Response

from cloudctl.api.calls import CallerDep, LanguageDep, RulesDep, SessionDep, router
from cloudctl.api.preview_views import ItemPreview, PreviewView
from cloudctl.api.request_views import DIGEST, AttachmentView, RequestLine, RequestView
from cloudctl.api.views import After, Body, IfMatchGiven, Limit, Page, page
from cloudctl.kernel.errors import must_be_at
from cloudctl.kernel.messages import Language
from tenancy import approvals, attachments, decisions, progress, requests, submissions
from tenancy.applications import Application
from tenancy.callers import Caller
from tenancy.requests import Request
from tenancy.rules import Rules

routes = router("/requests", "requests")

_ITEMS = "Ids of the items it is about; null: all that the open step decides on."
_CHANGES = "Item id -> the fields of its specification that change, with their new values."
_REASON = "Why, for the applicant and the record."


class Acceptance(Body):
    digest: str = Field(description=DIGEST, max_length=64, examples=["9f86d081884c7d65"])
    missing: list[str] = Field(
        [],
        max_length=20,
        description="Documents still missing (容缺): due before anything is carried out.",
        examples=[[]],
    )


class Approval(Body):
    digest: str = Field(description=DIGEST, max_length=64, examples=["9f86d081884c7d65"])
    items: list[str] | None = Field(None, max_length=50, description=_ITEMS, examples=[None])
    changes: dict[str, dict[str, Any]] | None = Field(None, description=_CHANGES, examples=[None])


class Refusal(Body):
    digest: str = Field(description=DIGEST, max_length=64, examples=["9f86d081884c7d65"])
    reason: str = Field(description=_REASON, max_length=2000, examples=["规模与用途不符"])
    items: list[str] | None = Field(None, max_length=50, description=_ITEMS, examples=[None])


class SendingBack(Body):
    digest: str = Field(description=DIGEST, max_length=64, examples=["9f86d081884c7d65"])
    reason: str = Field(description=_REASON, max_length=2000, examples=["请补充建设方案"])


class Delegation(Body):
    to: str = Field(description="Login of a member of the department that must decide.", examples=["lina"])


class Supplement(Body):
    purpose: str | None = Field(None, min_length=1, max_length=2000, description="New purpose; null leaves it.")
    changes: dict[str, dict[str, Any]] | None = Field(None, description=_CHANGES, examples=[None])
    provided: list[str] = Field([], max_length=20, description="Missing documents that are there now.", examples=[[]])


@routes.post("/preview")
def preview_request(
    application: Application, caller: CallerDep, session: SessionDep, rules: RulesDep, language: LanguageDep
) -> PreviewView:
    """What would become of an application: who must approve, by when, and whether quota and pools have room."""
    found = submissions.preview(session, caller, rules, application)
    return PreviewView(items=[ItemPreview.of(position, one, language) for position, one in enumerate(found)])


@routes.post("", status_code=202)
def submit_request(
    application: Application, caller: CallerDep, session: SessionDep, rules: RulesDep, language: LanguageDep
) -> RequestView:
    """Submit an application for one or more items; what needs no human starts at once."""
    return _shown(session, caller, rules, language, submissions.submit(session, caller, rules, application))


@routes.get("")
def list_requests(
    caller: CallerDep,
    session: SessionDep,
    rules: RulesDep,
    language: LanguageDep,
    department: Annotated[str | None, Query(description="Id or code: only its own and those below it.")] = None,
    state: Annotated[str | None, Query(description="Only those in this state.", examples=["examining"])] = None,
    waiting_for: Annotated[
        str | None, Query(pattern="^me$", description="`me`: only those that the caller may decide now.")
    ] = None,
    after: After = None,
    limit: Limit = 50,
) -> Page[RequestLine]:
    """The requests one can see, newest first."""
    mine = approvals.waits_for(caller) if waiting_for else None
    found = requests.all_seen_by(
        session, caller, department=department, state=state, only=mine, after=after, limit=limit + 1
    )
    told = progress.summaries(session, rules, found)
    return page(told, limit, lambda summary: RequestLine.of(summary, language), lambda summary: summary.request.id)


@routes.get("/{request}")
def show_request(
    request: str, caller: CallerDep, session: SessionDep, rules: RulesDep, language: LanguageDep
) -> RequestView:
    """A request, by id or number: its items, who must act and by when, and what was decided."""
    return _shown(session, caller, rules, language, requests.seen_by(session, caller, request))


@routes.post("/{request}/accept")
def accept_request(
    request: str,
    said: Acceptance,
    caller: CallerDep,
    session: SessionDep,
    rules: RulesDep,
    language: LanguageDep,
    version: IfMatchGiven = None,
) -> RequestView:
    """受理: it is complete enough to be examined."""
    _at(session, caller, request, version)
    accepted = decisions.accept(session, caller, rules, request, said.digest, said.missing)
    return _shown(session, caller, rules, language, accepted)


@routes.post("/{request}/approve", status_code=202)
def approve_request(
    request: str,
    said: Approval,
    caller: CallerDep,
    session: SessionDep,
    rules: RulesDep,
    language: LanguageDep,
    version: IfMatchGiven = None,
) -> RequestView:
    """Approve all or some of its items, as they are or with changes; what has its last approval starts."""
    _at(session, caller, request, version)
    approved = decisions.approve(session, caller, rules, request, said.digest, said.items, said.changes)
    return _shown(session, caller, rules, language, approved)


@routes.post("/{request}/refuse")
def refuse_request(
    request: str,
    said: Refusal,
    caller: CallerDep,
    session: SessionDep,
    rules: RulesDep,
    language: LanguageDep,
    version: IfMatchGiven = None,
) -> RequestView:
    """Refuse all or some of its items, with the reason that the applicant reads."""
    _at(session, caller, request, version)
    refused = decisions.refuse(session, caller, rules, request, said.digest, said.reason, said.items)
    return _shown(session, caller, rules, language, refused)


@routes.post("/{request}/return")
def return_request(
    request: str,
    said: SendingBack,
    caller: CallerDep,
    session: SessionDep,
    rules: RulesDep,
    language: LanguageDep,
    version: IfMatchGiven = None,
) -> RequestView:
    """Return it for supplement; the clock stands still until it comes back."""
    _at(session, caller, request, version)
    returned = decisions.send_back(session, caller, rules, request, said.digest, said.reason)
    return _shown(session, caller, rules, language, returned)


@routes.post("/{request}/delegate")
def delegate_request(
    request: str,
    said: Delegation,
    caller: CallerDep,
    session: SessionDep,
    rules: RulesDep,
    language: LanguageDep,
    version: IfMatchGiven = None,
) -> RequestView:
    """Let another member of the department decide the open step too."""
    _at(session, caller, request, version)
    return _shown(session, caller, rules, language, decisions.delegate(session, caller, rules, request, said.to))


@routes.post("/{request}/supplement", status_code=202)
def supplement_request(
    request: str,
    said: Supplement,
    caller: CallerDep,
    session: SessionDep,
    rules: RulesDep,
    language: LanguageDep,
    version: IfMatchGiven = None,
) -> RequestView:
    """Complete or change it; whoever approved something else before is asked again."""
    _at(session, caller, request, version)
    supplemented = submissions.supplement(
        session, caller, rules, request, purpose=said.purpose, changes=said.changes, provided=said.provided
    )
    return _shown(session, caller, rules, language, supplemented)


@routes.post("/{request}/withdraw")
def withdraw_request(
    request: str,
    caller: CallerDep,
    session: SessionDep,
    rules: RulesDep,
    language: LanguageDep,
    version: IfMatchGiven = None,
) -> RequestView:
    """Take back what is not decided or waits for capacity; nothing is held for it any more."""
    _at(session, caller, request, version)
    return _shown(session, caller, rules, language, submissions.withdraw(session, caller, request))


@routes.post("/{request}/attachments", status_code=201)
def attach_file(
    request: str,
    file: Annotated[UploadFile, File(description="The paper, with its file name and media type.")],
    caller: CallerDep,
    session: SessionDep,
    rules: RulesDep,
) -> AttachmentView:
    """Add a paper to a request that is not decided; whoever approved it without is asked again."""
    media_type = file.content_type or "application/octet-stream"
    content = file.file.read()
    attached = attachments.attach(session, caller, rules, request, file.filename or "", media_type, content)
    return AttachmentView.model_validate(attached)


@routes.get("/{request}/attachments/{attachment}", response_class=Response)
def read_attachment(request: str, attachment: str, caller: CallerDep, session: SessionDep) -> Response:
    """The content of a paper, as it came; its SHA-256 is the ETag."""
    found = attachments.read(session, caller, request, attachment)
    headers = {
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(found.name)}",
        "ETag": f'"{found.digest}"',
        "Content-Security-Policy": "sandbox",
    }
    return Response(found.content, media_type=found.media_type, headers=headers)


def _at(session: Session, caller: Caller, request: str, version: int | None) -> None:
    """Go on only if the request is at the version that the caller has seen, where they say which."""
    if version is not None:
        must_be_at(version, requests.seen_by(session, caller, request, lock=True).version)


def _shown(session: Session, caller: Caller, rules: Rules, language: Language, request: Request) -> RequestView:
    session.flush()
    return RequestView.whole(progress.of(session, caller, rules, request), language)

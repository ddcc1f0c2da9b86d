"""Requests: applications of departments, from the preview to the last decision."""

from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import File, Query, UploadFile
from pydantic import Field
from sqlalchemy.orm import Session
from starlette.responses import Response

from cloudctl.api.calls import Call, CallerDep, LanguageDep, RulesDep, SessionDep, Supplied, router
from cloudctl.api.errors import language_of
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
from tenancy.submissions import Submitted

routes = router("/requests", "requests")

_ITEMS = "Ids of the items it is about; null: all that the open step decides on."
_CHANGES = "Item id -> the fields of its specification that change, with their new values."
_REASON = "Why, for the applicant and the record."


@dataclass(frozen=True)
class Desk:
    """What whoever works on a request needs."""

    session: Session
    caller: Caller
    rules: Rules
    language: Language

    def at(self, request: str, version: int | None) -> tuple[Session, Caller, Rules]:
        """What decides, but only if the request is at the version that the caller has seen, where they say which."""
        if version is not None:
            must_be_at(version, requests.seen_by(self.session, self.caller, request, lock=True).version)
        return self.session, self.caller, self.rules

    def submitted(self, new: Submitted) -> RequestView:
        return RequestView.whole(progress.of_new(self.session, self.caller, self.rules, new), self.language)

    def shown(self, request: Request) -> RequestView:
        self.session.flush()
        return RequestView.whole(progress.of(self.session, self.caller, self.rules, request), self.language)


def _desk(call: Call) -> Desk:
    return Desk(call.session, call.caller, call.platform.rules, language_of(call.request))


DeskDep = Annotated[Desk, Supplied(_desk, of_caller=True)]


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
def submit_request(application: Application, desk: DeskDep) -> RequestView:
    """Submit an application for one or more items; what needs no human starts at once."""
    return desk.submitted(submissions.submit(desk.session, desk.caller, desk.rules, application))


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
    told = progress.summaries(session, caller, rules, found)
    return page(told, limit, lambda summary: RequestLine.of(summary, language), lambda summary: summary.request.id)


@routes.get("/{request}")
def show_request(request: str, desk: DeskDep) -> RequestView:
    """A request, by id or number: its items, who must act and by when, and what was decided."""
    return desk.shown(requests.seen_by(desk.session, desk.caller, request))


@routes.post("/{request}/accept")
def accept_request(
    request: str,
    said: Acceptance,
    desk: DeskDep,
    version: IfMatchGiven = None,
) -> RequestView:
    """受理: it is complete enough to be examined."""
    return desk.shown(decisions.accept(*desk.at(request, version), request, said.digest, said.missing))


@routes.post("/{request}/approve", status_code=202)
def approve_request(
    request: str,
    said: Approval,
    desk: DeskDep,
    version: IfMatchGiven = None,
) -> RequestView:
    """Approve all or some of its items, as they are or with changes; what has its last approval starts."""
    hand = desk.at(request, version)
    return desk.shown(decisions.approve(*hand, request, said.digest, said.items, said.changes))


@routes.post("/{request}/refuse")
def refuse_request(
    request: str,
    said: Refusal,
    desk: DeskDep,
    version: IfMatchGiven = None,
) -> RequestView:
    """Refuse all or some of its items, with the reason that the applicant reads."""
    return desk.shown(decisions.refuse(*desk.at(request, version), request, said.digest, said.reason, said.items))


@routes.post("/{request}/return")
def return_request(
    request: str,
    said: SendingBack,
    desk: DeskDep,
    version: IfMatchGiven = None,
) -> RequestView:
    """Return it for supplement; the clock stands still until it comes back."""
    return desk.shown(decisions.send_back(*desk.at(request, version), request, said.digest, said.reason))


@routes.post("/{request}/delegate")
def delegate_request(
    request: str,
    said: Delegation,
    desk: DeskDep,
    version: IfMatchGiven = None,
) -> RequestView:
    """Let another member of the department decide the open step too."""
    return desk.shown(decisions.delegate(*desk.at(request, version), request, said.to))


@routes.post("/{request}/supplement", status_code=202)
def supplement_request(
    request: str,
    said: Supplement,
    desk: DeskDep,
    version: IfMatchGiven = None,
) -> RequestView:
    """Complete or change it; whoever approved something else before is asked again."""
    hand = desk.at(request, version)
    return desk.shown(submissions.supplement(*hand, request, said.purpose, said.changes, said.provided))


@routes.post("/{request}/withdraw")
def withdraw_request(
    request: str,
    desk: DeskDep,
    version: IfMatchGiven = None,
) -> RequestView:
    """Take back what is not decided or waits for capacity; nothing is held for it any more."""
    session, caller, _ = desk.at(request, version)
    return desk.shown(submissions.withdraw(session, caller, request))


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

"""Operations: what the platform is doing step by step, and what people may do about it."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import Query
from pydantic import Field
from sqlalchemy.orm import Session

from cloudctl.api.calls import CallerDep, LanguageDep, SessionDep, router
from cloudctl.api.request_views import HoldView, Told
from cloudctl.api.views import After, Body, Limit, Page, View, page
from cloudctl.kernel import messages
from cloudctl.kernel.messages import Language
from cloudctl.kernel.operations import OperationRow
from tenancy import oversight
from tenancy.callers import Caller

routes = router("/operations", "operations")


class AttemptView(View):
    direction: str = Field(description="`do`, or `undo`.", examples=["do"])
    outcome: str = Field(description="`done`, `later`, `gave-up`, `failed`, `lost` or `resolved`.", examples=["done"])
    reason: Told | None = Field(description="Why it came out so.", examples=[None])
    started_at: datetime = Field(description="When it began (UTC).", examples=["2026-03-02T01:00:00Z"])
    ended_at: datetime = Field(description="When it ended (UTC).", examples=["2026-03-02T01:00:12Z"])


class OperationStep(View):
    name: str = Field(description="Name of the step.", examples=["provision"])
    title: str = Field(description="What the step is called.", examples=["创建资源"])
    state: str = Field(description="`pending`, `current`, `done` or `undone`.", examples=["current"])
    attempts: list[AttemptView] = Field(description="Every try, oldest first.")


class Wish(View):
    by: str = Field(description="Id of who wishes it.", examples=["usr_01k9xr3w8q7f5t2n6m4v0c1b8d"])
    reason: str | None = Field(description="Why.", examples=["不再需要"])
    at: datetime = Field(description="When it was said (UTC).", examples=["2026-03-02T01:00:00Z"])


class OperationLine(View):
    """An operation in a list."""

    id: str = Field(description="Id of the operation.", examples=["op_01k9xr3w8q7f5t2n6m4v0c1b8d"])
    kind: str = Field(description="What it does.", examples=["tenancy.create"])
    title: str = Field(description="What it does, in words.", examples=["创建租户"])
    subject: str = Field(description="Id of what it does it to.", examples=["ten_01k9xr3w8q7f5t2n6m4v0c1b8d"])
    owner: str = Field(
        description="Id of the department whose affair it is; `platform`: of none.",
        examples=["dep_01k9xr3w8q7f5t2n6m4v0c1b8d"],
    )
    state: str = Field(description="`queued`, `running`, `parked`, `done` or `undone`.", examples=["running"])
    undoing: bool = Field(description="Whether what was done is being undone.", examples=[False])
    progress: str = Field(description="Steps done, of all.", examples=["2/4"])
    step: str | None = Field(description="The step it stands at.", examples=["provision"])
    reason: Told | None = Field(description="Why it waits, is parked, or was undone.", examples=[None])
    standing: Told = Field(description="Where it stands in words: who is acting, and since when.")
    retry_at: datetime | None = Field(description="When the step is tried again (UTC).", examples=[None])
    created_at: datetime = Field(description="When it was promised (UTC).", examples=["2026-03-02T01:00:00Z"])
    finished_at: datetime | None = Field(description="When it ended (UTC).", examples=[None])

    @classmethod
    def of(cls, row: OperationRow, caller: Caller, language: Language) -> "OperationLine":
        return cls(**_line(row, caller, language))


class OperationView(OperationLine):
    """An operation with everything about it."""

    steps: list[OperationStep] = Field(description="Its steps, in order.")
    attempts: int = Field(description="Tries of the current step that went wrong.", examples=[0])
    cancel: Wish | None = Field(description="The wish that it be undone; honoured between two steps.", examples=[None])
    requested_by: str = Field(description="Id of who had it promised.", examples=["usr_01k9xr3w8q7f5t2n6m4v0c1b8d"])
    holds: list[HoldView] = Field(description="What of quota and capacity its subject holds and uses.")

    @classmethod
    def whole(cls, session: Session, row: OperationRow, caller: Caller, language: Language) -> "OperationView":
        """With its steps, their tries, and what it still holds."""
        return cls(
            **_line(row, caller, language),
            steps=[_step(row, number, name, caller, language) for number, name in enumerate(row.steps)],
            attempts=row.attempts,
            cancel=Wish.model_validate(row.cancel) if row.cancel else None,
            requested_by=row.requested_by,
            holds=[HoldView.model_validate(claim) for claim in oversight.held_for(session, row)],
        )


class Cancellation(Body):
    reason: str = Field(min_length=1, max_length=2000, description="Why, for the record.", examples=["不再需要"])


class Resolution(Body):
    outcome: Literal["done", "undone"] = Field(
        alias="as", description="What became of the parked step outside.", examples=["done"]
    )
    reason: str = Field(max_length=2000, description="How that is known, for the record.", examples=["已人工核实"])


@routes.get("")
def list_operations(
    caller: CallerDep,
    session: SessionDep,
    language: LanguageDep,
    subject: Annotated[str | None, Query(description="Id: only those on this.")] = None,
    state: Annotated[str | None, Query(description="Only those in this state.", examples=["parked"])] = None,
    after: After = None,
    limit: Limit = 50,
) -> Page[OperationLine]:
    """The operations of departments one can see, newest first."""
    found = oversight.listed(session, caller, subject=subject, state=state, after=after, limit=limit + 1)
    return page(found, limit, lambda row: OperationLine.of(row, caller, language), lambda row: row.id)


@routes.get("/{operation}")
def show_operation(operation: str, caller: CallerDep, session: SessionDep, language: LanguageDep) -> OperationView:
    """An operation: each step with its tries and reasons, and what it holds."""
    return OperationView.whole(session, oversight.seen_by(session, caller, operation), caller, language)


@routes.post("/{operation}/cancel", status_code=202)
def cancel_operation(
    operation: str, said: Cancellation, caller: CallerDep, session: SessionDep, language: LanguageDep
) -> OperationView:
    """Have it undone, between two steps; what is done stays where its kind cannot be cancelled."""
    return OperationView.whole(session, oversight.cancel(session, caller, operation, said.reason), caller, language)


@routes.post("/{operation}/retry", status_code=202)
def retry_operation(operation: str, caller: CallerDep, session: SessionDep, language: LanguageDep) -> OperationView:
    """Try the parked step again."""
    return OperationView.whole(session, oversight.retry(session, caller, operation), caller, language)


@routes.post("/{operation}/resolve", status_code=202)
def resolve_operation(
    operation: str, said: Resolution, caller: CallerDep, session: SessionDep, language: LanguageDep
) -> OperationView:
    """Say what became of the parked step: `done` goes on after it, `undone` unwinds what was before."""
    resolved = oversight.resolve(session, caller, operation, said.outcome, said.reason)
    return OperationView.whole(session, resolved, caller, language)


def _line(row: OperationRow, caller: Caller, language: Language) -> dict[str, Any]:
    done = len(row.steps) if row.state == "done" else max(min(row.step, len(row.steps)), 0)
    return {
        "id": row.id,
        "kind": row.kind,
        "title": messages.word(row.kind, language),
        "subject": row.subject,
        "owner": row.owner,
        "state": row.state,
        "undoing": row.direction < 0,
        "progress": f"{done}/{len(row.steps)}",
        "step": row.current,
        "reason": _told(row.reason, caller, language),
        "standing": Told.of(oversight.standing(caller, row), language),
        "retry_at": row.retry_at,
        "created_at": row.created_at,
        "finished_at": row.finished_at,
    }


def _step(row: OperationRow, number: int, name: str, caller: Caller, language: Language) -> OperationStep:
    tries = [one for one in row.attempts_made if one.step == name]
    return OperationStep(
        name=name,
        title=messages.word(name, language),
        state=_state(row, number, tried=bool(tries)),
        attempts=[
            AttemptView(
                direction="do" if one.direction > 0 else "undo",
                outcome=one.outcome,
                reason=_told(one.reason, caller, language),
                started_at=one.started_at,
                ended_at=one.ended_at,
            )
            for one in tries
        ],
    )


def _state(row: OperationRow, number: int, *, tried: bool) -> str:
    """Of one step. While it unwinds, what lies behind is undone, unless it had never begun."""
    if row.state == "done":
        return "done"
    if row.state == "queued":
        return "pending"
    if number == row.step and not row.is_final:
        return "current"
    if row.direction > 0:
        return "done" if number < row.step else "pending"
    if number < row.step:
        return "done"
    return "undone" if tried else "pending"


def _told(reason: dict[str, Any] | None, caller: Caller, language: Language) -> Told | None:
    return Told.of(oversight.told_to(caller, reason), language) if reason else None

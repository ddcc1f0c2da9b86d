"""How requests look: where they stand, who must act and by when, what was shown and decided."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import Field

from cloudctl.api.views import View
from cloudctl.kernel import messages
from cloudctl.kernel.messages import Language
from tenancy.progress import Awaited, ItemProgress, Progress, StepProgress, Summary

_LIGHT = "`green`; `amber` on the last working day; `red` once it is overdue."
_PROVISIONAL = "Whether it was counted over a year whose holidays are not published yet."
_SIZE = "Amounts by resource class, in the unit of the class (see `/v1/resources`)."
DIGEST = "SHA-256 of all that is shown: a decision is made on exactly this."


class Told(View):
    """Why something is so, for machines and for people."""

    slug: str = Field(description="Stable name of the reason.", examples=["rule-no-evidence"])
    figures: dict[str, Any] = Field(description="What the sentence speaks of.", examples=[{"resource": "vcpu"}])
    sentence: str = Field(description="For people, in the language of the caller.", examples=["规则未适用：……"])

    @classmethod
    def of(cls, reason: Mapping[str, Any], language: Language) -> "Told":
        sentence = messages.render(reason["slug"], reason["figures"], language)
        return cls(slug=reason["slug"], figures=reason["figures"], sentence=sentence)


class UnitView(View):
    id: str = Field(description="Id of the department.", examples=["dep_01k9xr3w8q7f5t2n6m4v0c1b8d"])
    code: str = Field(description="Its code.", examples=["522300-jyj"])
    name: str = Field(description="Its Chinese name.", examples=["教育局"])


class SystemView(View):
    id: str = Field(description="Id of the project.", examples=["prj_01k9xr3w8q7f5t2n6m4v0c1b8d"])
    code: str = Field(description="Its code.", examples=["522300-jyj-2026-0001"])
    name: str = Field(description="Its Chinese name.", examples=["高考查分系统"])


class PersonView(View):
    login: str = Field(description="Login of the person.", examples=["wangfang"])
    name: str = Field(description="Name of the person.", examples=["王芳"])


class AwaitedView(View):
    who: str = Field(description="`approvers`, or `applicant` to supplement what is missing.", examples=["approvers"])
    step: str | None = Field(description="Step of the approval, as the policy names it.", examples=["department-head"])
    title: str | None = Field(description="What the step is called.", examples=["单位负责人审批"])
    department: UnitView = Field(description="The department whose people must act.")
    people: list[PersonView] = Field(description="Who may act; one of them is enough.")
    due_at: datetime | None = Field(
        description="By when (UTC); null: no limit runs.", examples=["2026-03-04T15:59:59Z"]
    )
    provisional: bool = Field(description=_PROVISIONAL, examples=[False])
    light: str = Field(description=_LIGHT, examples=["green"])
    escalated: bool = Field(description="Overdue: those above the department may decide too.", examples=[False])
    hindrance: Told | None = Field(
        description="Why nobody may act, and what helps; null: somebody may.", examples=[None]
    )

    @classmethod
    def of(cls, awaited: Awaited, language: Language) -> "AwaitedView":
        nobody = {"slug": "nobody-may-decide", "figures": {"department": awaited.department.name}}
        return cls(
            who=awaited.who,
            step=awaited.step,
            title=messages.word(awaited.step, language) if awaited.step else None,
            department=UnitView.model_validate(awaited.department),
            people=[PersonView.model_validate(user) for user in awaited.people],
            due_at=awaited.due_at,
            provisional=awaited.provisional,
            light=awaited.light,
            escalated=awaited.escalated,
            hindrance=None if awaited.people else Told.of(nobody, language),
        )


class HoldView(View):
    side: str = Field(description="`quota` of departments, or `capacity` of a pool.", examples=["quota"])
    state: str = Field(description="`held` until it is in use, then `committed`.", examples=["held"])
    size: dict[str, int] = Field(description=_SIZE, examples=[{"vcpu": 4, "memory_gib": 8}])


class ItemView(View):
    id: str = Field(description="Id of the item.", examples=["itm_01k9xr3w8q7f5t2n6m4v0c1b8d"])
    position: int = Field(description="Its place in the application, from 0.", examples=[0])
    kind: str = Field(description="What is asked for.", examples=["create"])
    spec: dict[str, Any] = Field(description="As asked, or as changed since; the fields of its kind.")
    state: str = Field(description="Where it stands.", examples=["pending"])
    title: str = Field(description="The state in words.", examples=["审批中"])
    subject: str | None = Field(
        description="Id of what it is about or has made.", examples=["ten_01k9xr3w8q7f5t2n6m4v"]
    )
    automatic: str | None = Field(description="The published rule that approved it; null: people do.", examples=[None])
    reason: Told | None = Field(
        description="Why it waits, failed, or was refused; of what is being carried out, what it waits for.",
        examples=[None],
    )
    queue_position: int | None = Field(description="Place among all that wait for capacity, from 1.", examples=[None])
    queued_at: datetime | None = Field(description="Since when it waits for capacity (UTC).", examples=[None])
    holds: list[HoldView] = Field(description="What is held for it.")

    @classmethod
    def of(cls, progress: ItemProgress, language: Language) -> "ItemView":
        item = progress.item
        return cls(
            id=item.id,
            position=item.position,
            kind=item.kind,
            spec=item.spec,
            state=item.state,
            title=messages.word(item.state, language),
            subject=item.subject,
            automatic=item.automatic,
            reason=Told.of(progress.reason, language) if progress.reason else None,
            queue_position=progress.position,
            queued_at=item.queued_at,
            holds=[HoldView.model_validate(claim) for claim in progress.holds],
        )


class DecisionView(View):
    item: str = Field(description="Id of the item decided on.", examples=["itm_01k9xr3w8q7f5t2n6m4v0c1b8d"])
    verdict: str = Field(description="`accept`, `approve`, `refuse` or `return`.", examples=["approve"])
    changes: dict[str, Any] | None = Field(description="Fields that the approver changed.", examples=[None])
    reason: str | None = Field(description="In the approver's words.", examples=[None])
    by: PersonView = Field(description="Who decided.")
    at: datetime = Field(description="When (UTC).", examples=["2026-03-02T02:00:00Z"])
    digest: str = Field(description=DIGEST, examples=["9f86d081884c7d65"])
    superseded: bool = Field(
        description="What it was made on has changed since: it no longer counts.", examples=[False]
    )


class StepView(View):
    name: str = Field(description="The policy's name of the step.", examples=["department-head"])
    title: str = Field(description="What the step is called.", examples=["单位负责人审批"])
    department: UnitView = Field(description="The department whose approvers decide.")
    people: list[PersonView] = Field(description="Who may decide, while it is not done.")
    items: list[str] = Field(description="Ids of the items it decides on.", examples=[["itm_01k9xr3w8q7f5t2n6m4v"]])
    state: str = Field(description="`waiting`, `open`, `done` or `skipped`.", examples=["open"])
    days: int = Field(description="Its limit, in working days.", examples=[2])
    days_spent: int = Field(description="Working days used up before the clock was stopped.", examples=[0])
    opened_at: datetime | None = Field(description="When it was opened (UTC).", examples=["2026-03-02T01:00:00Z"])
    due_at: datetime | None = Field(description="By when it is due (UTC).", examples=["2026-03-04T15:59:59Z"])
    provisional: bool = Field(description=_PROVISIONAL, examples=[False])
    light: str = Field(description=_LIGHT, examples=["green"])
    escalated_at: datetime | None = Field(description="Since when those above may decide too (UTC).", examples=[None])
    closed_at: datetime | None = Field(description="When it was closed (UTC).", examples=[None])
    decisions: list[DecisionView] = Field(description="What was decided, oldest first.")

    @classmethod
    def of(cls, progress: StepProgress, language: Language) -> "StepView":
        step = progress.step
        return cls(
            name=step.name,
            title=messages.word(step.name, language),
            department=UnitView.model_validate(step.department),
            people=[PersonView.model_validate(user) for user in progress.people],
            items=step.item_ids,
            state=step.state,
            days=step.days,
            days_spent=step.days_spent,
            opened_at=step.opened_at,
            due_at=step.due_at,
            provisional=step.due_provisional,
            light=progress.light,
            escalated_at=step.escalated_at,
            closed_at=step.closed_at,
            decisions=[
                DecisionView(
                    item=one.item_id,
                    verdict=one.verdict,
                    changes=one.changes,
                    reason=one.reason,
                    by=PersonView.model_validate(one.by),
                    at=one.decided_at,
                    digest=one.digest,
                    superseded=one.superseded,
                )
                for one in step.decisions
            ],
        )


class AttachmentView(View):
    id: str = Field(description="Id of the attachment.", examples=["att_01k9xr3w8q7f5t2n6m4v0c1b8d"])
    name: str = Field(description="File name.", examples=["建设方案.pdf"])
    media_type: str = Field(description="Media type, as it was given.", examples=["application/pdf"])
    size: int = Field(description="Bytes.", examples=[48213])
    digest: str = Field(description="SHA-256 of the content, hexadecimal.", examples=["9f86d081884c7d65"])
    created_at: datetime = Field(description="When it came (UTC).", examples=["2026-03-02T01:00:00Z"])


class RequestLine(View):
    """A request in a list."""

    id: str = Field(description="Id of the request.", examples=["req_01k9xr3w8q7f5t2n6m4v0c1b8d"])
    number: str = Field(description="Its number.", examples=["2026-000042"])
    department: UnitView = Field(description="The department that asks.")
    state: str = Field(
        description="`examining`, `returned`, `approved`, `finished`, `refused` or `withdrawn`.", examples=["examining"]
    )
    title: str = Field(description="The state in words.", examples=["审批中"])
    purpose: str = Field(description="What it is needed for.", examples=["高考查分"])
    kinds: list[str] = Field(description="What its items ask for, in order.", examples=[["create", "create"]])
    outcome: Told = Field(description="How its items stand.")
    awaited: AwaitedView | None = Field(description="Who must act next, and by when; null: nobody.")
    created_at: datetime = Field(description="When it was submitted (UTC).", examples=["2026-03-02T01:00:00Z"])

    @classmethod
    def of(cls, summary: Summary, language: Language) -> "RequestLine":
        return cls(**_line(summary, language))


class RequestView(RequestLine):
    """A request with everything about it."""

    project: SystemView | None = Field(description="The project it is for.")
    submitted_by: PersonView = Field(description="Who submitted it.")
    policy_version: str = Field(description="Version of the policy it was judged by.", examples=["2026.1"])
    missing: list[str] = Field(description="Documents due before it is carried out (容缺).", examples=[["预算批复"]])
    items: list[ItemView] = Field(description="What is asked for.")
    steps: list[StepView] = Field(description="The steps of the approval, in order.")
    attachments: list[AttachmentView] = Field(description="Its papers.")
    digest: str | None = Field(description=DIGEST + " Only told to whoever must decide now.", examples=[None])
    finished_at: datetime | None = Field(description="When all of it had ended (UTC).", examples=[None])
    version: int = Field(description="Counts the changes, from 1.", examples=[3])

    @classmethod
    def whole(cls, progress: Progress, language: Language) -> "RequestView":
        request = progress.request
        return cls(
            **_line(progress, language),
            project=SystemView.model_validate(request.project) if request.project else None,
            submitted_by=PersonView.model_validate(progress.submitter),
            policy_version=request.policy_version,
            missing=request.missing,
            items=[ItemView.of(item, language) for item in progress.items],
            steps=[StepView.of(step, language) for step in progress.steps],
            attachments=[AttachmentView.model_validate(attachment) for attachment in request.attachments],
            digest=progress.digest,
            finished_at=request.finished_at,
            version=request.version,
        )


def _line(summary: Summary, language: Language) -> dict[str, Any]:
    request = summary.request
    return {
        "id": request.id,
        "number": request.number,
        "department": UnitView.model_validate(request.department),
        "state": request.state,
        "title": messages.word(request.state, language),
        "purpose": request.purpose,
        "kinds": [item.kind for item in request.items],
        "outcome": Told.of(summary.outcome, language),
        "awaited": AwaitedView.of(summary.awaited, language) if summary.awaited else None,
        "created_at": request.created_at,
    }

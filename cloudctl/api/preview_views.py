"""How a preview looks: what would become of each item if the application were submitted now."""

from datetime import datetime
from typing import Any

from pydantic import Field

from cloudctl.api.request_views import PersonView, Told, UnitView
from cloudctl.api.views import View
from cloudctl.kernel import messages
from cloudctl.kernel.messages import Language
from tenancy.approvals import Foreseen
from tenancy.submissions import OverQuota, Preview


class ForeseenStep(View):
    name: str = Field(description="The policy's name of the step.", examples=["department-head"])
    title: str = Field(description="What the step is called.", examples=["单位负责人审批"])
    department: UnitView = Field(description="The department whose approvers would decide.")
    approvers: list[PersonView] = Field(description="Who may decide; empty: nobody can.")
    days: int = Field(description="Its limit, in working days.", examples=[2])
    due_at: datetime = Field(
        description="By when at the latest (UTC), if each step takes all its time.", examples=["2026-03-04T15:59:59Z"]
    )
    provisional: bool = Field(
        description="Whether it was counted over a year whose holidays are not published yet.", examples=[False]
    )

    @classmethod
    def of(cls, step: Foreseen, language: Language) -> "ForeseenStep":
        return cls(
            name=step.name,
            title=messages.word(step.name, language),
            department=UnitView.model_validate(step.department),
            approvers=[PersonView.model_validate(user) for user in step.approvers],
            days=step.days,
            due_at=step.deadline.at,
            provisional=step.deadline.provisional,
        )


class QuotaRefusal(View):
    """Why the item would be refused for want of quota, and what helps."""

    field: str = Field(description="The input that asks for too much.", examples=["items.0.size.vcpu"])
    sentence: str = Field(description="For people, in the language of the caller.", examples=["配额不足：……"])
    figures: dict[str, Any] = Field(description="Whose limit, how much of it is left, who can change it.")
    nearest: dict[str, int] = Field(
        description="The nearest size that fits, by resource class, in the unit of the class.", examples=[{"vcpu": 2}]
    )
    quota_request: dict[str, Any] | None = Field(
        description="An application for the quota that is lacking, ready to be submitted once it has a purpose.",
        examples=[{"department": "522300-jyj", "purpose": "", "items": [{"kind": "quota", "limits": {"vcpu": 210}}]}],
    )

    @classmethod
    def of(cls, over: OverQuota, language: Language) -> "QuotaRefusal":
        figures = dict(over.figures)
        return cls(
            field=over.field or "",
            sentence=messages.render(over.slug, over.figures, language),
            nearest=figures.pop("nearest"),
            quota_request=figures.pop("quota_request"),
            figures=figures,
        )


class ItemPreview(View):
    position: int = Field(description="Its place in the application, from 0.", examples=[0])
    kind: str = Field(description="What is asked for.", examples=["create"])
    automatic: str | None = Field(description="Published rule that would approve it; null: people do.", examples=[None])
    hindrances: list[Told] = Field(description="Why no published rule would approve it.")
    steps: list[ForeseenStep] = Field(description="Who would have to approve it, in order, and by when.")
    fits: bool | None = Field(
        description="Whether some pool has room now; if not, it would wait. Null: it needs none.",
        examples=[True],
    )
    why_not: Told | None = Field(
        description="Why no pool has room: a rule that leaves none, or the size; null: some has, or none is needed.",
        examples=[None],
    )
    over_quota: QuotaRefusal | None = Field(
        description="Why it would be refused; null: quota has room.", examples=[None]
    )

    @classmethod
    def of(cls, position: int, preview: Preview, language: Language) -> "ItemPreview":
        return cls(
            position=position,
            kind=preview.plan.facts.kind,
            automatic=preview.judgement.automatic,
            hindrances=[Told.of(reason, language) for reason in preview.judgement.hindrances],
            steps=[ForeseenStep.of(step, language) for step in preview.steps],
            fits=preview.fits,
            why_not=Told.of(preview.why_not, language) if preview.why_not else None,
            over_quota=QuotaRefusal.of(preview.over, language) if preview.over else None,
        )


class PreviewView(View):
    items: list[ItemPreview] = Field(description="What would become of each item.")

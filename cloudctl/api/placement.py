"""Placement: why a tenancy would fit on a pool, or not."""

from typing import Any

from pydantic import Field

from cloudctl.api.calls import CallerDep, LanguageDep, SessionDep, router
from cloudctl.api.request_views import Told
from cloudctl.api.views import Body, View
from cloudctl.kernel.messages import Language
from provisioning import conditions, placement
from provisioning.placement import Demand, Verdict
from tenancy import resources
from tenancy.applications import Architecture, Size

routes = router("/placement", "placement")


class Question(Body):
    size: Size
    architectures: list[Architecture] = Field(
        min_length=1, description="Architectures its software runs on; one of them is enough.", examples=[["arm64"]]
    )
    zone: str = Field("extranet", max_length=40, description="Network zone.", examples=["extranet"])
    level: int = Field(2, ge=1, le=4, description="MLPS (GB/T 22239) security level.", examples=[2])
    traits: list[str] = Field([], max_length=20, description="Traits that the pool must have.", examples=[[]])


class VerdictView(View):
    pool: str = Field(description="Name of the pool.", examples=["kunpeng-1"])
    provider: str = Field(description="The company that runs it.", examples=["云上贵州"])
    fits: bool = Field(description="Whether it would fit there now.", examples=[False])
    because: Told | None = Field(description="The first rule or figure that excludes it.", examples=[None])
    note: Told | None = Field(
        description="What else is known of it: it does not answer, or is not believed. It excludes nothing.",
        examples=[None],
    )
    compute_factor: float | None = Field(
        description="How fast its open servers compute, beside a reference core (1.0); null: not measured.",
        examples=[1.12],
    )


class ExplanationView(View):
    items: list[VerdictView] = Field(description="Each pool, by name.")

    @classmethod
    def of(cls, verdicts: list[Verdict], language: Language) -> "ExplanationView":
        return cls(
            items=[
                VerdictView(
                    pool=one.pool.name,
                    provider=one.pool.provider,
                    fits=one.fits,
                    because=Told.of(_reason(one.rule, one.figures), language) if one.rule else None,
                    note=Told.of(note, language) if (note := conditions.hinders_use(one.pool)) else None,
                    compute_factor=one.compute,
                )
                for one in verdicts
            ]
        )


@routes.post("/explain")
def explain(asked: Question, caller: CallerDep, session: SessionDep, language: LanguageDep) -> ExplanationView:
    """For each pool: whether a tenancy of this size would fit there now, or which rule or figure excludes it."""
    caller.must("pool:read")
    size = resources.checked(asked.size)
    demand = Demand(size, tuple(asked.architectures), asked.zone, asked.level, tuple(asked.traits))
    return ExplanationView.of(placement.explain(session, demand), language)


def _reason(rule: str, figures: Any) -> dict[str, Any]:
    return {"slug": rule, "figures": dict(figures or {})}

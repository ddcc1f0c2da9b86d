"""Status: what an operator has to know now."""

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from cloudctl.api.calls import CallerDep, LanguageDep, SessionDep, router
from cloudctl.api.views import View
from cloudctl.kernel import messages
from monitoring import troubles

routes = router("/status", "status")


class TroubleView(View):
    slug: str = Field(description="What it is.", examples=["trouble-parked"])
    weight: Literal["wake", "soon", "note"] = Field(description="`wake` somebody, look `soon`, or only a `note`.")
    since: datetime = Field(description="Since when (UTC).", examples=["2026-03-02T01:00:00Z"])
    text: str = Field(description="The same as a sentence, with who suffers.", examples=["资源池 kunpeng-1 没有应答。"])
    figures: dict[str, Any] = Field(description="What the sentence speaks of.", examples=[{"pool": "kunpeng-1"}])
    command: str = Field(description="What to type next.", examples=["cloudctl pool show kunpeng-1"])


class StatusView(View):
    wake: bool = Field(description="Whether somebody has to be woken.", examples=[False])
    items: list[TroubleView] = Field(description="Everything that is not as it should be, the worst first.")


@routes.get("")
def show_status(caller: CallerDep, session: SessionDep, language: LanguageDep) -> StatusView:
    """Everything that is not as it should be, one line each, the worst first."""
    items = [
        TroubleView(
            slug=trouble.slug,
            weight=trouble.weight,
            since=trouble.since,
            text=messages.render(trouble.slug, trouble.figures, language),
            figures=trouble.figures,
            command=trouble.command,
        )
        for trouble in troubles.found(session, caller)
    ]
    return StatusView(wake=any(item.weight == "wake" for item in items), items=items)

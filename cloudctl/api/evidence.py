"""Evidence: what robots measured, on which policy may decide without a human."""

from pydantic import AwareDatetime, Field

from cloudctl.api.calls import CallerDep, SessionDep, SettingsDep, router
from cloudctl.api.views import Body, View
from tenancy import evidence

routes = router("/evidence", "evidence")


class Measurement(Body):
    kind: str = Field(
        pattern=r"^[a-z][a-z-]{0,39}$", description="What was measured; policy reads `usage`.", examples=["usage"]
    )
    subject: str = Field(description="Id of the tenancy.", examples=["ten_01k9xr3w8q7f5t2n6m4v0c1b8d"])
    value: dict[str, float] = Field(
        min_length=1,
        description="Resource class -> p95 of what was used, in the unit of the class.",
        examples=[{"vcpu": 1.7, "memory_gib": 5.2}],
    )
    measured_at: AwareDatetime = Field(
        description="When it was measured (UTC); an older one replaces no newer.",
        examples=["2026-03-02T01:00:00Z"],
    )
    expires_at: AwareDatetime | None = Field(
        None,
        description="From when it no longer counts (UTC), if earlier than the platform's usual time; null: then.",
        examples=[None],
    )


class MeasurementView(View):
    kind: str = Field(description="What was measured.", examples=["usage"])
    subject: str = Field(description="Id of the tenancy.", examples=["ten_01k9xr3w8q7f5t2n6m4v0c1b8d"])
    expires_at: AwareDatetime = Field(
        description="From when it no longer counts (UTC).", examples=["2026-03-09T01:00:00Z"]
    )


@routes.post("", status_code=201)
def submit_evidence(
    said: Measurement, caller: CallerDep, session: SessionDep, settings: SettingsDep
) -> MeasurementView:
    """Enter what was measured about a tenancy; the newest of a kind counts."""
    measured = said.value, said.measured_at, said.expires_at
    expires_at = evidence.submit(session, caller, said.kind, said.subject, *measured, longest=settings.evidence_age)
    return MeasurementView(kind=said.kind, subject=said.subject, expires_at=expires_at)

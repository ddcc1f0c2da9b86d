"""Engines of load tests that run elsewhere: each calls, with a token of its own, for what it shall do next."""

from typing import Annotated, Any

from pydantic import Field

from cloudctl.api.calls import Call, SessionDep, Supplied, router, secret_of
from cloudctl.api.views import View
from loadtests import crews
from loadtests.exchanges import Said

routes = router("/engines", "engines")


def _admitted(call: Call) -> str:
    return crews.admitted(call.session, call.request.path_params["engine"], secret_of(call.request))


AdmittedDep = Annotated[str, Supplied(_admitted, of_caller=True)]
"""The engine that calls: it is nobody's, its token opens nothing else, and ends with its run."""


class CommandView(View):
    number: int = Field(description="Counts the engine's commands, from 1.", examples=[3])
    said: dict[str, Any] = Field(description="What it shall do.", examples=[{"do": "mark", "epoch": 2}])


class AnswerView(View):
    beat: int = Field(description="Changes while the run's driver is alive.", examples=[1204])
    now: float = Field(description="Seconds of the clock that all engines go by.", examples=[1772413200.125])
    heard: int = Field(description="Number of the last report that was taken.", examples=[481])
    commands: list[CommandView] = Field(description="Those it has not got yet, in their order.")


@routes.post("/{engine}/exchange")
def exchange(engine: str, said: Said, admitted: AdmittedDep, session: SessionDep) -> AnswerView:
    """What an engine reports and what it shall do next. For engines only: no other token is taken here."""
    return AnswerView.model_validate(crews.exchange(session, admitted, said))

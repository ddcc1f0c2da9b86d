"""The rules everybody may read: the approval policy, and what can be asked for in which unit."""

from typing import Any

from fastapi import APIRouter
from pydantic import Field

from cloudctl.api.calls import CallerDep, LanguageDep, Route, RulesDep
from cloudctl.api.views import View
from cloudctl.kernel import messages
from tenancy import resources

routes = APIRouter(prefix="/v1", tags=["rules"], route_class=Route)


class PolicyView(View):
    version: str = Field(description="Version of the policy; decisions are bound to it.", examples=["2026-1"])
    accept: dict[str, Any] = Field(description="Who accepts (受理), within how many working days.")
    steps: list[dict[str, Any]] = Field(description="Approval steps: whose approvers, working days, and when needed.")
    automatic: list[dict[str, Any]] = Field(description="Published rules by which no human is asked.")


class ResourceView(View):
    name: str = Field(description="Resource class, as sizes and limits name it.", examples=["memory_gib"])
    unit: str = Field(description="Unit of its amounts, which are whole numbers.", examples=["GiB"])
    example: str = Field(description="How an amount of 4 is written.", examples=["4 GiB 内存"])


class ResourceList(View):
    items: list[ResourceView] = Field(description="Every resource class.")
    most: int = Field(description="Largest amount of any class.", examples=[resources.MOST])


@routes.get("/policy")
def show_policy(caller: CallerDep, rules: RulesDep) -> PolicyView:
    """The approval policy of the authority."""
    caller.must("policy:read")
    return PolicyView.model_validate(rules.policy.model_dump(exclude_none=True))


@routes.get("/resources")
def list_resources(caller: CallerDep, language: LanguageDep) -> ResourceList:
    """The resource classes and their units."""
    items = [
        ResourceView(name=name, unit=unit, example=messages.written({name: 4}, language))
        for name, unit in resources.UNITS.items()
    ]
    return ResourceList(items=items, most=resources.MOST)

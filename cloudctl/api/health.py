"""Whether the platform is up, and who is calling."""

from fastapi import APIRouter
from pydantic import Field
from sqlalchemy import text

from cloudctl.api.calls import CallerDep, Route, SessionDep
from cloudctl.api.users import MembershipView
from cloudctl.api.views import View
from cloudctl.kernel import audit
from tenancy import departments

routes = APIRouter(tags=["health"], route_class=Route)


class Health(View):
    status: str = Field(description="`ok`: this process and its database answer.", examples=["ok"])


class Me(View):
    id: str = Field(description="Id of the person.", examples=["usr_01k9xr3w8q7f5t2n6m4v0c1b8d"])
    name: str = Field(description="Name of the person.", examples=["王芳"])
    role: str | None = Field(description="`operator`, `security` or `auditor`; null for none.", examples=[None])
    memberships: list[MembershipView] = Field(description="What the person may do for which department.")
    scope: str = Field(description="What the token is good for: `read` or `write`.", examples=["write"])


@routes.get("/healthz")
def show_health(session: SessionDep) -> Health:
    """Whether this process can work."""
    session.execute(text("SELECT 1"))
    return Health(status="ok")


@routes.get("/v1/me")
def show_me(caller: CallerDep, session: SessionDep) -> Me:
    """Who is calling, and what they may do. Asking is how one logs in with a token, and is audited as that."""
    audit.record(session, caller, "token:login", caller.id)
    units = {one: departments.seen_by(session, caller, one) for one in caller.departments}
    return Me(
        id=caller.id,
        name=caller.name,
        role=caller.platform_role,
        memberships=[
            MembershipView(department=one, code=units[one].code, name=units[one].name, role=role)
            for one, role in sorted(caller.memberships)
        ],
        scope=caller.scope,
    )

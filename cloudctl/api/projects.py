"""Projects: the information systems of departments."""

from datetime import datetime
from typing import Annotated

from fastapi import Query
from pydantic import Field, StrictInt

from cloudctl.api.calls import CallerDep, SessionDep, router
from cloudctl.api.views import After, Body, Limit, Page, View, page
from tenancy import projects

routes = router("/projects", "projects")

_LEVEL = "MLPS (GB/T 22239) security level, 1 to 4."


class ProjectView(View):
    id: str = Field(description="Id of the project.", examples=["prj_01k9xr3w8q7f5t2n6m4v0c1b8d"])
    code: str = Field(description="Code (赋码): department, year, number.", examples=["522301-2026-0001"])
    department_id: str = Field(description="Id of the department whose it is.", examples=["dep_01k9xr3w8q7f5t2n6m4v"])
    name: str = Field(description="Chinese name.", examples=["中考成绩查询"])
    name_en: str = Field(description="English name.", examples=["Exam results portal"])
    owner: str = Field(description="The person who answers for the system.", examples=["王芳"])
    funding: str = Field(description="Where the money comes from.", examples=["州级财政"])
    level: int = Field(description=_LEVEL, examples=[2])
    version: int = Field(description="Counts the changes, from 1.", examples=[1])
    created_at: datetime = Field(description="When it was registered.", examples=["2026-03-02T01:00:00Z"])


class NewProject(Body):
    department: str = Field(description="Id or code of the department whose it is.", examples=["522301"])
    name: str = Field(description="Chinese name, at most 100 characters.", examples=["中考成绩查询"])
    name_en: str = Field(description="English name, at most 100 characters.", examples=["Exam results portal"])
    owner: str = Field(description="The person who answers for the system.", examples=["王芳"])
    funding: str = Field(description="Where the money comes from, at most 200 characters.", examples=["州级财政"])
    level: StrictInt = Field(description=_LEVEL, examples=[2])


@routes.get("")
def list_projects(
    caller: CallerDep,
    session: SessionDep,
    department: Annotated[
        str | None, Query(description="Id or code: only its projects and those below it.", examples=["522301"])
    ] = None,
    after: After = None,
    limit: Limit = 50,
) -> Page[ProjectView]:
    """The projects one can see, by code."""
    found = projects.listed(session, caller, department=department, after=after, limit=limit + 1)
    return page(found, limit, ProjectView.model_validate, lambda row: row.code)


@routes.post("", status_code=201)
def create_project(new: NewProject, caller: CallerDep, session: SessionDep) -> ProjectView:
    """Register a project without a request, and give it its code."""
    return ProjectView.model_validate(projects.create(session, caller, **new.model_dump()))


@routes.get("/{project}")
def show_project(project: str, caller: CallerDep, session: SessionDep) -> ProjectView:
    """A project, by id or code."""
    return ProjectView.model_validate(projects.seen_by(session, caller, project))

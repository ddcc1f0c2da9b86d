"""Departments: the tree of the administration, and how much each of them may have."""

from typing import Annotated

from fastapi import Body as InBody
from fastapi import Query
from pydantic import Field, StrictInt

from cloudctl.api.calls import CallerDep, SessionDep, router
from cloudctl.api.views import After, Body, IfMatch, IfMatchGiven, Limit, Page, View, page
from tenancy import department_csv, departments, quotas
from tenancy.quotas import Quota

routes = router("/departments", "departments")

_CODE = "Administrative division or unit code: 2 to 32 letters, digits and hyphens."
_NAME = "Chinese name, at most 100 characters."
_NAME_EN = "English name, at most 100 characters."
_CSV = "code,name,name_en,parent_code\n522399,新设局,New Bureau,\n"


class DepartmentView(View):
    id: str = Field(description="Id of the department.", examples=["dep_01k9xr3w8q7f5t2n6m4v0c1b8d"])
    code: str = Field(description=_CODE, examples=["522301"])
    name: str = Field(description="Chinese name.", examples=["兴义市"])
    name_en: str = Field(description="English name.", examples=["Xingyi City"])
    parent_id: str | None = Field(description="Id of the department above; null for a root.", examples=[None])
    path: list[str] = Field(description="Ids from the root down to the department itself.")
    version: int = Field(description="Counts the changes, from 1.", examples=[1])


class NewDepartment(Body):
    code: str = Field(description=_CODE, examples=["522399"])
    name: str = Field(description=_NAME, examples=["新设局"])
    name_en: str = Field(description=_NAME_EN, examples=["New Bureau"])
    parent: str | None = Field(
        None, description="Id or code of the department above; null for a root.", examples=[None]
    )


class Renaming(Body):
    name: str | None = Field(None, description=_NAME + " Null leaves it.", examples=["新设局"])
    name_en: str | None = Field(None, description=_NAME_EN + " Null leaves it.", examples=["New Bureau"])


class Move(Body):
    parent: str = Field(description="Id or code of the department it shall lie below.", examples=["522300"])


class Imported(View):
    items: list[DepartmentView] = Field(description="The departments that were registered.")


class BalanceView(View):
    limit: int = Field(description="The most there may be, in the unit of the class.", examples=[400])
    held: int = Field(description="Promised to what is being decided on or set up.", examples=[8])
    used: int = Field(description="In use.", examples=[120])
    free: int = Field(description="What can still be asked for.", examples=[272])


class QuotaLevel(View):
    department: str = Field(description="Id of the department whose limit it is.", examples=["dep_01k9xr3w8q7f"])
    code: str = Field(description=_CODE, examples=["522300"])
    name: str = Field(description="Chinese name.", examples=["黔西南州"])
    balances: dict[str, BalanceView] = Field(
        description="Resource class -> how much of it, in the unit of the class (see `/v1/resources`)."
    )


class QuotaView(View):
    levels: list[QuotaLevel] = Field(description="The department's own quota, then that of each ancestor to the root.")

    @classmethod
    def of(cls, chain: list[Quota]) -> "QuotaView":
        return cls(
            levels=[
                QuotaLevel(
                    department=one.department.id,
                    code=one.department.code,
                    name=one.department.name,
                    balances={name: BalanceView.model_validate(each) for name, each in one.balances.items()},
                )
                for one in chain
            ]
        )


class Limits(Body):
    limits: dict[str, StrictInt] = Field(
        description="Resource class -> the most there may be, in the unit of the class; what is not named stays.",
        examples=[{"vcpu": 400, "memory_gib": 800}],
    )


@routes.get("")
def list_departments(
    caller: CallerDep,
    session: SessionDep,
    below: Annotated[
        str | None, Query(description="Id or code: only this one and what is under it.", examples=["522300"])
    ] = None,
    after: After = None,
    limit: Limit = 50,
) -> Page[DepartmentView]:
    """The departments one can see, by code."""
    found = departments.listed(session, caller, below=below, after=after, limit=limit + 1)
    return page(found, limit, DepartmentView.model_validate, lambda row: row.code)


@routes.post("", status_code=201)
def create_department(new: NewDepartment, caller: CallerDep, session: SessionDep) -> DepartmentView:
    """Register a department."""
    made = departments.create(session, caller, code=new.code, name=new.name, name_en=new.name_en, parent=new.parent)
    return DepartmentView.model_validate(made)


@routes.post("/import", status_code=201)
def import_departments(
    content: Annotated[bytes, InBody(media_type="text/csv", examples=[_CSV], description="The file, UTF-8 or GBK.")],
    caller: CallerDep,
    session: SessionDep,
) -> Imported:
    """Register every department of a CSV file (code, name, name_en, parent_code), or none where a line is wrong."""
    made = department_csv.import_csv(session, caller, content)
    return Imported(items=[DepartmentView.model_validate(one) for one in made])


@routes.get("/{department}")
def show_department(department: str, caller: CallerDep, session: SessionDep) -> DepartmentView:
    """A department, by id or code."""
    return DepartmentView.model_validate(departments.seen_by(session, caller, department))


@routes.patch("/{department}")
def rename_department(
    department: str, new: Renaming, version: IfMatch, caller: CallerDep, session: SessionDep
) -> DepartmentView:
    """Rename a department; its code never changes."""
    renamed = departments.rename(session, caller, department, name=new.name, name_en=new.name_en, version=version)
    return DepartmentView.model_validate(renamed)


@routes.post("/{department}/move")
def move_department(
    department: str, move: Move, caller: CallerDep, session: SessionDep, version: IfMatchGiven = None
) -> DepartmentView:
    """Put a department, with everything below it, below another one."""
    moved = departments.move(session, caller, department, parent=move.parent, version=version)
    return DepartmentView.model_validate(moved)


@routes.get("/{department}/quota")
def show_quota(department: str, caller: CallerDep, session: SessionDep) -> QuotaView:
    """What a department may have and has, and what each department above it has left."""
    return QuotaView.of(quotas.chain_of(session, caller, department))


@routes.put("/{department}/quota")
def set_quota(department: str, new: Limits, caller: CallerDep, session: SessionDep) -> QuotaView:
    """Set the limits of a root; other departments ask their parent by a request."""
    return QuotaView.of(quotas.set_limits(session, caller, department, new.limits))

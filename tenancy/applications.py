"""Applications: what a department may ask for in its own words, and what each kind means for quota and policy."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, WithJsonSchema
from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from cloudctl.kernel import ids
from cloudctl.kernel.errors import Invalid, NotFound, Problem
from cloudctl.kernel.parsing import Faults, MissingField
from tenancy import evidence, keys, ledger, projects, resources, tenancies
from tenancy.callers import POLICY
from tenancy.kinds import AnySpec, Asker, Kind, Plan, Spec
from tenancy.models import Department, Item, Request, Tenancy
from tenancy.policy import Facts
from tenancy.rules import Rules

_SIZE_SCHEMA = {
    "type": "object",
    "additionalProperties": {"type": "integer", "minimum": 1, "maximum": resources.MOST},
    "minProperties": 1,
    "examples": [{"vcpu": 4, "memory_gib": 8, "storage_gib.ssd": 10}],
}


def _all_right(find: Callable[[Any], list[Problem]]) -> AfterValidator:
    """Has all that is wrong with a value found while the application is read, beside whatever else is wrong with it."""

    def check(value: Any) -> Any:
        if faults := find(value):
            raise Faults(faults)
        return value

    return AfterValidator(check)


Size = Annotated[
    dict[str, Any],
    _all_right(lambda size: resources.problems(size, "")),
    WithJsonSchema(_SIZE_SCHEMA),
    Field(description="Amounts by resource class, integers in the class's unit: vcpu, memory_gib, storage_gib.ssd, …"),
]
Keys = Annotated[list[Annotated[str, StringConstraints(strip_whitespace=True)]], _all_right(keys.problems)]
_EXAMPLE = {"kind": "create", "name": "exam-web", "size": {"vcpu": 4, "memory_gib": 8}}
Architecture = Literal["amd64", "arm64", "loong64", "sw64"]


class NameTaken(Invalid):
    """Another tenancy of the project has this name."""


class NothingChanges(Invalid):
    """The new size is the size it has."""


class WrongState(Invalid):
    """The tenancy is not in a state in which this can be asked for."""


class ChangePending(Invalid):
    """Another request that changes the tenancy is under way; names it."""


class NobodyAbove(Invalid):
    """A root has nobody above it to ask for quota: the operator sets its limits."""


class LevelTooHigh(Invalid):
    """A tenancy cannot have a higher security level than its project."""


class ProjectSpec(Spec):
    """A project (an information system); its code is given when it is approved."""

    kind: Literal["project"] = Field("project", description="What is asked for: a project.")
    name: str = Field(min_length=1, max_length=100, description="Its name in Chinese.", examples=["高考查分系统"])
    name_en: str = Field(min_length=1, max_length=100, description="Its name in English.", examples=["Exam Scores"])
    owner: str = Field(min_length=1, max_length=100, description="The person who answers for the system.")
    funding: str = Field(min_length=1, max_length=200, description="Where its money comes from.")
    level: int = Field(ge=1, le=4, description="MLPS security level (GB/T 22239), 1 to 4.")


class QuotaSpec(Spec):
    """Higher limits for the department, asked of its parent."""

    kind: Literal["quota"] = Field("quota", description="What is asked for: quota.")
    limits: Size = Field(description="New limit by resource class; classes that are not named stay as they are.")


class CreateSpec(Spec):
    """A tenancy: an isolated share of compute and storage, or of storage alone."""

    tenants_own = frozenset({"name", "keys"})

    kind: Literal["create"] = Field("create", description="What is asked for: a tenancy.")
    name: str = Field(
        pattern=r"^[a-z][a-z0-9-]{0,38}[a-z0-9]$", description="Name within the project.", examples=["exam-web"]
    )
    size: Size
    architectures: list[Architecture] = Field(
        default=["amd64"],
        min_length=1,
        description="Processor architectures its software runs on; one of them is chosen.",
    )
    zone: str = Field(
        "extranet", min_length=1, max_length=40, description="Network zone, such as extranet or internet."
    )
    level: int | None = Field(None, ge=1, le=4, description="MLPS security level; the project's where absent.")
    keys: Keys = Field(default=[], max_length=20, description="The tenant's own SSH public keys, one a line.")
    term_days: int = Field(365, ge=1, le=3650, description="Length of its term in calendar days.")
    protected: bool = Field(False, description="Whether it is protected from being returned or erased.")


class ResizeSpec(Spec):
    """Another size for a tenancy, larger or smaller."""

    kind: Literal["resize"] = Field("resize", description="What is asked for: another size.")
    tenancy: str = Field(description="Id of the tenancy.", examples=["ten_01kc4y3hq2fwp9s6v7x8z0a1b2"])
    size: Size = Field(description="New amount by resource class; classes that are not named stay as they are.")

    @property
    def about(self) -> str:
        return self.tenancy


class ExtendSpec(Spec):
    """A longer term for a tenancy."""

    kind: Literal["extend"] = Field("extend", description="What is asked for: a longer term.")
    tenancy: str = Field(description="Id of the tenancy.")
    days: int = Field(ge=1, le=3650, description="Calendar days to add to its term.")

    @property
    def about(self) -> str:
        return self.tenancy


class ReturnSpec(Spec):
    """Give a tenancy back: it is quarantined, can be restored for a while, and is then erased."""

    kind: Literal["return"] = Field("return", description="What is asked for: to give it back.")
    tenancy: str = Field(description="Id of the tenancy.")

    @property
    def about(self) -> str:
        return self.tenancy


class Application(BaseModel):
    """One application of a department for one or more items, decided on together or singly."""

    model_config = ConfigDict(extra="forbid", strict=True)

    department: str = Field(description="Id or code of the department that asks.", examples=["522300-jyj"])
    project: str | None = Field(
        None, description="Id or code of the project it is for; none for a new project or quota.", examples=[None]
    )
    purpose: str = Field(min_length=1, max_length=2000, description="What it is needed for.", examples=["高考查分"])
    items: list[AnySpec] = Field(min_length=1, max_length=50, description="What is asked for.", examples=[[_EXAMPLE]])


def new_size(tenancy: Tenancy, wanted: Mapping[str, int]) -> dict[str, int]:
    """The tenancy's size with the named classes changed."""
    return {**tenancy.size, **wanted}


def growth(tenancy: Tenancy, wanted: Mapping[str, int]) -> dict[str, int]:
    """By how much the named classes would grow; classes that do not grow are absent."""
    grown = {resource: amount - tenancy.size.get(resource, 0) for resource, amount in wanted.items()}
    return {resource: amount for resource, amount in grown.items() if amount > 0}


def _plan_project(session: Session, asker: Asker, spec: ProjectSpec) -> Plan:
    problems = projects.faults(**spec.model_dump(exclude={"kind"}))
    for problem in problems:
        problem.field = asker.at(problem.field or "")
    return Plan(Facts("project", level=spec.level), tuple(problems), subject=asker.department.id)


def _start_project(session: Session, rules: Rules, item: Item) -> None:
    spec = ProjectSpec.model_validate(item.spec)
    project = projects.create(
        session,
        POLICY,
        item.request.department_id,
        name=spec.name,
        name_en=spec.name_en,
        owner=spec.owner,
        funding=spec.funding,
        level=spec.level,
    )
    item.subject = project.id


def _plan_quota(session: Session, asker: Asker, spec: QuotaSpec) -> Plan:
    problems: list[Problem]
    if asker.department.parent_id is None:
        problems = [NobodyAbove(field=asker.at("limits"), department=asker.department.name)]
    else:
        problems = _limit_faults(session, asker, asker.department.parent_id, spec.limits)
    return Plan(Facts("quota", size=spec.limits), tuple(problems), subject=asker.department.id)


def _limit_faults(session: Session, asker: Asker, parent: str, limits: Mapping[str, int]) -> list[Problem]:
    """Which limits could not be set now: above the parent's, or below what is held and used."""
    own, name = asker.department.id, asker.department.name
    accounts = ledger.balances(session, [parent, own])
    found: list[Problem] = []
    for resource, limit in limits.items():
        at = f"{asker.at('limits')}.{resource}"
        most = accounts[parent][resource].limit if resource in accounts[parent] else 0
        mine = accounts[own].get(resource, ledger.Balance(0, 0, 0))
        if limit > most:
            names = {"parent": session.get_one(Department, parent).name, "child": name}
            figures = {"resource": resource, "parent_limit": most, "child_limit": limit}
            found.append(ledger.ChildOverParent(field=at, **names, **figures))
        if limit < mine.held + mine.used:
            figures = {"resource": resource, "limit": limit, "held": mine.held, "used": mine.used}
            found.append(ledger.LimitBelowUse(field=at, owner=own, name=name, **figures))
    return found


def _start_quota(session: Session, rules: Rules, item: Item) -> None:
    for resource, limit in QuotaSpec.model_validate(item.spec).limits.items():
        ledger.set_limit(session, item.request.department_id, resource, limit)


def _plan_create(session: Session, asker: Asker, spec: CreateSpec) -> Plan:
    problems: list[Problem] = []
    level = spec.level or (asker.project.level if asker.project else 1)
    if asker.project is None:
        problems.append(MissingField(field="project"))
    else:
        if level > asker.project.level:
            problems.append(LevelTooHigh(field=asker.at("level"), level=level, project=asker.project.level))
        if _is_taken(session, asker, asker.project.id, spec.name):
            problems.append(NameTaken(field=asker.at("name"), name=spec.name, project=asker.project.code))
    return Plan(Facts("create", size=spec.size, level=level), tuple(problems), spec.size, ids.new("ten"))


def _is_taken(session: Session, asker: Asker, project_id: str, name: str) -> bool:
    """Whether a tenancy of the project has the name, or another item asks for it."""
    return bool(session.scalar(_IS_TAKEN, {"project": project_id, "name": name, "but": asker.item or ""}))


_ENDED = ("done", "failed", "refused", "withdrawn")
_HAS_NAME = select(Tenancy.id).where(
    Tenancy.project_id == bindparam("project"),
    Tenancy.name == bindparam("name"),
    Tenancy.state.not_in(tenancies.TENANCY.final),
)
_ASKS_FOR_NAME = (
    select(Item.id)
    .join(Request)
    .where(Request.project_id == bindparam("project"), Item.kind == "create", Item.state.not_in(_ENDED))
    .where(Item.spec["name"].astext == bindparam("name"), Item.id != bindparam("but"))
)
_IS_TAKEN = select(_HAS_NAME.exists() | _ASKS_FOR_NAME.exists())


def _plan_resize(session: Session, asker: Asker, spec: ResizeSpec) -> Plan:
    tenancy, problems = _existing(session, asker, spec.tenancy, "resize")
    if tenancy is None or problems:
        return Plan(Facts("resize", size=spec.size), tuple(problems), subject=spec.tenancy)
    if new_size(tenancy, spec.size) == tenancy.size:
        problems.append(NothingChanges(field=asker.at("size"), size=tenancy.size))
    used = evidence.fresh(session, "usage", tenancy.id)
    facts = Facts(
        "resize",
        size=new_size(tenancy, spec.size),
        current=tenancy.size,
        approved=tenancy.approved_size,
        level=tenancy.level,
        use=used.value if used else None,
    )
    return Plan(facts, tuple(problems), growth(tenancy, spec.size), tenancy.id)


def _plan_extend(session: Session, asker: Asker, spec: ExtendSpec) -> Plan:
    tenancy, problems = _existing(session, asker, spec.tenancy, "extend")
    return Plan(Facts("extend", level=tenancy.level if tenancy else 1), tuple(problems), subject=spec.tenancy)


def _start_extend(session: Session, rules: Rules, item: Item) -> None:
    spec = ExtendSpec.model_validate(item.spec)
    tenancy = tenancies.get(session, spec.tenancy, lock=True)
    if tenancy.state not in (*_ALLOWED["extend"], "changing"):  # it was taken back while somebody decided
        raise _wrong_state(tenancy, "extend", f"items.{item.position}.tenancy")
    tenancies.extend(session, POLICY, spec.tenancy, spec.days)


def _plan_return(session: Session, asker: Asker, spec: ReturnSpec) -> Plan:
    tenancy, problems = _existing(session, asker, spec.tenancy, "return")
    if tenancy and tenancy.protected:
        problems.append(tenancies.Protected(field=asker.at("tenancy"), tenancy=tenancy.id, name=tenancy.name))
    return Plan(Facts("return"), tuple(problems), subject=spec.tenancy)


def _wrong_state(tenancy: Tenancy, kind: str, field: str) -> WrongState:
    return WrongState(field=field, tenancy=tenancy.id, state=tenancy.state, allowed=list(_ALLOWED[kind]))


_ALLOWED = {"resize": ("active",), "extend": ("active", "suspended"), "return": ("active", "suspended")}


def _existing(session: Session, asker: Asker, tenancy_id: str, kind: str) -> tuple[Tenancy | None, list[Problem]]:
    """The tenancy an item is about, if it is the department's and in a state in which the kind can be asked for."""
    try:
        tenancy = tenancies.seen_by(session, asker.caller, tenancy_id)
        if tenancy.department_id != asker.department.id:
            raise tenancies.NoSuchTenancy(tenancy=tenancy_id)
    except NotFound as problem:
        problem.field = asker.at("tenancy")
        return None, [problem]
    if tenancy.state not in _ALLOWED[kind]:
        return tenancy, [_wrong_state(tenancy, kind, asker.at("tenancy"))]
    if kind != "extend" and (number := _pending_change(session, asker, tenancy.id)):
        return tenancy, [
            ChangePending(field=asker.at("tenancy"), tenancy=tenancy.id, name=tenancy.name, request=number)
        ]
    return tenancy, []


def _pending_change(session: Session, asker: Asker, tenancy_id: str) -> str | None:
    """The number of the request under way that resizes or returns the tenancy.

    Two at once would each be measured, and held, against a size that the other one changes.
    """
    changing = Item.subject == tenancy_id, Item.kind.in_(["resize", "return"]), Item.state.not_in(_ENDED)
    other = select(Request.number).join(Item).where(*changing, Item.id != (asker.item or ""))
    return session.scalar(other.limit(1))


PROJECT = Kind("project", ProjectSpec, _plan_project, _start_project)
QUOTA = Kind("quota", QuotaSpec, _plan_quota, _start_quota)
CREATE = Kind("create", CreateSpec, _plan_create)
RESIZE = Kind("resize", ResizeSpec, _plan_resize)
EXTEND = Kind("extend", ExtendSpec, _plan_extend, _start_extend)
RETURN = Kind("return", ReturnSpec, _plan_return)

"""Kinds of request items: what each asks for, what it holds, and what its approval starts.

This room registers its own (`applications.py`); orders, campaigns and reclaim are registered by the roof.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema
from sqlalchemy.orm import Session

from cloudctl.kernel.errors import Problem
from tenancy.callers import Caller
from tenancy.models import Department, Item, Project
from tenancy.policy import Facts
from tenancy.rules import Rules


class Spec(BaseModel):
    """What an item asks for; every kind has its own fields. `tenants_own` are those that no approver may change."""

    tenants_own: ClassVar[frozenset[str]] = frozenset()

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    kind: str = Field(description="What is asked for.")

    @property
    def about(self) -> str | None:
        """The tenancy it would change, where there is one already."""
        return None


@dataclass(frozen=True)
class Asker:
    """Who asks, for which department and project.

    `field` is the item's path in the application; `item` is its id, where it was submitted before.
    """

    caller: Caller
    department: Department
    project: Project | None
    field: str
    item: str | None = None

    def at(self, name: str) -> str:
        return f"{self.field}.{name}"


@dataclass(frozen=True)
class Plan:
    """What one item would mean: what is wrong with it, what policy may look at, what it holds and what it is about."""

    facts: Facts
    problems: tuple[Problem, ...] = ()
    quota: Mapping[str, int] = field(default_factory=dict)
    subject: str | None = None


@dataclass(frozen=True)
class Kind:
    """A kind of item.

    `plan` looks and never writes. `start` runs in the transaction of the approval, `leave` when an approved
    item is withdrawn while it waits. `fits` says whether some pool has room now, `why_not` (slug and figures) what
    hinders it where none has; None where no pool is asked.
    """

    name: str
    schema: type[Spec]
    plan: Callable[[Session, Asker, Any], Plan]
    start: Callable[[Session, Rules, Item], None] | None = None
    leave: Callable[[Session, Item], None] | None = None
    fits: Callable[[Session, Item], bool] | None = None
    why_not: Callable[[Session, Item], dict[str, Any]] | None = None


KINDS: dict[str, Kind] = {}


def register(*kinds: Kind) -> None:
    """Make kinds known; called by the roof at start, which has completed them with what their approval starts."""
    if unfinished := [kind.name for kind in kinds if kind.start is None]:
        raise ValueError(f"nobody has said what the approval of these starts: {unfinished}")
    KINDS.update({kind.name: kind for kind in kinds})


class _OfAnyKind:
    """How pydantic reads and documents an item of whatever kind is registered: `kind`, and that kind's own fields."""

    @staticmethod
    def _read(raw: Any) -> Spec:
        if isinstance(raw, Spec):
            return raw
        kind = raw.get("kind") if isinstance(raw, dict) else None
        if kind not in KINDS:
            raise PydanticCustomError("kind", "one of {known}", {"known": ", ".join(sorted(KINDS))})
        return KINDS[kind].schema.model_validate(raw)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(cls._read)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        branches = {name: handler(kind.schema.__pydantic_core_schema__) for name, kind in sorted(KINDS.items())}
        mapping = {name: branch["$ref"] for name, branch in branches.items() if "$ref" in branch}
        return {"oneOf": list(branches.values()), "discriminator": {"propertyName": "kind", "mapping": mapping}}


AnySpec = Annotated[Spec, _OfAnyKind()]

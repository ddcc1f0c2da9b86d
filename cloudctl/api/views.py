"""What goes in and out: the two kinds of model, pages with cursors, versions, and answers that hold a secret."""

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from typing import Annotated, Any, ClassVar, Generic, TypeVar

from fastapi import Header, Query
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

Row = TypeVar("Row")
Shown = TypeVar("Shown", bound="View")


class View(BaseModel):
    """What is answered. A model with a field `version` is answered with that version as its ETag."""

    model_config = ConfigDict(from_attributes=True, frozen=True)


class Body(BaseModel):
    """What is asked: a field that nobody knows is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_max_length=10_000)


class Disclosure(View):
    """An answer of which the fields in `once` are told this one time: a replay has null there."""

    once: ClassVar[tuple[str, ...]]

    def without_secrets(self) -> "Disclosure":
        return self.model_copy(update=dict.fromkeys(self.once))


class Page(View, Generic[Shown]):
    """Part of a list."""

    items: list[Shown] = Field(description="The entries, in the order of the list.")
    next: str | None = Field(
        description="Cursor of the next part, to be given as `after`; null where this is the last one.",
        examples=["IjUyMjMwMSI"],
    )


def page(
    found: Sequence[Row], limit: int, show: Callable[[Row], Shown], key: Callable[[Row], str | int]
) -> Page[Shown]:
    """The first `limit` of what was found; of a list that was asked for one more than that, so that its end shows.

    Args:
        key: what the verb that lists takes as `after`.
    """
    part = found[:limit]
    more = len(found) > limit
    return Page(items=[show(row) for row in part], next=_cursor(key(part[-1])) if more else None)


def _cursor(key: str | int) -> str:
    return base64.urlsafe_b64encode(json.dumps(key, ensure_ascii=False).encode()).decode().rstrip("=")


def _key_of(cursor: str, kind: type) -> Any:
    if len(cursor) > _LONGEST:
        raise PydanticCustomError("cursor", "not a cursor that this list has given out")
    try:
        key = json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
    except (ValueError, binascii.Error, RecursionError):
        key = None
    if type(key) is not kind or (isinstance(key, int) and not 0 <= key < 2**63) or "\0" in str(key):
        raise PydanticCustomError("cursor", "not a cursor that this list has given out")
    if isinstance(key, str) and not key.isprintable():  # half characters cannot be looked up
        raise PydanticCustomError("cursor", "not a cursor that this list has given out")
    return key


_AFTER = "Cursor: the `next` of the part before this one."
_LONGEST = 400

Limit = Annotated[int, Query(ge=1, le=200, description="Most entries of one part.", examples=[50])]

After = Annotated[
    str | None, Query(description=_AFTER, max_length=_LONGEST), AfterValidator(lambda c: c and _key_of(c, str))
]
"""The cursor of a list that is ordered by a text: the key itself once it is read."""

AfterNumber = Annotated[
    int | None,
    Query(description=_AFTER),
    BeforeValidator(
        lambda c: c and _key_of(c, int), json_schema_input_type=Annotated[str, Field(max_length=_LONGEST)] | None
    ),
]
"""The same of a list that is ordered by a number."""


def _version(etag: Any) -> Any:
    tag = str(etag).strip().removeprefix("W/").strip('"')
    if not (tag.isascii() and tag.isdigit() and len(tag) < 19):
        raise PydanticCustomError("etag", "not an ETag of ours: the version in quotes, as an answer's ETag has it")
    return int(tag)


_IF_MATCH = Header(
    alias="If-Match", description="ETag of the version that the caller has seen; refused (412) where it is another now."
)

IfMatch = Annotated[int, _IF_MATCH, BeforeValidator(_version, json_schema_input_type=str)]
"""The version that a change is made to; without it the change is refused (428)."""

IfMatchGiven = Annotated[
    int | None, _IF_MATCH, BeforeValidator(lambda e: e and _version(e), json_schema_input_type=str | None)
]
"""The same where the header may be left out."""

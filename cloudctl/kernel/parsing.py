"""Input into models: what pydantic finds wrong becomes problems that name the field, the rule and what was given."""

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from cloudctl.kernel.errors import Invalid, Problem, all_or_none

Model = TypeVar("Model", bound=BaseModel)


class MissingField(Invalid):
    """A field that is required is not there."""


class UnknownField(Invalid):
    """A field that nobody knows: a misspelling, most often."""


class BadValue(Invalid):
    """A field has a value that its rule does not allow."""


def parsed(model: type[Model], raw: Any, field: str = "") -> Model:
    """`raw` as `model`.

    Raises:
        Several: every field that is wrong (or the one problem itself), below the path `field`.
    """
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        all_or_none(problems_of(error.errors(), field))
        raise


def problems_of(errors: Iterable[Mapping[str, Any]], field: str = "") -> list[Problem]:
    """The problems in pydantic's list of errors; what was given is shortened, and never shown for secrets."""
    found: list[Problem] = []
    for error in errors:
        path = ".".join(filter(None, [field, *map(str, error["loc"])]))
        if error["type"] == "missing":
            found.append(MissingField(field=path))
        elif error["type"] == "extra_forbidden":
            found.append(UnknownField(field=path))
        else:
            limits = {
                name: value for name, value in error.get("ctx", {}).items() if isinstance(value, int | float | str)
            }
            given = str(error.get("input"))[:80]
            found.append(BadValue(field=path, rule=error["type"], given=given, explanation=error["msg"], **limits))
    return found

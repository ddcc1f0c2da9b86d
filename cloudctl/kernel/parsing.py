"""Input into models: what pydantic finds wrong becomes problems that name the field, the rule and what was given."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from cloudctl.kernel.errors import Invalid, Problem, all_or_none

Model = TypeVar("Model", bound=BaseModel)

RULES = frozenset(
    {
        "string_type",
        "string_too_short",
        "string_too_long",
        "string_pattern_mismatch",
        "int_type",
        "int_parsing",
        "int_from_float",
        "float_type",
        "float_parsing",
        "bool_type",
        "bool_parsing",
        "list_type",
        "dict_type",
        "model_type",
        "model_attributes_type",
        "too_short",
        "too_long",
        "greater_than",
        "greater_than_equal",
        "less_than",
        "less_than_equal",
        "literal_error",
        "datetime_type",
        "datetime_parsing",
        "datetime_from_date_parsing",
        "timezone_aware",
        "kind",
        "cursor",
        "etag",
    }
)
"""What pydantic calls the rules that have a sentence of their own, `rule-…`."""


class MissingField(Invalid):
    """A field that is required is not there."""


class UnknownField(Invalid):
    """A field that nobody knows: a misspelling, most often."""


class BadValue(Invalid):
    """A field has a value that its rule does not allow."""


class Faults(ValueError):
    """What a validator of ours found. Its problems are told beside pydantic's, with their fields below the value's."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__([problem.slug for problem in problems])
        self.problems = problems


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
        ours = error.get("ctx", {}).get("error")
        if isinstance(ours, Faults):
            for problem in ours.problems:
                problem.field = ".".join(filter(None, [path, problem.field]))
                found.append(problem)
        elif error["type"] == "missing":
            found.append(MissingField(field=path))
        elif error["type"] == "extra_forbidden":
            found.append(UnknownField(field=path))
        else:
            limits = {
                name: value for name, value in error.get("ctx", {}).items() if isinstance(value, int | float | str)
            }
            given = str(error.get("input"))[:80]
            found.append(BadValue(field=path, rule=error["type"], given=given, explanation=_explained(error, limits)))
    return found


def _explained(error: Mapping[str, Any], limits: dict[str, Any]) -> dict[str, Any]:
    """The rule that was broken, as slug and figures; of the rarer ones, in pydantic's own words."""
    if error["type"] not in RULES:
        return {"slug": "rule-other", "figures": {"words": error["msg"]}}
    expected = str(limits.get("expected", "")).replace(" or ", ", ").replace("'", "")
    return {"slug": f"rule-{error['type'].replace('_', '-')}", "figures": {**limits, "expected": expected}}

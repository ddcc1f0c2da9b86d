"""Problems carry a slug and figures, survive being sent to another process, and are told together."""

import pickle
from typing import Any

import pytest

from cloudctl.kernel.errors import Exhausted, Invalid, Outdated, Problem, Several, all_or_none, must_be_at


class OverTheMoon(Exhausted):
    """The cow jumped too high."""

    def __init__(self, cow: str, height: int) -> None:
        super().__init__(cow=cow, height=height, field="cow.height")


@pytest.mark.parametrize(
    ("name", "slug"),
    [("OverLimit", "over-limit"), ("NotADelegate", "not-a-delegate"), ("BadURL", "bad-url"), ("Lost", "lost")],
)
def test_the_slug_is_the_name_of_the_class(name: str, slug: str) -> None:
    assert type(name, (Problem,), {}).slug == slug  # type: ignore[attr-defined]


def test_a_problem_tells_its_figures_and_the_field_to_blame() -> None:
    problem = OverTheMoon("Bessie", 384_400)
    assert (problem.slug, problem.field, problem.figures) == (
        "over-the-moon",
        "cow.height",
        {"cow": "Bessie", "height": 384_400},
    )


def test_a_problem_comes_out_of_another_process_as_it_went_in() -> None:
    sent: Any = pickle.loads(pickle.dumps(OverTheMoon("Bessie", 1)))
    assert (type(sent), sent.field, sent.figures) == (OverTheMoon, "cow.height", {"cow": "Bessie", "height": 1})


def test_no_problem_is_no_error() -> None:
    all_or_none([])


def test_one_problem_is_told_as_itself() -> None:
    with pytest.raises(OverTheMoon):
        all_or_none([OverTheMoon("Bessie", 1)])


def test_several_problems_are_told_together() -> None:
    found: list[Problem] = [OverTheMoon("Bessie", 1), Invalid(field="b")]
    with pytest.raises(Several) as told:
        all_or_none(found)
    assert told.value.problems == found
    assert told.value.figures == {"count": 2}


@pytest.mark.parametrize("expected", [None, 3])
def test_whoever_saw_this_version_or_named_none_may_change_it(expected: int | None) -> None:
    must_be_at(expected, 3)


def test_whoever_saw_an_older_version_is_told_both() -> None:
    with pytest.raises(Outdated) as refused:
        must_be_at(2, 3)
    assert refused.value.figures == {"expected": 2, "version": 3}

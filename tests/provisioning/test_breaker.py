"""When a pool is believed, and what a confirmation covers."""

import pytest

from provisioning import breaker
from provisioning.breaker import Found


def found(*wrong: str, of: int = 100, empty: tuple[str, ...] = (), complete: bool = True) -> Found:
    return Found(frozenset(wrong), of, frozenset(empty), complete)


def confirmed(opened):
    return {**opened, "confirmed_by": "operator"}


NINE = tuple("abcdefghi")


@pytest.mark.parametrize(
    ("look", "believed"),
    [
        (found(), True),
        (found("a", of=1), True),
        (found("a", "b", of=3), False),
        (found(*"abcde"), True),
        (found(*"abcdef"), False),
        (found(empty=("s1",)), False),
    ],
)
def test_a_single_one_is_believed_and_many_at_once_or_an_empty_answer_are_not(look, believed):
    assert (breaker.after(None, look, 5) is None) == believed


def test_it_stays_open_since_the_same_moment_while_what_is_wrong_changes():
    opened = breaker.after(None, found(*NINE), 5)
    worse = breaker.after(opened, found(*NINE, "z"), 5)
    assert (worse["since"], worse["confirmed_by"]) == (opened["since"], None)
    assert worse["digest"] != opened["digest"]
    assert breaker.after(worse, found("a"), 5) is None


def test_a_confirmation_lasts_until_what_was_confirmed_is_right():
    opened = confirmed(breaker.after(None, found(*NINE), 5))
    assert breaker.after(opened, found("a", "b"), 5)["confirmed_by"] == "operator"
    assert breaker.after(opened, found(), 5) is None


def test_few_new_ones_beside_those_confirmed_are_believed_as_ever():
    opened = confirmed(breaker.after(None, found(*NINE), 5))
    assert breaker.after(opened, found(*NINE, "x", "y"), 5)["confirmed_by"] == "operator"


@pytest.mark.parametrize("later", [found(*NINE, *"tuvwxyz"), found("a", empty=("s2",))])
def test_another_disaster_waits_for_another_confirmation(later):
    again = breaker.after(confirmed(breaker.after(None, found(*NINE), 5)), later, 5)
    assert again["confirmed_by"] is None
    assert set(later.wrong) <= set(again["wrong"])


def test_of_a_place_that_does_not_answer_nothing_is_taken_back():
    opened = breaker.after(None, found(*NINE, empty=("s1",)), 5)
    silent = breaker.after(opened, found(of=10, complete=False), 5)
    assert (silent["wrong"], silent["empty"]) == (list(NINE), ["s1"])

"""A lifecycle allows what its table says, and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudctl.kernel.lifecycle import Lifecycle, NotAllowed

LAMP = Lifecycle(
    "lamp", {"off": {"switch": "on", "break": "broken"}, "on": {"switch": "off", "break": "broken"}, "broken": {}}
)
EVENTS = ("switch", "break", "paint")


def test_a_move_in_the_table_leads_where_it_says() -> None:
    assert LAMP.next("off", "switch") == "on"


def test_a_move_that_is_not_in_the_table_names_those_that_are() -> None:
    with pytest.raises(NotAllowed) as refused:
        LAMP.next("on", "paint")
    assert refused.value.figures == {
        "lifecycle": "lamp",
        "state": "on",
        "event": "paint",
        "allowed": ["break", "switch"],
    }


@given(st.lists(st.sampled_from(EVENTS)))
def test_whatever_happens_the_state_is_one_of_the_table_and_final_states_stay(events: list[str]) -> None:
    state = LAMP.initial
    for event in events:
        if LAMP.allows(state, event):
            assert state not in LAMP.final
            state = LAMP.next(state, event)
        else:
            with pytest.raises(NotAllowed):
                LAMP.next(state, event)
        assert state in LAMP.table


def test_the_first_state_is_the_initial_one_and_those_without_moves_are_final() -> None:
    assert (LAMP.initial, LAMP.final) == ("off", {"broken"})


def test_a_table_whose_moves_lead_nowhere_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="lost"):
        Lifecycle("lamp", {"off": {"switch": "lost"}})


def test_the_diagram_shows_every_move_and_both_ends() -> None:
    assert Lifecycle("lamp", {"off": {"break": "broken"}, "broken": {}}).mermaid() == (
        "stateDiagram-v2\n    [*] --> off\n    off --> broken: break\n    broken --> [*]"
    )

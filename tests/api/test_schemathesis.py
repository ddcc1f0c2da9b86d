"""The API against its own document: what is documented is answered, and no input makes the platform fail."""

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.generation import GenerationMode
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.api.cases import CASES, perform
from tests.api.conftest import Rehearsal
from tests.api.world import ROLES

CHECKS = [status_code_conformance, content_type_conformance, response_schema_conformance]
EXAMPLES = 4  # an operation and a mode
NOT_TRIED = {
    ("GET /healthz", GenerationMode.NEGATIVE),  # it has no input
    *(("POST /v1/requests/{request}/attachments", mode) for mode in GenerationMode),  # the client fails on such forms
}

NEED_PROMETHEUS = {"GET /v1/tenancies/{tenancy}/query", "GET /v1/tenancies/{tenancy}/query_range"}
"""Reached on a real one in tests/monitoring/test_watch.py; there is none here."""


OF_ENGINES = {"POST /v1/engines/{engine}/exchange"}
"""Reached by engines, whose token is nobody's, in tests/loadtests/test_remote.py."""


@pytest.fixture(scope="module")
def document(rehearsal: Rehearsal) -> Iterator[Any]:
    with rehearsal() as world:
        yield schemathesis.openapi.from_asgi("/openapi.json", world.app)


def operation(document: Any, name: str) -> APIOperation:
    method, path = name.split()
    return document[path][method]


@pytest.mark.parametrize("name", [name for name in CASES if name not in NEED_PROMETHEUS | OF_ENGINES])
def test_every_operation_is_reached_and_answers_as_documented(rehearsal: Rehearsal, document: Any, name: str) -> None:
    role = next(role for role, status in zip(ROLES, CASES[name].statuses.split(), strict=True) if status < "300")
    with rehearsal() as world:
        answer = perform(world, role, name, world.a)
        assert 200 <= answer.status_code < 300, answer.text
        case = operation(document, name).Case(media_type="application/json")
        case.validate_response(answer, checks=CHECKS)


@pytest.mark.parametrize(
    ("name", "mode"),
    [(name, mode) for name in CASES for mode in GenerationMode if (name, mode) not in NOT_TRIED],
    ids=lambda one: one.name.lower() if isinstance(one, GenerationMode) else one,
)
def test_no_input_makes_the_platform_fail(rehearsal: Rehearsal, document: Any, name: str, mode: GenerationMode) -> None:
    asked = operation(document, name)

    @given(case=asked.as_strategy(mode), role=st.sampled_from(ROLES), known=st.booleans())
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def fails_nowhere(case: Any, role: str, known: bool) -> None:
        with rehearsal() as world:
            if known:  # else only ids that nobody has would be asked for
                for place in case.path_parameters or {}:
                    case.path_parameters[place] = world.a.get(place, "")
            call = case.as_transport_kwargs(headers={"Authorization": f"Bearer {world.secrets[role]}"})
            answer = world.http.request(**call)
            assert answer.status_code < 500, answer.text
            case.validate_response(answer, checks=CHECKS)

    fails_nowhere()

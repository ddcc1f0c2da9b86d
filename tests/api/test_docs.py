"""The API's description: complete, true to OpenAPI 3.1, and shown without asking any other machine."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.api.conftest import Rehearsal


@pytest.fixture(scope="module")
def document(rehearsal: Rehearsal) -> dict[str, Any]:
    with rehearsal() as world:
        answer = world.call(None, "GET", "/openapi.json")
    found: dict[str, Any] = answer.json()
    return found


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def test_it_is_openapi_3_1(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"


def test_every_field_is_described(document: dict[str, Any]) -> None:
    silent = [
        f"{name}.{field}"
        for name, schema in document["components"]["schemas"].items()
        for field, about in schema.get("properties", {}).items()
        if not about.get("description") and not name.startswith("Body_")
    ]
    assert silent == []


def test_every_parameter_but_a_place_in_the_path_is_described(document: dict[str, Any]) -> None:
    silent = [
        f"{name} {parameter['name']}"
        for name, operation in operations(document)
        for parameter in operation.get("parameters", [])
        if parameter["in"] != "path" and not parameter.get("description")
    ]
    assert silent == []


def test_every_operation_says_what_it_does_who_may_ask_and_how_it_refuses(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        assert operation["description"], name
        assert "security" in operation, name
        assert {"4XX", "5XX"} <= set(operation["responses"]), name
        if name.startswith("POST"):
            assert "Idempotency-Key" in [each["name"] for each in operation["parameters"]], name


def test_every_body_has_an_example(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    bare = []
    for name, operation in operations(document):
        for media in operation.get("requestBody", {}).get("content", {}).values():
            schema = schemas.get(media["schema"].get("$ref", "").rpartition("/")[2], media["schema"])
            required = [schema["properties"][field] for field in schema.get("required", [])]
            if not all(
                "examples" in field or "$ref" in str(field) or "octet-stream" in str(field) for field in required
            ):
                bare.append(name)
    assert bare == []


def test_the_page_asks_no_other_machine(rehearsal: Rehearsal) -> None:
    with rehearsal() as world:
        page = world.call(None, "GET", "/docs").text
        asked = re.findall(r'(?:src|href)="([^"]+)"', page)
        assert len(asked) == 3
        for address in asked:
            assert address.startswith("/docs/")
            assert len(world.call(None, "GET", address).content) > 1000
        assert "url: '/openapi.json'" in page
        assert "://" not in page
        assert world.call(None, "GET", "/docs/other.js").status_code == 404

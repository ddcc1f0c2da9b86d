"""The rules of the rooms: no module is named after nothing, and no room asks of what kind another room's thing is."""

import ast
from pathlib import Path

import pytest

HERE = Path(__file__).parent.parent
ROOMS = ("cloudctl", "tenancy", "provisioning", "monitoring", "loadtests")
SOURCES = [path for room in ROOMS for path in sorted((HERE / room).rglob("*.py")) if "versions" not in path.parts]
KINDS = {"project", "quota", "create", "resize", "extend", "return"}
OWN_ROOM = HERE / "tenancy" / "applications.py"
SAYS_NOTHING = {"service", "services", "manager", "utils", "util", "helpers", "base", "common", "misc", "handlers"}


def asks_of_what_kind(tree: ast.AST) -> list[int]:
    """The lines that compare something called `kind` with a kind of item or of operation."""

    def is_kind(node: ast.AST) -> bool:
        return (isinstance(node, ast.Name) and node.id == "kind") or (
            isinstance(node, ast.Attribute) and node.attr == "kind"
        )

    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Compare)
        and any(is_kind(side) for side in (node.left, *node.comparators))
        and any(
            isinstance(side, ast.Constant) and (side.value in KINDS or str(side.value).startswith("tenancy."))
            for side in (node.left, *node.comparators)
        )
    ]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(HERE)))
def test_nobody_asks_of_what_kind_something_is(path: Path) -> None:
    if path != OWN_ROOM:
        assert asks_of_what_kind(ast.parse(path.read_text())) == []


def test_the_question_would_be_found() -> None:
    assert asks_of_what_kind(ast.parse("if item.kind == 'create':\n    pass")) == [1]


def test_every_module_is_named_after_something() -> None:
    assert [path for path in SOURCES if path.stem in SAYS_NOTHING] == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(HERE)))
def test_every_module_opens_with_what_it_is_about(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text()))

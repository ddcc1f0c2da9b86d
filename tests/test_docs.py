"""The documentation says what the code says."""

import re
from pathlib import Path

import pytest

from tests import dashboards, reference

HERE = Path(__file__).parent.parent
PROSE = [HERE / "README.md", *sorted((HERE / "docs").rglob("*.md"))]


@pytest.mark.parametrize("name", reference.PARTS)
def test_what_is_made_from_the_code_is_current(name: str) -> None:
    written = (reference.DOCS / name).read_text(encoding="utf-8")
    assert written == reference.page(name), "run: make docs"


def test_the_document_of_the_api_is_current() -> None:
    written = (reference.DOCS / "openapi.json").read_text(encoding="utf-8")
    assert written == reference.openapi(), "run: make docs"


@pytest.mark.parametrize("name", dashboards.BOARDS)
def test_the_dashboards_are_current(name: str) -> None:
    assert (dashboards.FOLDER / f"{name}.json").read_text(encoding="utf-8") == dashboards.written(name), (
        "run: make docs"
    )


@pytest.mark.parametrize("page", PROSE, ids=lambda page: str(page.relative_to(HERE)))
def test_every_link_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PROSE, ids=lambda page: str(page.relative_to(HERE)))
def test_every_command_that_is_named_exists(page: Path) -> None:
    known = {" ".join(words) for words, _ in reference.every_command(reference.get_command(reference.command_line))}
    named = re.findall(r"cloudctl ((?:admin|[a-z]+)(?: [a-z]+){0,2})", page.read_text(encoding="utf-8"))
    nouns = {words.split()[0] for words in known}
    for words in named:
        if words.split()[0] in nouns:
            assert any(f"{words} ".startswith(f"{one} ") or one.startswith(words) for one in known), words


def test_every_target_of_the_makefile_that_is_named_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (HERE / "Makefile").read_text(), re.MULTILINE))
    for page in PROSE:
        assert set(re.findall(r"`make ([a-z-]+)`", page.read_text(encoding="utf-8"))) <= targets


def test_a_decision_is_at_most_50_lines() -> None:
    lengths = {page.name: len(page.read_text().splitlines()) for page in (HERE / "docs/decisions").glob("*.md")}
    assert lengths
    assert {name: lines for name, lines in lengths.items() if lines > 50} == {}


def test_ci_runs_the_command_that_the_readme_names() -> None:
    readme = (HERE / "README.md").read_text(encoding="utf-8")
    assert "make test" in readme
    assert "make test" in (HERE / ".ci" / "run").read_text()

"""Both languages say the same, every problem and event has its sentence, and rendering never fails."""

import ast
import importlib
import pkgutil
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from string import Formatter
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from cloudctl.kernel import messages
from cloudctl.kernel.errors import Problem
from cloudctl.kernel.operations import OPERATION
from provisioning import pools
from tenancy import callers, requests, tenancies

PACKAGES = ("cloudctl", "tenancy", "provisioning", "monitoring", "loadtests")
LANGUAGES: tuple[messages.Language, ...] = ("zh", "en")


def tables(language: str) -> dict[str, Any]:
    return tomllib.loads((resources.files(messages) / f"{language}.toml").read_text(encoding="utf-8"))


def strings(table: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from strings(value, (*path, key))
        else:
            yield (*path, key), value


def sentences(language: str) -> list[tuple[str, str]]:
    rooms = [room.get("sentences", {}) for name, room in tables(language).items() if name != "resources"]
    return [(slug, sentence) for room in rooms for slug, sentence in room.items()]


def placeholders(sentence: str) -> set[tuple[str, str]]:
    return {(name, spec or "") for _, name, spec, _ in Formatter().parse(sentence) if name is not None}


def modules() -> Iterator[str]:
    for package in map(importlib.import_module, PACKAGES):
        for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            if not any(part in found.name for part in (".versions.", ".engine", ".env", "__main__")):
                yield found.name


def sources() -> Iterator[tuple[str, ast.AST]]:
    """Every place in the code, as file and line, with what stands there."""
    folders = [folder for package in PACKAGES for folder in importlib.import_module(package).__path__]
    for file in (file for folder in folders for file in Path(folder).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            yield f"{file}:{getattr(node, 'lineno', 0)}", node


def raised() -> set[str]:
    """The names of all classes that are raised where they are made."""
    made = (node.exc.func for _, node in sources() if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call))
    return {ast.unparse(name).split(".")[-1] for name in made}


def problems(kind: type[Problem], named: set[str]) -> Iterator[type[Problem]]:
    """The problems that people can meet: those that nothing is derived from, and those that are raised themselves."""
    below = kind.__subclasses__()
    if kind.__module__.split(".")[0] in PACKAGES and (not below or kind.__name__ in named):
        yield kind
    for one in below:
        yield from problems(one, named)


def written_slugs() -> Iterator[tuple[str, str]]:
    """Every slug that stands literally in a call that records an event or gives a reason."""
    for where, node in sources():
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func).split(".")[-2:]
        at = {"record": 2, "RetryLater": 0, "GiveUp": 0}.get(called[-1])
        if at is None or (called[-1] == "record" and called[0] != "events") or len(node.args) <= at:
            continue
        slug = node.args[at]
        if isinstance(slug, ast.Constant) and isinstance(slug.value, str):
            yield slug.value, where


def test_both_languages_have_the_same_keys_and_placeholders() -> None:
    zh, en = dict(strings(tables("zh"))), dict(strings(tables("en")))
    assert set(zh) == set(en)
    assert {key: placeholders(zh[key]) for key in zh} == {key: placeholders(en[key]) for key in en}


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_slug_has_one_sentence(language: str) -> None:
    slugs = [slug for slug, _ in sentences(language)]
    assert len(slugs) == len(set(slugs)), {slug for slug in slugs if slugs.count(slug) > 1}


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_word_means_the_same_in_every_room(language: str) -> None:
    meanings: dict[str, set[str]] = {}
    for name, room in tables(language).items():
        for word, meaning in room.get("words", {}).items() if name != "resources" else ():
            meanings.setdefault(word, set()).add(meaning)
    assert {word: found for word, found in meanings.items() if len(found) > 1} == {}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_problem_has_a_sentence(language: str) -> None:
    for module in modules():
        importlib.import_module(module)
    told = dict(sentences(language))
    assert sorted({problem.slug for problem in problems(Problem, raised())} - set(told)) == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_slug_written_in_the_code_has_a_sentence(language: str) -> None:
    told = dict(sentences(language))
    assert [(slug, where) for slug, where in written_slugs() if slug not in told] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_sentence_fails_whatever_its_figures_are(language: messages.Language) -> None:
    for slug, sentence in sentences(language):
        names = {name for name, _ in placeholders(sentence)}
        for value in (None, 7, 1.5, True, "text {with} braces", ["a", 1], {"vcpu": 4}, {"slug": "lost", "figures": {}}):
            assert messages.render(slug, dict.fromkeys(names, value), language)
        assert ("…" in messages.render(slug, {}, language)) == bool(names), slug


def test_a_refused_move_is_told_in_words() -> None:
    figures = {"lifecycle": "operation", "state": "parked", "event": "finish", "allowed": ["resolve", "retry"]}
    assert messages.render("not-allowed", figures, "en") == (
        "The operation is parked; it cannot finish from there. Possible now: resolve, retry."
    )
    assert messages.render("not-allowed", figures, "zh") == (
        "操作目前为“待人工处理”，不能执行“完成”。目前可以：人工裁定、重试。"
    )


@pytest.mark.parametrize(
    ("figure", "language", "told"),
    [
        ({"memory_gib": 8, "vcpu": 4}, "en", "4 vCPU, 8 GiB memory"),
        ({"memory_gib": 8, "vcpu": 4}, "zh", "4 核 vCPU、8 GiB 内存"),
        ({"storage_gib.ssd": 10, "npu": 2}, "en", "10 GiB SSD storage, npu 2"),
        (0.30000000000000004, "en", "0.3"),
        (True, "zh", "是"),
        (None, "en", "—"),
        (["a", "b"], "zh", "a、b"),
        ([], "en", "—"),
        ({}, "zh", "：—"),
        ({"slug": "lost", "figures": {"step": "run"}}, "en", "the worker died in step run, which may not be repeated"),
    ],
)
def test_a_figure_is_written_out_for_people(figure: Any, language: messages.Language, told: str) -> None:
    assert messages.render("operation-undone", {"reason": figure}, language).endswith(told)


@pytest.fixture
def in_shanghai() -> Iterator[None]:
    """Sentences tell times as the authority's clocks do."""
    messages.tell_times_in(ZoneInfo("Asia/Shanghai"))
    yield
    messages.tell_times_in(None)


@pytest.mark.parametrize(
    ("zone", "told"),
    [
        ("Asia/Shanghai", "2026-03-02 23:59 +08"),
        ("UTC", "2026-03-02 15:59 UTC"),
        ("Asia/Kolkata", "2026-03-02 21:29 +05:30"),
        ("America/Lima", "2026-03-02 10:59 -05"),
    ],
)
def test_a_moment_is_told_with_its_zone(zone: str, told: str) -> None:
    assert messages.moment(datetime(2026, 3, 2, 15, 59, 59, tzinfo=UTC), ZoneInfo(zone)) == told


NAMES = {
    "operations": OPERATION.table,
    "requests": requests.REQUEST.table,
    "items": requests.ITEM.table,
    "tenancies": tenancies.TENANCY.table,
    "pools": pools.STATES,
    "roles": (*callers.DEPARTMENT_ROLES, *callers.PLATFORM_ROLES),
    "claims": ("quota", "capacity", "held", "committed"),
    "tries": ("do", "undo", "done", "later", "gave-up", "failed", "lost", "resolved"),
}


@pytest.mark.parametrize("names", NAMES)
def test_what_people_read_in_tables_has_a_chinese_word(names: str) -> None:
    assert [name for name in NAMES[names] if messages.word(name, "zh") == name] == []


@pytest.mark.usefixtures("in_shanghai")
def test_an_amount_is_written_in_the_unit_of_its_class() -> None:
    sentence = messages._Sentence(messages._book("en"))
    figures = {"wanted": 16, "resource": "memory_gib", "due": "2026-03-02T15:59:59+00:00"}
    assert sentence.vformat("{wanted:{resource}} of {resource:resource} by {due:time}", (), figures) == (
        "16 GiB memory of memory by 2026-03-02 23:59 +08"
    )


def test_a_figure_that_looks_like_a_placeholder_stays_text() -> None:
    told = messages.render("operation-undone", {"reason": "{reason.__class__} {0}"}, "en")
    assert told == "The operation was undone: {reason.__class__} {0}"


def test_a_slug_that_nobody_translated_is_shown_with_its_figures() -> None:
    assert messages.render("brand-new", {"size": {"vcpu": 2}, "n": 1}, "en") == "brand-new (size=2 vCPU, n=1)"


@pytest.mark.parametrize(
    ("header", "language"),
    [
        (None, "zh"),
        ("", "zh"),
        ("de, fr;q=0.5", "zh"),
        ("en-GB,en;q=0.9", "en"),
        ("en;q=0.8, zh-CN", "zh"),
        ("zh-Hans;q=0.3,en;q=0.4", "en"),
        ("en;q=0", "zh"),
        ("*;q=0.5, en;q=0.4", "zh"),
        ("en, zh", "en"),
        ("en;q=rubbish,zh;q=0.1", "zh"),
        (";;,,q=", "zh"),
    ],
)
def test_the_language_is_the_one_the_reader_prefers(header: str | None, language: str) -> None:
    assert messages.choose(header) == language


@pytest.mark.parametrize(
    ("at", "told"),
    [("9999-12-31T23:59:59+00:00", "9999-12-31 23:59 UTC"), ("0001-01-01T00:00:00+14:00", "1-01-01 00:00 +14")],
)
def test_the_first_and_the_last_day_of_the_calendar_can_be_told(at: str, told: str) -> None:
    assert messages.moment(datetime.fromisoformat(at), ZoneInfo("Asia/Shanghai")) == told

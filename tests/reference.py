"""The parts of docs/ that are made from the code: `make docs` writes them, tests/test_docs.py compares."""

import importlib
import json
import pkgutil
import tomllib
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic_core import PydanticUndefined, to_jsonable_python
from sqlalchemy import create_engine
from typer.main import get_command

from cloudctl import app
from cloudctl.api import docs, errors
from cloudctl.api.application import build
from cloudctl.api.platform import Platform
from cloudctl.cli import app as command_line
from cloudctl.kernel import messages
from cloudctl.kernel.errors import Problem
from cloudctl.kernel.lifecycle import Lifecycle
from cloudctl.kernel.secrets import Vault
from cloudctl.kernel.settings import Settings
from tenancy import rules
from tests import dashboards

DOCS = Path(__file__).parent.parent / "docs"
PACKAGES = ("cloudctl", "tenancy", "provisioning", "monitoring", "loadtests")
BEGIN, END = "<!-- made from the code by `make docs`; do not edit below -->", "<!-- end of what is made -->"


def settings() -> str:
    """Every knob: its variable, what it is where nothing is said, what it does."""
    rows = ["| variable | default | what it is |", "| --- | --- | --- |"]
    for name, field in Settings.model_fields.items():
        default = "" if field.default in (None, PydanticUndefined) else f"`{to_jsonable_python(field.default)}`"
        rows.append(f"| `CLOUDCTL_{name.upper()}` | {default} | {field.description} |")
    return "\n".join(rows)


def problems() -> str:
    """Every problem by its slug: the HTTP status, what it means, what a caller reads."""
    rows = ["| slug | status | meaning | in English | 中文 |", "| --- | --- | --- | --- | --- |"]
    told = [sentences(language) for language in ("en", "zh")]
    for problem in sorted(every_problem(), key=lambda one: one.slug):
        meaning = " ".join((problem.__doc__ or "").split("\n\n")[0].split())
        cells = (f"`{problem.slug}`", str(_status(problem)), meaning, *(one.get(problem.slug, "") for one in told))
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows)


def commands() -> str:
    """Every command with what it does."""
    rows = ["| command | what it does |", "| --- | --- |"]
    for words, command in every_command(get_command(command_line)):
        about = (command.help or "").split("\n")[0]
        rows.append(f"| `cloudctl {' '.join(words)}` | {about} |")
    return "\n".join(rows)


def lifecycles() -> str:
    """The diagram of every lifecycle."""
    drawn = sorted(every_lifecycle(), key=lambda one: one.name)
    return "\n\n".join(f"## {one.name}\n\n```mermaid\n{one.mermaid()}\n```" for one in drawn)


def openapi() -> str:
    """The API's document."""
    given = Settings(database_url="postgresql://nowhere/none")
    app.register(given)
    engine = create_engine("postgresql+psycopg://nowhere/none")
    platform = Platform(settings=given, engine=engine, url="", rules=rules.read(given), vault=Vault(given))
    return json.dumps(docs.document(build(platform)), ensure_ascii=False, indent=1, sort_keys=True) + "\n"


PARTS: dict[str, Callable[[], str]] = {
    "settings.md": settings,
    "problems.md": problems,
    "cli.md": commands,
    "lifecycles.md": lifecycles,
}
"""Page -> the part of it that is made."""


def page(name: str) -> str:
    """The whole page as it should be: what people wrote, and the part that is made."""
    written = (DOCS / name).read_text(encoding="utf-8").partition(BEGIN)[0]
    return f"{written}{BEGIN}\n\n{PARTS[name]()}\n\n{END}\n"


def every_problem() -> set[type[Problem]]:
    """Every problem that people can meet; of the bare kinds only those that have a sentence."""
    for _ in every_module():
        pass
    told = sentences("en")
    return {found for found in _below(Problem) if found.__bases__ != (Problem,) or found.slug in told}


def every_command(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command with its words."""
    if not hasattr(command, "list_commands"):
        yield words, command
        return
    for name in command.list_commands(None):
        yield from every_command(command.get_command(None, name), (*words, name))


def every_lifecycle() -> set[Lifecycle]:
    """Every lifecycle that a module of ours defines."""
    return {thing for module in every_module() for thing in vars(module).values() if isinstance(thing, Lifecycle)}


def every_module() -> Iterator[Any]:
    """Every module of ours, but the engine's: it patches the process that imports it."""
    for package in map(importlib.import_module, PACKAGES):
        for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            if not any(part in found.name for part in (".versions", ".engine", ".env", "__main__")):
                yield importlib.import_module(found.name)


def sentences(language: str) -> dict[str, str]:
    """Every sentence by its slug, with its placeholders as they stand in the file."""
    read = tomllib.loads((resources.files(messages) / f"{language}.toml").read_text(encoding="utf-8"))
    return {slug: text for room in read.values() for slug, text in room.get("sentences", {}).items()}


def _below(kind: type[Problem]) -> Iterator[type[Problem]]:
    for one in kind.__subclasses__():
        if one.__module__.partition(".")[0] in PACKAGES:
            yield one
            yield from _below(one)


def _status(problem: type[Problem]) -> int:
    return next(errors.STATUSES[kind] for kind in problem.__mro__ if kind in errors.STATUSES)


def main() -> None:
    """Write every part anew."""
    for name in PARTS:
        (DOCS / name).write_text(page(name), encoding="utf-8")
    (DOCS / "openapi.json").write_text(openapi(), encoding="utf-8")
    dashboards.write()


if __name__ == "__main__":
    main()

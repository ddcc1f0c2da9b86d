"""What commands print: tables for people, JSON and YAML for programs."""

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import Enum
from typing import Annotated, Any

import typer

from cloudctl.cli.words import heading, language, word
from cloudctl.kernel import messages


class Format(str, Enum):  # noqa: UP042  (Typer shows the values)
    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


Output = Annotated[Format, typer.Option("--output", "-o", help="How to print: for people or for programs.")]
_AS_WRITTEN = {"name", "login", "purpose", "reason", "action"}  # somebody's own, or asked for by it: no word of ours
_NOTHING: tuple[Any, ...] = (None, "", [], {})
Limit = Annotated[int | None, typer.Option(min=1, help="At most so many; all where absent.")]


def show_list(items: Sequence[Mapping[str, Any]], output: Format, columns: str) -> None:
    """Print a list.

    Args:
        columns: what people see, by fields or as `heading=path.into.it`. A column in which nothing stands is left out.
    """
    if output is not Format.TABLE:
        return for_programs(items, output)
    typer.echo(_listed(items, columns))
    return None


def show(thing: Mapping[str, Any], output: Format, fields: str, **parts: str) -> None:
    """Print one thing: its fields, then a table for each of the lists in it that `parts` names."""
    if output is not Format.TABLE:
        return for_programs(thing, output)
    typer.echo(drawn(thing, fields, **parts))
    return None


def drawn(thing: Mapping[str, Any], fields: str, **parts: str) -> str:
    """One thing as people see it."""
    told = [name for name in fields.split() if _at(thing, name) not in _NOTHING]
    lines = [_table(None, [[_heading(name), _cell(thing, name)] for name in told])]
    for part, columns in parts.items():
        if rows := thing.get(part):
            lines += [f"\n{heading(part)}", _listed(rows, columns)]
    return "\n".join(lines)


def for_programs(thing: Any, output: Format) -> None:
    """Print something as JSON or YAML."""
    if output is Format.JSON:
        typer.echo(json.dumps(thing, ensure_ascii=False, indent=2))
        return
    import yaml

    typer.echo(yaml.safe_dump(thing, allow_unicode=True, sort_keys=False).rstrip())


def _listed(items: Sequence[Mapping[str, Any]], columns: str) -> str:
    told = [
        column for column in columns.split() if not items or any(_at(item, column) not in _NOTHING for item in items)
    ]
    return _table(list(map(_heading, told)), [[_cell(item, column) for column in told] for item in items])


def _heading(column: str) -> str:
    return heading(column.partition("=")[0])


def _at(item: Mapping[str, Any], column: str) -> Any:
    found: Any = item
    for name in column.rpartition("=")[2].split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def _cell(item: Mapping[str, Any], column: str) -> str:
    value = _at(item, column)
    written = isinstance(value, str) and value and column.rpartition("=")[2].rpartition(".")[2] in _AS_WRITTEN
    return value if written else text(value)


def text(value: Any) -> str:
    """A value as people read it in a cell."""
    match value:
        case _ if value in _NOTHING:
            return "—"
        case bool():
            return word("yes" if value else "no")
        case str():
            return _moment(value) or word(value)
        case {"slug": str(slug), "figures": dict(figures)}:
            return messages.render(slug, figures, language())
        case {"sentence": str(sentence)}:
            return sentence
        case {"code": str(code), "name": str(name)}:
            return f"{name} ({code})"
        case {"name": str(name)}:
            return name
        case dict():
            return messages.written(value, language())
        case list():
            return ", ".join(map(text, value))
    return str(value)


def _moment(written: str) -> str | None:
    """A moment in the terminal's own time zone; None if it is something else."""
    if len(written) < 19 or written[10] != "T":
        return None
    try:
        return messages.moment(datetime.fromisoformat(written.replace("Z", "+00:00")))
    except ValueError:
        return None


def _table(header: Sequence[str] | None, rows: Sequence[Sequence[str]]) -> str:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=header is not None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in header or ["", ""]:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))  # as it is: brackets in a name are no markup
    console = Console(width=None if sys.stdout.isatty() else 1000, highlight=False)  # a file has no width
    with console.capture() as captured:
        console.print(table)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())

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
Limit = Annotated[int | None, typer.Option(min=1, help="At most so many; all where absent.")]


def show_list(items: Sequence[Mapping[str, Any]], output: Format, columns: Sequence[str]) -> None:
    """Print a list; `columns` are the fields that people see, dots lead into them."""
    if output is not Format.TABLE:
        return _print_for_programs(items, output)
    return _table(list(map(heading, columns)), [[text(_at(item, name)) for name in columns] for item in items])


def show(thing: Mapping[str, Any], output: Format, fields: Sequence[str], **parts: Sequence[str]) -> None:
    """Print one thing: its fields, then a table for each of the lists in it that `parts` names."""
    if output is not Format.TABLE:
        return _print_for_programs(thing, output)
    known = [name for name in fields if _at(thing, name) is not None]
    _table(None, [[heading(name), text(_at(thing, name))] for name in known])
    for part, columns in parts.items():
        if rows := thing.get(part):
            typer.echo(f"\n{heading(part)}")
            show_list(rows, output, columns)
    return None


def _at(item: Mapping[str, Any], path: str) -> Any:
    found: Any = item
    for name in path.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def text(value: Any) -> str:
    """A value as people read it in a cell."""
    match value:
        case None | "" | []:
            return "—"
        case bool():
            return word("yes" if value else "no")
        case str():
            return _moment(value) or word(value)
        case {"slug": str(slug), "figures": dict(figures)}:
            return messages.render(slug, figures, language())
        case {"name": str(name)}:
            return name
        case dict():
            return messages.written(value, language())
        case list():
            return ", ".join(map(text, value))
    return str(value)


def _moment(written: str) -> str | None:
    """A moment in the terminal's own time zone, to the minute; None if it is something else."""
    if len(written) < 19 or written[10] != "T":
        return None
    try:
        return datetime.fromisoformat(written.replace("Z", "+00:00")).astimezone().strftime("%Y-%m-%d %H:%M")
    except ValueError:
        return None


def _print_for_programs(thing: Any, output: Format) -> None:
    if output is Format.JSON:
        typer.echo(json.dumps(thing, ensure_ascii=False, indent=2))
        return
    import yaml

    typer.echo(yaml.safe_dump(thing, allow_unicode=True, sort_keys=False).rstrip())


def _table(header: Sequence[str] | None, rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=header is not None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in header or ["", ""]:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))  # as it is: brackets in a name are no markup
    console = Console(width=None if sys.stdout.isatty() else 1000, highlight=False)  # a file has no width
    console.print(table, soft_wrap=False)

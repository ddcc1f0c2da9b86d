"""Files that users write: YAML whose every key counts, and in which every field can be found again by its line."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from cloudctl.cli.failures import USAGE, Failure, Refused

TEXT, MERGE = "tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"

YamlFile = Annotated[Path, typer.Option("--file", "-f", help="YAML file; - reads standard input.", allow_dash=True)]


@dataclass(frozen=True)
class Document:
    """What a file says, and on which line each field stands (`items.0.size.vcpu` -> 7)."""

    name: str
    content: Any
    lines: dict[str, int]


def read(file: Path) -> Document:
    """Read a YAML file.

    Raises:
        Failure: it cannot be read, is no YAML, or a key stands in it twice; names the line.
    """
    name = "<stdin>" if str(file) == "-" else str(file)
    try:
        text = typer.get_text_stream("stdin").read() if str(file) == "-" else file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Failure("file-unreadable", USAGE, file=name, error=str(error)) from None
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        lines: dict[str, int] = {}
        if node is not None:
            _walk(name, node, "", lines)
        content = yaml.SafeLoader("").construct_document(node) if node is not None else None
        return Document(name, content, lines)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise Failure("not-yaml", USAGE, file=name, line=line, error=error.problem or "") from None


@contextmanager
def blamed(document: Document) -> Iterator[None]:
    """Within the block, what the server finds wrong is told with its line in the file."""
    try:
        yield
    except Refused as refused:
        refused.file, refused.lines = document.name, document.lines
        raise


def write(thing: Any) -> str:
    """A thing as YAML that people can read and edit."""
    return yaml.safe_dump(thing, allow_unicode=True, sort_keys=False)


def _walk(file: str, node: yaml.Node, path: str, lines: dict[str, int]) -> None:
    lines[path] = node.start_mark.line + 1
    below = f"{path}." if path else ""
    if isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            _walk(file, item, f"{below}{number}", lines)
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != MERGE:
                key.tag = TEXT  # `on` is a word here, and no yes
            inner, line = f"{below}{key.value}", key.start_mark.line + 1
            if inner in lines:
                raise Failure("key-twice", USAGE, file=file, line=line, key=key.value, first=lines[inner])
            _walk(file, value, inner, lines)
            lines[inner] = line

"""Registering many departments at once from a CSV file; a file with anything wrong in it registers none."""

import csv
from dataclasses import dataclass
from graphlib import TopologicalSorter
from io import StringIO
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from cloudctl.kernel.errors import Invalid, Problem, all_or_none
from tenancy import departments
from tenancy.callers import Caller
from tenancy.models import Department

COLUMNS = ("code", "name", "name_en", "parent_code")


class NotText(Invalid):
    """The file is neither UTF-8 nor GBK."""


class BadHeader(Invalid):
    """The first line does not name the columns, each once."""


class BadLine(Invalid):
    """A line of the file breaks a rule; its number counts from 1, the header's."""

    def __init__(self, line: int, at: str | None = None, **figures: Any) -> None:
        field = f"lines.{line}.{at}" if at else f"lines.{line}"
        super().__init__(field=field, line=line, **figures)


class LineBroken(BadLine):
    """It does not have as many values as there are columns, or a quote is left open."""


class LineBadCode(BadLine):
    """Its code is not 2 to 32 letters, digits and hyphens."""


class LineBadName(BadLine):
    """A name of it is empty, too long or not printable."""


class LineRepeated(BadLine):
    """An earlier line has the same code."""


class LineTaken(BadLine):
    """A registered department has the same code."""


class LineWithoutParent(BadLine):
    """Its parent is neither registered nor in the file."""


class LineInCycle(BadLine):
    """Following the parents from it leads back to it."""


@dataclass(frozen=True)
class _Row:
    line: int
    code: str
    name: str
    name_en: str
    parent_code: str


def import_csv(session: Session, caller: Caller, content: bytes) -> list[Department]:
    """Register every department of a file, whatever the order of its lines; nothing where a line is wrong.

    The columns are code, name, name_en and parent_code (empty for a root); UTF-8, with or without a byte
    order mark, or GBK.

    Raises:
        NotPermitted: the caller may not import departments.
        NotText, BadHeader: the file as a whole cannot be read.
        BadLine: of its kinds, the one there is, or Several; each names its line.
    """
    caller.must("department:import")
    departments.hold_tree(session)
    rows, problems = _read(_decode(content))
    mentioned = {row.code for row in rows} | {row.parent_code for row in rows}
    registered = {
        found.code: found
        for found in session.scalars(
            select(Department).where(Department.code.in_(mentioned)).execution_options(populate_existing=True)
        )
    }
    by_code: dict[str, _Row] = {}
    for row in rows:
        problems += _faults(row, registered, by_code.setdefault(row.code, row))
    problems += _unreachable(rows, by_code, registered)
    all_or_none(sorted(problems, key=lambda problem: int(problem.figures["line"])))
    parents = {code: [row.parent_code] if row.parent_code in by_code else [] for code, row in by_code.items()}
    for code in TopologicalSorter(parents).static_order():
        row = by_code[code]
        above = registered.get(row.parent_code)
        registered[code] = departments.add(session, caller, code=code, name=row.name, name_en=row.name_en, above=above)
    return [registered[code] for code in by_code]


def _decode(content: bytes) -> str:
    """The text. Short GBK can pass for UTF-8 of accented letters: what has those and nothing Chinese is not UTF-8."""
    for encoding in ("utf-8-sig", "gb18030"):  # which reads every GBK file
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if text.isascii() or max(text) >= "\u2e80":
            return text
    raise NotText


def _read(text: str) -> tuple[list[_Row], list[Problem]]:
    reader = csv.reader(StringIO(text, newline=""), strict=True)
    header = [name.strip() for name in next(reader, [])]
    if sorted(header) != sorted(COLUMNS):
        raise BadHeader(expected=list(COLUMNS), found=header[:20])
    rows: list[_Row] = []
    problems: list[Problem] = []
    line = reader.line_num + 1
    try:
        for values in reader:
            if values and len(values) != len(header):
                problems.append(LineBroken(line, expected=len(header), found=len(values)))
            elif values:
                rows.append(_Row(line, **{name: value.strip() for name, value in zip(header, values, strict=True)}))
            line = reader.line_num + 1
    except csv.Error:
        problems.append(LineBroken(line, expected=len(header), found=0))
    return rows, problems


def _faults(row: _Row, registered: dict[str, Department], first: _Row) -> list[Problem]:
    problems: list[Problem] = []
    if not departments.CODE.match(row.code):
        problems.append(LineBadCode(row.line, "code", code=row.code[:40]))
    elif row is not first:
        problems.append(LineRepeated(row.line, "code", code=row.code, first=first.line))
    elif row.code in registered:
        problems.append(LineTaken(row.line, "code", code=row.code))
    for fault in departments.name_faults(name=row.name, name_en=row.name_en):
        problems.append(LineBadName(row.line, fault.field, column=fault.field, **fault.figures))
    return problems


def _unreachable(rows: list[_Row], by_code: dict[str, _Row], registered: dict[str, Department]) -> list[Problem]:
    """The lines from which no walk over the parents begins, or from which it comes back."""
    problems: list[Problem] = []
    for row in rows:
        if row.parent_code and row.parent_code not in by_code and row.parent_code not in registered:
            problems.append(LineWithoutParent(row.line, "parent_code", parent_code=row.parent_code[:40]))
            continue
        walked, here = [row.code], by_code.get(row.parent_code)
        while here and here.code not in walked:
            walked.append(here.code)
            here = by_code.get(here.parent_code)
        if here and here.code == row.code and row is by_code[row.code]:
            problems.append(LineInCycle(row.line, "parent_code", codes=walked))
    return problems

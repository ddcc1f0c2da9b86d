"""Journeys: what visitors of a target do, as data: requests with weights, data and checks. What is not here cannot be
said, and is refused with its field (and line, where it came from a file)."""

import csv
import io
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from cloudctl.kernel.errors import Invalid, Problem
from cloudctl.kernel.parsing import Faults

PLACE = re.compile(r"\{([a-z][a-z0-9_]*)\}")
NOT_THEIRS = frozenset({"host", "content-length", "transfer-encoding", "connection", "x-loadtest-run"})
MOST_ROWS = 100_000


class NotWithinTarget(Invalid):
    """A path leads away from the target: it begins with one slash and names no host."""


class HeaderNotTheirs(Invalid):
    """A header that the engine sets itself."""


class NoSuchData(Invalid):
    """A journey draws from data that is not there; tells what is."""


class NoSuchColumn(Invalid):
    """A place in a request names a column that its data has not; tells which there are."""


class BrokenTable(Invalid):
    """Data is no table: a line has more or fewer columns than the first; tells which."""


def _within(path: str) -> str:
    if not path.startswith("/") or path.startswith("//") or "\\" in path or any(ord(each) <= 32 for each in path):
        raise Faults([NotWithinTarget(given=path[:80])])
    return path


def _theirs(headers: dict[str, str]) -> dict[str, str]:
    wrong: list[Problem] = [HeaderNotTheirs(field=name, name=name) for name in headers if name.lower() in NOT_THEIRS]
    if wrong:
        raise Faults(wrong)
    return headers


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Check(_Part):
    """What makes an answer a good one."""

    status: list[Annotated[int, Field(ge=100, le=599)]] = Field(
        default=[], description="Statuses that are good; where empty any 2xx, and 304.", examples=[[200]]
    )
    contains: str | None = Field(None, min_length=1, max_length=1000, description="Text that its body has.")
    within_ms: float | None = Field(
        None, gt=0, le=600_000, description="Milliseconds after which it is late; the campaign's limit where absent."
    )


class Busy(_Part):
    """How the target says that it is busy: an outcome of its own, neither good nor an error."""

    status: list[Annotated[int, Field(ge=100, le=599)]] = Field(default=[], description="Statuses that say so.")
    contains: str | None = Field(None, min_length=1, max_length=1000, description="Text that its body then has.")


class Request(_Part):
    """One request. `{column}` stands for a value of the journey's data, in path, headers and body."""

    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] = Field("GET", description="HTTP method.")
    path: Annotated[str, Field(min_length=1, max_length=2000), AfterValidator(_within)] = Field(
        description="Path and query within the target.", examples=["/scores?number={number}"]
    )
    headers: Annotated[dict[str, str], AfterValidator(_theirs)] = Field(default={}, description="Further headers.")
    body: str | dict[str, Any] | list[Any] | None = Field(
        None, description="Text, or what is sent as JSON.", examples=[{"number": "{number}"}]
    )
    check: Check = Field(default=Check(), description="What makes its answer a good one; else any status below 300.")
    busy: Busy | None = Field(None, description="How it says that it is busy; null: it never does.")
    pause: float = Field(0.0, ge=0, le=60, description="Seconds the visitor waits before it.")

    def places(self) -> set[str]:
        """The columns that it needs."""
        return (
            set(PLACE.findall(self.path))
            | set(PLACE.findall(str(self.body)))
            | set(PLACE.findall(" ".join(self.headers.values())))
        )


class Journey(_Part):
    """What one kind of visitor does, request after request, with cookies of its own."""

    name: str = Field(min_length=1, max_length=80, description="Its name.", examples=["look up scores"])
    weight: int = Field(1, ge=1, le=1000, description="How many of all visitors are of this kind, in parts.")
    data: str | None = Field(None, description="Name of the table from which each visitor draws a row.")
    requests: list[Request] = Field(min_length=1, max_length=50, description="What it asks, one after the other.")


class Journeys(_Part):
    """All kinds of visitors, and the tables that they draw from."""

    journeys: list[Journey] = Field(min_length=1, max_length=50, description="Kinds of visitors.")
    data: dict[str, str] = Field(
        default={}, description="Tables as CSV with a header, by name.", examples=[{"candidates": "number\n1001\n1002"}]
    )

    @model_validator(mode="after")
    def _complete(self) -> "Journeys":
        problems: list[Problem] = []
        columns: dict[str, list[str]] = {}
        for name, text in self.data.items():
            try:
                columns[name] = list(rows(text)[0])
            except ValueError as broken:
                problems.append(BrokenTable(field=f"data.{name}", line=broken.args[0]))
        for number, journey in enumerate(self.journeys):
            at = f"journeys.{number}"
            if journey.data is not None and journey.data not in self.data:
                problems.append(NoSuchData(field=f"{at}.data", given=journey.data, there=sorted(self.data)))
                continue
            there = columns.get(journey.data or "", [])
            for place, request in enumerate(journey.requests):
                for column in sorted(request.places() - set(there)):
                    if journey.data is None or journey.data in columns:
                        field = f"{at}.requests.{place}"
                        problems.append(NoSuchColumn(field=field, column=column, there=there))
        if problems:
            raise Faults(problems)
        return self

    @property
    def mean_requests(self) -> float:
        """Requests that one visitor makes, on average."""
        weight = sum(journey.weight for journey in self.journeys)
        return sum(journey.weight * len(journey.requests) for journey in self.journeys) / weight


def rows(text: str) -> list[dict[str, str]]:
    """A table's rows, by column.

    Raises:
        ValueError: the number of the first line that does not fit, 1 where there are no rows.
    """
    lines = list(csv.reader(io.StringIO(text.strip())))
    if len(lines) < 2 or len(lines) > MOST_ROWS or not all(lines[0]):
        raise ValueError(1)
    for number, line in enumerate(lines[1:], start=2):
        if len(line) != len(lines[0]):
            raise ValueError(number)
    return [dict(zip(lines[0], line, strict=True)) for line in lines[1:]]


def filled(template: str, row: dict[str, str]) -> str:
    """The text with its places filled from a row."""
    return PLACE.sub(lambda place: row.get(place[1], place[0]), template)

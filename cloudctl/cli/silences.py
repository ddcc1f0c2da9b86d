"""`cloudctl silence`: alerts of which nobody is told for a while."""

from datetime import datetime
from typing import Annotated

import typer

from cloudctl.cli.client import api
from cloudctl.cli.failures import USAGE, Failure
from cloudctl.cli.output import Format, Output, show, show_list

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Alerts of which nobody is told for a while.")
COLUMNS = "matchers reason made_by starts_at ends_at id"


@app.command("list")
def list_(output: Output = Format.TABLE) -> None:
    """List the silences that hold now.

    Example: cloudctl silence list
    """
    found = api().get("silences")["items"]
    show_list([_readable(one, output) for one in found], output, COLUMNS)


@app.command()
def create(
    labels: Annotated[list[str], typer.Argument(help="LABEL=VALUE of the alerts, as in pool=kunpeng-1.")],
    until: Annotated[datetime, typer.Option(help="Until when, in the terminal's time zone; at most 30 days.")],
    reason: Annotated[str, typer.Option(help="Why, for the record.")],
    output: Output = Format.TABLE,
) -> None:
    """Have nobody told of the alerts that have all of these labels.

    Example: cloudctl silence create alertname=ServerUnwatched --until 2026-03-02T18:00 --reason "disk swap"
    """
    for each in labels:
        if "=" not in each:
            raise Failure("not-a-pair", USAGE, given=each)
    matchers = dict(each.split("=", 1) for each in labels)
    wanted = {"matchers": matchers, "until": until.astimezone().isoformat(), "reason": reason}
    show(_readable(api().post("silences", body=wanted), output), output, COLUMNS)


@app.command()
def end(silence: Annotated[str, typer.Argument(help="Id of the silence.")]) -> None:
    """End a silence before its time.

    Example: cloudctl silence end sil_01kc…
    """
    api().delete("silences", silence)


def _readable(silence: dict[str, object], output: Format) -> dict[str, object]:
    labels = silence["matchers"]
    assert isinstance(labels, dict)
    written = [f"{name}={value}" for name, value in labels.items()]
    return {**silence, "matchers": written} if output is Format.TABLE else silence

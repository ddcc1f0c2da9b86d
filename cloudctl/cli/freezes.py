"""`cloudctl freeze`: times in which nothing is load-tested."""

from datetime import datetime
from typing import Annotated

import typer

from cloudctl.cli.client import api
from cloudctl.cli.output import Format, Output, show, show_list

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Times in which nothing is load-tested.")
COLUMNS = "id starts_at ends_at reason"


@app.command("list")
def list_(output: Output = Format.TABLE) -> None:
    """List the freezes that are not over.

    Example: cloudctl freeze list
    """
    show_list(api().get("freezes")["items"], output, COLUMNS)


@app.command()
def declare(
    start: Annotated[datetime, typer.Option("--from", help="When it begins, in this machine's time.")],
    end: Annotated[datetime, typer.Option("--until", help="When it ends, in this machine's time.")],
    reason: Annotated[str, typer.Option(help="Why; everybody reads it.")],
    output: Output = Format.TABLE,
) -> None:
    """Have nothing tried on anything in that time.

    Example: cloudctl freeze declare --from 2026-06-22T00:00:00 --until 2026-06-26T00:00:00 --reason "exam scores"
    """
    told = {"starts_at": start.astimezone().isoformat(), "ends_at": end.astimezone().isoformat(), "reason": reason}
    show(api().post("freezes", body=told), output, COLUMNS)


@app.command()
def lift(freeze: Annotated[str, typer.Argument(help="Id of the freeze.")]) -> None:
    """End a freeze before its time.

    Example: cloudctl freeze lift frz_01kc…
    """
    api().delete("freezes", freeze)

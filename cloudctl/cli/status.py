"""`cloudctl status`: for the operator at 3 a.m."""

import typer

from cloudctl.cli.client import api
from cloudctl.cli.output import Format, Output, for_programs, show_list
from cloudctl.cli.words import say

app = typer.Typer(rich_markup_mode=None)
WAKE = 1


@app.command()
def status(output: Output = Format.TABLE) -> None:
    """Tell what is not as it should be: one line each, the worst first, with the next command to type.

    Exit code 1: wake somebody. 0: nothing that could not wait until the morning.

    \b
    Examples
      cloudctl status
      cloudctl status -o json || page-the-operator
    """
    found = api().get("status")
    if output is not Format.TABLE:
        for_programs(found, output)
    elif found["items"]:
        show_list(found["items"], output, "weight since what=text next=command")
    else:
        typer.echo(say("all-well"))
    if found["wake"]:
        raise typer.Exit(WAKE)

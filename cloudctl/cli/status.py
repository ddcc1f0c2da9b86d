"""`cloudctl status`: what is wrong now, for whoever was woken; and whether anybody should be."""

import typer

from cloudctl.cli.client import api
from cloudctl.cli.failures import WAKE
from cloudctl.cli.output import Format, Output, for_programs, show_list
from cloudctl.cli.words import say, word

app = typer.Typer(rich_markup_mode=None)


@app.command()
def status(output: Output = Format.TABLE) -> None:
    """Tell what is wrong now: a line a trouble, worst first, with the command to type next.

    The exit code is 5 where somebody has to be woken, 0 where nothing is wrong or it can wait for the morning.

    Example: cloudctl status || call the operator on duty
    """
    found = api().get("status")
    if output is not Format.TABLE:
        for_programs(found, output)
    elif found["troubles"]:
        lines = [{**one, "wakes": word("wakes" if one["wakes"] else "waits")} for one in found["troubles"]]
        show_list(lines, output, "wakes trouble=text since who next")
    else:
        typer.echo(say("status-well"))
    if found["wakes"]:
        raise typer.Exit(WAKE)

"""`cloudctl event`: what happened to something, and what is happening."""

from typing import Annotated

import typer

from cloudctl.cli import watch
from cloudctl.cli.client import api
from cloudctl.cli.output import Format, Output, show_list

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="What happened, as it happens.")


@app.command("list")
def list_(
    subject: Annotated[str, typer.Argument(help="Id of a request, tenancy, operation, department, …")],
    output: Output = Format.TABLE,
) -> None:
    """List what happened to something, oldest first.

    Example: cloudctl event list ten_01kc…
    """
    show_list(api().items("events", subject=subject), output, "at event=text")


@app.command("watch")
def watch_(subject: Annotated[str, typer.Argument(help="Id of what to watch.")]) -> None:
    """Tell each event as it happens, until you stop it (Ctrl-C).

    Example: cloudctl event watch ten_01kc…
    """
    watch.forever(api(), subject)

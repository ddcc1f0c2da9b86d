"""`cloudctl context`: which servers and tokens are stored, and which one is used."""

from typing import Annotated

import typer

from cloudctl.cli import credentials
from cloudctl.cli.output import Format, Output, show, show_list

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Servers and tokens that are stored.")
Name = Annotated[str, typer.Argument(help="Name of the context.")]


@app.command("list")
def list_(output: Output = Format.TABLE) -> None:
    """List what is stored; tokens are never shown.

    Example: cloudctl context list
    """
    stored = credentials.load()
    rows = [
        {"name": name, "server": one.server, "current": name == stored.current} for name, one in stored.known.items()
    ]
    show_list(rows, output, "name server current")


@app.command("show")
def show_(output: Output = Format.TABLE) -> None:
    """Show whom the server knows you as, with your roles.

    Example: cloudctl context show -o json
    """
    from cloudctl.cli.client import api

    me = {"server": api().server, **api().get("me")}
    show(me, output, "server name role scope", memberships="code department=name role")


@app.command()
def use(name: Name) -> None:
    """Use another context from now on.

    Example: cloudctl context use office
    """
    stored = credentials.load()
    credentials.named(stored, name)
    credentials.store(credentials.Contexts(name, stored.known))


@app.command()
def remove(name: Name) -> None:
    """Forget a context and its token. The token itself stays valid: cloudctl token revoke.

    Example: cloudctl context remove office
    """
    stored = credentials.load()
    credentials.named(stored, name)
    known = {other: one for other, one in stored.known.items() if other != name}
    credentials.store(credentials.Contexts(stored.current if stored.current in known else None, known))

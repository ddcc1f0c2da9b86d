"""`cloudctl token`: keys to the API."""

from typing import Annotated

import typer

from cloudctl.cli.client import api
from cloudctl.cli.output import Format, Limit, Output, show, show_list

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Keys to the API.")


@app.command("list")
def list_(output: Output = Format.TABLE, limit: Limit = None) -> None:
    """List your tokens; the security administrator sees everybody's. Secrets are never shown again.

    Example: cloudctl token list
    """
    found = api().items("tokens", limit=limit)
    show_list(found, output, "id name scope expires_at last_used_at revoked_at")


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What it is for.")],
    scope: Annotated[str, typer.Option(help="read, or write (which includes read).")] = "write",
    days: Annotated[int | None, typer.Option(min=1, help="Days until it expires.")] = None,
    output: Output = Format.TABLE,
) -> None:
    """Make a token of your own. Its secret is shown this once.

    Example: cloudctl token create nightly-report --scope read --days 30
    """
    made = api().post("tokens", body={"name": name, "scope": scope, "days": days})
    show(made, output, "id name scope expires_at secret")


@app.command()
def revoke(token: Annotated[str, typer.Argument(help="Id of the token.")]) -> None:
    """Make a token worthless at once.

    Example: cloudctl token revoke tok_01kc…
    """
    api().delete("tokens", token)

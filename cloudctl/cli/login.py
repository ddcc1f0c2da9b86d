"""`cloudctl login`: store a server and a token, once they are known to work."""

import os
import sys
from typing import Annotated

import typer

from cloudctl.cli import credentials
from cloudctl.cli.words import say

app = typer.Typer(rich_markup_mode=None)


@app.command()
def login(
    server: Annotated[str, typer.Argument(help="Address of the API.")] = "http://127.0.0.1:8080",
    name: Annotated[str, typer.Option(help="Name of the context it is stored as.")] = "default",
) -> None:
    """Store a server and a token under a name, and use them from now on.

    The token is asked for without being shown; from a pipe it is read from standard input, so that it
    stands in no shell history. It is stored for you alone (mode 0600).

    \b
    Examples
      cloudctl login http://127.0.0.1:8080
      cloudctl login https://cloud.example.gov.cn --name office < token.txt
    """
    from cloudctl.cli.client import Client

    token = os.environ.get("CLOUDCTL_TOKEN") or _asked()
    context = credentials.Context(server.rstrip("/"), token)
    me = Client(context).get("me")
    stored = credentials.load()
    credentials.store(credentials.Contexts(name, {**stored.known, name: context}))
    typer.echo(say("logged-in", name=me["name"], server=context.server, context=name))


def _asked() -> str:
    return (typer.prompt("Token", hide_input=True) if sys.stdin.isatty() else sys.stdin.readline()).strip()

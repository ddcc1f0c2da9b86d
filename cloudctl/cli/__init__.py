"""The command line: `cloudctl <noun> <verb>`. Nothing heavy is imported before a command runs."""

import os
from typing import Annotated

import typer

from cloudctl.cli.lazy import LazyGroup

app = typer.Typer(cls=LazyGroup, no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.callback()
def root(
    context: Annotated[
        str | None,
        typer.Option(envvar="CLOUDCTL_CONTEXT", show_envvar=True, help="Server and token to use, by name."),
    ] = None,
) -> None:
    """Run a government cloud: apply for resources, decide, provision, hand over, take back.

    \b
    First steps
      cloudctl demo                                  see the whole of it on this machine
      cloudctl login http://127.0.0.1:8080           store a token (the first one: cloudctl admin token create)
      cloudctl request preview -f exam-web.yaml      who must approve, and by when, before anything is submitted
      cloudctl request create -f exam-web.yaml --wait
      cloudctl approval list                         what waits for me
      cloudctl tenancy list -o json

    \b
    Every command has --help with examples; lists and shows take -o table|json|yaml.
    What commands tell is Chinese or English: CLOUDCTL_LANG=zh|en, else by LANG. Help is English.
    Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 server not reached, 4 not logged in,
    5 (of status) wake somebody.
    """
    if context:
        os.environ["CLOUDCTL_CONTEXT"] = context  # for this process only; the client reads it


def main() -> None:
    """What the `cloudctl` program runs."""
    app(prog_name="cloudctl")

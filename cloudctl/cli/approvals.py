"""`cloudctl approval`: deciding, on exactly what was shown."""

from pathlib import Path
from typing import Annotated, Any

import typer

from cloudctl.cli import files, questions
from cloudctl.cli.client import api
from cloudctl.cli.failures import Failure
from cloudctl.cli.output import Format, Limit, Output, drawn, show, show_list
from cloudctl.cli.requests import FIELDS, PARTS, RequestId
from cloudctl.cli.words import say

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="What waits for my decision.")
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Decide without being asked again.")]
Items = Annotated[list[str] | None, typer.Option("--item", help="Only this item (its id); may be repeated.")]
Reason = Annotated[str, typer.Option(help="Why; the applicant reads it.")]


@app.command("list")
def list_(output: Output = Format.TABLE, limit: Limit = None) -> None:
    """List the requests that wait for you, with the last day and its light.

    Example: cloudctl approval list
    """
    found = api().items("requests", limit=limit, waiting_for="me")
    show_list(
        found,
        output,
        "number department purpose kinds step=awaited.title due_at=awaited.due_at light=awaited.light",
    )


@app.command()
def accept(
    request: RequestId,
    missing: Annotated[list[str] | None, typer.Option(help="A document that may come later; may be repeated.")] = None,
    yes: Yes = False,
    output: Output = Format.TABLE,
) -> None:
    """Accept a request for examination (受理): it is complete, or may be completed later (容缺).

    Example: cloudctl approval accept 2025-000017 --missing construction-plan
    """
    _decide(request, "accept", yes, output, missing=missing or [])


@app.command()
def approve(
    request: RequestId,
    item: Items = None,
    changes: Annotated[
        Path | None, typer.Option("--changes", help="YAML: by item id, the fields that shall be otherwise.")
    ] = None,
    yes: Yes = False,
    output: Output = Format.TABLE,
) -> None:
    """Approve a request, or some of its items, as they are or with changes.

    \b
    Examples
      cloudctl approval approve 2025-000017
      cloudctl approval approve 2025-000017 --item itm_01kc… --changes smaller.yaml --yes
    """
    changed = files.read(changes).content if changes else None
    _decide(request, "approve", yes, output, items=item, changes=changed)


@app.command()
def refuse(
    request: RequestId, reason: Reason, item: Items = None, yes: Yes = False, output: Output = Format.TABLE
) -> None:
    """Refuse a request, or some of its items, with the reason that the applicant reads.

    Example: cloudctl approval refuse 2025-000017 --reason "use the shared database instead"
    """
    _decide(request, "refuse", yes, output, reason=reason, items=item)


@app.command("return")
def return_(request: RequestId, reason: Reason, yes: Yes = False, output: Output = Format.TABLE) -> None:
    """Return a request for supplement; the clock stands still until it comes back.

    Example: cloudctl approval return 2025-000017 --reason "the construction plan is missing"
    """
    _decide(request, "return", yes, output, reason=reason)


@app.command()
def delegate(
    request: RequestId,
    to: Annotated[str, typer.Option(help="Login of another member of the department.")],
    output: Output = Format.TABLE,
) -> None:
    """Let a colleague decide in your place.

    Example: cloudctl approval delegate 2025-000017 --to chen
    """
    show(api().post("requests", request, "delegate", body={"to": to}), output, FIELDS, **PARTS)


def _decide(request: str, verb: str, yes: bool, output: Format, **body: Any) -> None:
    """Show what is decided on, have it confirmed, and send the digest of exactly that.

    What is asked goes to standard error: standard output has the outcome alone.
    """
    seen = api().get("requests", request)
    if not yes:
        typer.echo(drawn(seen, FIELDS, **PARTS), err=True)
        if not questions.confirmed(say("confirm-decision", verb=verb, number=seen["number"])):
            raise Failure("not-decided", number=seen["number"])
    given = {name: value for name, value in body.items() if value is not None}
    done = api().post("requests", seen["id"], verb, body={"digest": seen.get("digest") or "", **given})
    show(done, output, FIELDS, **PARTS)

"""`cloudctl audit`: who did what; and the proof that nobody changed it, which needs no network."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from cloudctl.cli.failures import REFUSED, USAGE, Failure
from cloudctl.cli.output import Format, Limit, Output, show_list
from cloudctl.cli.words import say

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Who did what, and the proof of it.")


@app.command("list")
def list_(
    actor: Annotated[str | None, typer.Option(help="Only by this person (id).")] = None,
    object: Annotated[str | None, typer.Option(help="Only on this object (id).")] = None,
    action: Annotated[str | None, typer.Option(help="Only this action, as in request:submit.")] = None,
    department: Annotated[str | None, typer.Option(help="Only what was done to what is this department's.")] = None,
    output: Output = Format.TABLE,
    limit: Limit = 50,
) -> None:
    """List who did what, newest first.

    Example: cloudctl audit list --action request:approve
    """
    from cloudctl.cli.client import api

    found = api().items("audit", limit=limit, actor=actor, object=object, action=action, department=department)
    show_list(found, output, "at actor_name address action object result reason")


@app.command()
def export() -> None:
    """Write the whole log, one JSON document a line. The export itself is audited.

    Example: cloudctl audit export > audit.ndjson
    """
    from cloudctl.cli.client import api

    for line in api().lines("audit", "export"):
        sys.stdout.write(line + "\n")


@app.command()
def key() -> None:
    """Write the public key with which anybody can verify an export.

    Example: cloudctl audit key > audit.pem
    """
    from cloudctl.cli.client import api

    typer.echo(api().get("audit", "key")["pem"].strip())


@app.command()
def verify(
    export: Annotated[Path, typer.Argument(help="What `cloudctl audit export` wrote.", exists=True, dir_okay=False)],
    key: Annotated[Path, typer.Option(help="What `cloudctl audit key` wrote.", exists=True, dir_okay=False)],
    seal: Annotated[
        Path | None, typer.Option(help="The newest seal, as kept outside the database.", exists=True, dir_okay=False)
    ] = None,
) -> None:
    """Find any edit, removal or reordering in an export; with the seal kept elsewhere, also a cut-off end or a rewrite.

    Needs neither server nor network.

    Example: cloudctl audit verify audit.ndjson --key audit.pem --seal audit.anchor
    """
    from cloudctl.kernel import audit_proof
    from cloudctl.kernel.errors import Problem

    try:
        with export.open(encoding="utf-8") as lines:
            report = audit_proof.verify(lines, key.read_text(), seal.read_text() if seal else None)
    except Problem as problem:
        raise Failure(problem.slug, USAGE, **problem.figures) from None
    for finding in report.findings + report.remarks:
        typer.echo(say(finding.slug, **finding.figures))
    if not report.is_intact:
        raise Failure("audit-not-intact", REFUSED, count=len(report.findings))
    typer.echo(say("audit-intact", sealed=report.sealed, seals=report.seals))

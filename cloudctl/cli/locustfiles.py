"""`cloudctl locustfile`: code for load tests that operators answer for."""

from pathlib import Path
from typing import Annotated

import typer

from cloudctl.cli.client import api
from cloudctl.cli.failures import USAGE, Failure
from cloudctl.cli.files import Document, blamed
from cloudctl.cli.output import Format, Limit, Output, show, show_list

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Code for load tests that operators answer for.")
LocustfileId = Annotated[str, typer.Argument(metavar="LOCUSTFILE", help="Id of the locustfile.")]
Reason = Annotated[str, typer.Option(help="Why; it stands in the audit log.")]
COLUMNS = "id name department sha256 retired_at"
FIELDS = "id name department sha256 reason registered_by created_at retired_at"


@app.command("list")
def list_(output: Output = Format.TABLE, limit: Limit = None) -> None:
    """List locustfiles: everybody's, and those of departments one can see.

    Example: cloudctl locustfile list
    """
    show_list(api().items("locustfiles", limit=limit), output, COLUMNS)


@app.command("show")
def show_(locustfile: LocustfileId, output: Output = Format.TABLE) -> None:
    """Show a locustfile, and its text.

    Example: cloudctl locustfile show loc_01kc…
    """
    found = api().get("locustfiles", locustfile)
    show(found, output, FIELDS)
    if output is Format.TABLE:
        typer.echo(f"\n{found['text']}")


@app.command()
def register(
    file: Annotated[Path, typer.Option("--file", "-f", help="Python file of at most 64 KiB.")],
    name: Annotated[str, typer.Option(help="What it is called.")],
    reason: Reason,
    department: Annotated[str | None, typer.Option(help="Only for targets of this department, by id or code.")] = None,
    output: Output = Format.TABLE,
) -> None:
    """Answer for a locustfile, as an operator: it runs on this platform, confined, whenever a campaign names it.

    Example: cloudctl locustfile register -f scores.py --name scores --reason "signs its requests"
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Failure("file-unreadable", USAGE, file=str(file), error=str(error)) from None
    body = {"name": name, "text": text, "reason": reason, "department": department}
    with blamed(Document(str(file), text, {})):
        show(api().post("locustfiles", body=body), output, FIELDS)


@app.command()
def retire(locustfile: LocustfileId, reason: Reason, output: Output = Format.TABLE) -> None:
    """Have nothing tried with a locustfile any more.

    Example: cloudctl locustfile retire loc_01kc… --reason "another version"
    """
    show(api().post("locustfiles", locustfile, "retire", body={"reason": reason}), output, FIELDS)

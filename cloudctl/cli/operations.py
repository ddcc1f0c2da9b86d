"""`cloudctl operation`: work under way, step by step."""

from typing import Annotated, Any

import typer

from cloudctl.cli import watch as watching
from cloudctl.cli.client import api
from cloudctl.cli.output import Format, Limit, Output, show, show_list

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Work under way.")
OperationId = Annotated[str, typer.Argument(metavar="OPERATION", help="Id of the operation.")]
Reason = Annotated[str, typer.Option(help="Why; it stands in the audit log.")]
FIELDS = "id kind=title subject state undoing progress step reason retry_at cancel=cancel.reason created_at finished_at"


@app.command("list")
def list_(
    subject: Annotated[str | None, typer.Option(help="Only on this tenancy.")] = None,
    state: Annotated[str | None, typer.Option(help="Only in this state, as in parked.")] = None,
    output: Output = Format.TABLE,
    limit: Limit = None,
) -> None:
    """List operations, newest first.

    Example: cloudctl operation list --state parked
    """
    found = api().items("operations", limit=limit, subject=subject, state=state)
    show_list(found, output, "id kind=title subject state progress step reason created_at")


@app.command("show")
def show_(operation: OperationId, output: Output = Format.TABLE) -> None:
    """Show an operation: every try of every step, why it waits, and what it holds.

    Example: cloudctl operation show op_01kc…
    """
    _show(api().get("operations", operation), output)


@app.command()
def watch(operation: OperationId, output: Output = Format.TABLE) -> None:
    """Stay and tell each step as it happens, until the operation has ended.

    Example: cloudctl operation watch op_01kc…
    """
    _show(watching.operation(api(), operation), output)


@app.command()
def cancel(operation: OperationId, reason: Reason, output: Output = Format.TABLE) -> None:
    """Ask an operation to stop; between two steps it turns and undoes what it did.

    Example: cloudctl operation cancel op_01kc… --reason "asked for by mistake"
    """
    _show(api().post("operations", operation, "cancel", body={"reason": reason}), output)


@app.command()
def retry(operation: OperationId, output: Output = Format.TABLE) -> None:
    """Have the step of a parked operation tried again.

    Example: cloudctl operation retry op_01kc…
    """
    _show(api().post("operations", operation, "retry"), output)


@app.command()
def resolve(
    operation: OperationId,
    as_: Annotated[str, typer.Option("--as", help="What you have found the step to be: done or undone.")],
    reason: Reason,
    output: Output = Format.TABLE,
) -> None:
    """Say what became of a parked step, after you have looked: the operation goes on from there.

    Example: cloudctl operation resolve op_01kc… --as undone --reason "removed by hand on node1"
    """
    _show(api().post("operations", operation, "resolve", body={"as": as_, "reason": reason}), output)


def _show(operation: dict[str, Any], output: Format) -> None:
    if output is Format.TABLE:
        tries = [{"step": step["title"], **one} for step in operation["steps"] for one in step["attempts"]]
        operation = {**operation, "attempts": sorted(tries, key=lambda one: str(one["started_at"]))}
    attempts = "step direction outcome reason started_at ended_at"
    show(operation, output, FIELDS, attempts=attempts, holds="side state size")

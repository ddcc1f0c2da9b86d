"""`cloudctl tenancy`: what departments have. Resize, return and extend are applications; the rest are orders."""

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from cloudctl.cli import requests, watch
from cloudctl.cli.client import api
from cloudctl.cli.output import Format, Limit, Output, for_programs, show, show_list
from cloudctl.cli.quotas import sizes
from cloudctl.cli.requests import Wait

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Isolated shares of compute and storage.")
endpoint = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Addresses at which a tenancy answers.")
app.add_typer(endpoint, name="endpoint")
TenancyId = Annotated[str, typer.Argument(metavar="TENANCY", help="Id of the tenancy.")]
Purpose = Annotated[str, typer.Option(help="What for, in plain words; approvers read it.")]
Reason = Annotated[str, typer.Option(help="Why; it stands in the audit log.")]

FIELDS = (
    "id name state=title project department size zone level pool=place.pool server=place.server protected "
    "operation=operation.standing unrepaired ends_at erase_at erased_at erasure=erasure.method bytes=erasure.bytes "
    "verified=erasure.verified"
)
ENDPOINT = "host port reported confirmed_at id"
PARTS = {"limits": "resource amount enforced because", "endpoints": ENDPOINT}


@app.command("list")
def list_(
    department: Annotated[str | None, typer.Option(help="Only of this department and those below it.")] = None,
    project: Annotated[str | None, typer.Option(help="Only of this project.")] = None,
    state: Annotated[str | None, typer.Option(help="Only in this state, as in active.")] = None,
    pool: Annotated[str | None, typer.Option(help="Only in this pool.")] = None,
    output: Output = Format.TABLE,
    limit: Limit = None,
) -> None:
    """List the tenancies you can see, newest first.

    Example: cloudctl tenancy list --state active -o json
    """
    found = api().items("tenancies", limit=limit, department=department, project=project, state=state, pool=pool)
    show_list(found, output, "id name state=title project=project.code size pool=place.pool ends_at")


@app.command("show")
def show_(tenancy: TenancyId, output: Output = Format.TABLE) -> None:
    """Show a tenancy: each limit and whether it is really enforced, endpoints, term, the operation under way.

    Example: cloudctl tenancy show ten_01kc4y3hq2fwp9s6v7x8z0a1b2
    """
    _show(api().get("tenancies", tenancy), output)


@app.command()
def resize(
    tenancy: TenancyId,
    size: Annotated[list[str], typer.Argument(help="CLASS=AMOUNT, as in vcpu=6; others stay as they are.")],
    purpose: Purpose,
    wait: Wait = False,
    output: Output = Format.TABLE,
) -> None:
    """Apply for another size, larger or smaller.

    Example: cloudctl tenancy resize ten_01kc… vcpu=6 memory_gib=12 --purpose "the enrolment season" --wait
    """
    _apply(tenancy, purpose, {"kind": "resize", "size": sizes(size)}, output, wait)


@app.command()
def extend(
    tenancy: TenancyId,
    days: Annotated[int, typer.Option(help="Calendar days to add to its term.")],
    purpose: Purpose,
    wait: Wait = False,
    output: Output = Format.TABLE,
) -> None:
    """Apply for a longer term.

    Example: cloudctl tenancy extend ten_01kc… --days 180 --purpose "goes on for another half year"
    """
    _apply(tenancy, purpose, {"kind": "extend", "days": days}, output, wait)


@app.command("return")
def return_(tenancy: TenancyId, purpose: Purpose, wait: Wait = False, output: Output = Format.TABLE) -> None:
    """Give a tenancy back. It can be restored for a while; then it is erased, with a record.

    Example: cloudctl tenancy return ten_01kc… --purpose "the system is shut down" --wait
    """
    _apply(tenancy, purpose, {"kind": "return"}, output, wait)


@app.command()
def restore(tenancy: TenancyId, reason: Reason, wait: Wait = False, output: Output = Format.TABLE) -> None:
    """Take a returned tenancy out of quarantine, while it can be; its quota is taken again.

    Example: cloudctl tenancy restore ten_01kc… --reason "returned by mistake" --wait
    """
    _order(tenancy, "restore", reason, output, wait)


@app.command()
def erase(tenancy: TenancyId, reason: Reason, wait: Wait = False, output: Output = Format.TABLE) -> None:
    """Erase a tenancy in quarantine now, for good, with an erasure record.

    Example: cloudctl tenancy erase ten_01kc… --reason "data handed back on 2025-06-30" --wait
    """
    _order(tenancy, "erase", reason, output, wait)


@app.command()
def suspend(tenancy: TenancyId, reason: Reason, wait: Wait = False, output: Output = Format.TABLE) -> None:
    """Shut a tenancy's access; its data stays.

    Example: cloudctl tenancy suspend ten_01kc… --reason "incident 2025-031" --wait
    """
    _order(tenancy, "suspend", reason, output, wait)


@app.command()
def resume(tenancy: TenancyId, reason: Reason, wait: Wait = False, output: Output = Format.TABLE) -> None:
    """Open a suspended tenancy again.

    Example: cloudctl tenancy resume ten_01kc… --reason "incident 2025-031 closed" --wait
    """
    _order(tenancy, "resume", reason, output, wait)


@app.command()
def rotate(
    tenancy: TenancyId,
    key: Annotated[
        list[Path] | None,
        typer.Option(exists=True, dir_okay=False, help="File of public SSH keys that get in from now on; repeatable."),
    ] = None,
    reason: Annotated[str | None, typer.Option(help="Why; it stands in the audit log.")] = None,
    wait: Wait = False,
    output: Output = Format.TABLE,
) -> None:
    """Make another access and end every earlier one: a key was lost, a kubeconfig has run out, somebody left.

    \b
    Example
      cloudctl tenancy rotate ten_01kc… --key ~/.ssh/id_ed25519.pub --wait
      cloudctl tenancy access ten_01kc…
    """
    keys = [line for file in key for line in file.read_text().splitlines() if line.strip()] if key else None
    _order(tenancy, "rotate", reason, output, wait, keys=keys)


@app.command()
def hold(
    tenancy: TenancyId,
    reason: Reason,
    until: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%dT%H:%M", "%Y-%m-%d"], help="Local time, as in 2026-03-02T18:00."),
    ] = None,
    off: Annotated[bool, typer.Option("--off", help="End the hold: drift is repaired again.")] = False,
    output: Output = Format.TABLE,
) -> None:
    """Have nothing of a tenancy repaired for a while, because you work on it by hand.

    Example: cloudctl tenancy hold ten_01kc… --until 2026-03-02T18:00 --reason "disk swap"
    """
    if off == (until is not None):
        raise typer.BadParameter("give either --until or --off")
    body = {"until": until and until.astimezone().isoformat(), "reason": reason}
    _show(api().post("tenancies", tenancy, "hold", body=body), output)


@app.command()
def access(
    tenancy: TenancyId,
    secret: Annotated[
        bool, typer.Option("--secret", help="Print the secret alone, where there is one: a kubeconfig, a password.")
    ] = False,
    output: Output = Format.JSON,
) -> None:
    """Read how to get in. It is handed over once: keep it.

    \b
    Examples
      cloudctl tenancy access ten_01kc… > access.json
      (umask 077; cloudctl tenancy access ten_01kc… --secret > exam-web.kubeconfig)
      kubectl --kubeconfig exam-web.kubeconfig get pods
    """
    handed_over = api().post("tenancies", tenancy, "access")
    if secret and handed_over["secret"]:
        typer.echo(handed_over["secret"].rstrip("\n"))
        return
    show(handed_over, output, "tenancy how secret")


@app.command()
def protect(
    tenancy: TenancyId,
    off: Annotated[bool, typer.Option("--off", help="Take the protection away.")] = False,
    output: Output = Format.TABLE,
) -> None:
    """Protect a tenancy from being returned or erased.

    Example: cloudctl tenancy protect ten_01kc…
    """
    _show(api().change("tenancies", tenancy, body={"protected": not off}), output)


@app.command()
def placement(tenancy: TenancyId, output: Output = Format.TABLE) -> None:
    """Tell for each pool why the tenancy fits into it or not.

    Example: cloudctl tenancy placement ten_01kc…
    """
    found = api().get("tenancies", tenancy, "placement")
    if output is not Format.TABLE:
        for_programs(found, output)
        return
    show_list(found["items"], output, "pool provider fits because note")


@app.command("audit")
def audit_(tenancy: TenancyId, output: Output = Format.TABLE, limit: Limit = None) -> None:
    """List what operators did to a tenancy.

    Example: cloudctl tenancy audit ten_01kc…
    """
    found = api().items("tenancies", tenancy, "audit", limit=limit)
    show_list(found, output, "at actor_name action result reason")


@endpoint.command("add")
def add_endpoint(
    tenancy: TenancyId,
    host: Annotated[str, typer.Argument(help="Host name or address.")],
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="TCP port; none for all of the host.")] = None,
    output: Output = Format.TABLE,
) -> None:
    """Enter an address; it counts only once an operator has confirmed it.

    Example: cloudctl tenancy endpoint add ten_01kc… 10.20.30.40 --port 443
    """
    show(api().post("tenancies", tenancy, "endpoints", body={"host": host, "port": port}), output, ENDPOINT)


@endpoint.command("confirm")
def confirm_endpoint(
    tenancy: TenancyId,
    endpoint: Annotated[str, typer.Argument(help="Id of the endpoint, as tenancy show tells it.")],
    output: Output = Format.TABLE,
) -> None:
    """Vouch, as an operator, that an address is the tenancy's.

    Example: cloudctl tenancy endpoint confirm ten_01kc… end_01kc…
    """
    show(api().post("tenancies", tenancy, "endpoints", endpoint, "confirm"), output, ENDPOINT)


def _show(tenancy: dict[str, Any], output: Format) -> None:
    show(tenancy, output, FIELDS, **PARTS)


def _apply(tenancy: str, purpose: str, item: dict[str, Any], output: Format, wait: bool) -> None:
    known = api().get("tenancies", tenancy)
    item = {"kind": item.pop("kind"), "tenancy": known["id"], **item}
    parties = {"department": known["department"]["id"], "project": known["project"]["id"]}
    requests.submit({**parties, "purpose": purpose, "items": [item]}, output, wait)


def _order(tenancy: str, verb: str, reason: str | None, output: Format, wait: bool, **more: Any) -> None:
    operation = api().post("tenancies", tenancy, verb, body={"reason": reason, **more})
    if wait:
        watch.operation(api(), operation["id"])
    _show(api().get("tenancies", tenancy), output)

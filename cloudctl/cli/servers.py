"""`cloudctl server`: machines that become a pool's, and cease to be."""

from pathlib import Path
from typing import Annotated, Any

import typer

from cloudctl.cli import host_keys, watch
from cloudctl.cli.client import api
from cloudctl.cli.failures import USAGE, Failure
from cloudctl.cli.output import Format, Limit, Output, for_programs, show, show_list
from cloudctl.cli.requests import Wait

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Servers of pools: enrol, drain, retire.")
Server = Annotated[str, typer.Argument(help="Id of the server; its name where no other pool has one of that name.")]
Reason = Annotated[str, typer.Option(help="Why; it stands in the audit log.")]
Why = Annotated[str | None, typer.Option("--reason", help="Why; it stands in the audit log.")]
COLUMNS = (
    "name address state processor=facts.processor compute=facts.compute.factor inventory free "
    "operation=operation.step id"
)
FIELDS = (
    "id name address state host_key architecture=facts.architecture abi=facts.abi processor=facts.processor "
    "compute=facts.compute.factor system=facts.system kernel=facts.kernel inventory operation=operation.id "
    "step=operation.step created_at"
)


@app.command()
def enroll(
    hosts: Annotated[list[str], typer.Argument(help="HOST, or NAME=HOST: host names or addresses.")],
    pool: Annotated[str, typer.Option(help="Id or name of the pool.")],
    host_key: Annotated[str | None, typer.Option(help="Public SSH key of the one server: 'ssh-ed25519 AAAA…'.")] = None,
    known_hosts: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="File with the host keys, as ssh has it.")
    ] = None,
    port: Annotated[int, typer.Option(help="SSH port at which the keys are looked for.")] = 22,
    wait: Wait = False,
    output: Output = Format.TABLE,
) -> None:
    """Enrol servers: each is looked at, prepared, measured and opened by an operation of its own.

    A server is known by its host key, and nobody is believed blindly: give the keys, or compare the fingerprint that
    each server shows to this machine with the one that it tells on its own console, and say that they are the same.

    \b
    Examples
      cloudctl server enroll 10.0.0.7 --pool kunpeng-1 --host-key 'ssh-ed25519 AAAAC3…' --wait
      cloudctl server enroll node-07=10.0.0.7 node-08=10.0.0.8 --pool kunpeng-1 --known-hosts keys
      cloudctl server enroll node-09 --pool kunpeng-1        shows the fingerprint and asks
    """
    named = dict(map(_named, hosts))
    if host_key and len(named) > 1:
        raise Failure("key-of-many", USAGE)
    given = dict.fromkeys(named.values(), host_key) if host_key else {}
    keys = given or host_keys.of(list(named.values()), port, known_hosts)
    enrolled = [
        api().post("servers", body={"pool": pool, "name": name, "address": host, "host_key": keys[host]})
        for name, host in named.items()
    ]
    _conclude(enrolled, output, wait)


@app.command("list")
def list_(
    pool: Annotated[str | None, typer.Option(help="Only of this pool.")] = None,
    state: Annotated[str | None, typer.Option(help="Only in this state, as in draining.")] = None,
    output: Output = Format.TABLE,
    limit: Limit = None,
) -> None:
    """List servers, with what is free on each.

    Example: cloudctl server list --pool kunpeng-1
    """
    rows(api().items("servers", limit=limit, pool=pool, state=state), output)


@app.command("show")
def show_(server: Server, output: Output = Format.TABLE) -> None:
    """Show a server: what it said of itself, how fast it computes, its balance.

    Example: cloudctl server show node-07
    """
    _show(api().get("servers", server), output)


@app.command()
def drain(server: Server, reason: Why = None, output: Output = Format.TABLE) -> None:
    """Place nothing new on a server; what is on it stays.

    Example: cloudctl server drain node-07 --reason "its memory is to be replaced"
    """
    _show(api().post("servers", server, "drain", body={"reason": reason}), output)


@app.command("open")
def open_(server: Server, reason: Why = None, output: Output = Format.TABLE) -> None:
    """Place tenancies on a drained server again.

    Example: cloudctl server open node-07
    """
    _show(api().post("servers", server, "open", body={"reason": reason}), output)


@app.command()
def retire(
    server: Server,
    reason: Reason,
    gone: Annotated[
        bool, typer.Option("--gone", help="Nobody will reach it any more: only the books forget it.")
    ] = False,
    wait: Wait = False,
    output: Output = Format.TABLE,
) -> None:
    """Take a server out of its pool and take back what was done to it. Refused while tenancies live on it.

    Example: cloudctl server retire node-07 --reason "seven years old" --wait
    """
    retired = api().post("servers", server, "retire", body={"reason": reason, "gone": gone})
    _conclude([retired], output, wait)


def rows(servers: list[Any], output: Format) -> None:
    """Print servers as a list; for people, what is free of each class stands as one size."""
    if output is Format.TABLE:
        servers = [{**one, "free": {name: each["free"] for name, each in one["capacity"].items()}} for one in servers]
    show_list(servers, output, COLUMNS)


def _named(host: str) -> tuple[str, str]:
    name, equals, address = host.rpartition("=")
    if not address or (equals and not name):
        raise Failure("not-an-address", USAGE, given=host)
    return (name or address).lower(), address


def _conclude(servers: list[Any], output: Format, wait: bool) -> None:
    """Show servers as they are, or once the operations on them have ended.

    Raises:
        Failure: one of them did not come about.
    """
    failed: list[str] = []
    if wait:
        under_way = {one["operation"]["id"]: one["name"] for one in servers if one["operation"]}
        failed = watch.operations(api(), under_way)
        servers = [api().get("servers", one["id"]) for one in servers]
    if output is Format.TABLE:
        rows(servers, output)
    else:
        for_programs(servers, output)
    if failed:
        raise Failure("servers-came-out", count=len(failed), total=len(servers))


def _show(server: dict[str, Any], output: Format) -> None:
    if output is Format.TABLE:
        server = {
            **server,
            "disks": server["facts"]["disks"],
            "balances": [{"resource": name, **one} for name, one in server["capacity"].items()],
        }
    show(server, output, FIELDS, balances="resource limit held used free", disks="name gib")

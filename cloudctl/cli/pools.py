"""`cloudctl pool`: where tenancies live."""

from pathlib import Path
from typing import Annotated, Any

import typer

from cloudctl.cli import files, questions, servers
from cloudctl.cli.client import api
from cloudctl.cli.failures import USAGE, Failure
from cloudctl.cli.output import Format, Limit, Output, for_programs, show, show_list, text
from cloudctl.cli.quotas import factors, sizes
from cloudctl.cli.words import say

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Where tenancies live.")
server = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="The servers of a pool.")
app.add_typer(server, name="server")
Pool = Annotated[str, typer.Argument(help="Id or name of the pool.")]
State = Annotated[str | None, typer.Option(help="open, or draining: nothing new is placed there.")]
Overcommit = Annotated[list[str] | None, typer.Option(help="CLASS=FACTOR, as in vcpu=2; may be repeated.")]
Reserve = Annotated[list[str] | None, typer.Option(help="CLASS=AMOUNT kept back, as in vcpu=16; may be repeated.")]
Inventory = Annotated[list[str] | None, typer.Option(help="CLASS=AMOUNT that is there; may be repeated.")]
FIELDS = (
    "name provider driver connection zone architecture abi cpu_family level traits overcommit reserve inventory state "
    "repairs strangers compute_factor looked_at id"
)
SERVER = "name address state processor=facts.processor compute=facts.compute.factor inventory free id"


@app.command("list")
def list_(output: Output = Format.TABLE, limit: Limit = None) -> None:
    """List the pools, with what is free in each.

    Example: cloudctl pool list
    """
    found = api().items("pools", limit=limit)
    show_list(_with_free(found, output), output, "name provider driver zone architecture cpu_family level state free")


@app.command("show")
def show_(pool: Pool, output: Output = Format.TABLE) -> None:
    """Show a pool, its servers and its balance.

    Example: cloudctl pool show local
    """
    found = api().get("pools", pool)
    if output is Format.TABLE:
        found["servers"] = _with_free(api().get("pools", pool, "servers")["items"], output)
    _show(found, output)


@app.command()
def add(file: files.YamlFile, output: Output = Format.TABLE) -> None:
    """Add a pool described in a YAML file.

    \b
    Example
      cloudctl pool add -f kunpeng.yaml
    kunpeng.yaml
      name: kunpeng-extranet
      provider: Qianxinan Digital
      driver: servers
      zone: extranet
      architecture: arm64
      abi: aapcs64
      cpu_family: Kunpeng-920
      level: 3
      connection: {connection: ssh, user: admin, private_key: /etc/cloudctl/ssh.key}
    Then its servers
      cloudctl server enroll 10.0.0.7 10.0.0.8 --pool kunpeng-extranet --known-hosts keys --wait
    A pool that is a Kubernetes cluster
      driver: kubernetes
      inventory: {vcpu: 128, memory_gib: 512, storage_gib.ssd: 4000}
      connection: {kubeconfig: /etc/cloudctl/kunpeng.kubeconfig, storage_classes: {ssd: fast-disks}}
    """
    _show(_from(file, "pools"), output)


@app.command()
def confirm(
    pool: Pool,
    reason: Annotated[str, typer.Option(help="Why; it stands in the audit log.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Confirm without being asked again.")] = False,
    output: Output = Format.TABLE,
) -> None:
    """Let repairs begin that were stopped because much of a pool looks wrong at once. You are shown what.

    Example: cloudctl pool confirm kunpeng-1 --reason "the cluster was rebuilt last night"
    """
    found = api().get("pools", pool)
    breaker = found["condition"]["breaker"] or {}
    waits = breaker and not breaker["confirmed_by"]
    if waits and not yes and not questions.confirmed(say("confirm-repairs", pool=found["name"], **breaker)):
        raise Failure("repairs-not-confirmed", pool=found["name"])
    body = {"digest": breaker.get("digest", ""), "reason": reason}
    _show(api().post("pools", pool, "confirm", body=body), output)


@app.command("set")
def set_(
    pool: Pool,
    state: State = None,
    overcommit: Overcommit = None,
    reserve: Reserve = None,
    inventory: Inventory = None,
    provider: Annotated[str | None, typer.Option(help="The company that runs it.")] = None,
    file: Annotated[
        Path | None, typer.Option("--file", "-f", help="YAML with fields to replace, as connection and traits.")
    ] = None,
    output: Output = Format.TABLE,
) -> None:
    """Change a pool. Amounts that are not named stay; zone, level and processor never change: tenancies lie by them.

    \b
    Examples
      cloudctl pool set kunpeng-1 --overcommit vcpu=2 --reserve vcpu=16
      cloudctl pool set kunpeng-1 -f changes.yaml
    changes.yaml
      connection: {kubeconfig: /etc/cloudctl/kunpeng-2.kubeconfig, storage_classes: {ssd: fast-disks}}
      traits: [local-ssd]
    """
    old = api().get("pools", pool)
    amounts = {"reserve": reserve and sizes(reserve), "inventory": inventory and sizes(inventory)}
    options = {"state": state, "provider": provider, "overcommit": overcommit and factors(overcommit), **amounts}
    changes = _changes(old, file, **options)
    with files.blamed(changes):
        _show(api().change("pools", pool, body=changes.content), output)


@app.command()
def drain(
    pool: Pool,
    off: Annotated[bool, typer.Option("--off", help="Open it again.")] = False,
    output: Output = Format.TABLE,
) -> None:
    """Have nothing new placed on a pool; what is there stays.

    Example: cloudctl pool drain kunpeng-1
    """
    _show(api().change("pools", pool, body={"state": "open" if off else "draining"}), output)


@server.command("set")
def set_server(
    pool: Pool,
    server: Annotated[str, typer.Argument(help="Id or name of the server.")],
    address: Annotated[str | None, typer.Option(help="Where it is reached.")] = None,
    inventory: Inventory = None,
    output: Output = Format.TABLE,
) -> None:
    """Change a server. Amounts that are not named stay. To drain, open or retire it: cloudctl server.

    Example: cloudctl pool server set kunpeng-1 node-07 --inventory memory_gib=512
    """
    here = api().get("pools", pool, "servers")["items"]
    old: dict[str, Any] = next((one for one in here if server in (one["id"], one["name"])), {"inventory": {}})
    options = {"address": address, "inventory": inventory and sizes(inventory)}
    changes = _changes(old, None, **options)
    changed = api().patch("pools", pool, "servers", server, body=changes.content)
    show(_with_free([changed], output)[0], output, SERVER)


@server.command("add")
def add_server(pool: Pool, file: files.YamlFile, output: Output = Format.TABLE) -> None:
    """Add a server to a pool by hand, described in a YAML file; for one that is reached by SSH: cloudctl server enroll.

    \b
    Example
      cloudctl pool server add local -f server.yaml
    server.yaml
      name: node-07
      address: 10.0.0.7
      inventory: {vcpu: 64, memory_gib: 256, storage_gib.ssd: 4000}
    """
    show(_from(file, "pools", pool, "servers"), output, "name address inventory id")


@server.command("list")
def list_servers(pool: Pool, output: Output = Format.TABLE) -> None:
    """List the servers of a pool.

    Example: cloudctl pool server list local
    """
    found = api().get("pools", pool, "servers")["items"]
    servers.rows(found, output)


@app.command()
def explain(
    size: Annotated[list[str], typer.Argument(help="CLASS=AMOUNT, as in vcpu=4 memory_gib=8.")],
    architecture: Annotated[list[str] | None, typer.Option(help="May run on this one; may be repeated.")] = None,
    zone: Annotated[str, typer.Option(help="Network zone.")] = "extranet",
    level: Annotated[int, typer.Option(min=1, max=4, help="MLPS security level.")] = 1,
    output: Output = Format.TABLE,
) -> None:
    """Tell for each pool why a size would fit or not.

    Example: cloudctl pool explain vcpu=64 memory_gib=256 --architecture arm64 --level 3
    """
    body = {"size": sizes(size), "architectures": architecture or ["amd64"], "zone": zone, "level": level}
    found = api().post("placement", "explain", body=body)
    if output is not Format.TABLE:
        for_programs(found, output)
        return
    show_list(found["items"], output, "pool provider fits compute_factor because note")


def _show(pool: dict[str, Any], output: Format) -> None:
    if output is Format.TABLE:
        pool = {**pool, **_for_people(pool), "servers": _servers(pool)}
    parts = {"balances": "resource limit held used free", "servers": SERVER}
    show(pool, output, FIELDS, **parts, unreachable="place because", short="place resource entered found")


def _for_people(pool: dict[str, Any]) -> dict[str, Any]:
    condition = pool["condition"]
    shortages = [
        {"place": place, "resource": resource, "entered": entered, "found": found}
        for place, classes in condition["short"].items()
        for resource, (entered, found) in classes.items()
    ]
    return {
        "connection": [f"{name}: {text(value)}" for name, value in pool["connection"].items()],
        "overcommit": [f"{text(name)} × {factor:g}" for name, factor in pool["overcommit"].items()],
        "balances": [{"resource": name, **one} for name, one in pool["capacity"].items()],
        "repairs": _repairs(condition["breaker"]),
        "short": shortages,
        **{name: condition[name] for name in ("strangers", "unreachable", "looked_at")},
    }


def _repairs(breaker: dict[str, Any] | None) -> str | None:
    """What is to be said of repairs: nothing while they go on as always."""
    if breaker is None:
        return None
    return say("repairs-confirmed" if breaker["confirmed_by"] else "repairs-stopped", **breaker)


def _servers(pool: dict[str, Any]) -> list[Any]:
    return _with_free(api().get("pools", pool["id"], "servers")["items"], Format.TABLE)


def _changes(old: dict[str, Any], file: Path | None, **options: Any) -> files.Document:
    """What is given to be changed; of amounts by class, those that are not named stay."""
    document = files.read(file) if file else files.Document("", {}, {})
    if not isinstance(document.content, dict):
        raise Failure("not-a-mapping", USAGE, file=document.name)
    changed = {name: {**old[name], **value} if isinstance(value, dict) else value for name, value in options.items()}
    body = {**document.content, **{name: value for name, value in changed.items() if value is not None}}
    if not body:
        raise Failure("nothing-to-change", USAGE)
    return files.Document(document.name, body, document.lines)


def _with_free(places: list[Any], output: Format) -> list[Any]:
    """For people, what is free of each class stands as one size."""
    if output is not Format.TABLE:
        return places
    return [{**one, "free": {name: each["free"] for name, each in one["capacity"].items()}} for one in places]


def _from(file: Any, *path: str) -> Any:
    document = files.read(file)
    with files.blamed(document):
        return api().post(*path, body=document.content)

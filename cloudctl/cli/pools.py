"""`cloudctl pool`: where tenancies live."""

from typing import Annotated, Any

import typer

from cloudctl.cli import files, servers
from cloudctl.cli.client import api
from cloudctl.cli.failures import Refused
from cloudctl.cli.output import Format, Limit, Output, for_programs, show, show_list
from cloudctl.cli.quotas import sizes

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Where tenancies live.")
server = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="The servers of a pool.")
app.add_typer(server, name="server")
Pool = Annotated[str, typer.Argument(help="Id or name of the pool.")]
FIELDS = (
    "name provider driver zone architecture abi cpu_family level traits overcommit reserve inventory state "
    "compute_factor breaker short strangers unreachable looked_at id"
)
SERVERS = "name address state processor=facts.processor compute=facts.compute.factor free"


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
    output: Output = Format.TABLE,
) -> None:
    """Let repairs begin that were stopped because much of a pool looks wrong at once. Look first.

    Example: cloudctl pool confirm kunpeng-1 --reason "the cluster was rebuilt last night"
    """
    breaker = api().get("pools", pool)["condition"]["breaker"] or {}
    body = {"digest": breaker.get("digest", ""), "reason": reason}
    _show(api().post("pools", pool, "confirm", body=body), output)


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
    show_list(found["items"], output, "pool provider fits compute_factor because")


def _show(pool: dict[str, Any], output: Format) -> None:
    if output is Format.TABLE:
        condition = {name: found for name, found in pool["condition"].items() if found}
        pool = {**pool, **condition, "balances": [{"resource": name, **one} for name, one in pool["capacity"].items()]}
    show(pool, output, FIELDS, balances="resource limit held used free", servers=SERVERS)


def _with_free(places: list[Any], output: Format) -> list[Any]:
    """For people, what is free of each class stands as one size."""
    if output is not Format.TABLE:
        return places
    return [{**one, "free": {name: each["free"] for name, each in one["capacity"].items()}} for one in places]


def _from(file: Any, *path: str) -> Any:
    document = files.read(file)
    try:
        return api().post(*path, body=document.content)
    except Refused as refused:
        refused.file, refused.lines = document.name, document.lines
        raise

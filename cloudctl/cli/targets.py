"""`cloudctl target`: public service systems that load may be sent to."""

from typing import Annotated, Any

import typer

from cloudctl.cli import files
from cloudctl.cli.client import api
from cloudctl.cli.output import Format, Limit, Output, show, show_list

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Public systems that load may be sent to.")
TargetId = Annotated[str, typer.Argument(metavar="TARGET", help="Id of the target.")]
FIELDS = (
    "id name base_url tenancy project ceiling production software well_known token proven_at contacts "
    "capacity=capacity.capacity planning=capacity.planning measured_at=capacity.at ends_at=capacity.expires_at"
)
PARTS = {"blackouts": "from to days zone", "depends": "name department consent_at"}


@app.command("list")
def list_(
    project: Annotated[str | None, typer.Option(help="Only of this project.")] = None,
    output: Output = Format.TABLE,
    limit: Limit = None,
) -> None:
    """List targets, with what is proven of each.

    Example: cloudctl target list --project QXN-2026-0001
    """
    found = api().items("targets", limit=limit, project=project)
    show_list(found, output, "id name base_url ceiling production proven_at planning=capacity.planning")


@app.command("show")
def show_(target: TargetId, output: Output = Format.TABLE) -> None:
    """Show a target: where, how much at most, when not, and the token that it must answer.

    Example: cloudctl target show tgt_01kc…
    """
    show(api().get("targets", target), output, FIELDS, **PARTS)


@app.command()
def register(file: files.YamlFile, output: Output = Format.TABLE) -> None:
    """Register a system of a project. It proves whose it is by answering a token, looked at before each run.

    \b
    Example
      cloudctl target register -f scores.yaml
    scores.yaml
      project: QXN-2026-0001
      tenancy: ten_01kc…                       the one it runs in; its address must be an endpoint of it
      name: exam scores
      base_url: https://scores.example.gov.cn
      contacts: [Wang 0859-3222222]
      ceiling: 500                             requests a second that are never exceeded
      production: true                         a second person approves each campaign
      blackouts: [{from: "08:30", to: "12:00", days: [mon, tue, wed, thu, fri]}]
      depends: [{name: identity, department: 522300-DSJ}]
    Then let it answer the token of `cloudctl target show` at /.well-known/cloudctl-loadtest
    """
    document = files.read(file)
    with files.blamed(document):
        show(api().post("targets", body=document.content), output, FIELDS, **PARTS)


@app.command("set")
def set_(
    target: TargetId,
    ceiling: Annotated[float | None, typer.Option(help="Requests a second that are never exceeded.")] = None,
    software: Annotated[str | None, typer.Option(help="Its version; another one ends what was proven.")] = None,
    production: Annotated[bool | None, typer.Option(help="Whether the public uses it.")] = None,
    output: Output = Format.TABLE,
) -> None:
    """Change a target; another address is another target.

    Example: cloudctl target set tgt_01kc… --software 2.4.2
    """
    wanted: dict[str, Any] = {"ceiling": ceiling, "software": software, "production": production}
    body = {name: value for name, value in wanted.items() if value is not None}
    show(api().change("targets", target, body=body), output, FIELDS, **PARTS)


@app.command()
def consent(
    target: TargetId,
    name: Annotated[str, typer.Option(help="What of your department is depended on.")],
    output: Output = Format.TABLE,
) -> None:
    """Consent, for your department, that load on the target may reach what it depends on.

    Example: cloudctl target consent tgt_01kc… --name identity
    """
    show(api().post("targets", target, "consent", body={"name": name}), output, FIELDS, **PARTS)

"""`cloudctl request`: applications, from the preview to their outcome."""

import mimetypes
from pathlib import Path
from typing import Annotated, Any

import typer

from cloudctl.cli import files, watch
from cloudctl.cli.client import api
from cloudctl.cli.failures import USAGE, Failure
from cloudctl.cli.output import Format, Limit, Output, for_programs, show, show_list

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Applications for one or more items.")
RequestId = Annotated[str, typer.Argument(metavar="REQUEST", help="Number or id of the request.")]
Wait = Annotated[bool, typer.Option("--wait", help="Stay and tell what happens, until it is decided and carried out.")]
Attach = Annotated[
    list[Path] | None, typer.Option("--attach", exists=True, dir_okay=False, help="A document; may be repeated.")
]

AWAITED = (
    "step=awaited.title waits_for=awaited.people due_at=awaited.due_at light=awaited.light hindrance=awaited.hindrance"
)
FIELDS = f"number state=outcome department project purpose submitted_by {AWAITED} missing created_at finished_at"
PREVIEW = "position kind name size automatic because=hindrances fits why_not over=over_quota nearest=over_quota.nearest"
PARTS = {
    "items": "kind name=spec.name size=spec.size limits=spec.limits state=title queue=queue_position "
    "subject automatic reason id",
    "steps": "step=title department approvers=people due_at closed_at",
    "attachments": "name bytes=size digest id",
}


@app.command()
def preview(file: files.YamlFile, output: Output = Format.TABLE) -> None:
    """Tell what would become of an application, without submitting it: who must approve, by when, and what fits.

    Example: cloudctl request preview -f exam-web.yaml
    """
    document = files.read(file)
    found = _with_file(document, "requests", "preview")
    if output is not Format.TABLE:
        for_programs(found, output)
        return
    for item in found["items"]:
        asked = document.content["items"][item["position"]]
        show({**asked, **item}, output, PREVIEW, steps="step=title department approvers days due_at")
        typer.echo()


@app.command()
def create(
    file: files.YamlFile,
    attach: Attach = None,
    only_preview: Annotated[bool, typer.Option("--preview", help="Only tell what would become of it.")] = False,
    wait: Wait = False,
    output: Output = Format.TABLE,
) -> None:
    """Submit an application from a YAML file. Keys that are unknown or stand twice are refused, with their line.

    \b
    Example
      cloudctl request create -f exam-web.yaml --attach plan.pdf --wait
    exam-web.yaml
      department: 522300-jyj
      project: 522300-jyj-2026-0001
      purpose: Publish the exam scores on 25 June.
      items:
        - kind: create            # or project, quota, resize, extend, return
          name: exam-web
          size: {vcpu: 4, memory_gib: 8, storage_gib.ssd: 10}
          keys: ["ssh-ed25519 AAAA… wang"]
    """
    if only_preview:
        preview(file, output)
        return
    request = _with_file(files.read(file), "requests")
    for document in attach or []:
        _attach(request["id"], document)
    conclude(request, output, wait)


@app.command("list")
def list_(
    department: Annotated[str | None, typer.Option(help="Only of this department and those below it.")] = None,
    state: Annotated[str | None, typer.Option(help="Only in this state, as in examining.")] = None,
    output: Output = Format.TABLE,
    limit: Limit = None,
) -> None:
    """List the requests you can see, newest first, with whom each waits for.

    Example: cloudctl request list --state examining
    """
    found = api().items("requests", limit=limit, department=department, state=state)
    show_list(found, output, f"number department purpose state=title {AWAITED}")


@app.command("show")
def show_(request: RequestId, output: Output = Format.TABLE) -> None:
    """Show a request: its items, who must act and by when, and how each item came out.

    Example: cloudctl request show 2025-000017
    """
    show(api().get("requests", request), output, FIELDS, **PARTS)


@app.command("watch")
def watch_(request: RequestId, output: Output = Format.TABLE) -> None:
    """Stay and tell what happens to a request, until it is decided and carried out.

    Example: cloudctl request watch 2025-000017
    """
    conclude(api().get("requests", request), output, wait=True)


@app.command()
def supplement(
    request: RequestId,
    file: Annotated[Path | None, typer.Option("--file", "-f", help="YAML: purpose, changes by item id.")] = None,
    provided: Annotated[list[str] | None, typer.Option(help="A missing document that is there now.")] = None,
    attach: Attach = None,
    output: Output = Format.TABLE,
) -> None:
    """Complete a request that was returned, or bring documents that were still missing.

    Example: cloudctl request supplement 2025-000017 --attach plan.pdf --provided construction-plan
    """
    for document in attach or []:
        _attach(request, document)
    read = files.read(file) if file else files.Document("", {}, {})
    content = {**(read.content or {}), **({"provided": provided} if provided else {})}
    done = _with_file(files.Document(read.name, content, read.lines), "requests", request, "supplement")
    show(done, output, FIELDS, **PARTS)


@app.command()
def withdraw(request: RequestId, output: Output = Format.TABLE) -> None:
    """Take back what is not decided yet, or still waits for capacity. What it held is free again.

    Example: cloudctl request withdraw 2025-000017
    """
    show(api().post("requests", request, "withdraw"), output, FIELDS, **PARTS)


@app.command()
def attach(
    request: RequestId, documents: Annotated[list[Path], typer.Argument(exists=True, dir_okay=False, help="The files.")]
) -> None:
    """Attach documents to a request.

    Example: cloudctl request attach 2025-000017 plan.pdf
    """
    for document in documents:
        _attach(request, document)


def submit(application: dict[str, Any], output: Format, wait: bool) -> None:
    """Submit an application that a command has put together, as `tenancy resize` does."""
    conclude(api().post("requests", body=application), output, wait)


def conclude(request: dict[str, Any], output: Format, wait: bool) -> None:
    """Show a request as it is, or once it has come out; a failure of an item is the command's.

    Raises:
        Failure: an item was refused, withdrawn or failed.
    """
    if wait:
        request = watch.request(api(), request["id"])
    show(request, output, FIELDS, **PARTS)
    lost = [item for item in request["items"] if item["state"] in ("refused", "withdrawn", "failed")]
    if wait and lost:
        raise Failure("request-came-out", number=request["number"], count=len(lost), total=len(request["items"]))


def _attach(request: str, document: Path) -> None:
    kind = mimetypes.guess_type(document.name)[0] or "application/octet-stream"
    api().post("requests", request, "attachments", files={"file": (document.name, document.read_bytes(), kind)})


def _with_file(document: files.Document, *path: str) -> Any:
    """Post what a file says; what the server finds wrong with it is told with its line."""
    if not isinstance(document.content, dict):
        raise Failure("not-a-mapping", USAGE, file=document.name)
    with files.blamed(document):
        return api().post(*path, body=document.content)

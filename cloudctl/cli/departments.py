"""`cloudctl department`: the tree of departments."""

from pathlib import Path
from typing import Annotated

import typer

from cloudctl.cli.client import api
from cloudctl.cli.failures import USAGE, Failure
from cloudctl.cli.output import Format, Limit, Output, show, show_list
from cloudctl.cli.words import say

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="The tree of departments.")
Department = Annotated[str, typer.Argument(help="Id or code of the department.")]
FIELDS = "code name name_en id parent=parent_id"


@app.command("list")
def list_(
    below: Annotated[str | None, typer.Option(help="Id or code: only this one and what is under it.")] = None,
    output: Output = Format.TABLE,
    limit: Limit = None,
) -> None:
    """List the departments you can see, by code.

    Example: cloudctl department list --below 522301
    """
    found = api().items("departments", limit=limit, below=below)
    show_list(found, output, "code name name_en id parent=parent_id")


@app.command("show")
def show_(department: Department, output: Output = Format.TABLE) -> None:
    """Show a department.

    Example: cloudctl department show 522301
    """
    show(api().get("departments", department), output, FIELDS)


@app.command()
def create(
    code: Annotated[str, typer.Argument(help="Administrative division or unit code; unique.")],
    name: Annotated[str, typer.Option(help="Name in Chinese.")],
    name_en: Annotated[str, typer.Option(help="Name in English.")],
    parent: Annotated[str | None, typer.Option(help="Id or code of the department above; none for a root.")] = None,
    output: Output = Format.TABLE,
) -> None:
    """Register a department.

    Example: cloudctl department create 522301-swj --name 兴义市商务局 --name-en "Xingyi Commerce" --parent 522301
    """
    body = {"code": code, "name": name, "name_en": name_en, "parent": parent}
    show(api().post("departments", body=body), output, FIELDS)


@app.command()
def rename(
    department: Department,
    name: Annotated[str, typer.Option(help="New name in Chinese.")],
    name_en: Annotated[str, typer.Option(help="New name in English.")],
    output: Output = Format.TABLE,
) -> None:
    """Give a department other names; its code stays.

    Example: cloudctl department rename 522301-swj --name 兴义市商务局 --name-en "Xingyi Bureau of Commerce"
    """
    show(api().change("departments", department, body={"name": name, "name_en": name_en}), output, FIELDS)


@app.command()
def move(
    department: Department,
    parent: Annotated[str, typer.Argument(help="Id or code of the new department above it.")],
    output: Output = Format.TABLE,
) -> None:
    """Move a department, with all below it and what they hold, under another one.

    Example: cloudctl department move 522301-swj 522300
    """
    show(api().post("departments", department, "move", body={"parent": parent}), output, FIELDS)


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="CSV with code, name, name_en, parent_code; UTF-8 or GBK.", exists=True)],
) -> None:
    """Import departments from a CSV file: all of it, or, where a line is wrong, nothing.

    Example: cloudctl department import departments.csv
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise Failure("file-unreadable", USAGE, file=str(file), error=str(error)) from None
    done = api().post("departments", "import", content=content, headers={"Content-Type": "text/csv"})
    typer.echo(say("imported", file=str(file), count=len(done["items"])))

"""`cloudctl project`: information systems and their codes."""

from typing import Annotated

import typer

from cloudctl.cli.client import api
from cloudctl.cli.output import Format, Limit, Output, show, show_list

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Information systems and their codes.")
FIELDS = "code name name_en owner funding level id department=department_id created_at"


@app.command("list")
def list_(
    department: Annotated[str | None, typer.Option(help="Only of this department and those below it.")] = None,
    output: Output = Format.TABLE,
    limit: Limit = None,
) -> None:
    """List the projects you can see.

    Example: cloudctl project list --department 522300-jyj
    """
    found = api().items("projects", limit=limit, department=department)
    show_list(found, output, "code name name_en owner level id")


@app.command("show")
def show_(project: Annotated[str, typer.Argument(help="Id or code.")], output: Output = Format.TABLE) -> None:
    """Show a project.

    Example: cloudctl project show 522300-jyj-2026-0001
    """
    show(api().get("projects", project), output, FIELDS)


@app.command()
def create(
    department: Annotated[str, typer.Option(help="Id or code of the department it belongs to.")],
    name: Annotated[str, typer.Option(help="Name in Chinese.")],
    name_en: Annotated[str, typer.Option(help="Name in English.")],
    owner: Annotated[str, typer.Option(help="The person who answers for the system.")],
    funding: Annotated[str, typer.Option(help="Where its money comes from.")],
    level: Annotated[int, typer.Option(min=1, max=4, help="MLPS security level.")],
    output: Output = Format.TABLE,
) -> None:
    """Enter a project as an operator. Departments apply for theirs: an application of the kind project.

    \b
    Example
      cloudctl project create --department 522300-jyj --name 高考查分系统 --name-en "Exam Scores" \\
        --owner 王芳 --funding 市级财政 --level 2
    """
    body = {
        "department": department,
        "name": name,
        "name_en": name_en,
        "owner": owner,
        "funding": funding,
        "level": level,
    }
    show(api().post("projects", body=body), output, FIELDS)

"""`cloudctl user`: people, their roles and memberships."""

from typing import Annotated, Any

import typer

from cloudctl.cli.client import api
from cloudctl.cli.output import Format, Limit, Output, show, show_list

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="People, their roles and memberships.")
User = Annotated[str, typer.Argument(metavar="USER", help="Id or login.")]
Role = Annotated[str, typer.Argument(help="operator, security or auditor; in a department clerk or approver.")]
Department = Annotated[str | None, typer.Option(help="The department of a membership; none for a platform role.")]


@app.command("list")
def list_(output: Output = Format.TABLE, limit: Limit = None) -> None:
    """List the people you can see.

    Example: cloudctl user list
    """
    show_list(api().items("users", limit=limit), output, "login name disabled_at id")


@app.command("show")
def show_(user: User, output: Output = Format.TABLE) -> None:
    """Show a person with roles and memberships.

    Example: cloudctl user show wang
    """
    _show(api().get("users", user), output)


@app.command()
def create(
    login: Annotated[str, typer.Argument(help="Login: small letters, digits, dots and hyphens.")],
    name: Annotated[str, typer.Option(help="The person's name.")],
    output: Output = Format.TABLE,
) -> None:
    """Register a person, who can do nothing until the security administrator grants it.

    Example: cloudctl user create wang --name 王芳
    """
    _show(api().post("users", body={"login": login, "name": name}), output)


@app.command()
def disable(user: User, output: Output = Format.TABLE) -> None:
    """Lock a person out, with all their tokens.

    Example: cloudctl user disable wang
    """
    _show(api().post("users", user, "disable"), output)


@app.command()
def grant(user: User, role: Role, department: Department = None, output: Output = Format.TABLE) -> None:
    """Give a person a role; only the security administrator may, and nobody to themselves.

    \b
    Examples
      cloudctl user grant wang clerk --department 522300-jyj
      cloudctl user grant li auditor
    """
    if department:
        api().post("users", user, "memberships", body={"department": department, "role": role})
    else:
        api().put("users", user, "role", body={"role": role})
    _show(api().get("users", user), output)


@app.command()
def withdraw(user: User, role: Role, department: Department = None, output: Output = Format.TABLE) -> None:
    """Take a role away.

    Example: cloudctl user withdraw wang clerk --department 522300-jyj
    """
    if department:
        api().delete("users", user, "memberships", department, role)
    else:
        api().delete("users", user, "role")
    _show(api().get("users", user), output)


def _show(user: dict[str, Any], output: Format) -> None:
    show(user, output, "login name role disabled_at id", memberships="code department=name role")

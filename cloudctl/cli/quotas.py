"""`cloudctl quota`: how much a department may have, and what of it is taken."""

import re
from collections.abc import Callable
from typing import Annotated, Any

import typer

from cloudctl.cli.client import api
from cloudctl.cli.failures import USAGE, Failure
from cloudctl.cli.output import Format, Output, for_programs, show_list

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="How much departments may have.")
Department = Annotated[str, typer.Argument(help="Id or code of the department.")]
COLUMNS = "department resource limit held used free"


@app.command("show")
def show_(department: Department, output: Output = Format.TABLE) -> None:
    """Show limits, what is held and used and free: of the department, and of each one above that limits it.

    Example: cloudctl quota show 522300-jyj
    """
    _show(api().get("departments", department, "quota"), output)


@app.command("set")
def set_(
    department: Department,
    limits: Annotated[list[str], typer.Argument(help="CLASS=AMOUNT, as in vcpu=400 memory_gib=1600.")],
    output: Output = Format.TABLE,
) -> None:
    """Set the limits of a root department. Departments below it ask for theirs: an application of the kind quota.

    Example: cloudctl quota set 522300 vcpu=400 memory_gib=1600 storage_gib.ssd=8000
    """
    _show(api().put("departments", department, "quota", body={"limits": sizes(limits)}), output)


def sizes(given: list[str]) -> dict[str, int]:
    """`CLASS=AMOUNT` words as a size.

    Raises:
        Failure: a word is not of this form, or a class is named twice.
    """
    return {resource: int(amount) for resource, amount in _by_class(given, str.isdecimal).items()}


def factors(given: list[str]) -> dict[str, float]:
    """`CLASS=FACTOR` words, as in vcpu=2.5, by class.

    Raises:
        Failure: a word is not of this form, or a class is named twice.
    """
    is_number = re.compile(r"\d+(\.\d+)?").fullmatch
    return {resource: float(factor) for resource, factor in _by_class(given, is_number).items()}


def _by_class(given: list[str], fits: Callable[[str], object]) -> dict[str, str]:
    found: dict[str, str] = {}
    for word in given:
        resource, _, amount = word.partition("=")
        if not fits(amount):
            raise Failure("not-a-size", USAGE, given=word)
        if resource in found:
            raise Failure("class-twice", USAGE, resource=resource, given=[f"{resource}={found[resource]}", word])
        found[resource] = amount
    return found


def _show(quota: Any, output: Format) -> None:
    if output is not Format.TABLE:
        for_programs(quota, output)
        return
    rows = [
        {"department": {"name": level["name"], "code": level["code"]}, "resource": resource, **balance}
        for level in quota["levels"]
        for resource, balance in level["balances"].items()
    ]
    show_list(rows, output, COLUMNS)

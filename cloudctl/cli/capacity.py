"""`cloudctl capacity`: how full pools are, as charts in the terminal or as a page."""

from pathlib import Path
from typing import Annotated, Any

import typer

from cloudctl.cli.client import api
from cloudctl.cli.output import Format, Output, for_programs
from cloudctl.cli.words import say, word

app = typer.Typer(rich_markup_mode=None)
_MARKS = {"used": "█", "held": "▓", "reserve": "░", "free": "·"}
_WIDTH = 40


@app.command()
def capacity(
    html: Annotated[Path | None, typer.Option(help="Write a page with charts into this file, to mail.")] = None,
    output: Output = Format.TABLE,
) -> None:
    """Show how full each pool is, by class, and for how many more tenancies there is room.

    \b
    Example
      cloudctl capacity
      cloudctl capacity --html capacity.html
    """
    if html:
        html.write_text("\n".join(api().lines("capacity", "report")) + "\n", encoding="utf-8")
        typer.echo(say("capacity-written", file=str(html)))
        return
    found = api().get("capacity")
    if output is not Format.TABLE:
        for_programs(found, output)
        return
    legend = "  ".join(f"{mark} {word(f'capacity.{name}')}" for name, mark in _MARKS.items())
    typer.echo(f"{say('capacity-usage', since=found['usage_at'])}\n{legend}")
    for zone, used in found["peaks"].items():
        typer.echo(say("capacity-peak", zone=zone, size=used))
    for pool in found["pools"]:
        room = say("capacity-room", count=pool["headroom"], size=found["standard"])
        typer.echo(f"\n{pool['pool']} · {pool['arch']} · {pool['zone']}: {room}")
        for one in pool["classes"]:
            typer.echo(f"  {one['resource']:<18} {bar(one)} {one['free']:>8} / {one['total']}")


def bar(one: dict[str, Any], width: int = _WIDTH) -> str:
    """What is used, promised, kept back and free, as so many characters; what there is at all is to be seen."""
    total = max(one["total"], 1)
    drawn = ""
    for name in ("used", "held", "reserve"):
        length = round(one[name] / total * width)
        drawn += _MARKS[name] * (max(length, 1) if one[name] else 0)
    return f"{drawn[:width]:{_MARKS['free']}<{width}}"

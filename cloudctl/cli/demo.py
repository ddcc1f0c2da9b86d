"""`cloudctl demo`: the main job from end to end, on this machine."""

from typing import Annotated

import typer

app = typer.Typer(rich_markup_mode=None)


@app.command()
def demo(
    surge: Annotated[
        bool, typer.Option("--surge", help="Play how a service too small for the day is found out, and grown.")
    ] = False,
) -> None:
    """Play the main job from end to end on this machine, in about four minutes.

    Starts a platform of its own in a fresh data folder (database, API, worker), plays through the command line how a
    new bureau gets a project, two tenancies and access to them, and ends everything it started. The data stays.

    \b
    Example
      cloudctl demo
      cloudctl demo --surge
    """
    from cloudctl.cli.admin import told
    from cloudctl.demo import stage, story
    from cloudctl.demo import surge as day

    with told(), stage.opened() as opened:
        (day if surge else story).play(opened)

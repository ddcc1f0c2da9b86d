"""`cloudctl demo`: the main job from end to end, on this machine."""

import typer

app = typer.Typer(rich_markup_mode=None)


@app.command()
def demo() -> None:
    """Play the main job from end to end on this machine, in about four minutes.

    Starts a platform of its own in a fresh data folder (database, API, worker), plays through the command line how a
    new bureau gets a project, two tenancies and access to them, and ends everything it started. The data stays.

    Example: cloudctl demo
    """
    from cloudctl.cli.admin import told
    from cloudctl.demo import stage, story

    with told(), stage.opened() as opened:
        story.play(opened)

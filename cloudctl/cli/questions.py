"""Questions that only a person answers, on standard error: standard output has the outcome alone."""

import typer


def confirmed(question: str) -> bool:
    """Whether somebody said yes; where nobody can be asked, nobody did."""
    typer.echo(f"{question} [y/N] ", nl=False, err=True)
    return typer.get_text_stream("stdin").readline().strip().lower() in ("y", "yes", "是")

"""Help teaches, and comes at once."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import click
import pytest
import typer
from click.testing import CliRunner
from typer.main import get_command

from cloudctl.cli import app
from cloudctl.cli.lazy import COMMANDS, LazyGroup

HEAVY = ("rich", "httpx", "yaml", "sqlalchemy", "fastapi", "cloudctl.kernel", "tenancy")


def commands(command: Any = None, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command there is, by its words."""
    command = command or get_command(app)
    below = getattr(command, "list_commands", None)
    if below is None:
        yield words, command
        return
    for name in below(None):
        yield from commands(command.get_command(None, name), (*words, name))


ALL = dict(commands())


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys\nfrom cloudctl.cli import main\nsys.argv = ['cloudctl', '--help']\n"
        "try:\n    main()\nfinally:\n"
        f"    print(sorted(set(sys.modules) & {set(HEAVY)!r}), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    assert all(name in done.stdout for name in COMMANDS)


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_every_command_says_what_it_does_and_shows_an_example(words: tuple[str, ...]) -> None:
    help = ALL[words].help
    assert help.split("\n")[0].endswith((".", ":"))
    assert " ".join(["cloudctl", *words]) in help


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_every_argument_and_option_is_explained(words: tuple[str, ...]) -> None:
    unexplained = [one.name for one in ALL[words].params if not getattr(one, "help", None)]
    assert unexplained == []


def test_a_command_that_lists_or_shows_prints_for_programs_too() -> None:
    for words, command in ALL.items():
        if words[-1] in ("list", "show"):
            assert "output" in [one.name for one in command.params], words


def test_the_shell_is_told_how_to_complete() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cloudctl"],
        env={"_CLOUDCTL_COMPLETE": "complete_bash", "COMP_WORDS": "cloudctl tenancy re", "COMP_CWORD": "2"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert {"resize", "return", "restore", "resume"} <= set(done.stdout.split())
    assert isinstance(app, typer.Typer)


@pytest.mark.parametrize(("language", "told"), [("zh", "已中止。"), ("en", "Broken off.")])
@pytest.mark.parametrize("how", [KeyboardInterrupt, EOFError, typer.Abort])
def test_whoever_breaks_off_is_told_so_in_their_language(how: type[BaseException], language: str, told: str) -> None:
    def wait() -> None:
        raise how

    root = typer.Typer(cls=LazyGroup, pretty_exceptions_enable=False)
    root.callback()(lambda: None)
    group = get_command(root)
    group.get_command = lambda ctx, name: click.Command(name, callback=wait)  # type: ignore[attr-defined]
    done = CliRunner().invoke(group, ["wait"], env={"CLOUDCTL_LANG": language})
    assert (done.exit_code, done.stderr.strip()) == (1, told)

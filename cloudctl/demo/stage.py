"""The stage: a platform of the demo's own, fresh every time, and people who act on it from their own terminals."""

import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
import yaml

from cloudctl import dev
from cloudctl.cli.client import Client
from cloudctl.cli.credentials import Context
from cloudctl.cli.failures import Failure
from cloudctl.cli.words import language, say
from cloudctl.kernel.settings import Settings


@dataclass(frozen=True)
class Person:
    """Somebody at a terminal, logged in with a token of their own."""

    name: str
    client: Client
    environment: dict[str, str]

    def run(self, *words: str, code: int = 0) -> str:
        """Run a command of `cloudctl` as this person, in view; returns what it wrote to standard output.

        Raises:
            Failure: it ended with another exit code than expected.
        """
        typer.secho(f"\n{self.name} $ {shlex.join(['cloudctl', *words])}", fg="cyan")
        done = _cloudctl(words, self.environment)
        if done.returncode != code:
            raise Failure("demo-went-wrong", command=shlex.join(["cloudctl", *words]), code=done.returncode)
        return done.stdout

    def json(self, *words: str) -> Any:
        """The same for programs: the answer as JSON."""
        return json.loads(self.run(*words, "-o", "json"))


@dataclass
class Stage:
    """Where the demo plays: its folder, the platform's address, and the time that has passed."""

    folder: Path
    address: str
    settings: Settings
    began: float

    def title(self, slug: str, **figures: Any) -> None:
        """Announce what comes next."""
        seconds = time.monotonic() - self.began
        typer.secho(f"\n── {say(slug, **figures)} ", bold=True, nl=False)
        typer.secho(f"[{seconds:.0f} s]", dim=True)

    def tell(self, slug: str, **figures: Any) -> None:
        """Say what there is to see."""
        typer.secho(f"   {say(slug, **figures)}", fg="green")

    def logs_in(self, login: str, name: str, **options: Any) -> Person:
        """Somebody gets a token, made on the server, and logs in with it."""
        secret = dev.issue_token(self.settings, login, days=1, **options)
        home = self.folder / "terminals" / login
        own = {"XDG_CONFIG_HOME": str(home), "CLOUDCTL_LANG": language()}
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("CLOUDCTL_")}
        person = Person(name, Client(Context(self.address, secret)), {**inherited, **own})
        done = _cloudctl(["login", self.address], person.environment, given=secret)
        if done.returncode:
            raise Failure("demo-went-wrong", command="cloudctl login", code=done.returncode)
        return person

    def write(self, name: str, content: Any) -> str:
        """A YAML file in the demo's folder, shown as it is written; returns its path."""
        file = self.folder / name
        text = yaml.safe_dump(content, allow_unicode=True, sort_keys=False)
        file.write_text(text, encoding="utf-8")
        typer.secho(f"\n{file}", dim=True)
        typer.echo("".join(f"   | {line}\n" for line in text.splitlines()), nl=False)
        return str(file)


@contextmanager
def opened() -> Iterator[Stage]:
    """A running platform in a folder of its own, emptied before; everything that was started is ended afterwards."""
    began = time.monotonic()
    settings = Settings(port=_free_port(), processes=1)
    settings = settings.model_copy(update={"data_dir": settings.data_dir / "demo", "database_url": None})
    dev.stop(settings)
    shutil.rmtree(settings.data_dir, ignore_errors=True)
    settings.data_dir.mkdir(parents=True)
    settings.data_dir.chmod(0o755)  # the embedded database of root belongs to another user
    with dev.running(settings) as address:
        yield Stage(settings.data_dir, address, settings, began)


def _cloudctl(words: Any, environment: dict[str, str], given: str = "") -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own; what it writes is seen as it comes, and standard output is kept."""
    command = [sys.executable, "-m", "cloudctl", *words]
    sys.stdout.flush()
    process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin
    assert process.stdout
    process.stdin.write(given)
    process.stdin.close()
    written = []
    for line in process.stdout:
        written.append(line)
        typer.echo(f"   {line}", nl=False)
    return subprocess.CompletedProcess(command, process.wait(), "".join(written))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

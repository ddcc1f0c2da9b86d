"""The stage: a platform of the demo's own, fresh every time, and people who act on it from their own terminals."""

import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
import yaml

from cloudctl import dev
from cloudctl.cli import app
from cloudctl.cli.client import Client
from cloudctl.cli.credentials import Context
from cloudctl.cli.failures import Failure
from cloudctl.cli.words import language, say
from cloudctl.kernel.settings import Settings

TOOLS = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
"""Where the tools of e2fsprogs lie; an ordinary user's PATH may not have them."""


@dataclass(frozen=True)
class Person:
    """Somebody at a terminal, logged in with a token of their own."""

    name: str
    client: Client
    environment: dict[str, str]

    def run(self, *words: str, code: int | None = 0) -> str:
        """Run a command of `cloudctl` as this person, in view; returns what it wrote to standard output.

        Raises:
            Failure: it ended with another exit code than expected; None expects none.
        """
        typer.secho(f"\n{self.name} $ {shlex.join(['cloudctl', *words])}", fg="cyan")
        found, written = _cloudctl(words, self.environment)
        if code is not None and found != code:
            raise Failure("demo-went-wrong", command=shlex.join(["cloudctl", *words]), code=found)
        return written

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
        code, _ = _cloudctl(["login", self.address], person.environment, given=secret)
        if code:
            raise Failure("demo-went-wrong", command="cloudctl login", code=code)
        return person

    def on_server(self, *words: str) -> str:
        """Run a command of `cloudctl` on the server itself, in view; returns what it wrote."""
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("CLOUDCTL_")}
        own = {"CLOUDCTL_DATA_DIR": str(self.folder), "CLOUDCTL_LANG": language()}
        return Person(say("demo-server"), Client(Context(self.address, "")), {**inherited, **own}).run(*words)

    @contextmanager
    def serving(self, tenancy: str) -> Iterator[int]:
        """A sample service in a tenancy, as strong as that is; gives its port on loopback."""
        with socket.create_server(("127.0.0.1", 0), backlog=4096) as listening:
            port, descriptor = int(listening.getsockname()[1]), listening.fileno()
            there, token = self.folder / "tenancies" / tenancy, self.folder / f"{tenancy}.token"
            words = [sys.executable, "-m", "cloudctl.demo.booking", str(there), str(token), str(descriptor)]
            service = subprocess.Popen(words, pass_fds=[descriptor])
        try:
            yield port
        finally:
            service.terminate()
            service.wait()

    def answer(self, tenancy: str, token: str) -> None:
        """Have the sample service of a tenancy answer a target's token."""
        (self.folder / f"{tenancy}.token").write_text(token, encoding="utf-8")

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
    if not all(shutil.which(tool, path=TOOLS) for tool in ("mke2fs", "debugfs")):
        raise Failure("demo-no-tool")
    settings = dev.for_demo(Settings(port=_free_port(), processes=1))
    dev.stop(settings)
    shutil.rmtree(settings.data_dir, ignore_errors=True)
    settings.data_dir.mkdir(parents=True)
    settings.data_dir.chmod(0o755)  # the embedded database of root belongs to another user
    with dev.running(settings) as (address, watching):
        typer.secho(say("dev-watched", **watching.urls) if watching else say("dev-unwatched"), dim=True)
        yield Stage(settings.data_dir, address, settings, began)


def _cloudctl(words: Sequence[str], environment: Mapping[str, str], given: str = "") -> tuple[int, str]:
    """Run the command line in a process of its own: a fork, which has everything loaded already.

    What it writes is seen as it comes. Returns its exit code and what it wrote to standard output.
    """
    sys.stdout.flush()
    (reading, told), (heard, writing) = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(heard, 0)
        os.dup2(told, 1)
        for end in (reading, told, heard, writing):
            os.close(end)
        os._exit(_as_a_program(words, environment))
    os.close(told)
    os.close(heard)
    with os.fdopen(writing, "w") as keyboard:
        keyboard.write(given)
    written = []
    with os.fdopen(reading, encoding="utf-8") as screen:
        for line in screen:
            written.append(line)
            typer.echo(f"   {line}", nl=False)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), "".join(written)


def _as_a_program(words: Sequence[str], environment: Mapping[str, str]) -> int:
    """What the `cloudctl` program does, in this process; returns the exit code."""
    os.environ.clear()
    os.environ.update(environment)
    sys.stdin, sys.stdout = os.fdopen(0), os.fdopen(1, "w", encoding="utf-8")
    try:
        app(list(words), prog_name="cloudctl")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    except BaseException:
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

"""Contexts: the servers and tokens a user has stored, in one file that nobody else can read."""

import json
import os
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from cloudctl.cli.failures import NOT_LOGGED_IN, USAGE, Failure


@dataclass(frozen=True)
class Context:
    """A server (its address) and the token with which one is known there."""

    server: str
    token: str


@dataclass(frozen=True)
class Contexts:
    """All that is stored: contexts by name, and the name of the one in use."""

    current: str | None
    known: dict[str, Context]


def file() -> Path:
    """Where contexts are kept, by the XDG convention."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "cloudctl" / "contexts.json"


def load() -> Contexts:
    """What is stored; nothing where there is no file.

    Raises:
        Failure: the file is damaged.
    """
    try:
        read = json.loads(file().read_text())
        return Contexts(read["current"], {name: Context(**one) for name, one in read["known"].items()})
    except FileNotFoundError:
        return Contexts(None, {})
    except (ValueError, KeyError, TypeError):
        raise Failure("contexts-damaged", USAGE, file=str(file())) from None


def store(contexts: Contexts) -> None:
    """Write the file whole, readable by its owner only."""
    file().parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, draft = tempfile.mkstemp(dir=file().parent, prefix=".contexts.")  # mkstemp makes it 0600
    with os.fdopen(handle, "w") as output:
        known = {name: asdict(context) for name, context in contexts.known.items()}
        json.dump({"current": contexts.current, "known": known}, output, indent=2)
    Path(draft).replace(file())


def current() -> Context:
    """The context to use: CLOUDCTL_SERVER with CLOUDCTL_TOKEN, else the one chosen, else the one in use.

    Raises:
        Failure: there is none, or none of the chosen name; or only one of server and token is set.
    """
    server, token = os.environ.get("CLOUDCTL_SERVER"), os.environ.get("CLOUDCTL_TOKEN")
    if server and token:
        return Context(server.rstrip("/"), token)
    if server or token:
        given, absent = ("CLOUDCTL_SERVER", "CLOUDCTL_TOKEN") if server else ("CLOUDCTL_TOKEN", "CLOUDCTL_SERVER")
        raise Failure("half-a-context", USAGE, given=given, absent=absent)
    stored = load()
    name = os.environ.get("CLOUDCTL_CONTEXT") or stored.current
    if name is None:
        raise Failure("no-context", NOT_LOGGED_IN)
    return named(stored, name)


def named(stored: Contexts, name: str) -> Context:
    """The stored context of this name.

    Raises:
        Failure: there is none; tells those there are.
    """
    if name not in stored.known:
        raise Failure("no-such-context", USAGE, name=name, known=sorted(stored.known))
    return stored.known[name]

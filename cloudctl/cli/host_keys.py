"""Host keys of servers: read from a file, or shown by the servers and confirmed by a person."""

import base64
import hashlib
import subprocess
from collections.abc import Sequence
from pathlib import Path

import typer

from cloudctl.cli import questions
from cloudctl.cli.failures import USAGE, Failure
from cloudctl.cli.words import say

KIND = "ssh-ed25519"  # what servers are asked for; keys of other kinds come by file
PATIENCE = 10  # seconds


def of(hosts: Sequence[str], port: int, known: Path | None) -> dict[str, str]:
    """The key of each host: as the file says, or as the host shows it and the user confirms.

    Raises:
        Failure: a host is not in the file, shows no key, or is not confirmed.
    """
    if known is None:
        return {host: _confirmed(host, _shown(host, port)) for host in hosts}
    return {host: _listed(host, port, known) for host in hosts}


def fingerprint(key: str) -> str:
    """As `ssh-keygen -l` tells it."""
    digest = hashlib.sha256(base64.b64decode(key.split()[1])).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def _listed(host: str, port: int, known: Path) -> str:
    """The key of a host in a file as ssh has it, names hashed or not; Ed25519 is preferred."""
    name = host if port == 22 else f"[{host}]:{port}"
    command = ["ssh-keygen", "-F", name, "-f", str(known)]
    lines = subprocess.run(command, capture_output=True, text=True).stdout.splitlines()
    keys = [" ".join(line.split()[1:3]) for line in lines if line and not line.startswith(("#", "@"))]
    if not keys:
        raise Failure("no-key-known", USAGE, address=host, file=str(known))
    return min(keys, key=lambda key: not key.startswith(KIND))


def _shown(host: str, port: int) -> str:
    command = ["ssh-keyscan", "-T", str(PATIENCE), "-p", str(port), "-t", "ed25519", "--", host]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        raise Failure("no-key-shown", address=host, error="ssh-keyscan?") from None
    for line in done.stdout.splitlines():
        words = line.split()
        if len(words) >= 3 and words[1] == KIND:
            return " ".join(words[1:3])
    raise Failure("no-key-shown", address=host, error=" ".join(done.stderr.split())[-200:] or "—")


def _confirmed(host: str, key: str) -> str:
    typer.echo(say("key-shown", address=host, fingerprint=fingerprint(key)), err=True)
    if not questions.confirmed(say("confirm-key")):
        raise Failure("key-not-confirmed", address=host)
    return key

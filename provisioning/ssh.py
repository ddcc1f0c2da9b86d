"""The way into a server: SSH as its connection says, and only to the host key that was pinned when it was enrolled."""

import json
import os
import shlex
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cloudctl.kernel.operations import GiveUp, RetryLater
from provisioning.drivers import Place

LOOK = 60  # seconds that a look at a server may take
KNOCK = 5  # seconds until a connection is open
PROMPT = 20  # seconds until sudo has done its work, on a server that is busy
OPTIONS = (
    "StrictHostKeyChecking=yes",
    "GlobalKnownHostsFile=none",
    "IdentitiesOnly=yes",
    "BatchMode=yes",
    f"ConnectTimeout={KNOCK}",
    "ConnectionAttempts=2",  # a first packet can be lost where nothing else is wrong
    "ServerAliveInterval=5",
    "ServerAliveCountMax=3",
)
CHANGED = ("REMOTE HOST IDENTIFICATION HAS CHANGED", "Host key verification failed")
SHUT_OUT = "Permission denied"


def check(connection: Mapping[str, Any]) -> None:
    """See that a connection says who logs in with which key; nobody is asked.

    Raises:
        GiveUp: `bad-connection`, with the field.
    """
    user, key, port = connection.get("user"), connection.get("private_key"), connection.get("port", 22)
    if not isinstance(user, str) or not user:
        raise GiveUp("bad-connection", field="user")
    if not isinstance(key, str) or not Path(key).is_absolute():
        raise GiveUp("bad-connection", field="private_key")
    if not isinstance(port, int) or isinstance(port, bool) or not 0 < port < 65536:
        raise GiveUp("bad-connection", field="port")


def _must_have_key(connection: Mapping[str, Any]) -> None:
    """A key that is not there on this worker can be put there: nothing needs to fail for it."""
    check(connection)
    if not os.access(connection["private_key"], os.R_OK):
        raise RetryLater("no-private-key", file=connection["private_key"])


def known_hosts(place: Place) -> str:
    """The one line by which ssh knows the server.

    Raises:
        GiveUp: `not-enrolled`; nobody is trusted blindly.
    """
    if not place.host_key or not place.address:
        raise GiveUp("not-enrolled", server=place.server)
    port = place.connection.get("port", 22)
    host = place.address if port == 22 else f"[{place.address}]:{port}"
    return f"{host} {place.host_key}\n"


def variables(place: Place) -> Mapping[str, Any]:
    """How Ansible gets in, as host variables. It finds `known_hosts` in its job's folder."""
    _must_have_key(place.connection)
    home = "{{ lookup('ansible.builtin.env', 'HOME') }}"
    # one host, one socket a job; its path may have 107 characters, so it is relative to the folder of the job
    own = (f"UserKnownHostsFile={home}/known_hosts", "ControlPath=control")
    options = [f"-o {option}" for option in (*OPTIONS, *own)]
    return {
        "ansible_connection": "ssh",
        "ansible_host": place.address,
        "ansible_port": place.connection.get("port", 22),
        "ansible_user": place.connection["user"],
        "ansible_become": place.connection["user"] != "root",
        "ansible_ssh_private_key_file": place.connection["private_key"],
        "ansible_ssh_common_args": " ".join(["-F none", *options]),
        "ansible_ssh_timeout": PROMPT,
        "ansible_ssh_args": f"-C -o ControlMaster=auto -o ControlPersist=60s -o ConnectTimeout={KNOCK}",
        "ansible_python_interpreter": "/usr/bin/python3",
        "ansible_remote_tmp": "/tmp",  # noqa: S108  a folder below a home would stay there
    }


def ask(place: Place, program: str, *words: str) -> Any:
    """Have the server's Python run a program as root; returns the JSON that it prints.

    Raises:
        GiveUp: `bad-connection`, `not-enrolled`, `host-key-changed`, `not-let-in`.
        RetryLater: `no-private-key`, `unreachable`; the program's own failure, too, as what a server prints depends on
            its state.
    """
    _must_have_key(place.connection)
    root = "" if place.connection["user"] == "root" else "sudo -n "
    with tempfile.NamedTemporaryFile("w") as known:
        known.write(known_hosts(place))
        known.flush()
        options = (*OPTIONS, f"UserKnownHostsFile={known.name}", "ControlPath=none")
        command = ["ssh", "-F", "none", *(f"-o{option}" for option in options)]
        command += ["-i", place.connection["private_key"], "-p", str(place.connection.get("port", 22))]
        command += [f"{place.connection['user']}@{place.address}", f"{root}python3 - {shlex.join(words)}"]
        try:
            done = subprocess.run(command, input=program, capture_output=True, text=True, timeout=LOOK)
        except subprocess.TimeoutExpired:
            raise RetryLater("unreachable", message=f"no answer within {LOOK} s") from None
    if done.returncode:
        raise failure(place.server, done.stderr)
    return json.loads(done.stdout)


def failure(server: str | None, said: str) -> Exception:
    """What ssh's complaint means for whoever wanted in."""
    message = " ".join(said.split())[-500:]
    if any(words in said for words in CHANGED):
        return GiveUp("host-key-changed", server=server)
    if SHUT_OUT in said:
        return GiveUp("not-let-in", server=server, message=message)
    return RetryLater("unreachable", message=message or "no answer")

"""A bed: servers on a network of their own, for one test process, gone when that process is."""

import json
import subprocess
import sys
import threading
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.beds.servers import linux
from tests.beds.servers.server import Server

PROJECT = Path(__file__).parents[3]


class Bed:
    """Servers on a network that nothing else sees. `key` is the private key that lets `admin` into each of them.

    Used as a context. All of it ends with this process, however that ends. May be used from any thread.
    """

    def __init__(self) -> None:
        self._turn = threading.Lock()
        command = [sys.executable, "-m", "tests.beds.servers.keeper"]
        # a session of its own: Ctrl-C at the terminal ends the tests first, and then the bed in order
        self._keeper = subprocess.Popen(
            command, cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        self._folder = Path(self.order("where"))
        self.key = self._folder / "admin"
        self.servers: list[Server] = []

    def add(self, *processors: str) -> list[Server]:
        """New servers, booted at once, each with a processor named in `PROCESSORS`; returns when all let `admin` in."""
        added = []
        for processor in processors:
            name = f"{processor}-{len(self.servers) + 1}"
            added.append(Server(self, name, processor, self.order("install", name, processor)))
            self.servers += added[-1:]
        for server in added:
            server.boot(wait=False)
        for server in added:
            server.wait()
        return added

    def network(self) -> AbstractContextManager[None]:
        """Be in the bed's network for a while, with the calling thread and the processes it starts meanwhile.

        Threads started meanwhile stay in it. Files and Unix sockets are the same as outside.
        """
        return linux.inside(self._network)

    def enter(self) -> None:
        """Enter the bed's network for good, with the calling thread and all it will start.

        127.0.0.1 is the bed's own there: call it before anything listens.
        """
        linux.join(self._network, linux.NEW_NETWORK)

    @property
    def proxy(self) -> list[str]:
        """Options with which an ssh outside the bed's network gets in."""
        proxy = f"{sys.executable} {PROJECT}/tests/beds/servers/proxy.py {self.keeper} %h %p"
        return ["-o", f"ProxyCommand={proxy}", "-o", "ProxyUseFdpass=yes"]

    @property
    def keeper(self) -> int:
        """The process that holds the bed and is in its network."""
        return self._keeper.pid

    def order(self, verb: str, *arguments: str) -> Any:
        """Have the keeper do something; returns its answer.

        Raises:
            RuntimeError: it could not, and why.
        """
        assert self._keeper.stdin
        assert self._keeper.stdout
        with self._turn:
            self._keeper.stdin.write(json.dumps({"do": verb, "with": arguments}) + "\n")
            self._keeper.stdin.flush()
            line = self._keeper.stdout.readline()
        answer = json.loads(line or '{"failed": "the bed\'s keeper ended"}')
        if "failed" in answer:
            raise RuntimeError(answer["failed"])
        return answer["done"]

    def close(self) -> None:
        """Take everything away; returns when nothing is left."""
        assert self._keeper.stdin
        assert self._keeper.stdout
        with suppress(BrokenPipeError):
            self._keeper.stdin.close()
        self._keeper.wait(60)
        self._keeper.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @property
    def _network(self) -> Path:
        return Path(f"/proc/{self.keeper}/ns/net")

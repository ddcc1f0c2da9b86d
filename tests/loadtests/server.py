"""A server of one of the shapes on loopback: `python -m tests.loadtests.server SHAPE SOCKET`. It knows what it got.

`/__told` answers how many requests came, how many in the busiest second, when the first ones and the last one did
(seconds of the machine's clock); `/__do` makes it hang, answer later, or refuse a share.
"""

import asyncio
import collections
import json
import random
import socket
import sys
import time
from typing import Any
from urllib.parse import parse_qsl

import uvicorn

from loadtests.targets import WELL_KNOWN
from tests.loadtests.shapes import SHAPES, Freezing, Leaking

FIRST = 1000  # requests whose moments are told
KINDS = {**SHAPES, "freezing": Freezing, "leaking": Leaking}


class Instant:
    """Answers at once."""

    def arrive(self, at: float) -> tuple[float, int]:
        return at, 200


class App:
    def __init__(self, kind: str) -> None:
        self.shape: Any = Instant() if kind == "instant" else KINDS[kind](7)
        self.came, self.last, self.headers = 0, 0.0, {}
        self.paths: dict[str, int] = {}
        self.times: list[float] = []
        self.newest: collections.deque[float] = collections.deque()
        self.busiest, self.first_hung = 0, 0.0
        self.told: dict[str, float] = {"hang": 0, "slow": 0, "refuse": 0}
        self.said: dict[str, str] = {"token": "", "away": ""}
        self.random = random.Random(3)

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        path, query = scope["path"], dict(parse_qsl(scope["query_string"].decode(), keep_blank_values=True))
        status, body, headers = 200, b'{"status": "green"}', []
        if path == "/__told":
            told = {"came": self.came, "last": self.last, "headers": self.headers, "paths": self.paths}
            told["times"] = self.times
            body = json.dumps({**told, "busiest": self.busiest, "first_hung": self.first_hung}).encode()
        elif path == "/__do":
            self.told |= {name: float(value) for name, value in query.items()}
        elif path == "/__say":
            self.said |= query
        elif path == WELL_KNOWN:
            status, body = (200, self.said["token"].encode()) if self.said["token"] else (404, b"")
            if self.said["away"]:
                status, headers = 302, [(b"location", self.said["away"].encode())]
        elif path == "/away":
            status, headers = 302, [(b"location", query["to"].encode())]
        else:
            self.came, self.last = self.came + 1, time.monotonic()
            self.newest.append(self.last)
            if self.came <= FIRST:
                self.times.append(self.last)
            while self.newest[0] < self.last - 1:
                self.newest.popleft()
            self.busiest = max(self.busiest, len(self.newest))
            self.paths[path] = self.paths.get(path, 0) + 1
            self.headers = {name.decode(): value.decode() for name, value in scope["headers"]}
            status = await self._worked()
            if path == "/login":
                headers = [(b"set-cookie", b"visitor=%d" % self.came)]
        headers += [(b"content-length", str(len(body)).encode()), (b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _worked(self) -> int:
        if self.told["hang"]:
            self.first_hung = self.first_hung or time.monotonic()
            await asyncio.sleep(3600)
        now = time.monotonic()
        answered, status = self.shape.arrive(now)
        wait = answered - now + self.told["slow"]
        if wait > 0:
            await asyncio.sleep(wait)
        return 503 if self.random.random() < self.told["refuse"] else status


def main() -> None:
    kind, descriptor = sys.argv[1], int(sys.argv[2])
    app = App(kind)
    config = uvicorn.Config(app, lifespan="off", access_log=False, log_level="error", backlog=4096)
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=descriptor)])


if __name__ == "__main__":
    main()

"""The demo's sample of a public service: `python -m cloudctl.demo.booking FOLDER TOKEN DESCRIPTOR`.

It answers on a socket that it inherits, with as many workers of 25 ms as the tenancy in FOLDER has processors at the
time, and with the text of the file TOKEN at the well-known address.
"""

import asyncio
import json
import socket
import sys
from pathlib import Path
from typing import Any

import uvicorn

from loadtests.targets import WELL_KNOWN

WORK = 0.025  # seconds a request takes a worker


class Service:
    """An ASGI application; requests wait for a free worker in the order in which they came."""

    def __init__(self, folder: Path, token: Path) -> None:
        self.facts, self.token = folder / "facts.json", token
        self.size, self.workers = 0, asyncio.Semaphore(0)

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        status, body = 200, b'{"number": "1001", "places": 12}'
        if scope["path"] == WELL_KNOWN:
            status, body = (200, self.token.read_bytes()) if self.token.exists() else (404, b"")
        else:
            async with self._sized():
                await asyncio.sleep(WORK)
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _sized(self) -> asyncio.Semaphore:
        """The workers; other ones where the tenancy has another size by now."""
        size = int(json.loads(self.facts.read_text(encoding="utf-8"))["vcpu"])
        if size != self.size:
            self.size, self.workers = size, asyncio.Semaphore(size)
        return self.workers


def main() -> None:
    folder, token, descriptor = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    config = uvicorn.Config(Service(folder, token), lifespan="off", access_log=False, log_level="error", backlog=4096)
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=descriptor)])


if __name__ == "__main__":
    main()

"""The demo's sample of a public service: `python -m cloudctl.demo.booking FOLDER DESCRIPTOR`.

It answers on a socket that it inherits, with as many workers of 25 ms as the tenancy in FOLDER has processors, and the
text of FOLDER.token at the well-known address.
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

    def __init__(self, folder: Path) -> None:
        self.folder, self.workers = folder, asyncio.Semaphore(_processors(folder))

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        status, body = 200, b'{"number": "1001", "places": 12}'
        if scope["path"] == WELL_KNOWN:
            token = self.folder.with_suffix(".token")
            status, body = (200, token.read_bytes()) if token.exists() else (404, b"")
        else:
            async with self.workers:
                await asyncio.sleep(WORK)
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def _processors(folder: Path) -> int:
    return int(json.loads((folder / "facts.json").read_text(encoding="utf-8"))["vcpu"])


def main() -> None:
    folder, descriptor = Path(sys.argv[1]), int(sys.argv[2])
    config = uvicorn.Config(Service(folder), lifespan="off", access_log=False, log_level="error", backlog=4096)
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=descriptor)])


if __name__ == "__main__":
    main()

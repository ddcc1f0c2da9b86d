"""The relay: the only way out of a room. It leads to the addresses of an order and keeps its caps, whatever asks."""

import asyncio
import re
import socket
import time
from typing import Any

from loadtests.allowance import Allowance
from loadtests.orders import Order

LINE = re.compile(rb" HTTP/1\.[01]\r?\n")  # where a request of HTTP/1 begins
OVERLAP = 9  # bytes, fewer than the shortest match has
SPARE = 64  # connections beyond those that may be asked on, as some are still closing
AHEAD = 5  # requests that one connection may ask before it is answered; who asks more does not wait for answers at all
PATIENCE = 10.0  # seconds in which the target must take a connection


class Relay:
    """Accepts what asks inside a room and connects it to the target.

    It keeps the ceiling by itself: requests beyond it wait. It counts them where they can be read; within TLS it counts
    how often somebody speaks up after the target has spoken.
    """

    def __init__(self, order: Order) -> None:
        self.order = order
        self.is_read = order.base_url.startswith("http:")
        self.allowance = Allowance(order.ceiling, share=order.generators, now=time.monotonic())
        self.most = max(1, order.inflight // order.generators) + SPARE
        self.open = 0

    async def serve(self, listening: socket.socket) -> None:
        await asyncio.get_running_loop().create_server(lambda: _Inner(self), sock=listening, backlog=4096)

    def wait(self, requests: int) -> float:
        """Seconds until so many requests may pass."""
        return max((self.allowance.wait(time.monotonic()) for _ in range(requests)), default=0.0)

    async def reach(self, inner: "_Inner") -> "_Outer | None":
        """A connection to the first address that takes one; none where none does."""
        loop = asyncio.get_running_loop()
        for address in self.order.addresses:
            try:
                async with asyncio.timeout(PATIENCE):
                    _, outer = await loop.create_connection(lambda: _Outer(inner), address, self.order.port)
                    return outer
            except OSError:  # a timeout is one as well
                continue
        return None


class _End(asyncio.Protocol):
    """One end of a connection, which slows its other end down where it cannot follow."""

    transport: Any = None
    other: "_End | None" = None
    has_ended = is_full = False

    def __init__(self) -> None:
        self.held: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def pause_writing(self) -> None:
        self.is_full = True
        if self.other:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        self.is_full = False
        if self.other and not self.other.held:
            self.other.transport.resume_reading()

    def eof_received(self) -> bool:
        """Nothing more comes from here; what the other end still says goes on. Both over: it is closed."""
        self.has_ended = True
        if self.other is None or self.other.has_ended or self.other.transport.is_closing():
            return False
        self.other.transport.write_eof()
        return True

    def connection_lost(self, error: Exception | None) -> None:
        if self.other:
            self.other.transport.close()


class _Outer(_End):
    """The end at the target."""

    def __init__(self, inner: "_Inner") -> None:
        super().__init__()
        self.other = self.inner = inner

    def data_received(self, data: bytes) -> None:
        self.inner.has_heard = True
        self.inner.transport.write(data)


class _Inner(_End):
    """The end inside the room."""

    def __init__(self, relay: Relay) -> None:
        super().__init__()
        self.relay = relay
        self.has_heard, self.is_new, self.free = False, True, 0 if relay.is_read else 2  # turns of a handshake
        self._last = b""
        self._due, self._ahead = 0.0, 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.relay.open += 1
        if self.relay.open > self.relay.most:
            self.transport.abort()
            return
        self.transport.pause_reading()
        self._reaching = asyncio.get_running_loop().create_task(self._reach())

    def connection_lost(self, error: Exception | None) -> None:
        self.relay.open -= 1
        super().connection_lost(error)

    def data_received(self, data: bytes) -> None:
        requests = self._requests(data)
        self._ahead = 0 if self.has_heard else self._ahead
        self._ahead, self.has_heard = self._ahead + requests, False
        if self._ahead > AHEAD:
            self.transport.abort()
            return
        self._due = max(self._due, time.monotonic() + self.relay.wait(requests))
        self.held.append(data)
        if len(self.held) == 1 and self.other:
            self._let_go()

    def eof_received(self) -> bool:
        self.has_ended = True
        return True if self.held else super().eof_received()

    async def _reach(self) -> None:
        outer = await self.relay.reach(self)
        if outer is None or self.transport.is_closing():
            self.transport.abort()
            if outer:
                outer.transport.close()
            return
        self.other = outer
        self._let_go()

    def _let_go(self) -> None:
        """Pass on what is held, as soon as it may."""
        if self.other is None or self.other.transport.is_closing():
            return
        if (seconds := self._due - time.monotonic()) > 0:
            self.transport.pause_reading()
            asyncio.get_running_loop().call_later(seconds, self._let_go)
            return
        held, self.held = b"".join(self.held), []
        self.other.transport.write(held)
        if self.has_ended:
            if not super().eof_received():
                self.transport.close()
        elif not self.other.is_full and not self.transport.is_closing():
            self.transport.resume_reading()

    def _requests(self, data: bytes) -> int:
        """How many begin in what was said; a connection is one at least."""
        found = int(self.is_new)
        if self.relay.is_read:
            found = max(found, len(LINE.findall(self._last + data)))
            self._last = (self._last + data)[-OVERLAP:]
        elif self.has_heard:
            found, self.free = (0, self.free - 1) if self.free else (1, 0)
        self.is_new = False
        return found

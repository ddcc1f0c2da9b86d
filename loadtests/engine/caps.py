"""Caps: what an engine keeps by itself, whoever comes: the ceiling, how many are out at once, and when all go home."""

import random
import ssl
import time
from collections.abc import Callable

import gevent
from geventhttpclient.client import HTTPClientPool

from loadtests.allowance import Allowance
from loadtests.engine.counts import Counts
from loadtests.orders import Order


class Caps:
    """This engine's share of an order's caps."""

    def __init__(self, order: Order, counts: Counts, clock: Callable[[], float]) -> None:
        self.order, self.counts, self.clock = order, counts, clock
        self.random = random.Random(order.seed)  # noqa: S311  nothing is kept secret by it
        self.allowance = Allowance(order.ceiling, share=order.generators, now=time.monotonic())
        self.most_out = max(1, order.inflight // order.generators)
        self.wave = 0

    def may_ask(self) -> bool:
        """Whether the ceiling allows for one more request now; it is taken from it then."""
        if self.allowance.take(time.monotonic()):
            return True
        self.counts.withhold()
        return False

    def wait_turn(self) -> None:
        """Wait until the ceiling allows for one more request."""
        if seconds := self.allowance.wait(time.monotonic()):
            gevent.sleep(seconds)

    def is_dropped(self, intended: float) -> bool:
        """Whether so many are out already that what should leave at that moment does not, and is counted as dropped."""
        if len(self.counts.inflight) < self.most_out:
            return False
        self.counts.drop(intended)
        return True

    def send_home(self) -> None:
        """Whoever is there asks for nothing more."""
        self.wave += 1

    def connections(self) -> HTTPClientPool:
        """Connections that are shared. What is said to a client of them does not count: how they are made is theirs."""
        trust, patience = self.order.authority, self.order.timeout
        return HTTPClientPool(
            concurrency=self.most_out,
            network_timeout=patience,
            connection_timeout=patience,
            ssl_context_factory=lambda **_: ssl.create_default_context(cafile=trust),
        )

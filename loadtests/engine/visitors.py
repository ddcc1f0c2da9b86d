"""Visitors: journeys carried out by Locust's own client, each request judged by what was declared of its answer."""

import json
from collections.abc import Callable
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import gevent
import gevent.socket
from locust import FastHttpUser
from locust.contrib.fasthttp import FastHttpSession
from locust.env import Environment

from loadtests.engine.caps import Caps
from loadtests.engine.counts import Counts
from loadtests.journeys import Journey, Request, filled, rows
from loadtests.orders import Order

NOT_MODIFIED = 304
BACK_OFF = 0.1  # seconds a visitor of the closed loop waits after an error, so that it is no storm


def pin(order: Order) -> None:
    """Let nothing of this process connect elsewhere than to the order's addresses, whatever a name resolves to now."""
    real = gevent.socket.getaddrinfo

    def pinned(host: Any, port: Any, *rest: Any, **more: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if (name != order.host and name not in order.addresses) or int(port) != order.port:
            raise OSError(f"{name}:{port} is not the target")
        found = []
        for address in order.addresses:
            found += real(address, port, *rest, **more)
        return found

    gevent.socket.getaddrinfo = pinned


class Visitors(Caps):
    """Carries out journeys and tells what became of every request."""

    raised: dict[str, Any] | None = None  # they are data: nothing of theirs can raise

    def __init__(self, order: Order, counts: Counts, clock: Callable[[], float]) -> None:
        super().__init__(order, counts, clock)
        assert order.journeys
        self.tables = {name: rows(text) for name, text in order.journeys.data.items()}
        self.kinds = [journey for journey in order.journeys.journeys for _ in range(journey.weight)]
        self.environment = Environment()
        self.pool = self.connections()

        class Visitor(FastHttpUser):
            host = order.base_url.rstrip("/")
            insecure = False
            client_pool = self.pool

        self.visitor = Visitor(self.environment)
        self.shared = self._alone(self.visitor.client)
        self.shared.cookiejar.set_policy(DefaultCookiePolicy(allowed_domains=[]))

    def visit(self, intended: float) -> bool:
        """One visitor, who should have come at that moment and may ask once; whether all went well."""
        wave = self.wave
        journey = self.random.choice(self.kinds)
        row = self.random.choice(self.tables[journey.data]) if journey.data else {}
        session = self._session(journey)
        for number, request in enumerate(journey.requests):
            if number:
                if request.pause:
                    gevent.sleep(request.pause)
                self.wait_turn()
                intended = self.clock()
            if not self._asked(session, request, row, intended, wave):
                return False
        return True

    def _asked(
        self, session: FastHttpSession, request: Request, row: dict[str, str], intended: float, wave: int
    ) -> bool:
        """Ask, and where it failed ask again as often as the profile says; whether it was answered well."""
        for tries in range(self.order.profile.retries + 1):
            if wave != self.wave or (tries and not self.may_ask()):
                return False
            if self.is_dropped(intended):
                return False
            ticket = self.counts.begin(intended)
            kind = self._answered(session, request, row, intended)
            self.counts.end(ticket, kind, self.clock())
            if kind != "failed":
                return kind != "busy"
            intended = self.clock()
        return False

    def _answered(self, session: FastHttpSession, request: Request, row: dict[str, str], intended: float) -> str:
        headers = {name: filled(value, row) for name, value in request.headers.items()}
        headers |= {"X-Loadtest-Run": self.order.mark}
        body = request.body
        if body is not None and not isinstance(body, str):
            headers.setdefault("Content-Type", "application/json")
            body = json.dumps(body, ensure_ascii=False)
        data: Any = filled(body, row).encode() if body is not None else None
        answer: Any = session.request(
            request.method, filled(request.path, row), name=request.path, data=data, headers=headers
        )
        self.counts.bytes += len(answer.content or b"")
        return judged(request, answer.status_code, answer, (self.clock() - intended) * 1000, self.order)

    def _session(self, journey: Journey) -> FastHttpSession:
        """One with cookies of its own, where a visitor asks more than once."""
        if len(journey.requests) == 1:
            return self.shared
        return self._alone(
            FastHttpSession(
                base_url=self.visitor.host,
                request_event=self.environment.events.request,
                user=None,
                insecure=False,
                client_pool=self.pool,
            )
        )

    @staticmethod
    def _alone(session: FastHttpSession) -> FastHttpSession:
        client: Any = session.client
        client.redirect_response_codes = frozenset()  # a redirect is an answer; nobody follows it anywhere
        return session


def judged(request: Request, status: int, answer: Any, latency_ms: float, order: Order) -> str:
    """What an answer is: busy where the target says so, failed where a check does, else good or late."""
    busy, check = request.busy, request.check
    if busy and (busy.status or busy.contains):
        says_so = not busy.status or status in busy.status
        if says_so and (busy.contains is None or busy.contains in (answer.text or "")):
            return "busy"
    if not (status in check.status if check.status else 200 <= status < 300 or status == NOT_MODIFIED):
        return "failed"
    if check.contains is not None and check.contains not in (answer.text or ""):
        return "failed"
    return "late" if latency_ms > (check.within_ms or order.level.latency_ms) else "good"

"""Gates: what every request must pass, by whichever client of Locust or of Python a locustfile asks."""

import contextvars
import http.client
from collections.abc import Callable
from typing import Any, cast

import gevent
from geventhttpclient.client import HTTPClient
from locust.clients import HttpSession
from locust.contrib.fasthttp import FastHttpSession

MARK = "X-Loadtest-Run"

_paid: contextvars.ContextVar[list[bool]] = contextvars.ContextVar("paid")


def inherit() -> None:
    """What a greenlet spawns counts as its own."""

    def entered(greenlet: Any) -> None:
        greenlet.gr_context = contextvars.copy_context()

    gevent.Greenlet.add_spawn_callback(entered)


def at_sessions(asked: Callable[[Callable[..., Any], dict[str, Any]], Any]) -> None:
    """Have this called instead of a request by a session of Locust's: with what makes the request, and its options.

    The first request on the wire is then paid for; redirects within it are not.
    """
    for kind in (HttpSession, FastHttpSession):
        _gated(kind, asked)


def _gated(kind: Any, asked: Callable[[Callable[..., Any], dict[str, Any]], Any]) -> None:
    original = kind.request

    def request(session: Any, method: Any, url: Any, *rest: Any, **options: Any) -> Any:
        def make(**told: Any) -> Any:
            token = _paid.set([True])
            try:
                return original(session, method, url, *rest, **told)
            finally:
                _paid.reset(token)

        return asked(make, options)

    kind.request = request


def at_wire(mark: str, wait_turn: Callable[[], None]) -> None:
    """Let no request out without a turn and the mark of the run."""

    def pass_gate() -> None:
        paid = _paid.get([])
        if paid and paid[0]:
            paid[0] = False
        else:
            wait_turn()

    fast_client, client = cast(Any, HTTPClient), cast(Any, http.client.HTTPConnection)
    fast = fast_client.request

    def request(session: Any, method: str, uri: str, body: Any = b"", headers: Any = None) -> Any:
        pass_gate()
        theirs = {name: value for name, value in dict(headers or {}).items() if name.lower() != MARK.lower()}
        return fast(session, method, uri, body=body, headers={**theirs, MARK: mark})

    fast_client.request = request
    put, header = client.putrequest, client.putheader

    def putrequest(connection: Any, *rest: Any, **more: Any) -> None:
        pass_gate()
        put(connection, *rest, **more)
        header(connection, MARK, mark)

    def putheader(connection: Any, name: Any, *values: Any) -> None:
        said = name.decode("latin-1") if isinstance(name, bytes) else str(name)
        if said.lower() != MARK.lower():
            header(connection, name, *values)

    client.putrequest, client.putheader = putrequest, putheader

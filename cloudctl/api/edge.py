"""What every call gets, whatever it asks for: an id, a line in the latency metric, and a problem where we fail."""

import logging
import re
import time

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cloudctl.api import errors
from cloudctl.kernel import ids, telemetry

_OURS = re.compile(r"^[\w.:-]{1,64}\Z", re.ASCII)
_HEADER = b"x-request-id"

_log = logging.getLogger(__name__)


class Edge:
    """The outermost layer; plain ASGI, because whatever stands here costs every call."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = next((value.decode("latin-1") for name, value in scope["headers"] if name == _HEADER), "")
        call = scope["call"] = given if _OURS.match(given) else ids.new("cal")
        status, began = 0, time.perf_counter()

        async def send_on(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(raw=message["headers"])
                headers["X-Request-Id"] = call
                headers.setdefault("Cache-Control", "no-store")
                headers["X-Content-Type-Options"] = "nosniff"
            await send(message)

        with telemetry.of_request(call):
            try:
                await self._app(scope, receive, send_on)
            except Exception:
                _log.exception("%s %s failed", scope["method"], _template(scope))
                if status:
                    raise
                await errors.answer(Request(scope), errors.InternalFault(call=call))(scope, receive, send_on)
            finally:
                taken = time.perf_counter() - began
                telemetry.API_LATENCY.labels(scope["method"], _template(scope), str(status)).observe(taken)


def _template(scope: Scope) -> str:
    """Of the route, never the path: a metric has few series, and a path can hold what nobody should see."""
    return getattr(scope.get("route"), "path", None) or "(none)"

"""The client: calls to /v1, with the user's token and language. What the server refuses becomes a failure."""

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any
from urllib.parse import quote

import httpx

from cloudctl.cli import credentials
from cloudctl.cli.failures import UNREACHABLE, Failure, Refused
from cloudctl.cli.words import language

_PAUSES = (0.3, 1.0)  # seconds before a call is made again after the connection broke; POSTs carry a key for that
_PAGE = 100


class Client:
    """One server, one token. Paths are given in parts: `get("requests", number)`."""

    def __init__(self, context: credentials.Context) -> None:
        self.server = context.server
        headers = {"Authorization": f"Bearer {context.token}", "Accept-Language": language()}
        self._http = httpx.Client(base_url=context.server, headers=headers, timeout=60)

    def get(self, *path: str, **filters: Any) -> Any:
        """What stands at the path; filters that are None are left out."""
        return self._json(self._send("GET", path, params=_given(filters)))

    def items(self, *path: str, limit: int | None = None, **filters: Any) -> list[Any]:
        """All items of a list, page by page, or the first `limit`."""
        items: list[Any] = []
        after = None
        while limit is None or len(items) < limit:
            wanted = _PAGE if limit is None else min(_PAGE, limit - len(items))
            page = self.get(*path, **filters, limit=wanted, after=after)
            items += page["items"]
            after = page["next"]
            if after is None:
                break
        return items

    def post(self, *path: str, body: Any = None, **more: Any) -> Any:
        """Do something. It may be sent twice, and is done once."""
        headers = {"Idempotency-Key": uuid.uuid4().hex, **more.pop("headers", {})}
        content = more or {"json": {} if body is None else body}
        return self._json(self._send("POST", path, headers=headers, **content))

    def change(self, *path: str, body: Any, method: str = "PATCH") -> Any:
        """Change something as it is now: with the version that was just read."""
        tag = self._send("GET", path).headers.get("ETag")
        return self._json(self._send(method, path, json=body, headers={"If-Match": tag} if tag else {}))

    def patch(self, *path: str, body: Any) -> Any:
        return self._json(self._send("PATCH", path, json=body))

    def put(self, *path: str, body: Any) -> Any:
        return self._json(self._send("PUT", path, json=body))

    def delete(self, *path: str) -> None:
        self._send("DELETE", path)

    def lines(self, *path: str, **filters: Any) -> Iterator[str]:
        """A long text, line by line as it comes."""
        with self._stream(path, params=_given(filters)) as answer:
            yield from answer.iter_lines()

    def events(self, subject: str, seen: int) -> list[Any]:
        """The events of a subject after the one numbered `seen`."""
        answer = self._send("GET", ("events",), params={"subject": subject}, headers={"Last-Event-ID": str(seen)})
        return list(answer.json()["items"])

    def wait(self, subject: str, seen: int) -> None:
        """Return once the subject has an event after `seen`, or when the server gives a sign of life instead of one."""
        headers = {"Accept": "text/event-stream", "Last-Event-ID": str(seen)}
        patience = httpx.Timeout(60, read=20)  # the server sends a sign of life more often than that
        with self._stream(("events",), params={"subject": subject}, headers=headers, timeout=patience) as answer:
            for line in answer.iter_lines():
                if line.startswith(("data:", ":")):
                    return

    @contextmanager
    def _stream(self, path: tuple[str, ...], **more: Any) -> Iterator[httpx.Response]:
        try:
            with self._http.stream("GET", _url(path), **more) as answer:
                if answer.is_error:
                    answer.read()
                    raise Refused(_problem(answer))
                yield answer
        except httpx.TransportError as error:
            raise self._unreachable(error) from None

    def _send(self, method: str, path: tuple[str, ...], **more: Any) -> httpx.Response:
        for pause in (*_PAUSES, None):
            try:
                answer = self._http.request(method, _url(path), **more)
                break
            except httpx.TransportError as error:
                if pause is None:
                    raise self._unreachable(error) from None
                time.sleep(pause)
        if answer.is_error:
            raise Refused(_problem(answer))
        return answer

    def _unreachable(self, error: Exception) -> Failure:
        return Failure("server-unreachable", UNREACHABLE, server=self.server, error=str(error) or type(error).__name__)

    @staticmethod
    def _json(answer: httpx.Response) -> Any:
        return answer.json() if answer.content else None


@cache
def api() -> Client:
    """The client of the context in use; made on first use.

    Raises:
        Failure: nobody is logged in.
    """
    return Client(credentials.current())


def _url(path: tuple[str, ...]) -> str:
    return "/v1/" + "/".join(quote(part, safe="") for part in path)


def _given(filters: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in filters.items() if value is not None}


def _problem(answer: httpx.Response) -> dict[str, Any]:
    try:
        read = answer.json()
    except ValueError:
        read = None
    if not isinstance(read, dict):
        read = {"detail": f"HTTP {answer.status_code}: {answer.text[:200]}"}
    return {**read, "status": answer.status_code}

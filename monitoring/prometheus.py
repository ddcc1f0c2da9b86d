"""A client for Prometheus' HTTP API: every call is built from parsed values, and one that fails breaks nothing."""

from collections.abc import Mapping
from threading import BoundedSemaphore
from typing import Any

import httpx

from cloudctl.kernel.errors import Conflict, Unavailable
from cloudctl.kernel.settings import Settings
from monitoring.promql import QueryRefused

_PATIENCE = 10.0  # seconds that Prometheus has for an answer
_AT_ONCE = BoundedSemaphore(2)  # of a process: one that hangs must not take all threads that answer calls
_TURN = 1.0  # seconds to wait for one's turn


class NoPrometheus(Conflict):
    """The platform was told of no Prometheus (CLOUDCTL_PROMETHEUS_URL)."""


class PrometheusAway(Unavailable):
    """Prometheus does not answer; nothing but usage and queries depends on it."""


class Prometheus:
    """The Prometheus that looks at this platform.

    Raises:
        NoPrometheus: there is none.
    """

    def __init__(self, settings: Settings) -> None:
        if not settings.prometheus_url:
            raise NoPrometheus
        self._url = settings.prometheus_url.rstrip("/")

    def values(self, query: str) -> list[tuple[dict[str, str], float]]:
        """The newest value of each series of a query of our own: labels and value.

        Raises:
            PrometheusAway.
        """
        found = self.ask("query", {"query": query})["result"]
        return [(one["metric"], float(one["value"][1])) for one in found]

    def ask(self, what: str, parameters: Mapping[str, str]) -> dict[str, Any]:
        """The data that `query` or `query_range` answers.

        Raises:
            PrometheusAway.
            QueryRefused: Prometheus does not run it; carries its words.
        """
        if not _AT_ONCE.acquire(timeout=_TURN):
            raise PrometheusAway(error="too many queries at once")
        try:
            answer = httpx.get(f"{self._url}/api/v1/{what}", params=dict(parameters), timeout=_PATIENCE)
            told = answer.json()
        except (httpx.HTTPError, ValueError) as error:
            raise PrometheusAway(error=str(error) or type(error).__name__) from None
        finally:
            _AT_ONCE.release()
        if answer.status_code in (400, 422):
            raise QueryRefused(str(told.get("error", ""))[:300])
        if answer.is_error or told.get("status") != "success":
            raise PrometheusAway(error=str(told.get("error") or answer.status_code)[:300])
        data: dict[str, Any] = told["data"]
        return data

"""Neighbours: who shares the target's pool, watched while load is out, where monitoring knows them.

What is wrong with them before the load says nothing about it; what begins to be while it is out ends the run.
"""

import logging
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from cloudctl.kernel.settings import Settings
from monitoring.prometheus import NoPrometheus, Prometheus, PrometheusAway
from monitoring.promql import QueryRefused

log = logging.getLogger(__name__)

EVERY = 3.0  # seconds between two looks
SUFFERS = {
    "silent": 'up{{pool="{pool}",tenancy!="{tenancy}"}} == 0',
    "starved": (
        'avg by (pool, instance) (rate(node_cpu_seconds_total{{pool="{pool}",job="servers",mode="idle"}}[1m])) < 0.05'
    ),
}
"""What is asked of Prometheus: who no longer answers, and which server has nothing left for the others."""

Ask = Callable[[str], list[tuple[dict[str, str], float]]]


class Neighbours:
    """Watches, as a context, in a thread of its own: a Prometheus that hangs must not keep anybody from stopping.

    Args:
        ask: the newest values of a query; None where there is no Prometheus, and then nobody suffers.
    """

    def __init__(self, ask: Ask | None, pool: str, tenancy: str) -> None:
        self.suffer: dict[str, str] | None = None
        """How somebody began to suffer; not who, since that is nobody's business. None while nobody has."""
        self._ask = ask
        self._queries = {how: query.format(pool=pool, tenancy=tenancy) for how, query in SUFFERS.items()}
        self._before: dict[str, set[str]] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        if self._ask:
            self._look()
            self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()

    def _watch(self) -> None:
        while not self.suffer and not self._over.wait(EVERY):
            self._look()

    def _look(self) -> None:
        """What was never seen before the load is not known to come from it, so the first look that works is kept."""
        assert self._ask
        for how, query in self._queries.items():
            try:
                now = {labels.get("instance", "") for labels, _ in self._ask(query)}
            except (PrometheusAway, QueryRefused) as away:
                log.warning("neighbours are not seen", extra={"reason": str(away)})
                continue
            if new := now - self._before.setdefault(how, now):
                log.warning("neighbours suffer", extra={"how": how, "who": sorted(new)})
                self.suffer = {"how": how}


def asking(settings: Settings) -> Ask | None:
    """How Prometheus is asked; None where the platform was told of none."""
    try:
        return Prometheus(settings).values
    except NoPrometheus:
        return None

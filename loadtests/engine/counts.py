"""What the engine counts between two reports: by the bin in which a request should have left."""

from typing import Any

from loadtests.histogram import bucket_of
from loadtests.trials import BIN

KINDS = ("scheduled", "good", "late", "failed", "busy", "dropped")


class Counts:
    """Told by the dispatcher and the visitors; taken four times a second. Moments in seconds since the origin.

    An epoch is a stretch of arrivals whose latencies are told apart from all others; it begins when it is asked for.
    """

    def __init__(self) -> None:
        self.epoch = 0
        self.inflight: dict[int, float] = {}
        self.bytes = self.withheld = 0
        self._number = 0
        self._bins: dict[int, list[int]] = {}
        self._latencies: dict[int, dict[int, int]] = {}
        self._lags: dict[int, int] = {}
        self._answered: dict[int, int] = {}

    def begin(self, intended: float) -> tuple[int, int, float]:
        """A request that should leave at that moment; returns what `end` is told of it."""
        self._number += 1
        self._count(intended, 0)
        self.inflight[self._number] = intended
        return self._number, self.epoch, intended

    def drop(self, intended: float) -> None:
        """A request that is not sent, as too many are out."""
        self._count(intended, 0)
        self._count(intended, 5)

    def withhold(self) -> None:
        """A request that is not sent, as the ceiling does not allow for it: nobody learns from it, so it is not bad."""
        self.withheld += 1

    def left(self, late: float) -> None:
        """It left so many seconds after it should have."""
        self._add(self._lags, bucket_of(late * 1000))

    def end(self, ticket: tuple[int, int, float], kind: str, now: float) -> None:
        """What became of a request: good, late, failed or busy."""
        number, epoch, intended = ticket
        del self.inflight[number]
        self._count(intended, KINDS.index(kind))
        self._add(self._latencies.setdefault(epoch, {}), bucket_of((now - intended) * 1000))
        if kind in ("good", "late"):
            self._add(self._answered, int(now / BIN))

    def taken(self, now: float) -> dict[str, Any]:
        """Everything since it was taken last, as it goes over the wire."""
        oldest = next(iter(self.inflight.values()), now)
        report = {
            "bins": self._bins,
            "latencies": self._latencies,
            "lags": self._lags,
            "answered": self._answered,
            "inflight": len(self.inflight),
            "oldest": round(max(0.0, now - oldest), 3),
            "bytes": self.bytes,
            "withheld": self.withheld,
        }
        self._bins, self._latencies, self._lags, self._answered, self.bytes, self.withheld = {}, {}, {}, {}, 0, 0
        return report

    def _count(self, intended: float, kind: int) -> None:
        counts = self._bins.setdefault(int(intended / BIN), [0] * len(KINDS))
        counts[kind] += 1

    @staticmethod
    def _add(counts: dict[int, int], key: int) -> None:
        counts[key] = counts.get(key, 0) + 1

"""The guard: says when a target suffers, counted by arrival and with what is still out, so that silence is seen too."""

from collections.abc import Sequence
from dataclasses import dataclass

from loadtests.slo import Slo
from loadtests.trials import BIN, Arrivals, bad_share, settled

WINDOW = 5.0  # seconds of arrivals that are looked at
TOO_BAD = 0.2  # share of them that may be bad
AGE = 4.0  # times the limit that the oldest request may be out
TICKS = 2  # looks at which it must be too old
FEW = 10  # arrivals of which nothing is concluded


@dataclass
class Guard:
    """Looked at four times a second. Rules that count finished requests alone are blind until clients give up."""

    slo: Slo
    _old: int = 0

    def look(self, bins: Sequence[Arrivals], oldest_ms: float) -> str | None:
        """Which rule is broken, if one is.

        Args:
            bins: the newest bins as they stand now, oldest first; of each, `pending` are those still out.
            oldest_ms: how long the request is out that is out longest.
        """
        self._old = self._old + 1 if oldest_ms > AGE * self.slo.latency_ms else 0
        if self._old >= TICKS:
            return "oldest-too-old"
        known = settled(bins[-int(WINDOW / BIN) :], self.slo)
        if known.scheduled >= FEW and bad_share(known) > max(TOO_BAD, 5 * self.slo.bad):
            return "too-many-bad"
        return None

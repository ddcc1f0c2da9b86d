"""Clocks: another machine's clock is compared with ours over each exchange, and never trusted to show the same."""

from collections import deque

KEPT = 64  # newest comparisons that count: clocks drift apart, though slowly


class OtherClock:
    """A clock elsewhere, told by this machine's `time.monotonic()`. Moments and errors in seconds.

    What it showed was read at some moment between asking and being answered, so the quickest answer tells most.
    """

    def __init__(self) -> None:
        self._seen: deque[tuple[float, float]] = deque(maxlen=KEPT)

    def heard(self, asked: float, shown: float, answered: float) -> None:
        """It showed that when it was read, between these two moments of ours."""
        self._seen.append(((answered - asked) / 2, shown - (asked + answered) / 2))

    @property
    def error(self) -> float:
        """By how much a moment may be wrong at most; without an end before anything was heard."""
        return min(self._seen)[0] if self._seen else float("inf")

    def there(self, moment: float) -> float:
        """What it shows at a moment of ours."""
        return moment + min(self._seen)[1]

    def here(self, shown: float) -> float:
        """The moment of ours at which it shows that."""
        return shown - min(self._seen)[1]

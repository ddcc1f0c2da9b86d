"""The allowance: a bucket of tokens of which every request takes one, so that a ceiling holds whatever sends."""

STORED = 0.25  # seconds of the ceiling that may come at once after a rest
LEAST = 5.0  # requests that may always come at once


class Allowance:
    """Tokens come in at the ceiling's rate, a few are stored. Moments in seconds of whatever clock is gone by."""

    def __init__(self, ceiling: float, *, share: int = 1, now: float = 0.0) -> None:
        self.rate = ceiling / share
        self.stored = max(2.0, max(LEAST, STORED * ceiling) / share)
        self._tokens, self._at = self.stored, now

    def take(self, now: float) -> bool:
        """A token, where there is one: for requests that are left out otherwise."""
        self._fill(now)
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def wait(self, now: float) -> float:
        """A token, also one that is only due: after how many seconds. For requests that can wait for their turn."""
        self._fill(now)
        self._tokens -= 1
        return max(0.0, -self._tokens / self.rate)

    def _fill(self, now: float) -> None:
        self._tokens = min(self.stored, self._tokens + max(0.0, now - self._at) * self.rate)
        self._at = max(self._at, now)

"""The lease of an engine elsewhere: it may send for a moment after its driver was alive for certain, and no longer."""

EVERY = 0.1  # seconds between two exchanges, and between two of the driver's signs of life
LEASE = 0.85  # seconds after the driver's last sign of life at which an engine ends by itself, whatever broke
SILENCE = 0.65  # seconds without an exchange after which the driver counts an engine as lost and lets the others go
PATIENCE = 30.0  # seconds in which an agent that has not begun may look for its API


class Lease:
    """Until when an engine may go on, told by signs of life that carry no time: only clocks of one's own are read.

    A sign that is new was given after the exchange before this one was asked for: from that moment it counts.
    """

    def __init__(self, now: float) -> None:
        self.ends_at = now + PATIENCE
        self._beat: int | None = None
        self._asked_before = now

    def heard(self, beat: int, asked_at: float) -> None:
        """An exchange that was asked for at that moment (of `time.monotonic()`) told the driver's newest sign."""
        if self._beat is not None and beat != self._beat:
            self.ends_at = self._asked_before + LEASE
        self._beat, self._asked_before = beat, asked_at

"""The service level that a target has to keep, as the share of requests that may be bad."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Slo:
    """A request is bad when it failed, came late, was not sent for lack of room, or is still out after the limit.

    "p99 at most 300 ms and at most 1 % errors" is `Slo(latency_ms=300, bad=0.01)`: a share can be added up over
    engines and seconds and has a confidence, which a percentile has not.

    `busy` is the share of requests that a declared "busy" page may answer; such an answer is neither good nor bad.
    """

    latency_ms: float = 300.0
    bad: float = 0.01
    busy: float = 0.0

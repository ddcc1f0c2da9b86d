"""What a run is told, and what comes of it: values that cross processes as JSON."""

import hashlib
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, model_validator

from loadtests import profiles
from loadtests.journeys import Journeys
from loadtests.profiles import Profile
from loadtests.slo import Slo

ENGINE = 1  # version of how load is sent and measured: results of different ones are not compared
SEARCH = 3600.0  # seconds that a search may take
SPARE = 60.0  # seconds to start and to settle

Outcome = Literal["pass", "likely", "unlikely", "fail", "invalid", "aborted", "lost"]


class _Value(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Level(_Value):
    """The service level that is tried."""

    latency_ms: float = Field(300.0, gt=0, le=600_000, description="Milliseconds within which a request is answered.")
    bad: float = Field(0.01, gt=0, lt=1, description="Share of requests that may be late or fail.")
    busy: float = Field(0.0, ge=0, lt=1, description="Share that a declared busy page may answer.")

    @property
    def slo(self) -> Slo:
        return Slo(self.latency_ms, self.bad, self.busy)


def digest(text: str) -> str:
    """By which a locustfile's text is known, in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


class Code(_Value):
    """A locustfile as it was registered: no other text than the one that this digest was noted of."""

    id: str
    text: str
    sha256: str

    @model_validator(mode="after")
    def _is_the_one(self) -> "Code":
        if digest(self.text) != self.sha256:
            raise ValueError("another text than was registered")
        return self


class Order(_Value):
    """One run against one target: by journeys, or by a locustfile. Rates in requests a second, over all generators."""

    run: str
    base_url: str
    addresses: list[str] = Field(min_length=1)  # the only ones that are connected to
    journeys: Journeys | None = None
    locustfile: Code | None = None
    profile: Profile
    level: Level = Level()
    ceiling: float = Field(gt=0)
    longest: float | None = Field(default=None, gt=0)  # seconds after which an engine ends; None: as profiles need
    inflight: int = Field(default=2000, gt=0)  # requests that may be out at once; what comes then is dropped
    timeout: float = Field(default=10.0, gt=0)  # seconds after which an engine gives a request up
    calm: float = Field(default=60.0, gt=0)  # seconds that a target is given to recover
    generators: int = Field(default=1, ge=1, le=64)
    on: str | None = None  # the pool whose machines send; None: this one
    seed: int = 1
    mark: str = ""  # what the header X-Loadtest-Run says, so that the target can tell this load from visitors
    authority: str | None = None  # file with the certificates that are trusted; None: the system's
    user: int = Field(
        default=60600, gt=0, lt=2**31
    )  # uid and gid that a locustfile runs as, where an engine's driver is root
    version: str = ""  # of what is tried, as its owner names it
    size: dict[str, int] = {}  # of the tenancy that it runs in

    @model_validator(mode="after")
    def _by_one_of_both(self) -> "Order":
        if (self.journeys is None) == (self.locustfile is None):
            raise ValueError("either journeys or a locustfile")
        return self

    @property
    def mean_requests(self) -> float:
        """Requests that one visitor makes, on average; of a locustfile it is found out as they are made."""
        return self.journeys.mean_requests if self.journeys else 1.0

    @property
    def host(self) -> str:
        return urlsplit(self.base_url).hostname or ""

    @property
    def port(self) -> int:
        parts = urlsplit(self.base_url)
        return parts.port or (443 if parts.scheme == "https" else 80)

    @property
    def lasts(self) -> float:
        """Seconds after which the kernel ends an engine, whatever it does."""
        curve = profiles.seconds(self.profile) or SEARCH
        return self.longest or curve + self.level.latency_ms / 1000 + self.timeout + self.calm + SPARE

    def told(self, number: int) -> "Order":
        """What the engine of this number needs to know of it."""
        own = {"seed": self.seed * 1000 + number, "longest": self.lasts}
        return self.model_copy(update={**own, "run": "", "on": None, "version": "", "size": {}})

    def hash(self) -> str:
        """Of everything that results must share to be compared: what was asked, how, against what."""
        told = self.model_dump(mode="json", include={"base_url", "journeys", "profile", "level"})
        if self.locustfile:
            told["journeys"] = {"locustfile": self.locustfile.sha256}
        told |= {"engine": ENGINE, "generators": self.generators, **({"on": self.on} if self.on else {})}
        return hashlib.sha256(repr(sorted(told.items())).encode()).hexdigest()[:16]


class Told(_Value):
    """A reason or figure as slug with its figures."""

    slug: str
    figures: dict[str, Any] = {}


class Progress(_Value):
    """How a run goes now: rates in requests a second over the last second or so, times in seconds and ms."""

    at: float
    offered: float
    served: float
    bad: float
    p99_ms: float
    inflight: int
    guard: str | None = None
    phase: str = ""


class StageResult(_Value):
    """One rate that was held, or a slice of a profile, and what came of it."""

    at: float
    rate: float
    seconds: float
    offered: float
    goodput: float
    bad: float
    p50_ms: float
    p99_ms: float
    verdict: str
    reason: Told


class Result(_Value):
    """What came of a run. `capacity` and `planning` in requests a second, where one was searched for."""

    outcome: Outcome
    reasons: list[Told] = []
    seconds: float = 0.0
    requests: int = 0
    good: int = 0
    late: int = 0
    failed: int = 0
    busy: int = 0
    dropped: int = 0
    unanswered: int = 0
    withheld: int = 0  # requests that the ceiling did not allow for
    bad: float = 0.0
    bad_low: float = 0.0
    bad_high: float = 1.0
    p50_ms: float = 0.0
    p95_ms: float = 0.0
    p99_ms: float = 0.0
    offered: float = 0.0
    goodput: float = 0.0
    bytes_per_second: float = 0.0  # of answers, within the second that brought most
    bandwidth: float | None = None  # the share of the tenancy's that this is, where it has a size
    capacity: float | None = None
    above: float | None = None
    planning: float | None = None
    status: str | None = None  # of a search
    knee: float | None = None
    confirmed_seconds: float = 0.0
    recovery_seconds: float | None = None  # from the end of the load, the longest there was
    drift_ms_per_minute: float | None = None  # of a soak: the slope of its median latency
    generator_lag_ms: float = 0.0
    generator_cpu: float = 0.0
    comparable: str = ""
    stages: list[StageResult] = []
    histogram: dict[int, int] = {}

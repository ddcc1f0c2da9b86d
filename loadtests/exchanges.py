"""What an engine elsewhere and its run say to each other, several times a second: values that cross as JSON."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

MOST = 40  # reports in one exchange, and unread ones that an engine may have: ten seconds of them
ENTRIES = 4000  # of one report's tables, each
WIDEST = 2**53  # what JSON carries as a whole number

_Count = Annotated[int, Field(ge=0, le=WIDEST)]
_Bucket = Annotated[int, Field(ge=-10_000, le=10_000)]
_Bin = Annotated[int, Field(ge=-(10**9), le=10**9)]
_Epoch = Annotated[int, Field(ge=0, le=WIDEST)]
_Histogram = Annotated[dict[_Bucket, _Count], Field(max_length=ENTRIES)]


class _Value(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Report(_Value):
    """What an engine counted since its last report, a quarter of a second ago. Moments in seconds since the origin."""

    at: float = Field(description="When it was made.")
    cpu: float = Field(description="How much of a core it took.")
    cut: str | None = Field(None, max_length=40, description="Why it cut the load itself.")
    bins: dict[_Bin, tuple[_Count, _Count, _Count, _Count, _Count, _Count]] = Field(
        max_length=ENTRIES, description="By quarter of a second: scheduled, good, late, failed, busy, dropped."
    )
    latencies: dict[_Epoch, _Histogram] = Field(max_length=ENTRIES, description="Histograms by epoch.")
    lags: _Histogram = Field(description="Histogram of how late requests left.")
    answered: dict[_Bin, _Count] = Field(max_length=ENTRIES, description="Good answers by quarter of a second.")
    inflight: int = Field(ge=0, le=WIDEST, description="Requests that are out.")
    oldest: float = Field(ge=0, description="Seconds that the oldest of them is out.")
    bytes: int = Field(ge=0, le=WIDEST, description="Bytes of answers.")
    withheld: int = Field(ge=0, le=WIDEST, description="Requests that the ceiling did not allow for.")


class Said(_Value):
    """What an engine says: its reports that were not acknowledged, and which command it got last."""

    after: int = Field(0, ge=0, le=WIDEST, description="Number of the last command that came; 0: none did.")
    first: int = Field(1, ge=1, le=WIDEST, description="Number of the first of these reports; they count from 1.")
    reports: list[Report] = Field([], max_length=MOST, description="In their order.")
    ready: bool = Field(False, description="Whether it can send, and knows the time.")
    over: bool = Field(False, description="Whether it has ended by itself.")


class Command(_Value):
    """One command by its number, as it goes to the engine."""

    number: int
    said: dict[str, Any]


class Answer(_Value):
    """What an engine is answered."""

    beat: int  # changes with every sign of life of the run's driver
    now: float  # seconds of the clock that all go by
    heard: int  # number of the last report that was taken
    commands: list[Command]

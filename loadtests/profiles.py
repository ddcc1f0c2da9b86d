"""Profiles: how load comes over time, as data; and the model that says how high a peak will be."""

import math
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from loadtests.schedule import rate_at

LONGEST = 48 * 3600.0  # seconds
Rate = Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False, description="Requests a second.")]
Above = Annotated[float, Field(gt=0, le=1_000_000, allow_inf_nan=False, description="Requests a second.")]
Seconds = Annotated[float, Field(gt=0, le=LONGEST, allow_inf_nan=False, description="Seconds.")]
Points = list[tuple[float, float]]


class _Profile(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    retries: int = Field(0, ge=0, le=10, description="How often each failed request is sent again at once.")
    evenly: bool = Field(False, description="At even intervals; else by chance, as people come.")

    def points(self) -> Points:
        """(second, requests a second); straight between the points, and nothing after the last."""
        raise NotImplementedError


class Smoke(_Profile):
    """Hardly anything: does it work at all?"""

    kind: Literal["smoke"] = Field("smoke", description="Hardly any load: does it work at all?")
    rate: Above = 1.0
    seconds: Seconds = 60.0

    def points(self) -> Points:
        return [(0.0, self.rate), (self.seconds, self.rate)]


class Steps(_Profile):
    """Up in equal steps, each held."""

    kind: Literal["step"] = Field("step", description="Up in equal steps, each held for a while.")
    first: Above
    by: Above
    to: Above
    hold: Seconds = 30.0

    def points(self) -> Points:
        found: Points = []
        count = max(1, math.floor((self.to - self.first) / self.by + 1e-9) + 1)
        for number in range(count):
            rate = self.first + number * self.by
            found += [(number * self.hold, rate), ((number + 1) * self.hold, rate)]
        return found


class Ramp(_Profile):
    """Evenly up to a rate, and held there."""

    kind: Literal["ramp"] = Field("ramp", description="Evenly up to a rate, then held.")
    start: Rate = 0.0
    to: Above
    over: Seconds
    hold: Seconds = 60.0

    def points(self) -> Points:
        return [(0.0, self.start), (self.over, self.to), (self.over + self.hold, self.to)]


class Spike(_Profile):
    """A sudden peak on a quiet base, and whether it becomes quiet again."""

    kind: Literal["spike"] = Field("spike", description="A sudden peak on a quiet base.")
    base: Above
    peak: Above
    rise: Seconds = 5.0
    hold: Seconds = 30.0
    rest: Seconds = 60.0

    def points(self) -> Points:
        top, fall = self.rest + self.rise, self.rest + self.rise + self.hold
        return [
            (0.0, self.base),
            (self.rest, self.base),
            (top, self.peak),
            (fall, self.peak),
            (fall + self.rise, self.base),
            (fall + self.rise + self.rest, self.base),
        ]


class Soak(_Profile):
    """One rate for long: does it get slower?"""

    kind: Literal["soak"] = Field("soak", description="One rate for long: does it get slower?")
    rate: Above
    seconds: Seconds = 3600.0

    def points(self) -> Points:
        return [(0.0, self.rate), (self.seconds, self.rate)]


class Search(_Profile):
    """No curve: the highest rate that holds is looked for, from below."""

    kind: Literal["search"] = Field("search", description="Looks for the highest rate that holds, from below.")
    coarse: bool = Field(False, description="In about a minute, to a seventh, marked as coarse; else to 5 %.")

    def points(self) -> Points:
        return []


class ExamRelease(_Profile):
    """Scores are published at a minute everybody knows: from quiet to the peak in seconds, then ever less."""

    kind: Literal["exam-release"] = Field("exam-release", description="Exam scores published at a known minute.")
    base: Above = 5.0
    peak: Above
    lead: Seconds = Field(60.0, description="Seconds of quiet before the published minute.")
    decay: Seconds = Field(300.0, description="Seconds in which the peak falls to a third.")
    tail: Seconds = Field(900.0, description="Seconds that are played after the published minute.")

    def points(self) -> Points:
        found: Points = [(0.0, self.base), (self.lead, self.base), (self.lead + 5.0, self.peak)]
        for number in range(1, 33):
            after = self.tail * number / 32
            found.append((self.lead + 5.0 + after, self.base + (self.peak - self.base) * math.exp(-after / self.decay)))
        return found


class MorningPeak(_Profile):
    """Health codes on the way to work: a bell."""

    kind: Literal["morning-peak"] = Field("morning-peak", description="Health codes on the way to work: a bell.")
    base: Rate = 5.0
    peak: Above
    seconds: Seconds = 7200.0

    def points(self) -> Points:
        def rate(share: float) -> float:
            return self.base + (self.peak - self.base) * math.exp(-((share - 0.5) ** 2) / (2 * (1 / 6) ** 2))

        return [(self.seconds * number / 48, rate(number / 48)) for number in range(49)]


class TaxDeadline(_Profile):
    """Ever more until the last minute of the deadline, then hardly anybody."""

    kind: Literal["tax-deadline"] = Field("tax-deadline", description="Ever more until a deadline.")
    base: Above = 5.0
    peak: Above
    seconds: Seconds = 3600.0

    def points(self) -> Points:
        steps = [number / 32 for number in range(33)]
        grown = [(self.seconds * step, self.base * (self.peak / self.base) ** step) for step in steps]
        return [*grown, (self.seconds + 10.0, self.base), (self.seconds + 60.0, self.base)]


class Coupons(_Profile):
    """Coupons at every full hour: a surge, again and again."""

    kind: Literal["coupons"] = Field("coupons", description="A surge at every full hour, again and again.")
    base: Above = 10.0
    surge: float = Field(10.0, gt=1, le=1000, description="How many times the base.")
    every: Seconds = 3600.0
    lasts: Seconds = 60.0
    times: int = Field(3, ge=1, le=48, description="How many surges.")

    def points(self) -> Points:
        found: Points = [(0.0, self.base)]
        for number in range(1, self.times + 1):
            at, peak = number * self.every, self.base * self.surge
            found += [(at, self.base), (at + 2.0, peak), (at + self.lasts, peak), (at + self.lasts + 2.0, self.base)]
        return [*found, (found[-1][0] + min(self.every, 60.0), self.base)]


class RetryStorm(_Profile):
    """Each failure is tried again k times at once: what was a little too much becomes far too much."""

    kind: Literal["retry-storm"] = Field("retry-storm", description="Each failed request is sent again, k times.")
    retries: int = Field(3, ge=1, le=10, description="How often each failed request is sent again at once.")
    rate: Above
    seconds: Seconds = 120.0

    def points(self) -> Points:
        return [(0.0, self.rate), (self.seconds, self.rate)]


Profile = Annotated[
    Smoke | Steps | Ramp | Spike | Soak | Search | ExamRelease | MorningPeak | TaxDeadline | Coupons | RetryStorm,
    Field(discriminator="kind"),
]

_PEAKED = {"even": 1.0, "release": 5 / (1 - math.exp(-5)), "bell": 6 / math.sqrt(2 * math.pi)}


class Peak(BaseModel):
    """How high a peak will be: who comes, how often, in which time and how unevenly.

    `release` falls off exponentially over a fifth of the window, `bell` is a normal curve six deviations wide.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    population: int = Field(gt=0, le=2_000_000_000, description="People who could come.", examples=[480_000])
    share: float = Field(gt=0, le=1, description="Share of them that comes.", examples=[0.6])
    requests: float = Field(gt=0, le=1000, description="Requests each of them makes.", examples=[4])
    minutes: float = Field(gt=0, le=100_000, description="Within how many minutes they come.", examples=[30])
    arrival: Literal["even", "release", "bell"] = Field("even", description="How unevenly they come.")
    retries: float = Field(0.0, ge=0, le=10, description="Further tries a person makes, on average.", examples=[0.5])

    def rate(self) -> float:
        """The highest rate, requests a second."""
        total = self.population * self.share * self.requests * (1 + self.retries)
        return total / (self.minutes * 60) * _PEAKED[self.arrival]

    def profile(self) -> "ExamRelease | MorningPeak | Ramp":
        """The profile that has this peak."""
        rate, seconds = max(0.1, round(self.rate(), 1)), self.minutes * 60
        if self.arrival == "release":
            return ExamRelease(peak=rate, base=rate / 50, decay=seconds / 5, tail=seconds)
        if self.arrival == "bell":
            return MorningPeak(peak=rate, base=rate / 50, seconds=seconds)
        return Ramp(to=rate, over=60.0, hold=seconds)


def seconds(profile: _Profile) -> float:
    """How long its curve is."""
    points = profile.points()
    return points[-1][0] if points else 0.0


def peak(profile: _Profile) -> float:
    """The highest rate of its curve."""
    return max((rate for _, rate in profile.points()), default=0.0)


def drawn(points: Points, width: int = 60, height: int = 8) -> list[str]:
    """The curve as lines of blocks, for a terminal; the highest rate stands at the first line."""
    if not points:
        return []
    end, top = points[-1][0] or 1.0, max(rate for _, rate in points) or 1.0
    levels = [rate_at(points, end * (column + 0.5) / width) / top * height for column in range(width)]
    blocks = " ▁▂▃▄▅▆▇█"
    lines = []
    for row in range(height - 1, -1, -1):
        lines.append("".join(blocks[max(0, min(8, round((level - row) * 8)))] for level in levels).rstrip())
    return [f"{lines[0]}  {top:g}/s", *lines[1:], f"{'':{max(0, width - 8)}}{end:g} s".rjust(width)]

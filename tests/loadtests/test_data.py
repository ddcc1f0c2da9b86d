"""Profiles and journeys as data: what can be said, and what is refused with its field."""

from itertools import pairwise

import pytest
from pydantic import TypeAdapter

from cloudctl.kernel.errors import Several
from cloudctl.kernel.parsing import parsed
from loadtests import profiles
from loadtests.journeys import Journeys, filled, rows
from loadtests.orders import Order
from loadtests.profiles import Peak, Profile
from loadtests.schedule import rate_at

PRESETS = [
    {"kind": "smoke"},
    {"kind": "step", "first": 10, "by": 10, "to": 50, "hold": 5},
    {"kind": "ramp", "to": 100, "over": 30},
    {"kind": "spike", "base": 10, "peak": 200},
    {"kind": "soak", "rate": 50},
    {"kind": "exam-release", "peak": 500},
    {"kind": "morning-peak", "peak": 300},
    {"kind": "tax-deadline", "peak": 300},
    {"kind": "coupons", "base": 20},
    {"kind": "retry-storm", "rate": 100},
]
read = TypeAdapter(Profile).validate_python


@pytest.mark.parametrize("told", PRESETS, ids=lambda told: told["kind"])
def test_every_profile_is_a_curve_that_ends_and_can_be_drawn(told):
    profile = read(told)
    points = profile.points()
    assert [at for at, _ in points] == sorted(at for at, _ in points)
    assert points[0][0] == 0
    assert profiles.seconds(profile) > 0
    assert profiles.peak(profile) == pytest.approx(
        told.get("peak") or told.get("to") or told.get("rate") or (200 if told["kind"] == "coupons" else 1)
    )
    drawn = profiles.drawn(points)
    assert len(drawn) == 9
    assert f"{profiles.peak(profile):g}/s" in drawn[0]
    assert read(profile.model_dump()) == profile


@pytest.mark.parametrize("told", [*PRESETS, {"kind": "soak", "rate": 1, "seconds": 48 * 3600}])
def test_an_engine_outlives_the_profile_and_the_recovery_after_it(told):
    journeys = {"journeys": [{"name": "look", "requests": [{"path": "/"}]}]}
    order = Order(run="run_1", base_url="http://a", addresses=["1"], journeys=journeys, profile=told, ceiling=1)
    assert order.lasts > profiles.seconds(order.profile) + order.calm
    assert order.model_copy(update={"longest": 5}).lasts == 5


def test_an_exam_release_is_quiet_until_its_minute_and_at_its_peak_seconds_later():
    points = read({"kind": "exam-release", "base": 5, "peak": 500, "lead": 60}).points()
    assert (rate_at(points, 59), rate_at(points, 65)) == (5, 500)
    assert rate_at(points, 65 + 300) == pytest.approx(5 + 495 / 2.718, rel=0.02)


@pytest.mark.parametrize("arrival", ["even", "release", "bell"])
def test_the_profile_of_a_peak_model_brings_as_many_requests_as_the_model_says(arrival):
    model = Peak(population=480_000, share=0.6, requests=4, minutes=30, arrival=arrival, retries=0.5)
    points = model.profile().points()
    area = sum((low + high) / 2 * (end - start) for (start, low), (end, high) in pairwise(points))
    assert area == pytest.approx(480_000 * 0.6 * 4 * 1.5, rel=0.1)
    assert profiles.peak(model.profile()) == pytest.approx(model.rate(), rel=0.01)


JOURNEY = {"name": "look", "data": "candidates", "requests": [{"path": "/scores?number={number}"}]}
TABLE = {"candidates": "number,name\n1001,王\n1002,李\n"}


def test_a_journey_draws_its_values_from_a_table():
    journeys = Journeys.model_validate({"journeys": [JOURNEY], "data": TABLE})
    (row, _) = rows(journeys.data["candidates"])
    assert filled(journeys.journeys[0].requests[0].path, row) == "/scores?number=1001"


@pytest.mark.parametrize(
    ("change", "field", "slug"),
    [
        ({"requests": [{"path": "http://elsewhere/"}]}, "journeys.0.requests.0.path", "not-within-target"),
        ({"requests": [{"path": "//elsewhere/"}]}, "journeys.0.requests.0.path", "not-within-target"),
        ({"requests": [{"path": "/a\\b"}]}, "journeys.0.requests.0.path", "not-within-target"),
        (
            {"requests": [{"path": "/", "headers": {"Host": "neighbour"}}]},
            "journeys.0.requests.0.headers.Host",
            "header-not-theirs",
        ),
        ({"data": "nobody"}, "journeys.0.data", "no-such-data"),
        ({"requests": [{"path": "/{age}"}]}, "journeys.0.requests.0", "no-such-column"),
        ({"requests": [{"path": "/", "python": "import os"}]}, "journeys.0.requests.0.python", "unknown-field"),
        ({"requests": [{"path": "/", "method": "TRACE"}]}, "journeys.0.requests.0.method", "bad-value"),
        ({"requests": []}, "journeys.0.requests", "bad-value"),
    ],
)
def test_what_cannot_be_said_is_refused_with_its_field(change, field, slug):
    with pytest.raises((Several, Exception)) as refused:
        parsed(Journeys, {"journeys": [{**JOURNEY, **change}], "data": TABLE})
    assert (refused.value.field, refused.value.slug) == (field, slug)


def test_a_broken_table_names_its_line():
    with pytest.raises(Exception) as refused:  # noqa: PT011
        parsed(Journeys, {"journeys": [JOURNEY], "data": {"candidates": "number,name\n1001,王\n1002\n"}})
    assert (refused.value.field, refused.value.figures["line"]) == ("data.candidates", 3)

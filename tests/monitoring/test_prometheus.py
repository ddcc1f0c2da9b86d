"""A Prometheus that hangs takes nobody else's time; one that is not there is told apart from one that is away."""

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from cloudctl.kernel.settings import Settings
from monitoring.prometheus import NoPrometheus, Prometheus, PrometheusAway


@pytest.fixture
def hanging() -> Iterator[Settings]:
    """The settings of a platform whose Prometheus takes calls and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=16) as deaf:
        yield Settings(prometheus_url=f"http://127.0.0.1:{deaf.getsockname()[1]}")


@pytest.mark.slow
def test_one_that_hangs_takes_two_threads_at_most(hanging: Settings) -> None:
    def ask() -> tuple[float, str]:
        began = time.monotonic()
        with pytest.raises(PrometheusAway) as away:
            Prometheus(hanging).values("up")
        return time.monotonic() - began, str(away.value.figures["error"])

    with ThreadPoolExecutor(4) as threads:
        answers = sorted(threads.map(lambda _: ask(), range(4)))
    assert [error for _, error in answers[:2]] == ["too many queries at once"] * 2
    assert [seconds < 2 for seconds, _ in answers] == [True, True, False, False]
    assert answers[-1][0] < 12


def test_none_is_another_thing_than_one_that_is_away() -> None:
    with pytest.raises(NoPrometheus):
        Prometheus(Settings())
    with socket.create_server(("127.0.0.1", 0)) as gone:
        address = f"http://127.0.0.1:{gone.getsockname()[1]}"
    with pytest.raises(PrometheusAway):
        Prometheus(Settings(prometheus_url=address)).values("up")

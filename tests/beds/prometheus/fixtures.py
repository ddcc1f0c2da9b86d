"""The bed of Prometheus as fixtures; loaded by `tests/conftest.py`."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.beds import missing
from tests.beds.prometheus import programs
from tests.beds.prometheus.bed import Bed


@pytest.hookimpl(tryfirst=True)  # xdist reads the groups in its own
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What needs these programs is slow."""
    for item in items:
        if {"prometheus_programs", "watch_bed"} & set(getattr(item, "fixturenames", ())):
            item.add_marker("slow")


@pytest.fixture(scope="session")
def prometheus_programs() -> None:
    """The programs are there."""
    try:
        programs.build()
    except (FileNotFoundError, RuntimeError) as error:
        missing("The bed of Prometheus", str(error))


@pytest.fixture(scope="module")
def watch_bed(prometheus_programs: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    """A bed in which nothing runs yet; gone after the module's last test."""
    folder: Path = tmp_path_factory.mktemp("watch")
    made = Bed(folder)
    yield made
    made.close()

"""The bed of a test process and its servers, as fixtures; loaded by `tests/conftest.py`."""

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.beds import missing
from tests.beds.servers import images, needs, tenancies
from tests.beds.servers.bed import Bed
from tests.beds.servers.server import Server

ENROLLING = ("test_enrolment", "test_retirement")


@pytest.hookimpl(tryfirst=True)  # xdist reads the groups in its own
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What needs servers is slow, and runs in one of two processes, each with a bed of its own: half of it is to enrol
    them."""
    for item in items:
        if "bed" in getattr(item, "fixturenames", ()):
            item.add_marker("slow")
            group = "enrolment" if item.path.stem in ENROLLING else "servers"
            item.add_marker(pytest.mark.xdist_group(group))


@pytest.fixture(scope="session")
def bed() -> Iterator[Bed]:
    """A bed without servers, gone after the last test; its images are built when they are not there yet."""
    why = needs.unmet()
    if why:
        missing("The bed of bare servers", why)
    images.build()
    with Bed() as bed:
        yield bed


@pytest.fixture(scope="session")
def server_with(bed: Bed) -> Callable[[str], Server]:
    """A server with a processor, booted when first asked for, the same to all tests: leave it as it was."""
    return cache(lambda processor: bed.add(processor)[0])


@pytest.fixture(scope="session")
def host(bed: Bed) -> Server:
    """A server on which tenancies live. It is apart: a server is not retired while anything of a tenancy lies there."""
    (server,) = bed.add("x86")
    tenancies.prepare(server)
    return server


@pytest.fixture
def in_the_bed(bed: Bed) -> Iterator[None]:
    """The test's thread, and what it starts, is in the bed's network."""
    with bed.network():
        yield


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder with a path short enough for the sockets that lie in it."""
    with TemporaryDirectory(dir="/tmp") as folder:
        yield Path(folder)

"""Everything on one machine: it says that it runs only where it does."""

import socket
from collections.abc import Iterator

import pytest

from cloudctl import dev
from cloudctl.api.serve import PortTaken
from cloudctl.kernel.settings import Settings


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which another program answers."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield other.getsockname()[1]


def test_where_another_program_has_the_port_nothing_is_started(settings: Settings, taken: int) -> None:
    there = settings.model_copy(update={"port": taken})
    with pytest.raises(PortTaken) as refused, dev.running(there):
        pass
    assert refused.value.figures["port"] == taken
    assert not dev.log_of(there, "worker").exists()


def test_an_address_of_another_machine_is_refused_too(settings: Settings) -> None:
    with pytest.raises(PortTaken), dev.running(settings.model_copy(update={"host": "192.0.2.1"})):
        pass

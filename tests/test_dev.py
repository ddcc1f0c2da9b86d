"""Everything on one machine: it says that it runs only where it does."""

import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from cloudctl import dev
from cloudctl.api.serve import PortTaken
from cloudctl.kernel.settings import Settings
from monitoring import instruments
from tests.beds.prometheus import programs
from tests.beds.prometheus.bed import eventually, free_port


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which another program answers."""
    with listening("127.0.0.1:0") as other:
        yield other.getsockname()[1]


def listening(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    return socket.create_server((host, int(port)))


def test_where_another_program_has_the_port_nothing_is_started(settings: Settings, taken: int) -> None:
    there = settings.model_copy(update={"port": taken})
    with pytest.raises(PortTaken) as refused, dev.running(there):
        pass
    assert refused.value.figures["port"] == taken
    assert not dev.log_of(there, "worker").exists()


def test_an_address_of_another_machine_is_refused_too(settings: Settings) -> None:
    with pytest.raises(PortTaken), dev.running(settings.model_copy(update={"host": "192.0.2.1"})):
        pass


def test_prometheus_and_alertmanager_look_at_it_where_they_are_installed(
    prometheus_programs: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "prometheus").symlink_to(programs.path("prometheus"))
    alertmanager = folder / "alertmanager"  # the unpacked one reads its templates where it is started
    alertmanager.write_text(f'#!/bin/sh\ncd {programs.templates()} && exec {programs.path("alertmanager")} "$@"\n')
    alertmanager.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    home = Path("/var/lib/cloudctl/tests" if os.geteuid() == 0 else tmp_path) / f"dev-{os.urandom(4).hex()}"
    settings = Settings(data_dir=home, port=free_port())
    try:
        with dev.running(settings) as (_, watching), httpx.Client() as http:
            assert watching

            def seen() -> bool:
                asked = {"query": 'up{job="platform"} == 1'}
                told = http.get(f"{watching.urls['prometheus_url']}/api/v1/query", params=asked)
                return bool(told.json()["data"]["result"])

            eventually(seen, 60)
            assert http.get(watching.probes["alertmanager"]).status_code == 200
    finally:
        shutil.rmtree(home, ignore_errors=True)
    with pytest.raises(httpx.TransportError):
        httpx.get(watching.urls["prometheus_url"])


def test_they_listen_elsewhere_where_others_of_their_kind_run_already(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(instruments, "found", lambda: dict.fromkeys(instruments.NAMES, "/bin/true"))
    at_rest = dev.beside(settings)
    assert at_rest
    with listening(at_rest.prometheus), listening(at_rest.alertmanager):
        moved = dev.beside(settings)
    assert moved
    assert not {moved.prometheus, moved.alertmanager} & {at_rest.prometheus, at_rest.alertmanager}


def test_one_that_does_not_start_is_named_with_its_log(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instruments, "found", lambda: dict.fromkeys(instruments.NAMES, "/bin/false"))
    with pytest.raises(dev.ChildEnded) as refused, dev.running(settings):
        pass
    assert refused.value.figures == {"what": "prometheus", "log": str(dev.log_of(settings, "prometheus"))}


def test_where_they_are_not_installed_it_runs_without(settings: Settings, tmp_path: Path) -> None:
    assert instruments.found(str(tmp_path)) == {}
    assert dev.beside(settings.model_copy(update={"prometheus_url": "http://127.0.0.1:9090"})) is None

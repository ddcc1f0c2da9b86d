"""Serving for real: two processes on one socket, events across them, and an end that waits for what is under way."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import psycopg
import pytest
from sqlalchemy import Engine

from cloudctl import app
from cloudctl.api import serve
from cloudctl.kernel.settings import Settings
from cloudctl.migrations import WrongRevision
from tests.api.world import World, world_on


@contextmanager
def served(settings: Settings) -> Iterator[httpx.Client]:
    """Two processes; gives a client of them once they answer, and ends them as an operator would."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    knobs = {"port": port, "processes": 2, "database_connections": 3}
    knobs |= {"data_dir": settings.data_dir, "database_url": settings.database_url}
    environment = os.environ | {f"CLOUDCTL_{name.upper()}": str(value) for name, value in knobs.items()}
    process = subprocess.Popen([sys.executable, "-m", "cloudctl", "admin", "serve"], env=environment)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
            deadline = time.monotonic() + 60
            while True:
                try:
                    client.get("/healthz").raise_for_status()
                    break
                except httpx.HTTPError:
                    assert time.monotonic() < deadline
                    time.sleep(0.2)
            yield client
    finally:
        process.terminate()
        assert process.wait(30) == 0


@pytest.fixture
def world(engine: Engine, settings: Settings, urls: dict[str, str]) -> World:
    return world_on(engine, settings, urls["application"])


def follow(client: httpx.Client, world: World, subject: str, after: int, count: int) -> list[tuple[int, str]]:
    """The next `count` events of a stream: their ids and names."""
    headers = {
        "Authorization": f"Bearer {world.secrets['operator']}",
        "Accept": "text/event-stream",
        "Last-Event-ID": str(after),
    }
    found: list[tuple[int, str]] = []
    with client.stream("GET", "/v1/events", params={"subject": subject}, headers=headers) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        for line in answer.iter_lines():
            name, _, value = line.partition(": ")
            if name == "id":
                number = int(value)
            elif name == "event":
                found.append((number, value))
                if len(found) == count:
                    return found
    raise AssertionError(f"the stream ended after {found}")


def test_two_processes_serve_and_events_reach_watchers_of_both(world: World, settings: Settings) -> None:
    department = world.a["department"]
    operator = {"Authorization": f"Bearer {world.secrets['operator']}", "If-Match": '"1"'}
    with served(settings) as client:
        listed = client.get("/v1/events", params={"subject": department, "limit": 200}, headers=operator)
        seen = len(listed.json()["items"])
        assert follow(client, world, department, 0, seen)[-1][0] == seen

        with ThreadPoolExecutor(4) as crew:
            watchers = [crew.submit(follow, client, world, department, seen, 1) for _ in range(4)]
            time.sleep(1)  # they are connected, to either process
            began = time.monotonic()
            client.patch(f"/v1/departments/{department}", json={"name": "甲"}, headers=operator).raise_for_status()
            heard = [watcher.result(timeout=20) for watcher in watchers]
        assert heard == [[(seen + 1, "department-updated")]] * 4
        assert time.monotonic() - began < 5, "woken, not found by looking now and then"
        assert follow(client, world, department, seen, 1) == [(seen + 1, "department-updated")]


def test_it_does_not_serve_a_database_of_another_revision(urls: dict[str, str], tmp_path: Path) -> None:
    with psycopg.connect(urls["owner"], autocommit=True) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0000'")
    settings = Settings(data_dir=tmp_path, database_url=urls["application"])
    with pytest.raises(WrongRevision):
        serve.run(settings, app.prepare)

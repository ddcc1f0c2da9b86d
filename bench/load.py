"""A server in a process of its own, and clients that call it as fast as it answers."""

import http.client
import multiprocessing
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager

from cloudctl.kernel.settings import Settings

CLIENTS = 16
Call = tuple[str, str, bytes | None, dict[str, str]]  # method, path, body, headers


@contextmanager
def served(serve: Callable[[Settings], None], settings: Settings) -> Iterator[int]:
    """`serve` in a process of its own, on a port of its own; gives the port once it answers."""
    port = free_port()
    at = settings.model_copy(update={"port": port})
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(at,), daemon=True)
    process.start()
    try:
        _wait_for(port)
        yield port
    finally:
        process.terminate()
        process.join()


@contextmanager
def platform(settings: Settings) -> Iterator[int]:
    """`cloudctl admin serve` as in production, on a port of its own; gives the port once it answers."""
    port = free_port()
    chosen = {"data_dir": settings.data_dir, "database_url": settings.database_url, "processes": settings.processes}
    environment = {f"CLOUDCTL_{name.upper()}": str(value) for name, value in {**chosen, "port": port}.items()}
    words = [sys.executable, "-m", "cloudctl", "admin", "serve"]
    with running(words, port, environment):
        yield port


@contextmanager
def running(words: Sequence[object], port: int, environment: Mapping[str, str]) -> Iterator[None]:
    """A server as a program, from when it answers on that port; what it says is thrown away."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen([str(word) for word in words], env={**os.environ, **environment}, **quiet)
    try:
        _wait_for(port)
        yield
    finally:
        process.terminate()
        process.wait()


@contextmanager
def worker(url: str, folder: str, **settings: object) -> Iterator[None]:
    """`cloudctl admin worker` as in production, once it has started and found nothing to do."""
    chosen = {"database_url": url, "data_dir": folder, **settings}
    environment = {f"CLOUDCTL_{name.upper()}": str(value) for name, value in chosen.items()}
    words = [sys.executable, "-m", "cloudctl", "admin", "worker"]
    process = subprocess.Popen(words, env={**os.environ, **environment}, stderr=subprocess.DEVNULL)
    try:
        time.sleep(5)
        yield
    finally:
        process.terminate()
        process.wait()


def free_port() -> int:
    """One at which nobody listens just now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 30
    while not _answers(port):
        if time.monotonic() > deadline:
            raise TimeoutError(f"port {port} does not answer")
        time.sleep(0.1)


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status < 500
    except OSError:
        return False
    finally:
        connection.close()


def per_second(port: int, call: Callable[[], Call], clients: int, seconds: float) -> float:
    """How many calls a second so many clients get answered, each waiting for its answer; a refusal ends the bench."""
    counts: list[int] = []
    end = time.monotonic() + seconds
    crew = [threading.Thread(target=_client, args=(port, call, end, counts)) for _ in range(clients)]
    for thread in crew:
        thread.start()
    for thread in crew:
        thread.join()
    return sum(counts) / seconds


def _client(port: int, call: Callable[[], Call], end: float, counts: list[int]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    done = 0
    while time.monotonic() < end:
        _ask(connection, call())
        done += 1
    connection.close()
    counts.append(done)


def ask(port: int, call: Call) -> None:
    """One call; a refusal ends the bench."""
    with closing(http.client.HTTPConnection("127.0.0.1", port)) as connection:
        _ask(connection, call)


def _ask(connection: http.client.HTTPConnection, call: Call) -> None:
    method, path, body, headers = call
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    said = answer.read()
    if answer.status >= 300:
        raise RuntimeError(f"{answer.status}: {said[:200]!r}")

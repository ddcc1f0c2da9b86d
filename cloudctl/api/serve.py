"""Serving: several processes on one socket, each with its own connections, until they are told to stop."""

import socket
from collections.abc import Callable
from functools import partial

import uvicorn
from fastapi import FastAPI
from uvicorn.supervisors import Multiprocess

from cloudctl.api.platform import Platform
from cloudctl.kernel import telemetry
from cloudctl.kernel.errors import Conflict
from cloudctl.kernel.settings import Settings

_GRACE = 10  # seconds that calls under way have to end
_SILENCE = 30  # seconds without an answer after which a process is replaced; a slow start is no reason

Prepare = Callable[[Settings], Platform]


class PortTaken(Conflict):
    """The API cannot listen where the settings say: another program does, or the address is not this machine's."""


def must_be_free(settings: Settings) -> None:
    """Refuse to go on where the API could not listen.

    Raises:
        PortTaken: names address and port, and why not.
    """
    try:
        _listen_for_a_moment(settings.host, settings.port)
    except OSError as error:
        raise PortTaken(host=settings.host, port=settings.port, error=error.strerror or str(error)) from None


def is_free(host: str, port: int) -> bool:
    """Whether a program that is started now could listen there."""
    try:
        _listen_for_a_moment(host, port)
    except OSError:
        return False
    return True


def _listen_for_a_moment(host: str, port: int) -> None:
    family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)


def run(settings: Settings, prepare: Prepare) -> None:
    """Serve until SIGTERM or SIGINT; calls under way end first.

    Args:
        prepare: makes the platform, in each process; importable, because processes are started afresh.

    Raises:
        WrongRevision: the database is at another revision than this program.
        PortTaken: the API cannot listen there.
    """
    must_be_free(settings)
    prepare(settings).engine.dispose()  # refuses here, once, rather than in every process
    config = uvicorn.Config(
        partial(_application, settings, prepare),
        factory=True,
        host=settings.host,
        port=settings.port,
        workers=settings.processes,
        log_config=None,
        access_log=False,  # it would write down paths and queries; latency has its metric, and deeds their audit
        server_header=False,
        timeout_graceful_shutdown=_GRACE,
        timeout_worker_healthcheck=_SILENCE,
    )
    sockets = [config.bind_socket()]
    if settings.processes == 1:
        uvicorn.Server(config).run(sockets)
    else:
        Multiprocess(config, sockets=sockets).run()


def _application(settings: Settings, prepare: Prepare) -> FastAPI:
    from cloudctl.api.application import build  # takes a second, in each process that serves and in no other

    telemetry.log_to()
    return build(prepare(settings))

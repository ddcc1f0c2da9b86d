"""The whole API as one application: every noun's routes, behind one edge."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

import anyio.to_thread
from fastapi import FastAPI

from cloudctl.api import (
    audit,
    campaigns,
    departments,
    docs,
    engines,
    errors,
    events,
    evidence,
    freezes,
    health,
    locustfiles,
    monitoring,
    monitoring_capacity,
    monitoring_queries,
    monitoring_status,
    operations,
    placement,
    pools,
    projects,
    requests,
    rules,
    runs,
    servers,
    targets,
    tenancies,
    tokens,
    users,
)
from cloudctl.api.bell import Bell
from cloudctl.api.edge import Edge
from cloudctl.api.platform import Platform

NOUNS = (
    health,
    departments,
    projects,
    users,
    tokens,
    requests,
    tenancies,
    operations,
    pools,
    servers,
    placement,
    targets,
    locustfiles,
    campaigns,
    runs,
    engines,
    freezes,
    evidence,
    monitoring,
    monitoring_status,
    monitoring_capacity,
    monitoring_queries,
    events,
    audit,
    rules,
)
"""Every file of routes, in the order of the documentation."""


def build(platform: Platform) -> FastAPI:
    """The API of this platform, as an ASGI application."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        # More threads than this only take turns at the interpreter, each with its accounts locked meanwhile. And never
        # more than connections: a call waits for a thread, which costs nothing, and not in one for a connection.
        threads = min(platform.settings.threads, platform.settings.database_connections)
        anyio.to_thread.current_default_thread_limiter().total_tokens = threads
        app.state.bell = Bell(platform.url)
        async with app.state.bell.ringing():
            yield

    app = FastAPI(
        title="cloudctl",
        version=version("cloudctl"),
        summary="The control plane of a government cloud.",
        description=docs.INTRODUCTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )
    app.state.platform = platform
    for noun in NOUNS:
        app.router.routes.extend(noun.routes.routes)
    docs.install(app)
    errors.install(app)
    app.add_middleware(Edge)
    return app

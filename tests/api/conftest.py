"""Worlds behind the API: one of a test's own, and one that many tests share because every call in it is taken back."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Engine

from cloudctl.kernel import database
from cloudctl.kernel.settings import Settings
from tests.api.world import World, world_on


@pytest.fixture
def api(engine: Engine, settings: Settings, urls: dict[str, str]) -> Iterator[World]:
    """A seeded world of the test's own."""
    world = world_on(engine, settings, urls["application"])
    with world.serving():
        yield world


Rehearsal = Callable[[], AbstractContextManager[World]]


@pytest.fixture(scope="session")
def rehearsal(server: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rehearsal]:
    """Enters a seeded world in which whatever is done is taken back at the end of the block: it lives on one
    connection, in a transaction that never commits."""
    folder: Path = tmp_path_factory.mktemp("rehearsal")
    with psycopg.connect(server["owner"].replace("@/cloudctl", "@/postgres"), autocommit=True) as owner:
        owner.execute("CREATE DATABASE rehearsal TEMPLATE cloudctl STRATEGY file_copy")  # the template stays unused
    urls = {role: url.replace("@/cloudctl", "@/rehearsal") for role, url in server.items()}
    settings = Settings(data_dir=folder, database_url=urls["application"], database_owner_url=urls["owner"])
    engine = database.connect(urls["application"], connections=1)
    with engine.connect() as connection, connection.begin():
        world = world_on(connection, settings, urls["application"])
        with world.serving():

            @contextmanager
            def rehearse() -> Iterator[World]:
                with connection.begin_nested() as savepoint:
                    yield world
                    savepoint.rollback()

            yield rehearse
    engine.dispose()

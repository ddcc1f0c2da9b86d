"""A platform that is looked at: its API over HTTP, a pool, a tenancy, people, and the program that looks."""

import os
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import uvicorn
from sqlalchemy.orm import Session

from cloudctl.api.application import build
from cloudctl.api.platform import Platform
from cloudctl.kernel import database
from cloudctl.kernel.secrets import Vault
from cloudctl.kernel.settings import Settings
from provisioning import pool_servers
from tenancy import members, tenancies, tokens
from tenancy.callers import SYSTEM
from tests.world import World


@dataclass
class Watched:
    """The world, its address, and a token for each of its people."""

    world: World
    address: str
    secrets: dict[str, str] = field(default_factory=dict)

    def call(self, who: str, path: str, method: str = "GET", **options: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.secrets[who]}", "Accept-Language": "en"}
        return httpx.request(method, self.address + path, headers=headers, timeout=30, **options)

    def token(self, who: str, login: str | None = None, role: str | None = None) -> None:
        with Session(self.world.engine) as session, session.begin():
            if role:
                members.bootstrap(session, login or who, who, role)
            user = members.seen_by(session, SYSTEM, login or who)
            _, self.secrets[who] = tokens.create(session, SYSTEM, self.world.settings, name="t", user=user.id)

    def add_endpoint(self, tenancy: str, host: str, port: int) -> None:
        """An address of a tenancy's that an operator vouches for."""
        with Session(self.world.engine) as session, session.begin():
            made = tenancies.add_endpoint(session, self.world.clerk, tenancy, host, port)
            tenancies.confirm_endpoint(session, self.world.operator, tenancy, made.id)

    def add_server(self, pool: str, name: str, address: str) -> None:
        with Session(self.world.engine) as session, session.begin():
            pool_servers.add(session, self.world.operator, pool, name=name, address=address, inventory={"vcpu": 8})


def served(world: World, url: str) -> Iterator[Watched]:
    """The API of a world, on a port of loopback."""
    platform = Platform(
        settings=world.settings, engine=world.engine, rules=world.rules, vault=Vault(world.settings), url=url
    )
    config = uvicorn.Config(build(platform), log_config=None, lifespan="on")
    with socket.socket() as listening:
        listening.bind((world.settings.host, world.settings.port))
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        watched = Watched(world, f"http://127.0.0.1:{listening.getsockname()[1]}")
        for who, role in {"operator": "operator", "auditor": "auditor", "prometheus": "monitor"}.items():
            watched.token(who, role=role)
        watched.token("clerk")
        yield watched
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def own_database(server: dict[str, str]) -> Iterator[dict[str, str]]:
    """The addresses of a fresh database that a module's tests share."""
    name = f"watched_{os.urandom(4).hex()}"
    with psycopg.connect(server["owner"].replace("@/cloudctl", "@/postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE cloudctl STRATEGY file_copy")  # type: ignore[call-overload]
    yield {role: url.replace("@/cloudctl", f"@/{name}") for role, url in server.items()}
    with psycopg.connect(server["owner"].replace("@/cloudctl", "@/postgres"), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")  # type: ignore[call-overload]


def world_on(urls: dict[str, str], folder: Path, **changes: Any) -> World:
    """A world on a database, with settings of its own."""
    settings = Settings(
        data_dir=folder / "data", database_url=urls["application"], database_owner_url=urls["owner"], **changes
    )
    return World(database.connect(urls["application"], connections=12), settings, folder / "servers")

"""The pool of connections survives a server that goes away."""

import psycopg
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session


def backends(engine: Engine) -> set[int]:
    """The server processes of all the pool's connections, each of which is idle again afterwards."""
    connections = [engine.connect() for _ in range(engine.pool.size())]
    found = {connection.scalar(text("SELECT pg_backend_pid()")) for connection in connections}
    for connection in connections:
        connection.close()
    return found


def test_after_the_server_ended_every_connection_each_call_gets_a_new_one(engine: Engine, urls: dict[str, str]) -> None:
    before = backends(engine)
    with psycopg.connect(urls["owner"], autocommit=True) as owner:
        owner.execute("SELECT pg_terminate_backend(pid, 5000) FROM unnest(%s) AS pid", [sorted(before)])
    for _ in range(2):
        with Session(engine) as session:
            assert session.scalar(text("SELECT 1")) == 1
    assert not before & backends(engine)

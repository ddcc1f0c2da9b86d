"""How many applications a second come through the API: parsed, judged, held in five levels, recorded and answered.

Beside allocations of OpenStack Placement, which asks nobody and records nothing.
"""

import itertools
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy.orm import Session

from bench import load, peer
from bench.figures import Figure, fresh_database, side_by_side
from bench.load import CLIENTS
from cloudctl.kernel import database
from cloudctl.kernel.settings import Settings
from tenancy import departments, ledger, members, projects, tokens
from tenancy.callers import SYSTEM

SECONDS, LEVELS = 3.0, 5
SIZE = {"vcpu": 1, "memory_gib": 1, "storage_gib.ssd": 1}
GOAL = 3 * 64  # Placement gave 64 a second where this goal was set, on a machine of this class, with Keystone


def figures() -> Iterator[Figure]:
    """`admission-http-16`: applications a second, of 16 clients, two serving processes on each side."""
    with fresh_database() as url, tempfile.TemporaryDirectory() as folder:
        settings = Settings(data_dir=Path(folder), database_url=url, processes=2)
        department, systems, secret = _seed(settings)
        headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
        numbers = itertools.count()

        def application() -> load.Call:
            number = next(numbers)
            item = {"kind": "create", "name": f"web-{number}", "size": SIZE}
            project = systems[number % len(systems)]
            asked = {"department": department, "project": project, "purpose": "bench", "items": [item]}
            return "POST", "/v1/requests", json.dumps(asked).encode(), headers

        with load.platform(settings) as port, peer.placement(Path(folder)) as placement:
            ours, theirs = side_by_side(
                lambda: load.per_second(port, application, CLIENTS, SECONDS),
                lambda: load.per_second(placement.port, placement.allocation, CLIENTS, SECONDS),
            )
        ratio = ours / theirs
        yield Figure(f"admission-http-{CLIENTS}", ours, theirs, "1/s", ratio, f">= {GOAL} 1/s", ours >= GOAL)


def _seed(settings: Settings) -> tuple[str, list[str], str]:
    """A chain of departments with room for all that comes, projects of the last one, and its clerk's token."""
    engine = database.connect(settings.database_url or "")
    with Session(engine, expire_on_commit=False) as session, session.begin():
        above = None
        for level in range(LEVELS):
            above = departments.create(
                session, SYSTEM, code=f"5223{level:02}", name="处", name_en="Unit", parent=above.id if above else None
            )
            for resource in SIZE:
                ledger.set_limit(session, above.id, resource, 10**9)
        assert above
        about = {"name": "查分", "name_en": "Scores", "owner": "王", "funding": "财政"}
        systems = [projects.create(session, SYSTEM, above.id, **about, level=2).id for _ in range(CLIENTS)]
        clerk = members.create(session, SYSTEM, login="clerk", name="clerk")
        members.grant_membership(session, SYSTEM, clerk.id, above.id, "clerk")
        _, secret = tokens.create(session, SYSTEM, settings, name="bench", user=clerk.id)
    engine.dispose()
    return above.id, systems, secret

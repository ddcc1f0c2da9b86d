"""Servers: enrolled through the platform beside bare runs of ansible-playbook with the same play, equally parallel."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from bench import load
from bench.figures import Figure, fresh_database
from cloudctl.kernel import database
from cloudctl.kernel.settings import Settings
from provisioning import ssh
from provisioning.drivers import Place
from provisioning.models import Server as Row
from tests.beds.servers import images
from tests.beds.servers.bed import Bed
from tests.beds.servers.server import ADMIN, Server
from tests.provisioning.fleet import Fleet
from tests.world import World

COUNT, ROUNDS = 8, 3
GOAL = 1.1
PLAYBOOKS = Path(__file__).parent.parent / "playbooks"


def figures() -> Iterator[Figure]:
    """`servers-8`: seconds until eight are open, beside eight bare plays; each server is fresh, and used once."""
    images.build()
    with Bed() as bed:
        pairs = [(_fresh(bed, _ours), _fresh(bed, _bare)) for _ in range(ROUNDS)]
    ours, theirs = median(pair[0] for pair in pairs), median(pair[1] for pair in pairs)
    yield Figure(f"servers-{COUNT}", ours, theirs, "s", ours / theirs, f"<= {GOAL}", ours <= GOAL * theirs)


def _fresh(bed: Bed, measure: Callable[[Bed, Sequence[Server]], float]) -> float:
    servers = bed.add(*["x86"] * COUNT)
    try:
        return measure(bed, servers)
    finally:
        for server in servers:
            server.cut_power()


def _ours(bed: Bed, servers: Sequence[Server]) -> float:
    """From the first order until all are open, by one worker process that carries out eight at a time."""
    with fresh_database() as url, tempfile.TemporaryDirectory() as folder:
        settings = Settings(data_dir=Path(folder), database_url=url)
        engine = database.connect(url)
        fleet = Fleet(World(engine, settings, Path(folder) / "servers"), bed)
        fleet.pool("x86")
        try:
            with bed.network(), load.worker(url, folder, worker_concurrency=COUNT):
                began = time.perf_counter()
                for server in servers:
                    fleet.enroll(server)
                while _open(engine) < COUNT:
                    time.sleep(0.2)  # asking more often would take a twentieth of what is measured
                return time.perf_counter() - began
        finally:
            engine.dispose()


def _open(engine: Engine) -> int:
    with Session(engine) as session:
        return session.scalar(select(func.count()).where(Row.state == "open")) or 0


def _bare(bed: Bed, servers: Sequence[Server]) -> float:
    """The same play on the same kind of servers, a process of ansible-playbook for each, all at the same time."""
    with ThreadPoolExecutor(COUNT) as threads:
        began = time.perf_counter()
        list(threads.map(lambda server: _play(bed, server), servers))
        return time.perf_counter() - began


def _play(bed: Bed, server: Server) -> None:
    connection = {"connection": "ssh", "user": ADMIN, "private_key": str(bed.key)}
    place = Place("bare", "servers", "amd64", connection, server.name, server.address, server.host_key)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "known_hosts").write_text(ssh.known_hosts(place))
        host = {**ssh.variables(place), "node_name": server.name}
        inventory = Path(folder) / "inventory.json"
        inventory.write_text(json.dumps({"all": {"hosts": {server.address: host}}}))
        environment = {"ANSIBLE_CONFIG": str(PLAYBOOKS / "ansible.cfg"), "HOME": folder, "PATH": os.environ["PATH"]}
        words = [
            str(Path(sys.executable).parent / "ansible-playbook"),
            "-i",
            str(inventory),
            str(PLAYBOOKS / "node.yml"),
        ]
        with bed.network():
            subprocess.run(
                words, env={**environment, "LANG": "C.UTF-8"}, cwd=folder, check=True, stdout=subprocess.DEVNULL
            )

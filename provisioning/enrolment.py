"""The operations on servers: enrolment, retirement; what each does, step by step, and how each step is undone."""

from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from cloudctl.kernel.engine import Run
from cloudctl.kernel.operations import Inside, Operation, Outside
from provisioning import chips, plays, pool_servers, pools, ssh
from provisioning.drivers import Place
from provisioning.models import Pool, Server
from provisioning.pool_servers import ENROLL, FORGET, RETIRE
from tenancy.callers import SYSTEM

PLAY = timedelta(minutes=20)
FACTS = Path(__file__).with_name("server_facts.py")
HOME = "/var/lib/cloudctl"  # where the role `node` has our folder on a server
KEPT = ("system", "kernel", "python", "memory_gib", "disks")  # of what it says, beside what its inventory says


# -- enroll


def pin(session: Session, run: Run) -> None:
    """From now on the server is known by the host key that the operator vouched for, and by no other."""
    _, server = _locked(session, run)
    server.host_key = run.arguments["host_key"]


def unpin(session: Session, run: Run) -> None:
    """It did not become one of the pool's: nothing of it is counted, and nobody speaks to it."""
    _, server = _locked(session, run)
    server.host_key, server.facts = None, {}
    pool_servers.advance(session, server, "fail", SYSTEM, because=run.reason)


def look(run: Run) -> None:
    """Ask the server what it is."""
    run.remember(said=ssh.ask(_place(run), FACTS.read_text(encoding="utf-8"), HOME))


def judge(session: Session, run: Run) -> None:
    """See that it is of its pool's kind, before anything of it is changed."""
    pool, server = _locked(session, run)
    said = run.memory["said"]
    chips.must_be_alike(pool, server.name, said)
    server.facts = {**chips.recognised(said), **{name: said[name] for name in KEPT}}


def prepare(run: Run) -> None:
    """Make it one of ours by the role `node`, which ends with measuring how fast it computes."""
    speed = _play(run, "present")["Compute factor"]
    run.remember(compute={name: speed[name] for name in ("factor", "version", "seconds", "cores", "python")})


def clean(run: Run) -> None:
    """Take back all that the role did; it refuses while tenancies lie there."""
    _play(run, "absent")


def count_in(session: Session, run: Run) -> None:
    """What it has is the pool's from now on, and whoever waits for capacity is told."""
    pool, server = _locked(session, run)
    said = run.memory["said"]
    server.facts = {**server.facts, "compute": run.memory["compute"]}
    kind = "hdd" if said["storage"]["rotates"] else "ssd"
    server.inventory = {
        "vcpu": said["vcpu"],
        "memory_gib": said["memory_gib"],
        f"storage_gib.{kind}": said["storage"]["gib"],
    }
    pool_servers.advance(session, server, "succeed", SYSTEM, inventory=server.inventory)
    pool_servers.changed(session, pool, server)


# -- retire


def count_out(session: Session, run: Run) -> None:
    """Nothing can be claimed on it any more; refused by the ledger while anything is."""
    pool, server = _locked(session, run)
    run.remember(inventory=server.inventory)
    server.inventory = {}
    pool_servers.changed(session, pool, server)


def count_in_again(session: Session, run: Run) -> None:
    """It stays the pool's, drained as it is."""
    pool, server = _locked(session, run)
    server.inventory = run.memory.get("inventory", server.inventory)
    pool_servers.changed(session, pool, server)


def close(session: Session, run: Run) -> None:
    """It is nobody's; its entry stays, for the record, and so that it can come again."""
    _, server = _locked(session, run)
    server.host_key, server.facts = None, {}
    pool_servers.advance(session, server, "retire", SYSTEM, reason=run.arguments["reason"])


ALL = (
    Operation(
        ENROLL,
        Inside(pin, undo=unpin),
        Outside(look),
        Inside(judge),
        Outside(prepare, undo=clean, within=PLAY),
        Inside(count_in),
    ),
    Operation(
        RETIRE,
        Inside(count_out, undo=count_in_again),
        Outside(clean, undo=prepare, within=PLAY),
        Inside(close),
    ),
    Operation(FORGET, Inside(count_out, undo=count_in_again), Inside(close)),
)


def _locked(session: Session, run: Run) -> tuple[Pool, Server]:
    """The pool and the server, locked in this order, as everywhere."""
    server = session.get_one(Server, run.subject)
    pool = pools.locked(session, server.pool_id)
    return pool, session.get_one(Server, run.subject, with_for_update=True, populate_existing=True)


def _place(run: Run) -> Place:
    with run.read() as session:
        return pools.place_of(session, session.get_one(Server, run.subject).pool_id, run.subject)


def _play(run: Run, state: str) -> Any:
    """Run the playbook `node.yml` on the server; returns what each task answered."""
    place = _place(run)
    known = ssh.known_hosts(place)
    variables = {**ssh.variables(place), "node_name": place.server, "node_state": state}
    jobs = run.settings.data_dir / "ansible"
    return plays.run(jobs, run.subject, "node.yml", variables, run.log, run.step.within, {"known_hosts": known})

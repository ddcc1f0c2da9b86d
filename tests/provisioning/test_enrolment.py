"""Enrolment: bare servers become a pool's, of one kind, known by their keys; and cease to be without a trace."""

import os
import re
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from threading import Timer

import pytest
from sqlalchemy.orm import Session

from cloudctl.kernel import events, operations
from cloudctl.kernel.operations import Operation
from provisioning import chips, enrolment, plays, pool_servers, pools, ssh
from tenancy.keys import PrivateKey
from tests.provisioning.fleet import CHIPS, Fleet, limits
from tests.provisioning.steps import failing, twice

MODELS = {
    "x86": None,  # the machine's own
    "hygon": "Hygon C86 7285 32-core Processor",
    "zhaoxin": "ZHAOXIN KaiSheng KH-37800D@2.7GHz",
    "kunpeng": "Kunpeng-920",
    "phytium": "FTC662",
    "loongson": "Loongson-3C5000",
}
OTHER_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAlO9YlJ1Ud1S0ZyGVXkYy7RmUo8H8cTtn9EhcJQ2H4d"
# what Debian's packages and tools leave wherever they were: an account that nobody logs in with, logs and caches
OF_DEBIAN = (
    "var/cache/",
    "var/log/",
    "var/lib/ucf/",
    "var/lib/dpkg/",
    "var/lib/apt/",
    "var/tmp/",
    "tmp/systemd-private-",
    "prometheus:x:",
    "home/admin/.sudo_as_admin",
)
LEFT = """
cd /; find etc home srv usr var opt root tmp -xdev -not -path '*/__pycache__*' | sort
dpkg -l | awk '{print $1, $2}'; cat /etc/passwd /etc/group
for setting in fs/protected_fifos kernel/kptr_restrict net/ipv4/conf/all/send_redirects; do cat /proc/sys/$setting; done
"""


def remains(machine) -> set[str]:
    """All that a server has, by lines; without what is Debian's own."""
    lines = machine.run("sh", "-c", LEFT).splitlines()
    return {line for line in lines if not line.startswith(OF_DEBIAN)}


def play(fleet: Fleet, machine, state: str) -> list[str]:
    """The role on a server without the platform; the tasks that changed something."""
    told = []
    with Session(fleet.world.engine) as session:
        place = pools.place_of(session, fleet.pool(machine.kind))
    place = replace(place, server=machine.name, address=machine.address, host_key=machine.host_key)
    variables = {**ssh.variables(place), "node_name": machine.name, "node_state": state}
    files = {"known_hosts": ssh.known_hosts(place)}
    with fleet.bed.network():
        plays.run(
            fleet.world.folder, machine.name, "node.yml", variables, lambda slug, **it: told.append(it), PLAY, files
        )
    return [it["name"] for it in told if it.get("status") == "changed"]


PLAY = timedelta(minutes=5)


# -- what a server is


def must_be_recognised(server, kind: str) -> None:
    said = server.facts
    assert (said["architecture"], said["abi"] in chips.ABIS[said["architecture"]]) == (
        CHIPS[kind]["architecture"],
        True,
    )
    assert said["processor"] == MODELS[kind] or MODELS[kind] is None


@pytest.mark.parametrize("kind", ["x86", "kunpeng", "loongson"])
def test_a_server_of_every_architecture_is_prepared_measured_and_counted(fleet: Fleet, server_with, kind) -> None:
    machine = server_with(kind)
    server = fleet.enrolled(machine)
    assert server.state == "open"
    must_be_recognised(server, kind)
    if MODELS[kind]:
        processor = machine.processor
        assert (server.inventory["vcpu"], server.inventory["memory_gib"]) == (processor.cores, processor.memory_gib)
    assert server.facts["compute"]["factor"] > 0
    assert server.facts["compute"]["version"] == 1
    assert limits(fleet, server.id) == limits(fleet, fleet.pool(kind)) == server.inventory
    assert machine.run("systemctl", "is-active", "cloudctl.slice", "prometheus-node-exporter").split() == ["active"] * 2
    fleet.order(pool_servers.retire, server, "test")
    assert fleet.walk(server).state == "done"


@pytest.mark.parametrize("kind", ["hygon", "zhaoxin", "phytium"])
def test_a_server_of_every_make_is_recognised(fleet: Fleet, server_with, kind) -> None:
    server = fleet.enroll(server_with(kind))
    assert fleet.walk(server, before="prepare").current == "prepare"
    must_be_recognised(fleet.server(server), kind)


@pytest.mark.parametrize(
    ("kind", "pool", "field"),
    [("kunpeng", "x86", "architecture"), ("loongson", "kunpeng", "architecture"), ("zhaoxin", "hygon", "cpu_family")],
)
def test_a_server_of_another_kind_than_its_pool_is_refused_before_it_is_touched(
    fleet: Fleet, server_with, kind, pool, field
) -> None:
    machine = server_with(kind)
    before = remains(machine)
    server = fleet.enroll(machine, pool)
    ended = fleet.walk(server)
    assert (ended.state, ended.reason["slug"], ended.step) == ("undone", "unlike-server", 0)
    assert ended.reason["figures"]["wanted"] == CHIPS[pool][field]
    assert fleet.server(server).state == "failed"
    assert limits(fleet, fleet.pool(pool)) == {}
    assert remains(machine) == before


@pytest.mark.parametrize(
    ("said", "abi"),
    [
        ({"machine": "loongarch64", "bits": 64, "loader": "/lib64/ld.so.1"}, "lp64d-1.0"),
        ({"machine": "loongarch64", "bits": 64, "loader": "/lib64/ld-linux-loongarch-lp64d.so.1"}, "lp64d"),
        ({"machine": "aarch64", "bits": 32, "loader": None}, "32-bit"),
        ({"machine": "x86_64", "bits": 64, "loader": "/lib64/ld-linux-x86-64.so.2"}, "x86-64"),
    ],
)
def test_the_abi_is_that_of_the_programs_on_the_server(said, abi) -> None:
    assert chips.recognised({**said, "models": ["x"]})["abi"] == abi


@pytest.mark.parametrize(
    ("family", "models", "fits"),
    [
        ("FT-2000+", ["FTC662", "Phytium", "Phytium,FT-2000+/64"], True),
        ("Kunpeng-920", ["Kunpeng-920"], True),
        ("kunpeng 920", ["Kunpeng-920"], True),
        ("3C5000", ["Loongson-3C5000"], True),
        ("3A5000", ["Loongson-3C5000"], False),
        ("any", ["whatever"], True),
    ],
)
def test_a_family_is_part_of_a_name_of_its_processors(family, models, fits) -> None:
    assert chips.is_of_family(family, models) is fits


# -- the role


def test_what_a_server_becomes_and_that_nothing_is_left_of_it(fleet: Fleet, fresh) -> None:
    before = remains(fresh)
    assert play(fleet, fresh, "present") == ["Baseline"]
    assert play(fleet, fresh, "present") == []
    settings = fresh.run("loginctl", "show-seat", "--property=KillUserProcesses", "--property=KillExcludeUsers")
    assert set(settings.split()) == {"KillUserProcesses=yes", "KillExcludeUsers=nobody"}
    assert fresh.run("stat", "-c", "%a", "/var/lib/cloudctl").strip() == "711"
    assert fresh.run("systemctl", "is-active", "chrony", "cloudctl.slice").split() == ["active", "active"]
    assert "nft" in fresh.run("sh", "-c", "command -v nft")
    assert "passwordauthentication no" in fresh.run("sshd", "-T")
    fresh.run("sh", "-c", "echo 'cloudctl_test 7' > /var/lib/cloudctl/metrics/test.prom")
    scraped = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:9100/metrics').read().decode())"
    assert "\ncloudctl_test 7\n" in fresh.run("python3", "-c", scraped)
    assert fresh.run("systemctl", "is-system-running").strip() == "running"
    assert play(fleet, fresh, "absent") == ["Baseline"]
    assert play(fleet, fresh, "absent") == []
    assert remains(fresh) == before


def test_what_somebody_changed_is_put_right(fleet: Fleet, fresh) -> None:
    play(fleet, fresh, "present")
    fresh.run("sh", "-c", "echo KillUserProcesses=no > /etc/systemd/logind.conf.d/60-cloudctl.conf")
    fresh.run("systemctl", "stop", "chrony", "cloudctl.slice")
    fresh.run("sysctl", "-qw", "kernel.kptr_restrict=0")
    assert play(fleet, fresh, "present") == ["Baseline"]
    assert fresh.run("systemctl", "is-active", "chrony", "cloudctl.slice").split() == ["active", "active"]
    assert fresh.run("sysctl", "-n", "kernel.kptr_restrict").strip() == "2"
    assert play(fleet, fresh, "present") == []


def test_a_play_killed_anywhere_is_completed_by_the_next(fleet: Fleet, fresh) -> None:
    before = remains(fresh)
    killed = []
    for seconds in (1.0, 1.8, 2.6, 3.4, 4.5, 6.0):
        killer = Timer(seconds, kill_jobs_of_this_process)
        killer.start()
        try:
            play(fleet, fresh, "present")
        except operations.RetryLater as later:
            killed.append(later.reason)
        finally:
            killer.cancel()
    assert killed.count("job-killed") >= 2
    play(fleet, fresh, "present")
    assert play(fleet, fresh, "present") == []
    assert fresh.run("systemctl", "is-active", "chrony", "prometheus-node-exporter").split() == ["active", "active"]
    assert fresh.run("dpkg", "--audit") == ""
    play(fleet, fresh, "absent")
    left = {line for line in remains(fresh) if not re.fullmatch("tmp/ansible-tmp-[^/]*", line)}  # empty, until it boots
    assert left == before


def kill_jobs_of_this_process() -> None:
    for children in Path("/proc/self/task").glob("*/children"):
        for child in children.read_text().split():
            if "play_job.py" in Path("/proc", child, "cmdline").read_text():
                os.kill(int(child), signal.SIGKILL)


def test_a_server_whose_log_ins_would_escape_their_limits_is_refused(fleet: Fleet, fresh) -> None:
    fresh.run("sed", "-i", "/pam_systemd/d", "/etc/pam.d/common-session")
    server = fleet.enroll(fresh)
    ended = fleet.walk(server)
    assert (ended.state, ended.reason["slug"]) == ("undone", "log-ins-escape")
    assert not fresh.run("sh", "-c", "ls -d /var/lib/cloudctl || true")


# -- its key


def test_a_changed_host_key_stops_enrolment_and_nothing_is_counted(fleet: Fleet, fresh) -> None:
    server = fleet.enroll(fresh, host_key=OTHER_KEY)
    ended = fleet.walk(server)
    assert (ended.state, ended.reason["slug"]) == ("undone", "host-key-changed")
    failed = fleet.server(server)
    assert (failed.state, failed.host_key, failed.inventory) == ("failed", None, {})
    again = fleet.enroll(fresh)
    assert again.id == server.id
    assert fleet.walk(again).state == "done"


def test_a_private_key_given_as_the_host_key_is_refused_and_not_repeated(fleet: Fleet, server_with) -> None:
    with pytest.raises(PrivateKey) as refused:
        fleet.enroll(server_with("x86"), host_key="-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk\n")
    assert (refused.value.field, refused.value.figures) == ("host_key", {})


@pytest.mark.parametrize("key", ["ssh-ed25519", "ssh-ed25519 AAAA", "AAAAC3Nz", "ssh-dss AAAAB3NzaC1kc3MAAACB"])
def test_what_is_no_host_key_is_refused(fleet: Fleet, server_with, key) -> None:
    with pytest.raises(pool_servers.BadHostKey):
        fleet.enroll(server_with("x86"), host_key=key)


# -- many at once


def test_eight_enrol_in_parallel_and_one_that_is_unreachable_holds_up_nobody(fleet: Fleet, bed) -> None:
    machines = bed.add(*["x86"] * 8)
    try:
        machines[3].cut_network()
        servers = [fleet.enroll(machine) for machine in machines]
        began = time.monotonic()
        with ThreadPoolExecutor(8) as threads:
            ended = list(threads.map(partial(fleet.walk, patience=0), servers))
        print(f"seven servers enrolled beside one that is away in {time.monotonic() - began:.0f} s")
        assert [row.state for row in ended] == ["done"] * 3 + ["running"] + ["done"] * 4
        assert (ended[3].reason["slug"], ended[3].retry_at is not None) == ("unreachable", True)
        told = [event.slug for event in _events(fleet, ended[3].id)]
        assert told == ["step-done", "step-later"]
        vcpu = fleet.server(servers[0]).inventory["vcpu"]
        assert limits(fleet, fleet.pool("x86"))["vcpu"] == 7 * vcpu
        machines[3].restore_network()
        fleet.step(ended[3])
        assert fleet.walk(servers[3]).state == "done"
        assert limits(fleet, fleet.pool("x86"))["vcpu"] == 8 * vcpu
    finally:
        for machine in machines:
            machine.cut_power()


def _events(fleet: Fleet, subject: str) -> list[events.Event]:
    with Session(fleet.world.engine) as session:
        return events.after(session, [subject])


def test_the_progress_of_an_enrolment_is_told_task_by_task(fleet: Fleet, server_with) -> None:
    server = fleet.enrolled(server_with("x86"))
    progress = [
        event.figures["what"] for event in _events(fleet, fleet.operation(server).id) if event.slug == "progress"
    ]
    assert [what["figures"]["name"] for what in progress if what["slug"] == "task"] == ["Baseline", "Compute factor"]
    fleet.order(pool_servers.retire, server, "test")
    fleet.walk(server)


# -- the proofs of every step


def test_every_step_repeated_changes_nothing(fleet: Fleet, server_with) -> None:
    machine = server_with("x86")
    before = remains(machine)
    for plan in enrolment.ALL:
        operations.register(Operation(plan.kind, *map(twice, plan.steps)))
    server = fleet.enrolled(machine)
    assert server.state == "open"
    assert limits(fleet, server.id) == server.inventory
    fleet.order(pool_servers.retire, server, "old")
    assert fleet.walk(server).state == "done"
    assert (remains(machine), limits(fleet, server.id)) == (before, {})
    assert fleet.world.differences() == []


@pytest.mark.parametrize("place", range(len(enrolment.ALL[0].steps)))
def test_a_step_of_enrolment_that_fails_leaves_the_server_as_it_was(fleet: Fleet, server_with, place) -> None:
    machine = server_with("x86")
    before = remains(machine)
    register_failing(enrolment.ENROLL, place)
    server = fleet.enroll(machine)
    assert fleet.walk(server).state == "undone"
    assert remains(machine) == before
    kept = fleet.server(server)
    assert (kept.state, kept.inventory) == ("failed", {})
    assert limits(fleet, server.id) == limits(fleet, fleet.pool("x86")) == {}
    assert fleet.world.differences() == []


def test_a_step_of_retirement_that_fails_leaves_it_enrolled(fleet: Fleet, server_with) -> None:
    machine = server_with("x86")
    untouched = remains(machine)
    server = fleet.enrolled(machine)
    fleet.order(pool_servers.drain, server)
    before = remains(machine)
    for plan in enrolment.ALL[1:]:
        for place in range(len(plan.steps)):
            register_failing(plan.kind, place)
            fleet.order(pool_servers.retire, server, "old", gone=plan.kind == enrolment.FORGET)
            assert fleet.walk(server).state == "undone", (plan.kind, place)
            assert remains(machine) == before, (plan.kind, place)
            kept = fleet.server(server)
            assert (kept.state, kept.inventory) == ("draining", server.inventory), (plan.kind, place)
            assert limits(fleet, server.id) == limits(fleet, fleet.pool("x86")) == kept.inventory
            assert fleet.world.differences() == []
    operations.register(*enrolment.ALL)
    fleet.order(pool_servers.retire, server, "old")
    assert fleet.walk(server).state == "done"
    assert remains(machine) == untouched


def register_failing(kind: str, place: int) -> None:
    """Have the step at that place act and give up."""
    plan = next(each for each in enrolment.ALL if each.kind == kind)
    steps = [failing(step) if at == place else step for at, step in enumerate(plan.steps)]
    operations.register(Operation(kind, *steps))

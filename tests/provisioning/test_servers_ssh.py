"""Tenancies on a real server, tried by their tenants: limits bind, neighbours see nothing, nothing is left."""

import pickle
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import pytest

from cloudctl.kernel.operations import RetryLater
from provisioning.drivers import Place, Tenancy
from provisioning.servers import ServersDriver
from tests.beds.servers import tenancies
from tests.beds.servers.server import ADMIN

WITHIN = timedelta(minutes=5)
FOLDER = "/var/lib/cloudctl/tried"
SIZE = {"vcpu": 1, "memory_gib": 1, "storage_gib.ssd": 1}
BUSY = """python3 -c "
import os, time
start = time.time()
children = [os.fork() for _ in range(1)]
while time.time() < start + 3: pass
if children[0]: os.wait(); print(sum(os.times()[:4]))
" """
EATS = 'python3 -c "x = bytearray(2 << 30)"'
FORKS = """python3 -c "
import os, time
for _ in range(1100):
    os.fork() or (time.sleep(20), os._exit(0))
" """
SERVE = "systemd-run --user -q python3 -m http.server 8001"
REACH = """python3 -c "
import socket
socket.create_connection(('{host}', 8001), 3)
" """
TRACES = f"""
getent passwd {{id}}; getent group {{id}}
ls -d {FOLDER}/{{id}} /srv/{{id}} /var/lib/systemd/linger/{{id}} /etc/ssh/cloudctl
grep -rl {{id}} /etc/systemd /etc/dbus-1 /etc/passwd /etc/shadow /etc/group /etc/subuid
grep -rl {{id}} /etc/security /etc/pam.d /etc/cron.deny /etc/at.deny; grep -l pam_namespace /etc/pam.d/sshd
systemctl --failed --no-legend; losetup --noheadings -O BACK-FILE | grep {{id}}; nft list tables | grep {{id}}
find /tmp /var/tmp /dev/shm -uid {{uid}}; pgrep -u {{uid}}; true
"""


@pytest.fixture
def server(host):
    return host


@pytest.fixture
def tenant(server, short_folder):
    return tenancies.Tenant(server, short_folder)


class Patient(ServersDriver):
    """Comes back when it is told to, as the engine does: a busy machine may not let anybody in for a while."""

    def _play(self, *order):
        for _ in range(3):
            with suppress(RetryLater):
                return super()._play(*order)
        return super()._play(*order)


@pytest.fixture
def driver(short_folder, server, tenancy, in_the_bed):
    driver = Patient(short_folder / "jobs")
    yield driver
    for id in driver.survey(tenancy.place):
        driver.remove(replace(tenancy, id=id), quiet, WITHIN)


@pytest.fixture
def tenancy(bed, server, tenant):
    connection = {"connection": "ssh", "user": ADMIN, "private_key": str(bed.key), "folder": FOLDER}
    place = Place("pool_1", "servers", "amd64", connection, server.name, server.address, server.host_key)
    return Tenancy("ten_01a", "考试门户", "prj_1", "dep_1", SIZE, place, (tenant.public_key,))


def quiet(*_, **__):
    """A log that nobody reads."""


WORKER = """
import pickle, sys, time
from datetime import timedelta
driver, tenancy, moment = pickle.load(sys.stdin.buffer)
def log(slug, **figures):
    if figures.get("name") == moment:
        print(moment, flush=True)
driver.provision(tenancy, log, timedelta(minutes=5))
"""


def test_processor_memory_and_tasks_are_held_to_the_size(driver, tenancy, tenant):
    limits = driver.provision(tenancy, quiet, WITHIN).limits
    assert {limit.resource for limit in limits if limit.enforced} == set(SIZE)
    assert float(tenant.ssh("ten_01a", BUSY).stdout) < 4  # two processes, three seconds, one processor
    assert tenant.ssh("ten_01a", EATS).returncode != 0
    assert "BlockingIOError" in tenant.ssh("ten_01a", FORKS).stderr


def test_neighbours_see_no_processes_and_no_files_and_reach_no_services(driver, tenancy, tenant, server):
    for id in ("ten_01a", "ten_01b"):
        driver.provision(replace(tenancy, id=id), quiet, WITHIN)
    assert tenant.ssh("ten_01b", SERVE).returncode == 0
    time.sleep(1)
    for host in ("127.0.0.1", server.address):
        assert tenant.ssh("ten_01b", REACH.format(host=host)).returncode == 0
        assert "timed out" in tenant.ssh("ten_01a", REACH.format(host=host)).stderr
    uid = server.run("id", "-u", "ten_01b").strip()
    seen = tenant.ssh("ten_01a", f"ps ax; systemctl --no-pager status user-{uid}.slice 2>&1").stdout
    assert "http.server" not in seen
    assert "http.server" in tenant.ssh("ten_01b", "ps ax").stdout
    for path in ("/srv/ten_01b", "/srv/ten_01b/ssd", FOLDER, f"{FOLDER}/ten_01b"):
        assert tenant.ssh("ten_01a", f"ls {path}").returncode != 0
    for place in ("/tmp", "/var/tmp", "/dev/shm"):
        write = f"umask 0; echo mine > {place}/letter; cat {place}/letter; systemd-run --user -q touch {place}/service"
        assert tenant.ssh("ten_01b", write).stdout == "mine\n"
        time.sleep(1)
        assert tenant.ssh("ten_01a", f"ls -A {place}").stdout == ""
        of_all_log_ins = [] if place == "/dev/shm" else ["letter", "service"]
        assert tenant.ssh("ten_01b", f"ls -A {place}").stdout.split() == of_all_log_ins


def test_no_job_of_a_tenant_runs_outside_its_limits(driver, tenancy, tenant, server):
    give = "echo '* * * * * touch ~/there' | crontab -; echo 'touch ~/there' | at now"
    server.run("sh", "-c", "DEBIAN_FRONTEND=noninteractive apt-get -qq install cron at && cp /etc/at.deny /root")
    try:
        driver.provision(tenancy, quiet, WITHIN)
        said = tenant.ssh("ten_01a", give).stderr
        assert "not allowed to use this program (crontab)" in said
        assert "do not have permission to use at" in said
        assert "no crontab for admin" in server.run("sh", "-c", "runuser -u admin -- crontab -l 2>&1 || true")
        driver.remove(tenancy, quiet, WITHIN)
        server.run("sh", "-c", "cmp /etc/at.deny /root/at.deny && test ! -e /etc/cron.deny")
    finally:
        server.run("sh", "-c", "rm /root/at.deny; DEBIAN_FRONTEND=noninteractive apt-get -qq purge cron at")


def test_removed_it_leaves_no_trace_of_what_the_tenant_did(driver, tenancy, tenant, server):
    driver.provision(tenancy, quiet, WITHIN)
    uid = server.run("id", "-u", "ten_01a").strip()
    left = "echo marker > /tmp/mine; mkdir /var/tmp/mine; echo x > /dev/shm/mine; setsid sleep 999 >/dev/null 2>&1 &"
    assert tenant.ssh("ten_01a", f"{SERVE}; {left}").returncode == 0
    assert driver.remove(tenancy, quiet, WITHIN).bytes > 0
    assert server.run("sh", "-c", TRACES.format(id="ten_01a", uid=uid)) == ""


def test_what_the_tenant_wrote_is_not_in_the_blocks_that_the_volume_had(driver, tenancy, tenant, server):
    """The folder lies on a disk of its own, which is searched to its last block, free ones included."""
    disk = (
        f"truncate -s 4G /srv/disk && mke2fs -q -F -t ext4 /srv/disk && mkdir -p {FOLDER} && mount /srv/disk {FOLDER}"
    )
    write = "for n in $(seq 20000); do echo MARKER-of-the-exam-$n; done > ~/{name}; sync"
    count = f"sync; umount {FOLDER}; grep -c --text MARKER-of-the-exam /srv/disk; mount /srv/disk {FOLDER}"
    server.run("sh", "-c", disk)
    try:
        driver.provision(replace(tenancy, size=SIZE | {"storage_gib.ssd": 2}), quiet, WITHIN)
        for name in ("kept", "deleted"):
            tenant.ssh("ten_01a", write.format(name=name))
        tenant.ssh("ten_01a", "rm ~/deleted; sync")
        assert int(server.run("sh", "-c", f"grep -c --text MARKER-of-the-exam {FOLDER}/ten_01a/ssd.ext4")) > 0
        driver.resize(tenancy, quiet, WITHIN)
        assert "MARKER-of-the-exam-20000" in tenant.ssh("ten_01a", "cat ~/kept").stdout
        driver.remove(tenancy, quiet, WITHIN)
        assert server.run("sh", "-c", count).strip() == "0"
    finally:
        server.run("sh", "-c", f"umount {FOLDER}; rm -f /srv/disk; rmdir {FOLDER}")


@pytest.mark.parametrize("moment", ["Account", "Limits"])
def test_a_worker_killed_in_the_middle_of_a_play_leaves_work_that_the_next_one_completes(driver, tenancy, moment):
    worker = subprocess.Popen([sys.executable, "-c", WORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    worker.stdin.write(pickle.dumps((ServersDriver(driver.jobs), tenancy, moment)))
    worker.stdin.close()
    assert worker.stdout.readline().decode().strip() == moment
    worker.kill()
    worker.wait()
    worker.stdout.close()
    deadline = time.monotonic() + 60
    while True:
        try:
            driver.provision(tenancy, quiet, WITHIN)
            break
        except RetryLater as later:  # what the dead one began on the server still ends there
            if later.reason != "busy" or time.monotonic() > deadline:
                raise
            time.sleep(1)
    seen = driver.survey(tenancy.place)
    assert {id: (found.size, list(found.damaged)) for id, found in seen.items()} == {"ten_01a": (SIZE, [])}


def test_after_a_power_cut_volume_limits_and_walls_are_there_again(driver, tenancy, tenant, server):
    driver.provision(tenancy, quiet, WITHIN)
    tenant.ssh("ten_01a", "echo kept > ~/letter; sync")
    before = driver.observe(tenancy)
    server.cut_power()
    server.boot()
    end = time.monotonic() + 20
    while driver.observe(tenancy) != before and time.monotonic() < end:
        time.sleep(0.5)
    assert driver.observe(tenancy) == before
    assert tenant.ssh("ten_01a", "cat ~/letter").stdout == "kept\n"
    told = []
    driver.provision(tenancy, lambda slug, **figures: told.append(figures["status"]), WITHIN)
    assert set(told) == {"ok"}


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        ("nft flush table inet cloudctl_ten_01a", "walls"),
        ("systemctl stop srv-ten_01a-ssd.mount", "mount of ssd"),
        ("rm /etc/systemd/system/user-$(id -u ten_01a).slice.d/50-cloudctl.conf", "limits"),
        ("userdel --force ten_01a", "account"),
        ("rm /etc/security/namespace.d/ten_01a.conf", "walls"),
        ("sed -i /pam_namespace/d /etc/pam.d/sshd; rm -r /srv/ten_01a/private", "walls"),
    ],
)
def test_what_was_taken_away_behind_our_back_is_told_and_made_good(driver, tenancy, server, harm, told):
    driver.provision(tenancy, quiet, WITHIN)
    before = driver.observe(tenancy)
    server.run("sh", "-c", harm)
    assert told in driver.observe(tenancy).damaged
    driver.provision(tenancy, quiet, WITHIN)
    assert driver.observe(tenancy) == before

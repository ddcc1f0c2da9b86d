"""The beds' servers are servers: they boot, let in whom they shall, hold limits, lose power and network, come back."""

import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.beds.servers import images
from tests.beds.servers.bed import PROJECT, Bed
from tests.beds.servers.processors import PROCESSORS
from tests.beds.servers.server import ADMIN

FORKS = "import os, time\nfor _ in range(9):\n    os.fork() or (time.sleep(5), os._exit(0))"
BUSY = "import time; end = time.time() + 2\nwhile time.time() < end: pass\nprint(time.process_time())"

ENTERED = """
import socket
from concurrent.futures import ThreadPoolExecutor
from tests.beds.servers.bed import Bed
with Bed() as bed:
    (server,) = bed.add("x86")
    bed.enter()
    with ThreadPoolExecutor(2) as threads:
        for connection in threads.map(lambda _: socket.create_connection((server.address, 22), 1), "ab"):
            print("reached")
            connection.close()
"""


@pytest.mark.parametrize("processor", ["x86", "kunpeng", "loongson"])
def test_a_server_has_its_architecture_runs_without_a_failure_and_lets_admin_become_root(server_with, processor):
    done = server_with(processor).ssh("uname -m; sudo id -un; systemctl is-system-running --wait")
    assert done.stdout.split() == [PROCESSORS[processor].machine, "root", "running"], done.stderr


@pytest.mark.parametrize(
    ("processor", "told"),
    [("hygon", "Hygon C86 7285"), ("kunpeng", "Kunpeng-920"), ("phytium", "FTC662"), ("loongson", "Loongson-3C5000")],
)
def test_lscpu_tells_the_processor_that_the_server_shall_have(server_with, processor, told):
    said = server_with(processor).run("lscpu")
    assert told in said
    assert f"{PROCESSORS[processor].cores}\n" in said


def test_nobody_gets_in_without_the_key_or_past_another_host_key(bed, server_with):
    server = server_with("x86")
    known, key = server.host_key, bed.key
    server.change_host_key()
    new, server.host_key = server.host_key, known
    refused = server.ssh("true")
    assert (refused.returncode, "HOST IDENTIFICATION HAS CHANGED" in refused.stderr) == (255, True)
    server.host_key, bed.key = new, Path("/dev/null")
    try:
        assert "Permission denied" in server.ssh("true").stderr
    finally:
        bed.key = key
    assert server.ssh("true").returncode == 0


def test_limits_of_processor_memory_and_tasks_bind(server_with):
    def limited(limit: str, program: str) -> str:
        command = ("systemd-run", "--quiet", "--wait", "--pipe", "-p", limit, "python3", "-c", program)
        return server_with("x86").run(*command)

    assert float(limited("CPUQuota=20%", BUSY)) < 0.8
    with pytest.raises(subprocess.CalledProcessError):
        limited("MemoryMax=64M", "bytearray(200 << 20)")
    with pytest.raises(subprocess.CalledProcessError) as refused:
        limited("TasksMax=5", FORKS)
    assert "BlockingIOError" in refused.value.stderr


def test_what_enrolment_needs_can_be_installed_without_any_network(bed):
    (server,) = bed.add("x86")
    assert "not found" in server.ssh("command -v chronyd || echo not found").stdout
    installed = server.ssh("sudo DEBIAN_FRONTEND=noninteractive apt-get -qq install chrony prometheus-node-exporter")
    assert installed.returncode == 0, installed.stderr
    assert server.run("systemctl", "is-active", "chrony", "prometheus-node-exporter").split() == ["active", "active"]


def test_a_server_keeps_its_disk_when_it_loses_power_and_nothing_else(server_with):
    server = server_with("x86")
    before = server.run("cat", "/proc/sys/kernel/random/boot_id")
    server.run("sh", "-c", "echo kept > /srv/marker; sync; echo gone > /run/marker")
    server.cut_power()
    assert server.ssh("true").returncode == 255
    server.boot()
    assert server.ssh("cat /srv/marker; test -e /run/marker || echo gone").stdout.split() == ["kept", "gone"]
    assert server.run("cat", "/proc/sys/kernel/random/boot_id") != before


def test_a_server_cut_off_is_not_reached_until_its_network_is_restored(server_with):
    server = server_with("x86")
    server.cut_network()
    cut_off = server.ssh("true")
    assert (cut_off.returncode, "timed out" in cut_off.stderr) == (255, True)
    server.restore_network()
    assert server.ssh("true").returncode == 0


def test_what_a_thread_starts_inside_is_in_the_beds_network_and_everything_else_stays_outside(bed, server_with):
    address, outside = server_with("x86").address, Path("/proc/self/ns/net").readlink()
    knock = ["python3", "-c", f"import socket; socket.create_connection(('{address}', 22), 1)"]

    def inside(_: int) -> tuple[int, bool]:
        with bed.network():
            knocked = subprocess.run(knock, capture_output=True).returncode
        return knocked, Path("/proc/thread-self/ns/net").readlink() == outside

    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(inside, range(2))) == [(0, True), (0, True)]
    assert Path("/proc/self/ns/net").readlink() == outside != Path(f"/proc/{bed.keeper}/ns/net").readlink()


def test_a_process_that_entered_reaches_its_servers_with_all_threads_it_starts(bed):
    done = subprocess.run([sys.executable, "-c", ENTERED], cwd=PROJECT, capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["reached", "reached"], done.stderr


def test_ssh_gets_in_from_outside_through_the_proxy(bed, server_with):
    with tempfile.NamedTemporaryFile("w") as known:
        known.write(server_with("x86").known_hosts)
        known.flush()
        strict = ["-F", "none", "-o", f"UserKnownHostsFile={known.name}", "-o", "StrictHostKeyChecking=yes"]
        login = ["-i", str(bed.key), f"{ADMIN}@{server_with('x86').address}", "hostname"]
        done = subprocess.run(["ssh", *strict, *bed.proxy, *login], capture_output=True, text=True, timeout=30)
    assert done.stdout.strip() == server_with("x86").name, done.stderr


def test_kernel_settings_of_a_server_are_its_own(server_with):
    of_machine = Path("/proc/sys/kernel/panic").read_text()
    server_with("x86").run("sysctl", "-qw", "kernel.panic=37", "net.ipv4.ip_forward=1")
    assert server_with("x86").run("sysctl", "-n", "kernel.panic", "net.ipv4.ip_forward").split() == ["37", "1"]
    assert Path("/proc/sys/kernel/panic").read_text() == of_machine


def test_two_beds_at_once_do_not_see_each_other(server_with):
    first = server_with("x86")
    with Bed() as other:
        (second,) = other.add("x86")
        assert [server.ssh("hostname").stdout.strip() for server in (first, second)] == [first.name, second.name]
        assert first.address != second.address
    assert first.ssh("true").returncode == 0


def test_building_again_builds_nothing(bed):
    told: list[str] = []
    before = {path: path.stat().st_mtime_ns for path in images.folder().glob("*.squashfs")}
    began = time.monotonic()
    images.build(told.append)
    assert time.monotonic() - began < 1
    assert told == [f"All images are there already, in {images.folder()}."]
    assert {path: path.stat().st_mtime_ns for path in images.folder().glob("*.squashfs")} == before

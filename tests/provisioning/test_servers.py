"""The servers driver on this machine: what it hands over can be used, and what it says is true."""

import json
import multiprocessing
import os
import subprocess
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from cloudctl.kernel.operations import GiveUp
from provisioning.drivers import Place, Tenancy
from provisioning.servers import ServersDriver

pytestmark = pytest.mark.slow

WITHIN = timedelta(minutes=1)
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAlO9YlJ1Ud1S0ZyGVXkYy7RmUo8H8cTtn9EhcJQ2H4d clerk"
SIZE = {"vcpu": 4, "memory_gib": 8, "storage_gib.ssd": 2, "storage_gib.hdd": 1}


@pytest.fixture
def driver(tmp_path, tenancy):
    driver = ServersDriver(tmp_path / "jobs")
    yield driver
    if "systemd" in driver.inventory(tenancy.place).traits:  # it knows the slice, which is not in the test's folder
        driver.remove(tenancy, quiet, WITHIN)


@pytest.fixture
def tenancy(tmp_path):
    place = Place("pool_1", "servers", "x86_64", {"connection": "local", "folder": str(tmp_path / "shares")})
    return Tenancy("ten_01", "考试门户", "prj_1", "dep_1", SIZE, place, (KEY,))


def quiet(*_, **__):
    """A log that nobody reads."""


def debugfs(request: str, volume: str) -> str:
    command = ["debugfs", "-w", "-R", request, volume]
    return subprocess.run(command, env={"PATH": "/usr/sbin:/sbin"}, check=True, capture_output=True, text=True).stdout


def test_what_is_handed_over_can_be_used(driver, tenancy, tmp_path):
    how = driver.provision(tenancy, quiet, WITHIN).how
    assert set(how) == {"folder", "volume.ssd", "volume.hdd", "authorized_keys", "slice", "hint"}
    letter = tmp_path / "letter"
    letter.write_text("from the clerk")
    debugfs(f"write {letter} letter", how["volume.hdd"])
    assert debugfs("cat letter", how["volume.hdd"]) == "from the clerk"
    assert Path(how["authorized_keys"]).read_text().splitlines()[1:] == [KEY]
    assert Path(how["slice"]).read_text().splitlines()[1:6] == [
        "[Slice]", "CPUQuota=400%", "TasksMax=4096", "MemoryMax=8G", "MemorySwapMax=0",
    ]  # fmt: skip
    facts = json.loads((Path(how["folder"]) / "facts.json").read_text())
    assert (facts["tenancy"], facts["project"], facts["name"]) == ("ten_01", "prj_1", "考试门户")


def test_suspended_what_was_handed_over_opens_nothing(driver, tenancy):
    how = driver.provision(tenancy, quiet, WITHIN).how
    driver.suspend(tenancy, quiet, WITHIN)
    assert [name for name in ("volume.ssd", "volume.hdd", "authorized_keys") if Path(how[name]).exists()] == []
    driver.resume(tenancy, quiet, WITHIN)
    assert [name for name in how if name != "hint" and not Path(how[name]).exists()] == []


def test_usage_is_what_the_files_take(driver, tenancy):
    how = driver.provision(tenancy, quiet, WITHIN).how
    before = driver.usage(tenancy).used
    debugfs("write /dev/null results", how["volume.ssd"])
    debugfs("fallocate results 0 131071", how["volume.ssd"])  # 131,072 blocks of 4 KiB: half a GiB
    after = driver.usage(tenancy).used
    assert after["storage_gib.ssd"] - before["storage_gib.ssd"] == pytest.approx(0.5, abs=0.01)
    assert after["storage_gib.hdd"] == before["storage_gib.hdd"]


def test_a_size_below_what_is_stored_is_refused_with_figures_and_costs_nothing(driver, tenancy):
    how = driver.provision(tenancy, quiet, WITHIN).how
    debugfs("write /dev/null results", how["volume.ssd"])
    debugfs("fallocate results 0 300000", how["volume.ssd"])
    with pytest.raises(GiveUp) as refused:
        driver.resize(replace(tenancy, size=SIZE | {"storage_gib.ssd": 1}), quiet, WITHIN)
    assert refused.value.reason == "does-not-fit"
    assert refused.value.figures == {"resource": "storage_gib.ssd", "needed_gib": 2, "wanted_gib": 1}
    assert driver.observe(tenancy).size == SIZE


def test_drift_is_seen(driver, tenancy):
    how = driver.provision(tenancy, quiet, WITHIN).how
    Path(how["authorized_keys"]).write_text("ssh-ed25519 AAAA stranger\n")
    Path(how["slice"]).write_text("[Slice]\nCPUQuota=800%\n")
    os.truncate(how["volume.ssd"], 1 << 30)
    seen = driver.observe(tenancy)
    assert seen.keys == ("ssh-ed25519 AAAA stranger",)
    assert seen.size == {"vcpu": 8, "storage_gib.ssd": 1, "storage_gib.hdd": 1}


@pytest.mark.parametrize("moment", ["", "ssd.ext4.cloudctl-part", "hdd.ext4", "authorized_keys"])
def test_a_worker_killed_in_its_play_leaves_what_the_next_run_completes(driver, tenancy, moment):
    worker = multiprocessing.get_context("fork").Process(target=driver.provision, args=(tenancy, quiet, WITHIN))
    worker.start()
    sign = Path(tenancy.place.connection["folder"]) / tenancy.id / moment
    while not sign.exists() and worker.is_alive():
        time.sleep(0.001)
    worker.kill()
    worker.join()

    driver.provision(tenancy, quiet, WITHIN)
    told = []
    driver.provision(tenancy, lambda _, **figures: told.append(figures["status"]), WITHIN)
    assert set(told) == {"ok"}
    assert driver.observe(tenancy).size == SIZE
    driver.remove(tenancy, quiet, WITHIN)
    assert driver.observe(tenancy) is None


@pytest.mark.parametrize(
    ("connection", "field"),
    [
        ({}, "connection"),
        ({"connection": "carrier-pigeon", "folder": "/srv"}, "connection"),
        ({"connection": "local"}, "folder"),
        ({"connection": "local", "folder": "shares"}, "folder"),
        ({"connection": "local", "folder": 7}, "folder"),
    ],
)
def test_a_connection_that_makes_no_sense_is_refused_with_its_field(driver, tenancy, connection, field):
    with pytest.raises(GiveUp) as refused:
        driver.provision(replace(tenancy, place=replace(tenancy.place, connection=connection)), quiet, WITHIN)
    assert (refused.value.reason, refused.value.figures) == ("bad-connection", {"field": field})


@pytest.mark.parametrize("key", ["", "hello", "ssh-ed25519 AAAA a\nssh-ed25519 AAAA b", 'command="sh" ssh-rsa AAAA'])
def test_what_is_not_one_public_key_is_refused_with_its_number(driver, tenancy, key):
    with pytest.raises(GiveUp) as refused:
        driver.rotate(replace(tenancy, keys=(KEY, key)), quiet, WITHIN)
    assert (refused.value.reason, refused.value.figures) == ("bad-key", {"number": 2})


def test_a_folder_that_cannot_be_made_is_a_failed_play(driver, tenancy, tmp_path):
    (tmp_path / "shares").write_text("a file")
    with pytest.raises(GiveUp) as given:
        driver.provision(tenancy, quiet, WITHIN)
    (tmp_path / "shares").unlink()
    assert given.value.reason == "play-failed"
    assert "File exists" in given.value.figures["message"]


def test_compute_limits_are_declared_only_where_systemd_does_not_run(driver, tenancy):
    limits = {limit.resource: limit for limit in driver.provision(tenancy, quiet, WITHIN).limits}
    systemd, root = Path("/run/systemd/system").is_dir(), os.geteuid() == 0
    because = None if systemd and root else "not-root" if systemd else "no-systemd"
    assert {limits[name].because for name in ("vcpu", "memory_gib")} == {because}
    assert {limits[name].enforced for name in ("storage_gib.ssd", "storage_gib.hdd")} == {True}


def test_our_own_volumes_do_not_shrink_the_inventory(driver, tenancy):
    before = driver.inventory(tenancy.place).amounts["storage_gib.ssd"]
    driver.provision(tenancy, quiet, WITHIN)
    assert abs(driver.inventory(tenancy.place).amounts["storage_gib.ssd"] - before) <= 1


@pytest.mark.parametrize("length", [0, 1500])
def test_one_damaged_volume_hides_nothing_of_the_others(driver, tenancy, length):
    how = driver.provision(tenancy, quiet, WITHIN).how
    other = replace(tenancy, id="ten_02", size={"storage_gib.ssd": 1})
    driver.provision(other, quiet, WITHIN)
    os.truncate(how["volume.ssd"], length)
    found = driver.survey(tenancy.place)
    assert (found["ten_01"].damaged, found["ten_02"].damaged) == (("volume ssd",), ())
    assert found["ten_02"].size == other.size


def test_two_volumes_of_a_class_are_told_as_damage(driver, tenancy):
    how = driver.provision(tenancy, quiet, WITHIN).how
    Path(how["volume.ssd"] + ".shut").write_bytes(b"stray")
    assert driver.observe(tenancy).damaged == ("two volumes of ssd",)
    with pytest.raises(GiveUp, match="two-volumes"):
        driver.provision(tenancy, quiet, WITHIN)

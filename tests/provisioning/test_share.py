"""The programs that make a share, run as the role runs them: killed anywhere, the next run completes it."""

import importlib.resources
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
ROLE = importlib.resources.files("playbooks") / "roles/tenancy"
spec = importlib.util.spec_from_file_location("plugin", str(ROLE / "action_plugins/tenancy_program.py"))
plugin = importlib.util.module_from_spec(spec)
spec.loader.exec_module(plugin)
PRESENT, ABSENT = ("account", "volumes", "door"), ("door", "volumes", "account")
GIB = 1 << 30
MARKER = b"exam results of 2026"
SBIN = {"PATH": "/usr/sbin:/sbin:/usr/bin:/bin"}
KILLED_AT = """
import os, runpy, sys, atexit
at, folder, counted = int(sys.argv[1]), sys.argv[2], sys.argv[3]
CHANGES = "open truncate rename remove link mkdir chmod rmdir Popen".split()
calls = 0
def count(event, args):
    global calls
    if event.split('.')[-1] in CHANGES and folder in repr(args):
        calls += 1
        if calls == at:
            os._exit(137)
sys.addaudithook(count)
atexit.register(lambda: open(counted, "w").write(str(calls)))
runpy.run_path(sys.argv[4], run_name="__main__")
"""


class Share:
    """A share in a folder of the test, made and read without Ansible and without our driver."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "ten_01"
        self.image = self.folder / "ssd.ext4"
        self.scratch = folder / "scratch"

    def want(self, gib=1, state="present", shut=False, check=False):
        """The programs, each as a file to be run, in the order in which the role runs them."""
        order = {"id": "ten_01", "path": str(self.folder), "home": None, "state": state, "shut": shut, "check": check}
        order |= {"volumes": {"ssd": gib} if gib else {}, "keys": "key\n", "facts": "{}\n", "sentence": ""}
        files = []
        for program in PRESENT if state == "present" else ABSENT:
            files.append(self.scratch.with_name(f"{program}.py"))
            files[-1].write_text(plugin.assembled(program, order))
        return files

    def run(self, **wanted):
        told = {"changed": False, "parts": {}, "erased": {}}
        for file in self.want(**wanted):
            done = subprocess.run([sys.executable, file], capture_output=True, check=True)
            answer = json.loads(done.stdout)
            if answer.get("failed"):
                return answer
            told["changed"] |= answer["changed"]
            told["parts"] |= answer["parts"]
            told["erased"] |= answer.get("erased", {})
        return told

    def run_killed_at(self, call, **wanted):
        """Whether a program was killed before the n-th call that touches the folder; else all came to their end."""
        counted = self.scratch.with_name("counted")
        for file in self.want(**wanted):
            command = [sys.executable, "-c", KILLED_AT, str(call), str(self.folder), str(counted), str(file)]
            if subprocess.run(command, stdout=subprocess.DEVNULL).returncode == 137:
                return True
            call -= int(counted.read_text())
        return False

    def run_killed_after(self, seconds, **wanted):
        command = " && ".join(f"{sys.executable} {file}" for file in self.want(**wanted))
        run = subprocess.Popen(["sh", "-c", command], start_new_session=True, stdout=subprocess.DEVNULL)
        time.sleep(seconds)
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()

    def debugfs(self, request):
        return subprocess.run(
            ["debugfs", "-w", "-R", request, self.image], env=SBIN, check=True, capture_output=True
        ).stdout

    def store(self, content):
        source = self.scratch.with_name("source")
        source.write_bytes(content)
        self.debugfs(f"write {source} results")

    def start(self, gib, content):
        """Make a share that stores this; returns what brings it back to that, whatever was done to it."""
        kept = self.scratch.with_name("kept")
        if gib:
            self.run(gib=gib)
            self.debugfs("write /dev/null filler")
            self.debugfs(f"fallocate filler 0 {gib * 131_072 - 1}")  # half of it, then free: what is stored lies behind
            self.store(content)
            self.debugfs("rm filler")
            subprocess.run(["cp", "-a", "--sparse=always", self.folder, kept], check=True)

        def again():
            shutil.rmtree(self.folder, ignore_errors=True)
            if gib:
                subprocess.run(["cp", "-a", "--sparse=always", kept, self.folder], check=True)

        return again

    def stored(self):
        return self.debugfs("cat results")

    def is_sound(self, gib, image=None):
        image = image or self.image
        checked = subprocess.run(["e2fsck", "-f", "-n", image], env=SBIN, capture_output=True)
        told = subprocess.run(["dumpe2fs", "-h", image], env=SBIN, capture_output=True, text=True).stdout
        blocks = next(int(line.split()[-1]) for line in told.splitlines() if line.startswith("Block count"))
        return checked.returncode == 0 and blocks * 4096 == image.stat().st_size == gib * GIB

    @property
    def names(self):
        return sorted(path.name for path in self.folder.iterdir()) if self.folder.exists() else []


def on_disk(path):
    """What is allocated to a sparse file."""
    read, end = b"", 0
    with path.open("rb") as file, suppress(OSError):  # no data after `end` is an OSError
        while True:
            start = os.lseek(file.fileno(), end, os.SEEK_DATA)
            end = os.lseek(file.fileno(), start, os.SEEK_HOLE)
            file.seek(start)
            read += file.read(end - start)
    return read


WHOLE = ["authorized_keys", "facts.json", "ssd.ext4"]


@pytest.fixture
def share(tmp_path):
    return Share(tmp_path)


def test_a_volume_is_exactly_its_size_and_takes_little_of_the_disk(share):
    assert share.run(gib=10)["parts"]["ssd.ext4"] == "made"
    assert share.is_sound(10)
    assert share.image.stat().st_blocks * 512 < 32 << 20
    assert share.image.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(("before", "after"), [(1, 3), (3, 1)], ids=["growing", "shrinking"])
def test_data_survives_a_change_of_size(share, before, after):
    share.run(gib=before)
    share.store(MARKER)
    assert share.run(gib=after)["changed"]
    assert share.is_sound(after)
    assert share.stored() == MARKER
    assert not share.run(gib=after)["changed"]


@pytest.mark.parametrize("before", [None, 1, 2], ids=["making", "growing", "shrinking"])
def test_a_run_killed_before_any_of_its_calls_is_completed_by_the_next(share, before):
    wanted = 2 if before == 1 else 1
    start_again = share.start(before, MARKER)
    call, was_killed = 0, True
    while was_killed:
        call += 1
        start_again()
        was_killed = share.run_killed_at(call, gib=wanted)
        share.run(gib=wanted)
        assert share.is_sound(wanted), call
        assert share.names == WHOLE, call
        assert not before or share.stored() == MARKER, call
        assert not share.run(gib=wanted)["changed"], call
    assert call > 8


@pytest.mark.parametrize("before", [1, 2], ids=["growing", "shrinking"])
def test_a_tool_killed_in_its_work_costs_no_data(share, before):
    start_again = share.start(before, MARKER * 50_000)
    for hundredth in range(2, 22, 2):
        start_again()
        share.run_killed_after(hundredth / 100, gib=3 - before)
        share.run(gib=3 - before)
        assert share.is_sound(3 - before), hundredth
        assert share.stored() == MARKER * 50_000, hundredth


def test_a_removal_killed_before_any_of_its_calls_is_completed_by_the_next(share):
    call, was_killed = 0, True
    while was_killed:
        call += 1
        share.run()
        was_killed = share.run_killed_at(call, state="absent")
        assert "facts.json" not in share.names or share.names == WHOLE, "the record goes first"
        share.run(state="absent")
        assert share.names == []
    assert call > 4


def test_a_suspension_killed_before_any_of_its_calls_is_completed_by_the_next(share):
    call, was_killed = 0, True
    while was_killed:
        call += 1
        share.run()
        was_killed = share.run_killed_at(call, shut=True)
        share.run(shut=True)
        assert share.names == ["facts.json", "ssd.ext4.shut"]
        assert share.is_sound(1, share.folder / "ssd.ext4.shut")
    assert share.run()["parts"]["ssd.ext4"] == "moved"
    assert share.names == WHOLE


@pytest.mark.parametrize("last", [{"state": "absent"}, {"gib": 1}], ids=["removed", "shrunk"])
def test_nothing_of_the_tenants_can_be_read_from_the_disk_afterwards(share, last):
    """The test keeps a second link to the image, so the blocks that the volume had can still be looked at."""
    share.run(gib=2)
    share.store(MARKER * 10_000)
    kept = share.scratch.with_name("kept")
    kept.hardlink_to(share.image)
    assert MARKER in on_disk(kept)
    share.run(**{"gib": 2, **last})
    assert on_disk(kept).strip(b"\0") == b""


def test_what_was_overwritten_is_counted_in_bytes(share):
    share.run()
    share.store(os.urandom(8 << 20))
    occupied = share.image.stat().st_blocks * 512
    erased = share.run(state="absent")["erased"]["ssd.ext4"]
    assert 8 << 20 < erased <= occupied + 4096


def test_a_volume_does_not_shrink_below_what_is_on_it(share):
    share.run(gib=2)
    share.debugfs("write /dev/null results")
    share.debugfs("fallocate results 0 300000")  # blocks of 4 KiB: 1.14 GiB
    refused = share.run(gib=1)
    assert (refused["failed"], refused["reason"]) == (True, "does-not-fit")
    assert refused["figures"] == {"needed_gib": 2, "wanted_gib": 1, "resource": "storage_gib.ssd"}
    assert share.is_sound(2)
    assert share.names == WHOLE


def test_a_volume_left_out_is_erased_only_when_nobodys_files_are_on_it(share):
    share.run()
    share.store(MARKER)
    assert share.run(gib=0)["reason"] == "does-not-fit"
    assert share.stored() == MARKER
    share.run(state="absent")
    share.run()
    assert share.run(gib=0)["parts"] == {"ssd.ext4": "erased"}
    assert share.names == ["authorized_keys", "facts.json"]


@pytest.mark.parametrize("state", ["present", "absent"])
def test_check_mode_tells_and_changes_nothing(share, state):
    if state == "absent":
        share.run()
    before = share.names
    told = share.run(state=state, check=True)
    assert told["changed"]
    assert share.names == before


def test_two_runs_on_one_folder_wait_for_each_other(share):
    share.folder.mkdir(parents=True)
    volumes = share.want()[1]
    runs = [subprocess.Popen([sys.executable, volumes], stdout=subprocess.PIPE) for _ in range(4)]
    told = [json.loads(run.communicate()[0]) for run in runs]
    assert sorted(answer["changed"] for answer in told) == [False, False, False, True]
    assert share.is_sound(1)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a full disk")
def test_a_full_disk_is_told_with_what_is_free(share):
    share.scratch.parent.joinpath("full").mkdir()
    full = Share(share.scratch.parent / "full")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "none", full.scratch.parent], check=True)
    try:
        refused = full.run(gib=10)
        assert refused["reason"] == "no-space"
        assert 0 <= refused["figures"]["free_gib"] < 0.001
    finally:
        subprocess.run(["umount", full.scratch.parent], check=True)


@pytest.mark.parametrize("name", ["notes.old", "ssd.ext4.part", "backup.ext4.old"])
def test_an_administrators_file_beside_ours_is_left_alone(share, name):
    share.run()
    note = share.folder / name
    note.write_text("mine")
    share.run(gib=2)
    assert note.read_text() == "mine"


def test_with_two_volumes_of_a_class_nothing_is_guessed(share):
    share.run()
    share.store(MARKER)
    share.image.with_name("ssd.ext4.shut").write_bytes(b"stray")
    refused = share.run(shut=True)
    assert (refused["reason"], refused["figures"]["resource"]) == ("two-volumes", "storage_gib.ssd")
    assert share.stored() == MARKER


@pytest.mark.parametrize("length", [0, 1500])
def test_what_is_no_file_system_any_more_is_told_and_kept(share, length):
    share.run()
    os.truncate(share.image, length)
    assert share.run()["reason"] == "volume-damaged"
    assert share.image.stat().st_size == length

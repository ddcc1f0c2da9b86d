"""A play is a job that ends with its worker, tells what it does, and leaves nothing of itself."""

import json
import os
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest

from cloudctl.kernel.operations import GiveUp, RetryLater
from provisioning import plays

MINUTE = timedelta(minutes=1)
HERE = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
LONG = str(100_000 + os.getpid())  # seconds that no other sleep on this machine is told
SLOW = [{"name": "Slow", "ansible.builtin.command": {"argv": ["sleep", LONG]}}]
WORKER = """
import sys
from datetime import timedelta
from pathlib import Path
from provisioning import plays
jobs, playbook, python = sys.argv[1:]
host = {"ansible_connection": "local", "ansible_python_interpreter": python}
plays.run(Path(jobs), "ten_1", playbook, host, lambda *_, **__: None, timedelta(minutes=1))
"""


@pytest.fixture
def play(tmp_path):
    """Run these tasks as a play of their own; returns what the tasks answered and what was told."""

    def run(tasks, subject="ten_1", within=MINUTE, **host):
        told = []
        answers = plays.run(
            tmp_path / "jobs",
            subject,
            write(tmp_path, tasks),
            HERE | host,
            lambda *a, **f: told.append((*a, f)),
            within,
        )
        return answers, told

    return run


def write(folder: Path, tasks) -> str:
    playbook = folder / "play.yml"
    playbook.write_text(json.dumps([{"name": "Test", "hosts": "all", "gather_facts": False, "tasks": tasks}]))
    return str(playbook)


def processes_with(word: str) -> list[int]:
    """Ids of the processes whose command line has this word, this one left out."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = folder.joinpath("cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if word.encode() in words and folder.name != str(os.getpid()):
            found.append(int(folder.name))
    return found


def until(condition, seconds=20.0) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()


def test_each_task_is_told_as_it_happens_and_its_answer_comes_back(play):
    tasks = [
        {"name": "One", "ansible.builtin.command": {"argv": ["echo", "hello"]}},
        {"name": "Two", "ansible.builtin.debug": {"msg": "x"}},
        {"name": "Never", "ansible.builtin.debug": {"msg": "x"}, "when": False},
    ]
    answers, told = play(tasks)
    assert answers["One"]["stdout"] == "hello"
    assert told == [
        ("task", {"name": "One", "status": "changed", "host": "localhost"}),
        ("task", {"name": "Two", "status": "ok", "host": "localhost"}),
    ]


def test_a_failed_task_gives_up_with_its_name_and_what_was_said(play):
    with pytest.raises(GiveUp) as given:
        play([{"name": "Doomed", "ansible.builtin.fail": {"msg": "the rack\nis on fire"}}])
    assert given.value.reason == "play-failed"
    assert given.value.figures == {"task": "Doomed", "message": "the rack is on fire"}


def test_a_server_that_does_not_answer_is_tried_later(play):
    with pytest.raises(RetryLater) as later:
        play([{"name": "Ping", "ansible.builtin.ping": {}}], ansible_connection="ssh", ansible_port=1)
    assert later.value.reason == "unreachable"
    assert later.value.figures["message"]


def test_a_play_that_ansible_cannot_read_is_a_bug_and_shows_what_ansible_said(play):
    with pytest.raises(RuntimeError, match="no_such_module"):
        play([{"name": "Typo", "no_such_module": {}}])


def test_a_play_that_takes_too_long_is_killed_with_all_its_processes(play):
    with pytest.raises(RetryLater) as later:
        play(SLOW, within=timedelta(seconds=4))
    assert later.value.reason == "timed-out"
    assert until(lambda: not processes_with(LONG), 2)


def test_nothing_of_the_workers_environment_and_nothing_of_the_job_is_left(play, tmp_path, monkeypatch):
    monkeypatch.setenv("CLOUDCTL_DATABASE_URL", "postgresql://app:hunter2@db/cloudctl")
    seen = tmp_path / "environment"
    copy = f"tr '\\0' '\\n' < /proc/$PPID/environ > {seen}; env >> {seen}"
    list_jobs = f"grep -rl hunter2 {tmp_path}/jobs >> {seen}; true"
    play([{"name": "Look", "ansible.builtin.shell": f"{copy}; {list_jobs}"}])
    assert "ANSIBLE_CONFIG" in seen.read_text()
    assert "hunter2" not in seen.read_text()
    assert list((tmp_path / "jobs").rglob("*")) == []


@pytest.fixture
def slow_worker(tmp_path):
    """A worker process in the middle of a slow play."""
    command = [sys.executable, "-c", WORKER, str(tmp_path / "jobs"), write(tmp_path, SLOW), sys.executable]
    worker = subprocess.Popen(command)
    assert until(lambda: processes_with(LONG))
    yield worker
    worker.kill()
    worker.wait()


def test_a_killed_worker_takes_its_play_with_it_and_the_next_run_works(slow_worker, play, tmp_path):
    assert list((tmp_path / "jobs").rglob("*_payload_*"))  # what Ansible unpacks lies where the next run clears it away
    slow_worker.send_signal(signal.SIGKILL)
    assert until(lambda: not processes_with(LONG) + processes_with(str(tmp_path / "play.yml")), 2)
    _, told = play([{"name": "Again", "ansible.builtin.debug": {"msg": "x"}}])
    assert [figures["name"] for _, figures in told] == ["Again"]
    assert list((tmp_path / "jobs").rglob("*")) == []


def test_while_the_play_of_a_frozen_worker_still_runs_a_second_one_is_told_to_come_back(slow_worker, play):
    slow_worker.send_signal(signal.SIGSTOP)
    with pytest.raises(RetryLater) as later:
        play([{"name": "Second", "ansible.builtin.debug": {"msg": "x"}}])
    assert later.value.reason == "busy"
    _, told = play([{"name": "Other", "ansible.builtin.debug": {"msg": "x"}}], subject="ten_2")
    assert told


def test_where_no_cage_is_possible_the_play_still_ends_with_its_worker(tmp_path):
    """Some hardened kernels give an ordinary user no namespace; the job is then started without one."""
    playbook = write(tmp_path, SLOW)
    command = [sys.executable, "-P", str(Path(plays.__file__).with_name("play_job.py"))]
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    job = subprocess.Popen(command, stdin=subprocess.PIPE, env=environment, text=True)
    here = HERE | {"ansible_remote_tmp": str(tmp_path / "tmp")}
    order = {"folder": str(tmp_path / "ten_1"), "playbooks": str(tmp_path), "playbook": playbook, "files": {}}
    job.stdin.write(json.dumps({**order, "inventory": {"all": {"hosts": {"localhost": here}}}}) + "\n")
    job.stdin.flush()
    assert until(lambda: processes_with(LONG))
    job.stdin.close()
    job.wait(5)
    assert until(lambda: not processes_with(LONG) + processes_with(playbook), 2)

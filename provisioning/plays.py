"""Runs one play of ours as a job that ends with its worker, and tells each task as it happens."""

import importlib.resources
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from functools import cache
from pathlib import Path
from threading import Event, Timer
from typing import IO, Any

from cloudctl.kernel.operations import GiveUp, RetryLater
from provisioning import ssh
from provisioning.drivers import Log

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SYSTEMD = Path("/run/systemd/system")
UNSHARE = ("unshare", "--pid", "--fork", "--kill-child=SIGKILL")


def run(
    jobs: Path,
    subject: str,
    playbook: str,
    host: Mapping[str, Any],
    log: Log,
    within: timedelta,
    files: Mapping[str, str] | None = None,
) -> Mapping[str, Mapping[str, Any]]:
    """Run a playbook against one host; returns what each task answered, by the task's name.

    `jobs` holds one folder for each subject while its job runs, and `files` lie in it meanwhile; `host` are the
    host's variables (the connection's and the role's). Each task that ran is told as `task`, each part of a share
    that our module reports as `part`.

    Raises:
        RetryLater: `busy` (a job for this subject still runs), `timed-out`, `unreachable`, `job-killed`.
        GiveUp: `host-key-changed`, `not-let-in`, `play-failed`, or the reason that our module gave.
    """
    order = {
        "folder": str(jobs / subject),
        "playbooks": str(_playbooks()),
        "playbook": playbook,
        "files": dict(files or {}),
        "inventory": {"all": {"hosts": {host.get("ansible_host", "localhost"): dict(host)}}},
    }
    answers: dict[str, Mapping[str, Any]] = {}
    end: dict[str, Any] = {"end": "killed"}
    failure: Exception | None = None
    with tempfile.TemporaryFile("w+") as complaints, _started(jobs / subject, host, complaints) as job:
        assert job.stdin
        assert job.stdout
        late = Event()
        alarm = Timer(within.total_seconds(), _time_out, [job, late])
        alarm.start()
        try:
            with suppress(BrokenPipeError):
                job.stdin.write(json.dumps(order) + "\n")
                job.stdin.flush()
            for line in job.stdout:
                if not line.endswith("\n"):  # killed while it spoke
                    break
                told = json.loads(line)
                if "end" in told:
                    end = told
                    continue
                _tell(told, log)
                answers[told["task"]] = told["result"]
                failure = failure or _failure(told)
            job.wait()
        finally:
            alarm.cancel()
            _end(job)
        complaints.seek(0)
        last_words = complaints.read()[-500:]
    if failure:
        raise failure
    if end["end"] == "busy":
        raise RetryLater("busy", timedelta(seconds=2))
    if end["end"] == "killed" and late.is_set():
        raise RetryLater("timed-out", seconds=int(within.total_seconds()))
    if end["end"] == "killed":
        raise RetryLater("job-killed", message=last_words)
    if end["end"] == "failed":
        raise RuntimeError(f"{playbook} ended with {end['code']} and no task failed: {end['output']}")
    return answers


def _time_out(job: subprocess.Popen[str], late: Event) -> None:
    late.set()
    _end(job)


def _end(job: subprocess.Popen[str]) -> None:
    """End the job with all its processes: it does so itself when its input closes."""
    assert job.stdin
    with suppress(BrokenPipeError):
        job.stdin.close()
    try:
        job.wait(5)
    except subprocess.TimeoutExpired:
        job.kill()


def _tell(told: Mapping[str, Any], log: Log) -> None:
    log("task", name=told["task"], status=told["status"], host=told["host"])
    for part, done in told["result"].get("parts", {}).items():
        log("part", name=part, done=done)


def _failure(told: Mapping[str, Any]) -> Exception | None:
    result = told["result"]
    if told["status"] == "unreachable":
        return ssh.failure(told["host"], _plain(result))
    if told["status"] != "failed":
        return None
    if result.get("reason"):
        return GiveUp(result["reason"], **result["figures"])
    return GiveUp("play-failed", task=told["task"], message=_plain(result))


def _plain(result: Mapping[str, Any]) -> str:
    """What Ansible says went wrong, in one line that a person can read."""
    said = result.get("stderr") or result.get("msg") or "no message"
    return " ".join(str(said).split())[:500]


def _started(folder: Path, host: Mapping[str, Any], complaints: IO[str]) -> subprocess.Popen[str]:
    """The job's process, with nothing of our environment in it: no password, no proxy, no user's settings."""
    folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{SYSTEM_PATH}",
        "HOME": str(folder),
        "TMPDIR": str(folder),  # what a killed play was unpacking goes with the folder
        "LANG": "C.UTF-8",
        "ANSIBLE_HOME": str(folder / "ansible"),
        "ANSIBLE_CONFIG": str(_playbooks() / "ansible.cfg"),
        "ANSIBLE_HOST_KEY_CHECKING": "True",
    }
    # systemd answers nobody in another process namespace than its own, and a local play as root may talk to it
    speaks_to_systemd = host["ansible_connection"] == "local" and SYSTEMD.is_dir() and os.geteuid() == 0
    return subprocess.Popen(
        [*(() if speaks_to_systemd else _cage()), sys.executable, "-P", str(Path(__file__).with_name("play_job.py"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=complaints,
        cwd=folder.parent,
        env=environment,
        text=True,
    )


@cache
def _cage() -> tuple[str, ...]:
    """What to start a job with, so that killing it leaves none of its processes: a process namespace of its own.

    An ordinary user gets one inside a user namespace, where the kernel allows that; else nothing is put around.
    """
    as_user = (*UNSHARE, "--user", "--map-current-user")
    for prefix in (UNSHARE, as_user) if os.geteuid() == 0 else (as_user,):
        try:
            if subprocess.run([*prefix, "true"], capture_output=True).returncode == 0:
                return prefix
        except FileNotFoundError:
            break
    return ()


def _playbooks() -> Path:
    """The folder of our playbooks, wherever the package is installed."""
    return Path(str(importlib.resources.files("playbooks").joinpath("ansible.cfg"))).parent

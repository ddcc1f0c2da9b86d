"""The process that runs one play: told its order on standard input, it dies when that closes.

It is started by `plays.run` in a cage of its own and imports nothing of ours, so that it starts fast.
"""

import fcntl
import json
import os
import shutil
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from ansible_runner import Runner, RunnerConfig

TOLD = {"runner_on_ok": "ok", "runner_on_failed": "failed", "runner_on_unreachable": "unreachable"}
FRAME = ("ansible.builtin.validate_argument_spec", "ansible.builtin.include_tasks")  # told only when they fail


def main() -> None:
    order = json.loads(sys.stdin.readline())
    threading.Thread(target=_die_with_the_worker, daemon=True).start()
    folder = Path(order["folder"])
    lock = _hold(folder)
    if lock is None:
        _say(end="busy")
        return
    try:
        _play(folder, order)
    finally:
        shutil.rmtree(folder)


def _die_with_the_worker() -> None:
    """Standard input closes when the worker ends, however it ends; as process 1 of the cage we take all with us."""
    os.read(0, 1)
    for step in (signal.SIGSTOP, signal.SIGKILL) if os.getpid() != 1 else ():  # stopped, nobody has more children
        for process in list(_family(os.getpid())):
            with suppress(ProcessLookupError):
                os.kill(process, step)
    os._exit(1)


def _family(process: int) -> Iterator[int]:
    """A process's children and theirs."""
    for children in Path(f"/proc/{process}/task").glob("*/children"):
        for child in map(int, children.read_text().split()):
            yield child
            yield from _family(child)


def _hold(folder: Path) -> int | None:
    """The emptied folder, locked for as long as this process lives; none when another job has it."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not os.path.samestat(folder.stat(), os.fstat(lock)):
            return None
    except (BlockingIOError, FileNotFoundError):
        return None
    for rest in folder.iterdir():
        shutil.rmtree(rest) if rest.is_dir() else rest.unlink()
    return lock


def _play(folder: Path, order: dict[str, Any]) -> None:
    for name, content in {**order["files"], "inventory.json": json.dumps(order["inventory"])}.items():
        (folder / name).write_text(content)
    config = RunnerConfig(
        private_data_dir=str(folder),
        project_dir=order["playbooks"],
        playbook=str(Path(order["playbooks"], order["playbook"])),
        inventory=str(folder / "inventory.json"),
        quiet=True,
    )
    config.prepare()
    config.cwd = str(folder)  # ssh has its socket in it, by a short name whatever the folder's is
    config.command = [str(Path(sys.executable).parent / "ansible-playbook"), *config.command[1:]]
    runner = Runner(config=config, event_handler=_tell)
    _, code = runner.run()
    with runner.stdout as output:
        _say(end="done" if code == 0 else "failed", code=code, output=output.read()[-1000:] if code else "")


def _tell(event: dict[str, Any]) -> bool:
    """One line for each result; the answer keeps events, which hold variables in clear, off the disk."""
    outcome, details = TOLD.get(event["event"]), event.get("event_data", {})
    if outcome and not (outcome == "ok" and details["task_action"] in FRAME):
        if outcome == "ok" and details["res"].get("changed"):
            outcome = "changed"
        _say(task=details["task"], host=details["host"], status=outcome, result=details["res"])
    return False


def _say(**what: Any) -> None:
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    main()

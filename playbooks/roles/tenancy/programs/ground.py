"""What the role's programs stand on: how they refuse, call tools, write files, take turns, and end processes.

They run on the server's own Python, 3.8 or newer, with nothing installed. A program that was killed at any moment is
completed by its next run.
"""

import contextlib
import errno
import fcntl
import json
import os
import pwd
import shutil
import signal
import subprocess
import time
from pathlib import Path

PART = ".cloudctl-part"  # the end of a name of ours that is not whole yet
UNITS = Path("/etc/systemd/system")
EVERYBODYS, SHM = ("/tmp", "/var/tmp"), "/dev/shm"  # noqa: S108  each tenant has one of its own in their place
TOOLS = {"PATH": "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C"}
PATIENCE = 10  # seconds that killed processes may take to be gone


class Refused(Exception):
    """It cannot be what is wanted: `reason` is a slug, `figures` say why."""

    def __init__(self, reason, **figures):
        super().__init__(f"{reason}: {figures}")
        self.reason, self.figures = reason, figures


def answer(run, order):
    """Print what a program did: `parts` that were not right already, and whatever else it tells."""
    try:
        told = run(order)
        told["parts"] = {part: done for part, done in told["parts"].items() if done != "kept"}
        told["changed"] = bool(told["parts"])
    except Refused as refusal:
        told = {"failed": True, "msg": str(refusal), "reason": refusal.reason, "figures": refusal.figures}
    except OSError as error:
        told = {"failed": True, "msg": str(error)}
        if error.errno == errno.ENOSPC or "No space left" in str(error):
            free = shutil.disk_usage(Path(order["path"]).parent).free
            told.update(reason="no-space", figures={"free_gib": round(free / (1 << 30), 2)})
    print(json.dumps(told))


def tool(*words, fine=(0,)):
    """Run a tool, which an ordinary user's PATH may not have; returns what it printed."""
    command = [str(word) for word in words]
    try:
        done = subprocess.run(command, env=TOOLS, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    except FileNotFoundError:
        raise Refused("no-tool", tool=command[0]) from None
    if fine and done.returncode not in fine:
        raise OSError(f"{' '.join(command[:3])}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout.decode(errors="replace")


def try_tool(*words):
    """Run a tool whose failure changes nothing for us."""
    return tool(*words, fine=())


def small_file(path, content, mode, check=False):
    """One small file, written whole: whoever reads it sees the old text or the new one. None: it shall not be there.

    It stays whose it was.
    """
    there = path.exists() or path.is_symlink()
    if content is None:
        if there and not check:
            path.unlink()
        return "removed" if there else "kept"
    if there and path.read_text(encoding="utf-8") == content and path.stat().st_mode & 0o777 == mode:
        return "kept"
    if not check:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        part = path.with_name(path.name + PART)
        part.touch(mode=0o600)
        part.write_text(content, encoding="utf-8")
        part.chmod(mode)
        if there:
            os.chown(part, path.lstat().st_uid, path.lstat().st_gid)
        sync(part)
        part.replace(path)
    return "written"


def private(order):
    """Where the tenant's own folders lie that take the place of everybody's."""
    return Path(order["home"] or "/nonexistent", order["id"], "private")


def own_folder(order, place):
    """What the tenant has in the place of a folder that is everybody's."""
    return private(order) / place.strip("/").replace("/", "-") / order["id"]


def sync(path):
    with path.open("rb") as file:
        os.fsync(file.fileno())


def hold(folder):
    """Lock a folder, made if need be, until this process ends: what outlived its play must not work beside the next."""
    while True:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(folder, os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.is_dir() and os.path.samestat(folder.stat(), os.fstat(lock)):
            return
        os.close(lock)  # it was removed while we waited


@contextlib.contextmanager
def turn(folder):
    """What concerns the whole server is done by one program at a time."""
    folder.mkdir(mode=0o711, parents=True, exist_ok=True)
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def account(name):
    """The entry of a user; none where there is no such user."""
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def processes(uid):
    """The processes of a user."""
    for status in Path("/proc").glob("[0-9]*/status"):
        with contextlib.suppress(OSError):
            found = [line for line in status.read_text().splitlines() if line.startswith("Uid:")]
            if found and str(uid) in found[0].split()[1:]:
                yield int(status.parent.name)


def end_all(uid):
    """End whatever a user runs, sessions and services too; returns whether anything ran."""
    ran = bool(list(processes(uid)))
    if ran:
        try_tool("systemctl", "kill", "--signal=KILL", f"user-{uid}.slice")
    end = time.monotonic() + PATIENCE
    while True:
        left = list(processes(uid))
        if not left:
            break
        if time.monotonic() > end:
            raise OSError(f"processes of {uid} do not end: {left}")
        for process in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        time.sleep(0.05)
    if ran:
        try_tool("systemctl", "stop", f"user@{uid}.service", f"user-{uid}.slice")
        try_tool("systemctl", "reset-failed", f"user@{uid}.service", f"user-runtime-dir@{uid}.service")
    return ran


def tell(uid, sentence):
    """Show a sentence on the terminals of a user."""
    for terminal in Path("/dev/pts").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if terminal.stat().st_uid == uid:
                terminal.write_text(f"\r\n{sentence}\r\n", encoding="utf-8")

"""The folder of a tenancy's share and the account by which its server knows the tenant: first made, last removed."""

import grp
import hashlib
import os
import pwd
import shutil
from contextlib import suppress
from pathlib import Path

import images
from ground import Refused, account, end_all, hold, private, small_file, tool, try_tool, turn

FIRST, SPAN = 20_000, 40_000  # numbers of our accounts: above people's, below what systemd takes for itself
RECORD = "account"  # the file that keeps the number, so that what lies on the volume stays the tenant's
PUBLIC = ("tmp", "var/tmp", "dev/shm", "var/spool/cron", "var/spool/at", "var/mail", "var/spool/mail")
SHELL = "/bin/bash"


def present(folder, order):
    """The folder and, where the tenant logs in, an account that no password opens, at home on its first volume."""
    parts, check = {}, order["check"]
    if not check:
        folder.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
        hold(folder)
    if not order["home"]:
        return parts
    with turn(folder.parent):
        uid = number(folder, order["id"])
        parts[RECORD] = small_file(folder / RECORD, f"{uid}\n", 0o600, check)
        parts["user"] = user(order, uid, check)
    if not check:
        top = Path(order["home"], order["id"])
        top.mkdir(mode=0o750, parents=True, exist_ok=True)
        os.chown(top, 0, account(order["id"]).pw_gid)
        top.chmod(0o750)
    return parts


def user(order, uid, check):
    there, home = account(order["id"]), at_home(order)
    if there and there.pw_uid != uid:
        raise Refused("account-taken", account=order["id"])
    if there and (there.pw_dir, there.pw_shell) == (home, SHELL):
        return "kept"
    if not check and there:
        end_all(uid)  # nobody's home is moved while somebody is in
        tool("usermod", "--home", home, "--shell", SHELL, order["id"])
    elif not check:
        words = ("--uid", uid, "--user-group", "--no-create-home", "--home-dir", home, "--shell", SHELL)
        tool("useradd", *words, "--password", "*", order["id"])
    return "written" if there else "made"


def at_home(order):
    """The tenant's first volume; without any a folder in which nothing can be stored."""
    home = Path(order["home"], order["id"])
    return str(next((home / name for name in ("ssd", "hdd") if order["volumes"].get(name)), home))


def number(folder, name):
    """The account's number: the one it has or had, else one that nobody on this server has."""
    record, there = folder / RECORD, account(name)
    if record.exists():
        return int(record.read_text())
    if there and there.pw_uid >= FIRST:
        return there.pw_uid
    taken = {entry.pw_uid for entry in pwd.getpwall()} | {entry.gr_gid for entry in grp.getgrall()}
    taken |= {int(path.read_text()) for path in folder.parent.glob(f"*/{RECORD}")}
    start = int(hashlib.sha256(name.encode()).hexdigest(), 16)  # far from others', so that none is soon used again
    return next(uid for uid in (FIRST + (start + step) % SPAN for step in range(SPAN)) if uid not in taken)


def absent(folder, order):
    """Nothing of the account, of what it left in public places, and of the folder."""
    parts, check, there = {}, order["check"], account(order["id"])
    if order["home"] and there:
        parts["user"] = "removed"
        if not check:
            end_all(there.pw_uid)
            sweep(there.pw_uid, private(order))
            with turn(folder.parent):
                tool("userdel", order["id"])
    top = Path(order["home"] or "/nonexistent", order["id"])
    if top.is_dir():
        parts["home"] = "removed"
        if not check:
            shutil.rmtree(top)
    if folder.is_dir():
        parts[folder.name] = "removed"
        if not check:
            hold(folder)
            for rest in folder.iterdir():
                if rest.is_file() and not rest.is_symlink():
                    images.erase(rest)
            shutil.rmtree(folder)
    return parts


def sweep(uid, folder_of_its_own):
    """Erase what a user left in places that are everybody's, or where the user has folders in place of those."""
    for place in (*PUBLIC, folder_of_its_own):
        for folder, folders, files in os.walk(Path("/", place), topdown=False):
            for path in (Path(folder, name) for name in files + folders):
                with suppress(FileNotFoundError):
                    if path.lstat().st_uid == uid:
                        remove(path)
    for kind, option in (("shm", "-m"), ("sem", "-s"), ("msg", "-q")):
        for line in Path("/proc/sysvipc", kind).read_text().splitlines()[1:]:
            words = line.split()
            if str(uid) in words[4:12]:
                try_tool("ipcrm", option, words[1])


def remove(path):
    if path.is_dir() and not path.is_symlink():
        with suppress(OSError):  # somebody else's file is in it
            path.rmdir()
    elif path.is_file() and not path.is_symlink() and path.stat().st_nlink == 1:
        images.erase(path)
    else:
        path.unlink()


def run(order):
    verb = present if order["state"] == "present" else absent
    return {"parts": verb(Path(order["path"]), order)}

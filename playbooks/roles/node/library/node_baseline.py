#!/usr/bin/python
# WANT_JSON
"""What makes a bare server one of ours, in one run on the server: packages, files, kernel settings, units.

A plain program that takes its arguments as JSON, as `tenancy_share` is and for the same reason. What it did is
written into a record before it is done, so that a run that was killed at any moment is completed by the next, and
absent takes back what was ours and nothing else.
"""

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

DOCUMENTATION = r"""
module: node_baseline
short_description: What makes a bare server one of ours
description:
  - Installs missing programs, writes files whole, sets kernel settings, and keeps units running.
options:
  name: {description: What the server is called., type: str, required: true}
  state: {description: "Absent takes back all that was done.", choices: [present, absent], required: true}
  home: {description: "Our folder, with the record of what was done.", type: path, required: true}
  programs: {description: "Programs that have to be there, and the package of each.", type: dict, required: true}
  files:
    description:
      - Files (path, content) in the order of writing, removed the other way round.
      - The word before the units in `after` is what systemctl does to the first of them that there is.
    type: list
    required: true
  kernel: {description: "Kernel settings by name; what the kernel lacks is left out.", type: dict, required: true}
  units: {description: "Units that run and are enabled; of several names in one, the first that there is.", type: list}
"""

RETURN = r"""
parts: {description: What was done to each part that was not right already., type: dict, returned: always}
reason: {description: "Why it cannot be done, as a slug; `figures` go with it.", type: str}
"""

RECORD, METRICS, SHARES = "node.json", "metrics", "ten_*"
PAM = ("common-session", "system-auth", "password-auth", "sshd")
UNIT_FOLDERS = ("/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system")
TOOLS = {
    "PATH": "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin",
    "LC_ALL": "C",
    "DEBIAN_FRONTEND": "noninteractive",
}
HELD = []  # the lock on our folder, which whatever we start holds too: apt may outlive a run that was killed
APT = ("apt-get", "-qq", "--yes", "--no-install-recommends", "-oDPkg::Lock::Timeout=300")


class Refused(Exception):
    """The server cannot be what is wanted: `reason` is a slug, `figures` say why."""

    def __init__(self, reason, **figures):
        super().__init__(f"{reason}: {figures}")
        self.reason, self.figures = reason, figures


class Record:
    """What we have done to the server: `packages`, `folders`, `kernel` settings as they were, and what is `due`.

    `due` are orders to systemctl whose cause is written and that were not carried out yet.
    """

    def __init__(self, path, check):
        self.path, self.check = path, check
        self.done = {"packages": [], "folders": [], "kernel": {}, "due": []}
        if path.exists():
            self.done.update(json.loads(path.read_text(encoding="utf-8")))

    def add(self, kind, *new):
        """Write down what is about to be done."""
        self.done[kind] += [one for one in new if one not in self.done[kind]]
        self.save()

    def save(self, **values):
        self.done.update(values)
        text = json.dumps(self.done, indent=1, sort_keys=True) + "\n"
        if self.check or (self.path.exists() and self.path.read_text(encoding="utf-8") == text):
            return
        write(self.path, text, 0o600)


def write(path, text, mode):
    """Write a file whole: whoever reads it sees the old text or the new one, also after a power cut."""
    part = path.with_name(path.name + ".part")
    with part.open("w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), mode)
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def tool(*words, fine=(0,)):
    """Run a program; returns what it printed."""
    done = subprocess.run(words, env=TOOLS, stdin=subprocess.DEVNULL, capture_output=True, text=True, pass_fds=HELD)
    if done.returncode not in fine:
        raise OSError(f"{' '.join(words)}: {(done.stderr or done.stdout).strip()[-400:]}")
    return done.stdout


def there_is(program):
    return shutil.which(program, path=TOOLS["PATH"]) is not None


def must_hold_log_ins():
    """Without systemd and its part of PAM every log-in escapes the limits of its slice."""
    if not Path("/run/systemd/system").is_dir():
        raise Refused("no-systemd")
    for path in (Path("/etc/pam.d", name) for name in PAM):
        if path.exists() and re.search(r"^-?session\s.*\bpam_systemd\.so", path.read_text(), re.M):
            return
    raise Refused("log-ins-escape", module="pam_systemd.so")


def install(programs, record):
    """Install the packages of missing programs; all that comes with them is ours to remove."""
    missing = sorted({package for program, package in programs.items() if not there_is(program)})
    unfinished = "install" in record.done["due"]
    if not missing and not unfinished:
        return {}
    if record.check:
        return dict.fromkeys(missing, "installed")
    if not there_is("apt-get"):
        raise Refused("programs-missing", programs=[one for one in programs if not there_is(one)])
    if unfinished:
        tool("dpkg", "--configure", "-a")
    try:
        tool(*APT, "update")
        planned = re.findall(r"^Inst (\S+)", tool(*APT, "-s", "install", *missing), re.M)
        record.add("packages", *planned)
        record.add("due", "install")
        tool(*APT, "install", *missing)
    except OSError as error:
        raise Refused("not-installed", packages=missing, message=str(error)) from None
    record.save(due=[one for one in record.done["due"] if one != "install"])
    return dict.fromkeys(missing, "installed")


def put_files(files, record):
    parts = {}
    for file in files:
        path = Path(file["path"])
        if path.exists() and path.read_text(encoding="utf-8") == file["content"]:
            continue
        parts[str(path)] = "written"
        if record.check:
            continue
        make_folders(path.parent, record)
        record.add("due", "daemon-reload", *([file["after"]] if "after" in file else []))
        write(path, file["content"], 0o644)
    return parts


def make_folders(folder, record):
    absent = [one for one in (folder, *folder.parents) if not one.exists()]
    record.add("folders", *map(str, reversed(absent)))
    folder.mkdir(parents=True, exist_ok=True)


def set_kernel(wanted, record):
    """Set what differs, the old value being written down first; what the kernel has not is left out."""
    changed = False
    for name, value in wanted.items():
        path = Path("/proc/sys", *name.split("."))
        if not path.exists():
            continue
        before = path.read_text().strip()
        if before == str(value):
            continue
        changed = True
        if not record.check:
            record.save(kernel={name: before, **record.done["kernel"]})
            path.write_text(f"{value}\n")
    return {"kernel": "written"} if changed else {}


def carry_out(record):
    """Do what is due after files were written or removed: systemd reads them, services take them up."""
    due = [one for one in record.done["due"] if one not in ("daemon-reload", "install")]
    if "daemon-reload" in record.done["due"]:
        tool("systemctl", "daemon-reload")
    for order in due:
        verb, *names = order.split()
        unit = first_of(names)
        if verb == "reload":
            tool("sshd", "-t")
        if unit and tool("systemctl", "is-active", unit, fine=(0, 3, 4)).strip() == "active":
            tool("systemctl", verb, unit)
    record.save(due=[one for one in record.done["due"] if one == "install"])


def first_of(names):
    """Distributions name some units differently: the first that there is."""
    return next((name for name in names if any(Path(folder, name).exists() for folder in UNIT_FOLDERS)), None)


def keep_running(units, check):
    parts = {}
    named = [unit for unit in (first_of(unit.split()) for unit in units) if unit]
    enabled = tool("systemctl", "is-enabled", *named, fine=(0, 1, 4)).split()
    active = tool("systemctl", "is-active", *named, fine=(0, 3, 4)).split()
    for unit, is_enabled, is_active in zip(named, enabled, active):  # noqa: B905  servers may have an older Python
        if (is_enabled, is_active) != ("enabled", "active"):
            parts[unit] = "started"
            if not check:
                tool("systemctl", "enable", "--quiet", "--now", unit)
    return parts


def present(home, wanted, check):
    """Bring the server to what is wanted; returns what was done to each part."""
    must_hold_log_ins()
    parts = {} if home.is_dir() else {str(home): "made"}
    if not check:
        make_home(home)
    record = Record(home / RECORD, check)
    record.save(name=wanted["name"])
    parts.update(install(wanted["programs"], record))
    parts.update(put_files(wanted["files"], record))
    parts.update(set_kernel(wanted["kernel"], record))
    if not check:
        parts.update(dict.fromkeys(record.done["due"], "carried-out"))
        carry_out(record)
    parts.update(keep_running(wanted["units"], check))
    return parts


def make_home(home):
    home.mkdir(mode=0o711, parents=True, exist_ok=True)
    home.chmod(0o711)
    hold(home)
    (home / METRICS).mkdir(exist_ok=True)
    (home / METRICS).chmod(0o755)


def hold(home):
    """Lock the folder until all of this run has ended: one that outlived its play must not work beside the next."""
    HELD.append(os.open(home, os.O_RDONLY))
    fcntl.flock(HELD[0], fcntl.LOCK_EX)
    own = Path(sys.argv[1]).parent
    for module in own.parent.glob("ansible-tmp-*/AnsiballZ_node_*.py"):  # of runs that were killed
        if module.parent != own:
            shutil.rmtree(module.parent, ignore_errors=True)


def absent(home, wanted, check):
    """Take back what was done, by the record, which goes last; returns what was done to each part."""
    if not home.is_dir():
        return {}
    left = sorted({path.name for path in (*home.glob(SHARES), *home.glob(f"*/{SHARES}"))})
    if left:
        raise Refused("tenancies-remain", tenancies=left)
    parts = {str(home): "removed"}
    if check:
        return parts
    hold(home)
    record = Record(home / RECORD, check)
    parts.update(remove_files(wanted, record))
    for name, value in record.done["kernel"].items():
        Path("/proc/sys", *name.split(".")).write_text(f"{value}\n")
        parts["kernel"] = "written"
    carry_out(record)
    parts.update(dict.fromkeys(purge(record), "removed"))
    for folder in reversed(record.done["folders"]):
        if Path(folder).is_dir() and not any(Path(folder).iterdir()):
            Path(folder).rmdir()
    shutil.rmtree(home / METRICS, ignore_errors=True)
    (home / RECORD).unlink(missing_ok=True)
    home.rmdir()
    return parts


def remove_files(wanted, record):
    parts = {}
    for file in reversed(wanted["files"]):
        path = Path(file["path"])
        if not path.exists():
            continue
        record.add("due", "daemon-reload", *([file["after"]] if "after" in file else []))
        if path.parent == Path(UNIT_FOLDERS[0]):
            tool("systemctl", "disable", "--quiet", "--now", path.name)
        path.unlink()
        parts[str(path)] = "removed"
    return parts


def purge(record):
    """Remove the packages that came with us, but for those that something else needs by now."""
    ours = [one for one in record.done["packages"] if is_installed(one)]
    while ours:
        going = re.findall(r"^(?:Purg|Remv) (\S+)", tool(*APT, "-s", "purge", *ours), re.M)
        if set(going) <= set(record.done["packages"]):
            tool(*APT, "purge", *ours)
            return ours
        ours = ours[:-1]  # dependencies come first in the plan: the ones that were asked for are given up last
    return ours


def is_installed(package):
    said = tool("dpkg-query", "-W", "-f", "${db:Status-Status}", package, fine=(0, 1))
    return said not in ("", "not-installed")


def run(wanted):
    """What the module answers; nothing is changed in check mode."""
    check = wanted.get("_ansible_check_mode", False)
    parts = (present if wanted["state"] == "present" else absent)(Path(wanted["home"]), wanted, check)
    return {"parts": parts, "changed": bool(parts)}


def main():
    wanted = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    try:
        answer = run(wanted)
    except Refused as refusal:
        answer = {"failed": True, "msg": str(refusal), "reason": refusal.reason, "figures": refusal.figures}
    except OSError as error:
        answer = {"failed": True, "msg": str(error)}
    print(json.dumps(answer))


if __name__ == "__main__":
    main()

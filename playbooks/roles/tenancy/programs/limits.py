"""What a tenancy may take of processor, memory and tasks: a slice that systemd reads where it is process 1."""

import os
from pathlib import Path

from ground import EVERYBODYS, SHM, UNITS, account, own_folder, small_file, tool, try_tool, turn

NAME = "50-cloudctl.conf"
CRON, AT = Path("/etc/cron.deny"), Path("/etc/at.deny")
DENIED = "# Written by cloudctl: what these would have started runs outside their limits; their own timers do not."
BARRIER = """# Written by cloudctl; changes are overwritten.
[Unit]
RequiresMountsFor={home}

[Service]
{binds}TemporaryFileSystem={shm}:mode=1777
"""


def run(order):
    """The slice as a file of the share and, where it can bind, known to systemd."""
    path, name = Path(order["path"]), f"cloudctl-{order['id']}.slice"
    text = order["slice"] if order["state"] == "present" else None
    parts = {}
    if order["state"] == "present":
        parts[name] = small_file(path / name, text, 0o644, order["check"])
    if order["home"]:
        parts.update(of_sessions(order, text))
    elif Path("/run/systemd/system").is_dir() and os.geteuid() == 0:
        parts.update(of_services(order, name, text))
    return {"parts": parts}


def of_sessions(order, text):
    """The limits of all that runs as the tenant: its log-ins and its own services, which are in its user's slice."""
    user, check = account(order["id"]), order["check"]
    if not user:
        return {}
    uid = user.pw_uid
    unit, service = f"user-{uid}.slice", f"user@{uid}.service"
    binds = "".join(f"BindPaths={own_folder(order, place)}:{place}\n" for place in EVERYBODYS)
    barrier = BARRIER.format(home=user.pw_dir, binds=binds, shm=SHM) if order["state"] == "present" else None
    parts = {
        "limits": small_file(UNITS / f"{unit}.d" / NAME, text, 0o644, check),
        "services": small_file(UNITS / f"{service}.d" / NAME, barrier, 0o644, check),
    }
    with turn(Path(order["path"]).parent):
        parts.update({file.name: deny(file, order) for file in (CRON, AT)})
    if check:
        return parts
    for folder in (UNITS / f"{unit}.d", UNITS / f"{service}.d"):
        if folder.is_dir() and not list(folder.iterdir()):
            folder.rmdir()
    if set(parts.values()) != {"kept"} or "yes" in tool("systemctl", "show", "-p", "NeedDaemonReload", unit):
        tool("systemctl", "daemon-reload")
    if order["state"] == "present" and not order["shut"]:
        tool("systemctl", "start", unit)
    else:
        try_tool("systemctl", "stop", unit)
    return parts


def deny(file, order):
    """Let the tenant give cron and at nothing to start. Where there is no such file, only Debian's cron lets people."""
    there = file.exists()
    if not there and (file != CRON or not Path("/usr/sbin/cron").exists()):
        return "kept"
    lines = file.read_text(encoding="utf-8").splitlines() if there else [DENIED]
    present = order["state"] == "present"
    if (order["id"] in lines) == present:
        return "kept"
    wanted = [*lines, order["id"]] if present else [line for line in lines if line != order["id"]]
    text = None if wanted == [DENIED] else "".join(line + "\n" for line in wanted)
    return small_file(file, text, file.stat().st_mode & 0o777 if there else 0o644, order["check"])


def of_services(order, name, text):
    """A slice of its own, for whatever an administrator runs in it; stopped while the tenancy is suspended."""
    unit, wanted, check = UNITS / name, UNITS / "multi-user.target.wants" / name, order["check"]
    there = unit.is_symlink() and os.path.realpath(unit) == os.path.realpath(Path(order["path"], name))
    active = try_tool("systemctl", "is-active", name).strip() == "active"
    right = (there and wanted.is_symlink(), active) == (bool(text), bool(text) and not order["shut"])
    if check:
        return {"slice": "kept" if right else "written"}
    if text is None and (unit.is_symlink() or active):
        try_tool("systemctl", "stop", name)
        for link in (wanted, unit):
            if link.is_symlink():
                link.unlink()
        tool("systemctl", "daemon-reload")
    elif text is not None:
        for link, target in ((unit, Path(order["path"], name)), (wanted, unit)):
            link.parent.mkdir(mode=0o755, exist_ok=True)
            if link.is_symlink():
                link.unlink()
            link.symlink_to(target)
        tool("systemctl", "daemon-reload")  # always: a run that was killed may have changed the slice and not said so
        tool("systemctl", "stop" if order["shut"] else "start", name)
    return {"slice": "kept" if right else "written" if text else "removed"}

"""Who gets in: the keys, exactly these, and the record of the tenancy, which is written last and removed first."""

from pathlib import Path

from ground import account, end_all, hold, small_file, tell, tool, try_tool

KEYS = Path("/etc/ssh/cloudctl")  # where the server's sshd looks, and only root writes
LINGER = Path("/var/lib/systemd/linger")


def run(order):
    """Open, shut, or gone."""
    folder, check = Path(order["path"]), order["check"]
    if order["state"] == "absent" and not folder.is_dir() and not account(order["id"]):
        return {"parts": {}}
    if not check:
        hold(folder)
    present = order["state"] == "present"
    keys = order["keys"] if present and not order["shut"] else None
    parts = {}
    if not present:
        parts["facts.json"] = small_file(folder / "facts.json", None, 0, check)
    if order["home"]:
        parts["authorized_keys"] = small_file(KEYS / order["id"], keys, 0o644, check)
        if not check and KEYS.is_dir() and not list(KEYS.iterdir()):
            KEYS.rmdir()
        parts["sessions"] = sessions(order, keys is not None)
    else:
        parts["authorized_keys"] = small_file(folder / "authorized_keys", keys, 0o600, check)
    if present:
        parts["facts.json"] = small_file(folder / "facts.json", order["facts"], 0o644, check)
    return {"parts": parts}


def sessions(order, may_run):
    """Whether the tenant's own services run without a log-in; shut out, nothing of the tenant runs."""
    user, mark = account(order["id"]), LINGER / order["id"]
    if not user:
        return "kept"
    if may_run:
        service = f"user@{user.pw_uid}.service"
        if mark.exists() and try_tool("systemctl", "is-active", service).strip() == "active":
            return "kept"
        if not order["check"]:
            LINGER.mkdir(mode=0o755, parents=True, exist_ok=True)
            mark.touch(mode=0o644)
            try_tool("loginctl", "enable-linger", order["id"])
            tool("systemctl", "start", service)
        return "started"
    lingers, check = mark.exists(), order["check"]
    if not check:
        try_tool("loginctl", "disable-linger", order["id"])
        if mark.exists():
            mark.unlink()
        tell(user.pw_uid, order["sentence"])
    ended = not check and end_all(user.pw_uid)
    return "ended" if lingers or ended else "kept"

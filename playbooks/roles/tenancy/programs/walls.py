"""What keeps the tenants of one server apart: of each other they see no processes and no files and reach no services.

At home files are kept apart by the account; where everybody may write, each tenant has a folder of its own. The parts
in which a whole server has to be changed (processes are hidden, keys are read where only root writes, log-ins get their
folders) come with its first tenancy and go with its last.
"""

import re
import socket
from pathlib import Path

from ground import EVERYBODYS, SHM, UNITS, Refused, account, own_folder, small_file, tool, try_tool, turn

LOGIND = UNITS / "systemd-logind.service.d" / "50-cloudctl.conf"
SSHD = Path("/etc/ssh/sshd_config.d/50-cloudctl.conf")
NETLINK_NETFILTER = 12
WRITTEN = "# Written by cloudctl; changes are overwritten.\n"
SEES_ALL = WRITTEN + "[Service]\nCapabilityBoundingSet=CAP_SYS_PTRACE\n"  # or it loses those who log in
KEYS = WRITTEN + "Match User ten_*\n    AuthorizedKeysFile /etc/ssh/cloudctl/%u\n    PasswordAuthentication no\n"
PAM = Path("/etc/pam.d/sshd")
OWN_FOLDERS = (
    "# Written by cloudctl: tenants have folders of their own for everybody's.\nsession required pam_namespace.so\n"
)
UNIT = """{written}[Unit]
Description=Walls around tenancy {id}
DefaultDependencies=no
After=local-fs.target
Before=systemd-user-sessions.service
RequiresMountsFor={path}

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=mount -o remount,hidepid=invisible /proc
{filter}
[Install]
WantedBy=multi-user.target
"""
FILTER = """ExecStart=nft -f {path}/walls.nft
ExecStop=-nft delete table inet cloudctl_{id}
"""
# Every connection carries the mark of the tenant who began it; a tenant answers to no other tenant's. What has no
# connection that could be refused, UDP, does not go to this server itself, but for names.
TABLE = """{written}table inet cloudctl_{id}
delete table inet cloudctl_{id}
table inet cloudctl_{id} {{
    chain out {{
        type filter hook output priority filter - 10; policy accept;
        meta skuid {uid} ct state new ct mark set {uid}
        meta skuid {uid} ct mark != {{ 0, {uid} }} drop
        meta skuid {uid} fib daddr type local meta l4proto udp udp dport != 53 drop
    }}
}}
"""
BUS = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<!-- Written by cloudctl; changes are overwritten. systemd and its log-ins tell everybody's processes. -->
<busconfig>
  <policy user="{uid}">
    <deny send_destination="org.freedesktop.systemd1"/>
    <deny send_destination="org.freedesktop.login1"/>
  </policy>
</busconfig>
"""


class Walls:
    """The walls of one tenancy, by the names that they have on the server."""

    def __init__(self, order):
        self.id, self.path, self.check = order["id"], Path(order["path"]), order["check"]
        self.unit = UNITS / f"cloudctl-walls-{self.id}.service"
        self.bus = Path(f"/etc/dbus-1/system.d/cloudctl-{self.id}.conf")
        self.spaces = Path(f"/etc/security/namespace.d/{self.id}.conf")
        self.own = [(place, own_folder(order, place)) for place in EVERYBODYS]
        self.rules, self.seen = self.path / "walls.nft", self.path / "walls.seen"
        self.table = f"cloudctl_{self.id}"

    def listed(self):
        """The rules in force, as the kernel has them."""
        return try_tool("nft", "list", "table", "inet", self.table)

    def build(self, uid, filtering):
        parts = server_wide(self.check)
        lines = FILTER.format(path=self.path, id=self.id) if filtering else ""
        unit = UNIT.format(written=WRITTEN, id=self.id, path=self.path, filter=lines)
        rules = TABLE.format(written=WRITTEN, id=self.id, uid=uid) if filtering else None
        parts["walls.unit"] = small_file(self.unit, unit, 0o644, self.check)
        parts["walls.rules"] = small_file(self.rules, rules, 0o600, self.check)
        parts["walls.bus"] = small_file(self.bus, BUS.format(uid=uid), 0o644, self.check)
        parts["walls.folders"] = self.give_folders()
        changed = {name for name in parts if parts[name] != "kept"}
        if "walls.bus" in changed and not self.check:
            tool("systemctl", "reload", "dbus.service")
        stands = self.stands(filtering)
        if self.check or (stands and not changed & {"walls.unit", "walls.rules"}):
            return parts if stands else {**parts, "walls": "written"}
        tool("systemctl", "daemon-reload")
        tool("systemctl", "enable", "--quiet", self.unit.name)
        tool("systemctl", "restart", self.unit.name)
        if filtering:
            small_file(self.seen, self.listed(), 0o600)
        return {**parts, "walls": "written"}

    def give_folders(self):
        """Folders of the tenant's own over those that are everybody's; PAM wants those that hold them shut to all."""
        lines = [f"{place} {own.parent}/ user ~{self.id}\n" for place, own in self.own]
        done = small_file(self.spaces, WRITTEN + "".join(lines) + f"{SHM} tmpfs tmpfs ~{self.id}\n", 0o644, self.check)
        for _, own in self.own:
            if not own.is_dir():
                done = "written"
            if not self.check:
                own.mkdir(parents=True, exist_ok=True)
                own.chmod(0o1777)
                own.parent.chmod(0)
                own.parent.parent.chmod(0o700)
        return done

    def stands(self, filtering):
        """Whether all is in force, and will be after a boot."""
        wanted = UNITS / "multi-user.target.wants" / self.unit.name
        told = self.seen.read_text() if self.seen.exists() else ""
        return hidden() and wanted.is_symlink() and (not filtering or (told and told == self.listed()))

    def tear_down(self):
        parts = {}
        if self.unit.exists():
            parts["walls.unit"] = "removed"
            if not self.check:
                tool("systemctl", "disable", "--now", "--quiet", self.unit.name)
                small_file(self.unit, None, 0)
                tool("systemctl", "daemon-reload")
                try_tool("systemctl", "reset-failed", self.unit.name)
        if filters() and self.listed() and not self.check:
            tool("nft", "delete", "table", "inet", self.table)
        parts["walls.folders"] = small_file(self.spaces, None, 0, self.check)
        parts["walls.bus"] = small_file(self.bus, None, 0, self.check)
        if parts["walls.bus"] != "kept" and not self.check:
            tool("systemctl", "reload", "dbus.service")
        return parts


def server_wide(check):
    """What tenancies need of the whole server."""
    parts = {"server.log-ins": small_file(LOGIND, SEES_ALL, 0o644, check)}
    if parts["server.log-ins"] != "kept" and not check:
        tool("systemctl", "daemon-reload")
        tool("systemctl", "restart", "systemd-logind.service")
    parts["server.keys"] = small_file(SSHD, KEYS, 0o644, check)
    if parts["server.keys"] != "kept" and not check:
        if "/etc/ssh/cloudctl/" not in tool("sshd", "-T", "-C", "user=ten_0,host=localhost,addr=127.0.0.1"):
            small_file(SSHD, None, 0)
            raise Refused("no-drop-ins", file="/etc/ssh/sshd_config")
        reload_sshd()
    parts["server.folders"] = into_log_ins(check)
    return parts


def into_log_ins(check):
    """Have PAM give each tenant who logs in the folders that are theirs; a distribution's own line will do."""
    text = PAM.read_text(encoding="utf-8")
    if re.search(r"^-?session\s.*\bpam_namespace\.so", text, re.M):
        return "kept"
    if not any(Path("/").glob("usr/lib*/**/security/pam_namespace.so")):
        raise Refused("no-tool", tool="pam_namespace.so")
    return small_file(PAM, text + OWN_FOLDERS, 0o644, check)


def as_before():
    """The server as it was before its first tenancy."""
    if small_file(LOGIND, None, 0) == "removed":
        LOGIND.parent.rmdir() if not list(LOGIND.parent.iterdir()) else None
        try_tool("mount", "-o", "remount,hidepid=off", "/proc")
        tool("systemctl", "daemon-reload")
    if small_file(SSHD, None, 0) == "removed":
        reload_sshd()
    small_file(PAM, PAM.read_text(encoding="utf-8").replace(OWN_FOLDERS, ""), 0o644)


def reload_sshd():
    for unit in ("ssh.service", "sshd.service"):
        if try_tool("systemctl", "is-active", unit).strip() == "active":
            tool("systemctl", "reload", unit)
            return


def hidden():
    """Whether nobody sees the processes of others."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    return any(words[1] == "/proc" and ("hidepid=invisible" in words[3] or "hidepid=2" in words[3]) for words in mounts)


def filters():
    """Whether this kernel has a packet filter at all; emulated ones have none."""
    try:
        socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER).close()
    except OSError:
        return False
    return True


def run(order):
    """The walls there or gone; `because` says why there are none in the network."""
    walls = Walls(order)
    filtering = filters()
    with turn(walls.path.parent):
        if order["state"] == "present":
            parts = walls.build(account(order["id"]).pw_uid, filtering)
        else:
            parts = walls.tear_down()
            if not walls.check and not list(UNITS.glob("cloudctl-walls-*.service")):
                as_before()
    return {"parts": parts, "because": None if filtering else "no-netfilter"}

"""The servers driver: tenancies as folders, volumes and slices on bare servers, made by our playbooks."""

import os
import platform
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from cloudctl.kernel.operations import GiveUp
from provisioning import plays, ssh
from provisioning.drivers import Access, Erasure, Inventory, Limit, Log, Observed, Place, Tenancy, Usage
from provisioning.shares import GIB, STORAGE, Share, occupied

COMPUTE = ("vcpu", "memory_gib")
CLASSES = (*COMPUTE, f"{STORAGE}ssd", f"{STORAGE}hdd")
PUBLIC_KEY = re.compile(r"(ssh-|ecdsa-|sk-)[\w@.-]+ [A-Za-z0-9+/]+={0,2}( [^\n]*)?")


@dataclass(frozen=True)
class ServersDriver:
    """Makes tenancies on servers; for now on this machine, in the folder that the place's connection names.

    `jobs` is a folder of the platform's own in which each play has its files while it runs.
    """

    jobs: Path

    def inventory(self, place: Place) -> Inventory:
        """What this machine has in all; storage is what the folder's disk has free, our own volumes not counted."""
        folder = _folder(place)
        disk = os.statvfs(next(path for path in (folder, *folder.parents) if path.exists()))
        storage = disk.f_bavail * disk.f_frsize + occupied(folder)
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return Inventory(
            amounts={
                "vcpu": len(os.sched_getaffinity(0)),
                "memory_gib": memory // GIB,
                f"{STORAGE}ssd": storage // GIB,
            },
            architecture=platform.machine(),
            cpu_family=_cpu_family(),
            traits=() if _unenforced() else ("systemd",),
        )

    def provision(self, tenancy: Tenancy, log: Log, within: timedelta) -> Access:
        """Make the tenancy's share what it shall be: volumes, slice, keys, and the facts file last.

        Raises:
            GiveUp: `bad-connection`, `bad-key`, `not-offered`; `does-not-fit` (more is on a volume than its
                new size holds), `no-space` (the server's disk is full), `no-tool`; `play-failed`.
            RetryLater: `busy`, `timed-out`, `unreachable`, `job-killed`.
        """
        self._play(tenancy, "present", log, within)
        share = _share(tenancy)
        how = {"folder": str(share.folder), "authorized_keys": str(share.keys)}
        how |= {f"volume.{name.removeprefix(STORAGE)}": str(v.path) for name, v in share.volumes().items()}
        if share.slice.exists():
            how["slice"] = str(share.slice)
        volumes = [path for name, path in how.items() if name.startswith("volume.")]
        if volumes:
            how["hint"] = f"debugfs -w -R 'write FILE NAME' {volumes[0]}"
        return Access(how=how, limits=_limits(tenancy.size))

    resize = provision
    rotate = provision

    def suspend(self, tenancy: Tenancy, log: Log, within: timedelta) -> None:
        """Refuse access and keep the data: keys are taken away, volumes lose the name that was handed over."""
        self._play(replace(tenancy, suspended=True), "present", log, within)

    def resume(self, tenancy: Tenancy, log: Log, within: timedelta) -> None:
        """Give back what `suspend` took."""
        self._play(replace(tenancy, suspended=False), "present", log, within)

    def remove(self, tenancy: Tenancy, log: Log, within: timedelta) -> Erasure:
        """Overwrite the volumes, see that nothing can be read from them, and leave nothing.

        Where nothing is, zero bytes are overwritten.
        """
        volumes = self._play(tenancy, "absent", log, within)["erased"]
        return Erasure("overwrite-zeros", sum(volumes.values()), verified=True, details={"volumes": volumes})

    def observe(self, tenancy: Tenancy) -> Observed | None:
        """What really lies in the folder; none where there is none."""
        share = _share(tenancy)
        return _observed(share) if share.exists() else None

    def survey(self, place: Place) -> Mapping[str, Observed]:
        """What lies in the folder, by the tenancy's id."""
        shares = [Share(path, path.name) for path in sorted(_folder(place).glob("ten_*")) if path.is_dir()]
        return {share.id: _observed(share) for share in shares}

    def usage(self, tenancy: Tenancy) -> Usage:
        """GiB taken of each volume, by its superblock; compute is not measured here."""
        return Usage({name: round(volume.used / GIB, 3) for name, volume in _share(tenancy).volumes().items()})

    def _play(self, tenancy: Tenancy, state: str, log: Log, within: timedelta) -> Mapping[str, Any]:
        """Run the tenancy's playbook; returns what its share's task answered."""
        size = {resource: amount for resource, amount in tenancy.size.items() if amount}
        for resource in size:
            if resource not in CLASSES:
                raise GiveUp("not-offered", resource=resource, offered=list(CLASSES))
        for number, key in enumerate(tenancy.keys, start=1):
            if not PUBLIC_KEY.fullmatch(key.strip()):
                raise GiveUp("bad-key", number=number)
        record = {"name": tenancy.name, "project": tenancy.project, "department": tenancy.department}
        variables = {
            **_connection(tenancy.place),
            "tenancy_id": tenancy.id,
            "tenancy_folder": str(_folder(tenancy.place)),
            "tenancy_state": state,
            "tenancy_suspended": tenancy.suspended,
            "tenancy_volumes": {name.removeprefix(STORAGE): n for name, n in size.items() if name.startswith(STORAGE)},
            "tenancy_vcpu": size.get("vcpu", 0),
            "tenancy_memory_gib": size.get("memory_gib", 0),
            "tenancy_keys": [key.strip() for key in tenancy.keys],
            "tenancy_record": {**record, "pool": tenancy.place.pool},
        }
        return plays.run(self.jobs, tenancy.id, "tenancy.yml", variables, log, within)["Share"]


def _connection(place: Place) -> Mapping[str, Any]:
    """How Ansible gets to the server, as host variables."""
    if place.connection.get("connection") == "ssh":
        return ssh.variables(place)
    if place.connection.get("connection") != "local":
        raise GiveUp("bad-connection", field="connection")
    return {
        "ansible_connection": "local",
        "ansible_python_interpreter": "{{ ansible_playbook_python }}",
        "ansible_remote_tmp": "{{ lookup('ansible.builtin.env', 'HOME') }}/tmp",  # the job's folder
    }


def _folder(place: Place) -> Path:
    folder = place.connection.get("folder")
    if not isinstance(folder, str) or not Path(folder).is_absolute():
        raise GiveUp("bad-connection", field="folder")
    return Path(folder)


def _share(tenancy: Tenancy) -> Share:
    return Share(_folder(tenancy.place) / tenancy.id, tenancy.id)


def _observed(share: Share) -> Observed:
    size = share.size()
    return Observed(size, tuple(share.admitted()), suspended=not share.is_open(), limits=_limits(size))


def _unenforced() -> str | None:
    """Why this machine cannot hold anybody to a slice; none when it can."""
    if not Path("/run/systemd/system").is_dir():
        return "no-systemd"
    return None if os.geteuid() == 0 else "not-root"


def _limits(size: Mapping[str, int]) -> tuple[Limit, ...]:
    """A volume cannot outgrow its image; a slice binds only where systemd reads it."""
    because = _unenforced()
    return tuple(
        Limit(resource, amount, enforced=not because, because=because)
        if resource in COMPUTE
        else Limit(resource, amount, enforced=True)
        for resource, amount in size.items()
        if amount
    )


def _cpu_family() -> str:
    """The processor's model as lscpu knows it: /proc/cpuinfo carries only numbers on arm64."""
    try:
        said = subprocess.run(["lscpu"], env={**os.environ, "LC_ALL": "C"}, capture_output=True, text=True).stdout
    except FileNotFoundError:
        said = Path("/proc/cpuinfo").read_text()
    found = re.search(r"^model name\s*:\s*(.+)$", said, re.M | re.I)
    return found[1].strip() if found else "unknown"

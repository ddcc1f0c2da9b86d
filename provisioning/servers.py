"""The servers driver: tenancies as accounts, volumes, limits and walls on bare servers, made by our playbooks."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from cloudctl.kernel.operations import GiveUp
from provisioning import plays, shares, ssh
from provisioning.drivers import Access, Endpoint, Erasure, Inventory, Limit, Log, Observed, Place, Tenancy, Usage
from provisioning.shares import GIB, STORAGE

COMPUTE = ("vcpu", "memory_gib")
CLASSES = (*COMPUTE, f"{STORAGE}ssd", f"{STORAGE}hdd")
HOMES = "/srv"
PUBLIC_KEY = re.compile(r"(ssh-|ecdsa-|sk-)[\w@.-]+ [A-Za-z0-9+/]+={0,2}( [^\n]*)?")
SENTENCE = "租户正在变更，您已被登出。This tenancy is being changed; you are logged out."


@dataclass(frozen=True)
class ServersDriver:
    """Makes tenancies on servers: whole ones over SSH, or on this machine as files in a folder, which needs no root.

    `jobs` is a folder of the platform's own in which each play has its files while it runs.
    """

    jobs: Path

    def check(self, place: Place) -> None:
        """See that what the connection says has the right form; what it lacks is told when a server is looked at."""
        said = place.connection
        if said.get("connection", "local") not in ("local", "ssh"):
            raise GiveUp("bad-connection", field="connection")
        if said.get("connection") == "ssh":
            ssh.check(said)
        if "folder" in said:
            _folder(place)

    def inventory(self, place: Place) -> Inventory:
        """What the server has in all; storage is what the folder's disk has free, our own volumes not counted."""
        has = _look(place)["server"]
        amounts = {name: has[name] for name in COMPUTE} | {f"{STORAGE}ssd": has["storage_gib"]}
        return Inventory(amounts, has["architecture"], has["cpu_family"], tuple(has["traits"]))

    def provision(self, tenancy: Tenancy, log: Log, within: timedelta) -> Access:
        """Make the tenancy's share what it shall be: account, volumes, limits, walls, and who gets in last.

        Raises:
            GiveUp: `bad-connection`, `bad-key`, `not-offered`; `does-not-fit` (more is on a volume than its
                new size holds), `no-space` (the server's disk is full), `no-tool`, `volume-damaged`,
                `two-volumes`, `account-taken`, `no-drop-ins`; `play-failed`; whatever `ssh` gives up for.
            RetryLater: `busy`, `timed-out`, `unreachable`, `job-killed`.
        """
        self._play(tenancy, "present", log, within)
        share = _share(tenancy)
        if share is None:
            raise GiveUp("nothing-there", tenancy=tenancy.id)
        return _access(tenancy, share)

    resize = provision
    rotate = provision

    def suspend(self, tenancy: Tenancy, log: Log, within: timedelta) -> None:
        """Refuse access and keep the data: keys are taken away, sessions ended, volumes unmounted and renamed."""
        self._play(replace(tenancy, suspended=True), "present", log, within)

    def resume(self, tenancy: Tenancy, log: Log, within: timedelta) -> None:
        """Give back what `suspend` took."""
        self._play(replace(tenancy, suspended=False), "present", log, within)

    def remove(self, tenancy: Tenancy, log: Log, within: timedelta) -> Erasure:
        """Overwrite the volumes, see that nothing can be read from them, and leave nothing.

        Where nothing is, zero bytes are overwritten.
        """
        volumes = self._play(tenancy, "absent", log, within)["Volumes"]["erased"]
        return Erasure("overwrite-zeros", sum(volumes.values()), verified=True, details={"volumes": volumes})

    def observe(self, tenancy: Tenancy) -> Observed | None:
        """What really lies on the server; none where nothing does."""
        share = _share(tenancy)
        return _observed(share) if share else None

    def survey(self, place: Place) -> Mapping[str, Observed]:
        """What lies on the server, by the tenancy's id; it is asked once."""
        return {id: _observed(share) for id, share in _look(place)["shares"].items()}

    def usage(self, tenancy: Tenancy) -> Usage:
        """GiB taken of each volume, by its file system; compute is not measured here."""
        used = (_share(tenancy) or {"used": {}})["used"]
        return Usage({resource: round(taken / GIB, 3) for resource, taken in used.items()})

    def _play(self, tenancy: Tenancy, state: str, log: Log, within: timedelta) -> Mapping[str, Any]:
        """Run the tenancy's playbook; returns what its tasks answered."""
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
            "tenancy_folder": _folder(tenancy.place),
            "tenancy_home": _home(tenancy.place),
            "tenancy_sentence": SENTENCE,
            "tenancy_state": state,
            "tenancy_suspended": tenancy.suspended,
            "tenancy_volumes": {name.removeprefix(STORAGE): n for name, n in size.items() if name.startswith(STORAGE)},
            "tenancy_vcpu": size.get("vcpu", 0),
            "tenancy_memory_gib": size.get("memory_gib", 0),
            "tenancy_keys": [key.strip() for key in tenancy.keys],
            "tenancy_record": {**record, "pool": tenancy.place.pool},
        }
        files = {"known_hosts": ssh.known_hosts(tenancy.place)} if _home(tenancy.place) else {}
        return plays.run(self.jobs, tenancy.id, "tenancy.yml", variables, log, within, files)


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


def _folder(place: Place) -> str:
    folder = place.connection.get("folder")
    if not isinstance(folder, str) or not Path(folder).is_absolute():
        raise GiveUp("bad-connection", field="folder")
    return folder


def _home(place: Place) -> str | None:
    """Below which folder tenants are at home; none on this machine itself, where nobody logs in."""
    return HOMES if place.connection.get("connection") == "ssh" else None


def _look(place: Place, *ids: str) -> Mapping[str, Any]:
    """One look at the server: at these tenancies, or at all of them and at what the server has."""
    _connection(place)
    folder, home = _folder(place), _home(place)
    if home is None:
        return shares.look(folder, None, *ids)
    found: Mapping[str, Any] = ssh.ask(place, Path(shares.__file__).read_text(encoding="utf-8"), folder, home, *ids)
    return found


def _share(tenancy: Tenancy) -> Mapping[str, Any] | None:
    found: Mapping[str, Any] | None = _look(tenancy.place, tenancy.id)["shares"].get(tenancy.id)
    return found


def _access(tenancy: Tenancy, share: Mapping[str, Any]) -> Access:
    """How the tenant gets in: by SSH, or at files of this machine."""
    place, limits = tenancy.place, _limits(share)
    if not _home(place):
        folder = Path(_folder(place), tenancy.id)
        how = {"folder": str(folder), "authorized_keys": str(folder / "authorized_keys")}
        how |= {f"volume.{name.removeprefix(STORAGE)}": path for name, path in share["volumes"].items()}
        how |= {"slice": share["slice"]} if share["slice"] else {}
        if share["volumes"]:
            how["hint"] = f"debugfs -w -R 'write FILE NAME' {next(iter(share['volumes'].values()))}"
        return Access(how, limits=limits)
    address, port = str(place.address), place.connection.get("port", 22)
    how = {
        "ssh": f"ssh -p {port} {tenancy.id}@{address}",
        "user": tenancy.id,
        "address": address,
        "port": str(port),
        "host_key": str(place.host_key),
    }
    how |= {f"volume.{n}": f"{HOMES}/{tenancy.id}/{n}" for n in (s.removeprefix(STORAGE) for s in share["volumes"])}
    return Access(how, endpoints=[Endpoint(address, port)], limits=limits)


def _observed(share: Mapping[str, Any]) -> Observed:
    keys, damaged = tuple(share["keys"]), tuple(share["damaged"])
    return Observed(share["size"], keys, share["suspended"], _limits(share), damaged)


def _limits(share: Mapping[str, Any]) -> tuple[Limit, ...]:
    """A volume cannot outgrow its image; a slice binds as far as the server's control groups say so."""
    because = share["unenforced"]
    return tuple(
        Limit(resource, amount, enforced=not because.get(resource), because=because.get(resource))
        for resource, amount in share["size"].items()
        if amount
    )

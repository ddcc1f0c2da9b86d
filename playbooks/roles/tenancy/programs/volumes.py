"""The volumes of one tenancy, one for each storage class: of exactly their size, mounted where it has an account."""

import os
from pathlib import Path

import images
from ground import PART, UNITS, Refused, account, end_all, hold, small_file, tell, tool, try_tool
from images import GIB, OLD

CLASSES = ("ssd", "hdd")
OPEN, SHUT = ".ext4", ".ext4.shut"
MINE = tuple(name + shut + end for name in CLASSES for shut in (OPEN, SHUT) for end in (PART, OLD))
UNIT = """# Written by cloudctl; changes are overwritten.
[Unit]
Description=Volume {name} of tenancy {id}

[Mount]
What={image}
Where={where}
Type=ext4
Options=loop,nosuid,nodev

[Install]
WantedBy=multi-user.target
"""


class Mount:
    """Where a volume is mounted for the tenant: by a unit of systemd, so that it is there again after a boot."""

    def __init__(self, home, id, name, image):
        self.where, self.image = Path(home, id, name), image
        self.unit = UNITS / (str(self.where).strip("/").replace("/", "-") + ".mount")
        self.text = UNIT.format(name=name, id=id, image=image, where=self.where)
        self.id = id

    @property
    def device(self):
        """What is mounted there; none when nothing is."""
        for line in Path("/proc/self/mountinfo").read_text().splitlines():
            words = line.split()
            if words[4] == str(self.where):
                return Path(words[words.index("-") + 2])
        return None

    def is_right(self):
        wanted = UNITS / "multi-user.target.wants" / self.unit.name
        return self.device and wanted.is_symlink() and self.unit.exists() and self.unit.read_text() == self.text

    def start(self, check):
        """Mounted now and after every boot, its topmost folder the tenant's alone."""
        user = account(self.id)
        if self.is_right():
            done = "kept"
        else:
            done = "mounted"
            if not check:
                self.where.mkdir(mode=0o755, parents=True, exist_ok=True)
                small_file(self.unit, self.text, 0o644)
                tool("systemctl", "daemon-reload")
                try_tool("systemctl", "reset-failed", self.unit.name)
                tool("systemctl", "enable", "--now", self.unit.name)
        if self.device:
            top = self.where.stat()
            if (top.st_uid, top.st_gid, top.st_mode & 0o777) != (user.pw_uid, user.pw_gid, 0o700) and not check:
                os.chown(self.where, user.pw_uid, user.pw_gid)
                self.where.chmod(0o700)
        return done

    def stop(self, sentence):
        """Not mounted, nor after a boot; whoever uses it is told, and ended."""
        user = account(self.id)
        if self.device and user:
            tell(user.pw_uid, sentence)
            end_all(user.pw_uid)
        if self.unit.exists() or self.device:
            tool("systemctl", "disable", "--now", self.unit.name)
        if self.device:  # systemd did not know of it
            tool("umount", self.where)
        if small_file(self.unit, None, 0) == "removed":
            tool("systemctl", "daemon-reload")
            try_tool("systemctl", "reset-failed", self.unit.name)
        if self.where.is_dir():
            self.where.rmdir()


def present(folder, order):
    """Bring each class to its size; returns what was done to each part."""
    parts, check = {}, order["check"]
    if not check:
        hold(folder)
        sweep(folder)
    for name in CLASSES:
        try:
            parts[name + OPEN] = volume(folder, name, order)
        except Refused as refusal:
            refusal.figures.setdefault("resource", "storage_gib." + name)
            raise
    return parts


def volume(folder, name, order):
    """One volume: its size, whether it lies under the name that was handed over, and whether it is mounted."""
    check, wanted = order["check"], order["volumes"].get(name, 0) * GIB
    there = only(folder, name)
    now = folder / (name + (SHUT if order["shut"] else OPEN))
    mount = Mount(order["home"], order["id"], name, folder / (name + OPEN)) if order["home"] else None
    if mount and mount.device and (order["shut"] or not there) and not check:
        mount.stop(order["sentence"])
    if not wanted:
        return drop(there, mount, order) if there else "kept"
    done = converge(there or now, wanted, mount, order)
    if there not in (None, now):
        done = "moved" if done == "kept" else done
        if not check:
            there.rename(now)
    if mount and not order["shut"]:
        mounted = mount.start(check)
        return mounted if done == "kept" else done
    return done


def only(folder, name):
    """The image of a class; with two of them nobody can say which one is the tenant's."""
    found = [path for path in (folder / (name + OPEN), folder / (name + SHUT)) if path.exists()]
    if len(found) > 1:
        raise Refused("two-volumes", volume=str(found[0]), other=str(found[1]))
    return found[0] if found else None


def converge(image, wanted, mount, order):
    """Make the image, its file system and its file alike, exactly so large; returns what was done."""
    if not image.exists():
        if not order["check"]:
            user = account(order["id"]) if mount else None
            images.make(image, wanted, (user.pw_uid, user.pw_gid) if user else (os.geteuid(), os.getegid()))
        return "made"
    device = mount.device if mount else None
    there = images.superblock(device or image)
    if there.bytes == wanted == image.stat().st_size and (device or there.clean):
        return "kept"
    done = "grown" if there.bytes < wanted else "shrunk" if there.bytes > wanted else "repaired"
    if not order["check"]:
        if device and done == "grown" and images.grow_mounted(image, device, wanted):
            return done
        if device:
            images.must_fit(device, wanted)
            mount.stop(order["sentence"])
        images.resize(image, wanted)
    return done


def drop(image, mount, order):
    """Erase a volume that is not wanted any more, unless somebody's files are on it."""
    if mount and mount.device:
        os.sync()
    if not images.superblock((mount and mount.device) or image).empty:
        images.must_fit((mount and mount.device) or image, 0)
    if not order["check"]:
        if mount:
            mount.stop(order["sentence"])
        images.erase(image)
    return "erased"


def sweep(folder):
    """Take away what a killed run left; it may hold the tenant's data, so it is erased, not merely unlinked."""
    rests = [folder / name for name in MINE if (folder / name).is_file()]
    kept = {path.stat().st_ino for path in folder.iterdir() if path not in rests and path.is_file()}
    for rest in rests:
        if rest.stat().st_ino in kept:  # killed between link and rename: the old one is still the image
            rest.unlink()
        else:
            images.erase(rest)


def absent(folder, order):
    """Erase all that lies in the folder; returns what was done to each part, and bytes overwritten by volume."""
    parts, erased, check = {}, {}, order["check"]
    if order["home"] and not check:
        for name in CLASSES:
            Mount(order["home"], order["id"], name, folder / (name + OPEN)).stop(order["sentence"])
    if folder.is_dir():
        if not check:
            hold(folder)
        for image in sorted(path for path in folder.iterdir() if OPEN in path.name and not path.is_symlink()):
            parts[image.name] = "erased"
            if not check:
                erased[image.name] = images.erase(image)
    return parts, erased


def run(order):
    """What the program answers; nothing is changed in check mode."""
    folder = Path(order["path"])
    if order["state"] == "present":
        return {"parts": present(folder, order), "erased": {}}
    parts, erased = absent(folder, order)
    return {"parts": parts, "erased": erased}

#!/usr/bin/python
# WANT_JSON
"""One tenancy's share of a server, in one run on the server: its volumes and its small files, there or gone.

A plain program that takes its arguments as JSON, because that runs in a tenth of a second where a module built on
AnsibleModule takes most of one, and many on an emulated or slow server; the role's argument spec checks the types.
A run that was killed at any moment is completed by the next; two runs on one folder wait for each other.
"""

import errno
import fcntl
import json
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

DOCUMENTATION = r"""
module: tenancy_share
short_description: One tenancy's share of a server
description:
  - Keeps a folder with one ext4 image for each storage class and small files written whole.
options:
  path: {description: Folder of this share alone., type: path, required: true}
  state:
    description: Absent overwrites the volumes with zeros, verifies, and removes the folder.
    choices: [present, absent]
    required: true
  volumes: {description: "Size in GiB of each volume, by storage class.", type: dict, required: true}
  shut: {description: Shut volumes keep their data under a name that was handed to nobody., type: bool, required: true}
  files:
    description:
      - Small files (name, content, mode) in the order of writing, removed the other way round.
      - A file without content shall not be there.
    type: list
    required: true
"""

RETURN = r"""
parts: {description: What was done to each part that was not right already., type: dict, returned: always}
erased: {description: "Bytes overwritten on each volume; only zeros were read back.", type: dict, returned: always}
systemd: {description: "Whether a slice can bind here: systemd is process 1, and we are root.", type: bool}
reason: {description: "Why it cannot be done, as a slug; `figures` go with it.", type: str}
"""

CLASSES = ("ssd", "hdd")
OPEN, SHUT = ".ext4", ".ext4.shut"
PART, OLD = ".part", ".old"  # what is not whole yet; the image that a smaller one replaced, until it is erased
GIB, CHUNK, BLOCK = 1 << 30, 1 << 20, 4096
FRESH_INODES = 11  # what mke2fs uses: ten reserved ones and lost+found
TOOLS = {"PATH": "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C"}


class Refused(Exception):
    """The share cannot be what is wanted: `reason` is a slug, `figures` say why."""

    def __init__(self, reason, **figures):
        super().__init__(f"{reason}: {figures}")
        self.reason, self.figures = reason, figures


class Superblock(NamedTuple):
    """What an ext4 file system says of itself: its size, whether files are on it, whether it was left in order."""

    bytes: int
    empty: bool
    clean: bool


def superblock(image):
    with image.open("rb") as raw:
        raw.seek(1024)
        block = raw.read(1024)
    inodes, low, free_inodes, log_block, high, orphan_inode = (
        struct.unpack_from("<I", block, at)[0] for at in (0, 4, 16, 24, 0x150, 0x280)
    )
    state = struct.unpack_from("<H", block, 58)[0]
    fresh = FRESH_INODES + bool(orphan_inode)  # newer mke2fs keeps orphans in a file
    return Superblock((high << 32 | low) * (1024 << log_block), inodes - free_inodes <= fresh, state == 1)


def converge(image, gib, check):
    """Make the image, its file system and its file alike, exactly `gib` GiB; returns what was done.

    A kill at any moment leaves an image that the next call brings to its size with its data: a new one
    appears by rename, a growing one only gets longer, a shrinking one is a copy until it is whole.
    """
    wanted = gib * GIB
    if not image.exists():
        return "made" if check else make(image, wanted)
    there = superblock(image)
    if there.bytes == wanted == image.stat().st_size and there.clean:
        return "kept"
    done = "grown" if there.bytes < wanted else "shrunk" if there.bytes > wanted else "repaired"
    if not check:
        if done != "shrunk":
            os.truncate(image, wanted)
        tool("e2fsck", "-f", "-y", image, fine=(0, 1, 2))
        if done == "shrunk":
            shrink(image, wanted)
        elif done == "grown":
            tool("resize2fs", image)
        sync(image)
    return done


def make(image, wanted):
    part = image.with_name(image.name + PART)
    part.touch(mode=0o600, exist_ok=False)
    os.truncate(part, wanted)
    options = f"lazy_itable_init=1,lazy_journal_init=1,nodiscard,root_owner={os.geteuid()}:{os.getegid()}"
    tool("mke2fs", "-q", "-F", "-t", "ext4", "-b", BLOCK, "-m", 0, "-E", options, part)
    sync(part)
    part.rename(image)
    return "made"


def shrink(image, wanted):
    """Shrink a copy: resize2fs moves blocks when it shrinks, and a kill would tear the only one there is."""
    part, old = image.with_name(image.name + PART), image.with_name(image.name + OLD)
    if least(image) > wanted:
        raise Refused("does-not-fit", needed_gib=-(-least(image) // GIB), wanted_gib=wanted // GIB)
    copy(image, part)
    tool("resize2fs", part, wanted // BLOCK)
    os.truncate(part, wanted)
    sync(part)
    os.link(image, old)
    part.rename(image)
    erase(old)


def least(image):
    """The bytes below which the file system cannot be shrunk, as resize2fs estimates it."""
    return int(tool("resize2fs", "-P", image).rsplit(":", 1)[1]) * BLOCK


def copy(image, part):
    part.touch(mode=0o600, exist_ok=False)
    os.truncate(part, image.stat().st_size)
    with image.open("rb") as source, part.open("r+b") as target:
        for start, length in written(source):
            source.seek(start)
            target.seek(start)
            target.write(source.read(length))


def sweep(folder):
    """Take away what a killed run left; it may hold the tenant's data, so it is erased, not merely unlinked."""
    rests = [path for path in folder.iterdir() if path.suffix in (PART, OLD)]
    kept = {path.stat().st_ino for path in folder.iterdir() if path not in rests}
    for rest in rests:
        if rest.stat().st_ino in kept:  # killed between link and rename: the old one is still the image
            rest.unlink()
        else:
            erase(rest)


def erase(path):
    """Overwrite with zeros all that the file occupies, see that nothing else can be read from it, unlink it.

    Returns the bytes overwritten. Holes of a sparse file were never written; they are not filled.
    """
    done = 0
    with path.open("r+b", buffering=0) as file:
        for start, length in list(written(file)):
            file.seek(start)
            done += file.write(bytes(length))
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)  # so that the disk is read, not the cache
        for start, length in written(file):
            file.seek(start)
            if file.read(length).strip(b"\0"):
                raise Refused("not-erased", volume=path.name, offset=start)
    path.unlink()
    return done


def written(file):
    """The allocated stretches of a sparse file as (start, length), none longer than a chunk."""
    end = 0
    while True:
        try:
            start = os.lseek(file.fileno(), end, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return
            raise
        end = os.lseek(file.fileno(), start, os.SEEK_HOLE)
        for at in range(start, end, CHUNK):
            yield at, min(CHUNK, end - at)


def sync(path):
    with path.open("rb") as file:
        os.fsync(file.fileno())


def tool(*words, fine=(0,)):
    """Run a tool of e2fsprogs, which an ordinary user's PATH may not have; returns what it printed."""
    try:
        done = subprocess.run([str(word) for word in words], env=TOOLS, stdin=subprocess.DEVNULL, capture_output=True)
    except FileNotFoundError:
        raise Refused("no-tool", tool=words[0]) from None
    if done.returncode not in fine:
        raise OSError(f"{words[0]}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout.decode()


def volume(stem, gib, shut, check):
    """One volume: its size, and whether it lies under the name that was handed over."""
    now, other = (stem + SHUT, stem + OPEN) if shut else (stem + OPEN, stem + SHUT)
    now, other = Path(now), Path(other)
    there = other if other.exists() else now
    if not gib:
        return drop(there, check) if there.exists() else "kept"
    done = converge(there, gib, check)
    if there == now:
        return done
    if not check:
        there.rename(now)
    return "moved" if done == "kept" else done


def drop(image, check):
    """Erase a volume that is not wanted any more, unless somebody's files are on it."""
    if not superblock(image).empty:
        raise Refused("does-not-fit", needed_gib=-(-least(image) // GIB), wanted_gib=0)
    if not check:
        erase(image)
    return "erased"


def small_file(path, content, mode, check):
    """One small file, written whole: whoever reads it sees the old text or the new one."""
    there = path.exists()
    if content is None:
        if there and not check:
            path.unlink()
        return "removed" if there else "kept"
    if there and path.read_text(encoding="utf-8") == content and path.stat().st_mode & 0o777 == mode:
        return "kept"
    if not check:
        part = path.with_name(path.name + PART)
        part.touch(mode=0o600)
        part.write_text(content, encoding="utf-8")
        part.chmod(mode)
        sync(part)
        part.replace(path)
    return "written"


def present(folder, wanted, check):
    """Bring the folder to what is wanted; returns what was done to each part."""
    parts = {}
    if not check:
        hold(folder)
        sweep(folder)
    for name in CLASSES:
        try:
            parts[name + OPEN] = volume(str(folder / name), wanted["volumes"].get(name, 0), wanted["shut"], check)
        except Refused as refusal:
            refusal.figures["resource"] = "storage_gib." + name
            raise
    for file in wanted["files"]:
        parts[file["name"]] = small_file(folder / file["name"], file["content"], int(file["mode"], 8), check)
    return parts


def absent(folder, wanted, check):
    """Take everything away, the record first; returns what was done to each part, and bytes overwritten by volume."""
    parts, erased = {}, {}
    if folder.is_dir():
        hold(folder)
        for file in reversed(wanted["files"]):
            parts[file["name"]] = small_file(folder / file["name"], None, 0, check)
        for image in sorted(path for path in folder.iterdir() if path.is_file() and not check):
            erased[image.name] = erase(image)
            parts[image.name] = "erased"
        if not check:
            shutil.rmtree(folder)
        parts[folder.name] = "removed"
    return parts, erased


def hold(folder):
    """Lock the folder until this process ends: a run that outlived its play must not work beside the next one."""
    while True:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(folder, os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.is_dir() and os.path.samestat(folder.stat(), os.fstat(lock)):
            return
        os.close(lock)  # it was removed while we waited


def run(wanted):
    """What the module answers; nothing is changed in check mode."""
    folder, check = Path(wanted["path"]), wanted.get("_ansible_check_mode", False)
    answer = {"systemd": Path("/run/systemd/system").is_dir() and os.geteuid() == 0, "erased": {}}
    if wanted["state"] == "present":
        answer["parts"] = present(folder, wanted, check)
    else:
        answer["parts"], answer["erased"] = absent(folder, wanted, check)
    answer["parts"] = {part: done for part, done in answer["parts"].items() if done != "kept"}
    return {**answer, "changed": bool(answer["parts"])}


def main():
    wanted = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    try:
        answer = run(wanted)
    except Refused as refusal:
        answer = {"failed": True, "msg": str(refusal), "reason": refusal.reason, "figures": refusal.figures}
    except OSError as error:
        answer = {"failed": True, "msg": str(error)}
        if error.errno == errno.ENOSPC or "No space left" in str(error):
            free = shutil.disk_usage(Path(wanted["path"]).parent).free
            answer.update(reason="no-space", figures={"free_gib": round(free / GIB, 2)})
    print(json.dumps(answer))


if __name__ == "__main__":
    main()

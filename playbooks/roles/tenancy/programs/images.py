"""A volume as an ext4 file system in a sparse file: made, grown, shrunk, erased; no root is needed.

A kill at any moment leaves an image that the next call brings to its size with its data: a new one appears by
rename, a growing one only gets longer, a shrinking one is a copy until it is whole.
"""

import errno
import os
import struct
from typing import NamedTuple

from ground import PART, Refused, sync, tool

OLD = ".cloudctl-old"  # the image that a smaller one replaced, until it is erased
GIB, CHUNK, BLOCK = 1 << 30, 1 << 20, 4096
FRESH_INODES = 11  # what mke2fs uses: ten reserved ones and lost+found
MAGIC = 0xEF53


class Superblock(NamedTuple):
    """What an ext4 file system says of itself: its size, whether files are on it, whether it was left in order."""

    bytes: int
    empty: bool
    clean: bool


def superblock(image):
    """Read 1,024 bytes into an image, or into the device that it is mounted from."""
    with image.open("rb") as raw:
        raw.seek(1024)
        block = raw.read(1024)
    if len(block) < 1024 or struct.unpack_from("<H", block, 56)[0] != MAGIC:
        raise Refused("volume-damaged", volume=str(image))
    inodes, low, free_inodes, log_block, high, orphan_inode = (
        struct.unpack_from("<I", block, at)[0] for at in (0, 4, 16, 24, 0x150, 0x280)
    )
    state = struct.unpack_from("<H", block, 58)[0]
    fresh = FRESH_INODES + bool(orphan_inode)  # newer mke2fs keeps orphans in a file
    return Superblock((high << 32 | low) * (1024 << log_block), inodes - free_inodes <= fresh, state == 1)


def make(image, wanted, owner):
    """A new file system; `owner` are the numbers of the user and group who have its topmost folder."""
    part = image.with_name(image.name + PART)
    part.touch(mode=0o600, exist_ok=False)
    os.truncate(part, wanted)
    options = "lazy_itable_init=1,lazy_journal_init=1,nodiscard,root_owner={}:{}".format(*owner)
    tool("mke2fs", "-q", "-F", "-t", "ext4", "-b", BLOCK, "-m", 0, "-E", options, part)
    sync(part)
    part.rename(image)


def resize(image, wanted):
    """Bring the file system and its file to exactly so many bytes, while nobody has it mounted."""
    there = superblock(image)
    if there.bytes <= wanted:
        os.truncate(image, wanted)
    tool("e2fsck", "-f", "-y", image, fine=(0, 1, 2))
    if there.bytes > wanted:
        shrink(image, wanted)
    elif there.bytes < wanted:
        tool("resize2fs", image)
    sync(image)


def grow_mounted(image, device, wanted):
    """Make it larger while it is in use; returns whether this kernel lets us do that."""
    os.truncate(image, wanted)
    tool("losetup", "--set-capacity", device)
    tool("resize2fs", device, fine=())
    os.sync()
    return superblock(device).bytes == wanted


def shrink(image, wanted):
    """Shrink a copy: resize2fs moves blocks when it shrinks, and a kill would tear the only one there is."""
    part, old = image.with_name(image.name + PART), image.with_name(image.name + OLD)
    must_fit(image, wanted)
    copy(image, part)
    tool("resize2fs", part, wanted // BLOCK)
    with part.open("r+b", buffering=0) as file:
        zero(file, wanted)  # what was moved from the end still lies there, and truncating only lets go of it
        file.truncate(wanted)
    sync(part)
    os.link(image, old)
    part.rename(image)
    erase(old)


def must_fit(image, wanted):
    """See that the file system can be as small as that, by resize2fs's own estimate."""
    least = int(tool("resize2fs", "-P", image).rsplit(":", 1)[1]) * BLOCK
    if least > wanted:
        raise Refused("does-not-fit", needed_gib=-(-least // GIB), wanted_gib=wanted // GIB)


def copy(image, part):
    part.touch(mode=0o600, exist_ok=False)
    os.truncate(part, image.stat().st_size)
    with image.open("rb") as source, part.open("r+b") as target:
        for start, length in written(source):
            source.seek(start)
            target.seek(start)
            target.write(source.read(length))


def erase(path):
    """Overwrite with zeros all that the file occupies, see that nothing else can be read from it, unlink it.

    Returns the bytes overwritten. Holes of a sparse file were never written; they are not filled.
    """
    with path.open("r+b", buffering=0) as file:
        done = zero(file)
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)  # so that the disk is read, not the cache
        for start, length in written(file):
            file.seek(start)
            if file.read(length).strip(b"\0"):
                raise Refused("not-erased", volume=path.name, offset=start)
    path.unlink()
    return done


def zero(file, begin=0):
    """Overwrite all that is allocated from there on; returns how many bytes that was."""
    done = 0
    for start, length in list(written(file, begin)):
        file.seek(start)
        done += file.write(bytes(length))
    os.fsync(file.fileno())
    return done


def written(file, begin=0):
    """The allocated stretches of a sparse file as (start, length), none longer than a chunk."""
    end = begin
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

"""What makes a root file system and a few namespaces into a server: its disk, its devices, its systemd."""

import os
import shutil
import signal
import socket
import stat
import subprocess
import uuid
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from tests.beds.servers import cgroups, linux, loops
from tests.beds.servers.processors import PROCESSORS

CALM = linux.NO_SUID | linux.NO_DEV | linux.NO_EXEC
DEVICES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "tty": (5, 0)}
LINKS = {"ptmx": "pts/ptmx", "fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2"}
SHOWN = {"cpuinfo": "proc/cpuinfo", "meminfo": "proc/meminfo", "cpu": "sys/devices/system/cpu"}
NOT_SETTINGS = shutil.ignore_patterns("binfmt_misc")
OWN_ANYWAY = ("kernel/hostname", "kernel/domainname", "kernel/random/uuid")  # and systemd waits for their changes
ADMIN = 1000  # as the image's `admin` is numbered
LOOPS = 64
DISK_NUMBER = "disk-number"  # the file that tells how the kernel numbers its disk, since it was booted
UNIFIED = ("loong64",)  # images whose systemd knows version 2 of control groups alone
NO_MODULES_NO_CLOCK = (16, 25)  # capabilities with which a server would change the machine, not itself
DROP_CAPABILITY = 24
SYSTEMD = ("/lib/systemd/systemd", "--show-status=0", "--log-level=warning")
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}


def install(folder: Path, name: str, address: str, processor: str, admin: Path) -> None:
    """Give a server its disk, with what each has of its own: name, host key, and the key that lets `admin` in."""
    disk = folder / "disk"
    for part in ("disk", "work", "root", "shown"):
        (folder / part).mkdir(parents=True)
    (disk / "etc/ssh").mkdir(parents=True)
    (disk / "etc/hostname").write_text(f"{name}\n")
    (disk / "etc/hosts").write_text(f"127.0.0.1 localhost\n{address} {name}\n")
    (disk / "etc/machine-id").write_text(f"{uuid.uuid4().hex}\n")
    new_key(disk / "etc/ssh/ssh_host_ed25519_key", name)
    _admit(disk / "home/admin", admin)
    if PROCESSORS[processor].cores:
        PROCESSORS[processor].write(folder / "shown")


def let_go(folder: Path) -> None:
    """Free the loop devices that a server which is off, or any server in this folder, left on its disk."""
    for number in (*folder.glob(DISK_NUMBER), *folder.glob(f"*/{DISK_NUMBER}")):
        loops.detach(int(number.read_text()))
        number.unlink()


def new_key(path: Path, comment: str) -> None:
    """An Ed25519 key pair, the public half beside it with `.pub`."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", path], check=True)


def become(bed: str, name: str, folder: Path, image: Path, go: int, ready: int) -> None:
    """Turn this process, the first of its namespace, into a server; does not return.

    It tells on `ready` that its network is there to be plugged in, and waits on `go` until that is done.
    """
    linux.die_with_parent()
    cgroups.join(bed, name)
    linux.unshare(linux.NEW_CGROUPS | linux.NEW_NAMES | linux.NEW_IPC | linux.NEW_NETWORK)
    linux.own_mounts()
    os.write(ready, b".")
    if not os.read(go, 1):  # whoever boots us is gone
        os._exit(1)
    socket.sethostname(name)
    root = folder / "root"
    layers = f"lowerdir={image},upperdir={folder}/disk,workdir={folder}/work"
    linux.mount("overlay", root, "overlay", options=layers)
    (folder / DISK_NUMBER).write_text(str((root / "etc/hostname").stat().st_dev))
    _mount_kernel(root, image.name in UNIFIED)
    _show_processor(root, folder / "shown")
    _make_devices(root / "dev")
    linux.mount("tmpfs", root / "run", "tmpfs", linux.NO_SUID | linux.NO_DEV, "mode=755")
    console = os.open(folder / "console.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    linux.pivot_root(root)
    for capability in NO_MODULES_NO_CLOCK:
        linux.libc.prctl(DROP_CAPABILITY, capability, 0, 0, 0)
    os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
    os.dup2(console, 1)
    os.dup2(console, 2)
    os.closerange(3, 256)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.execve(SYSTEMD[0], SYSTEMD, ENVIRONMENT | {"container": "bed", "TERM": "dumb"})


def _admit(home: Path, key: Path) -> None:
    """Let a key in at a home; folders on the disk hide the mode and owner that the image gave them."""
    (home / ".ssh").mkdir(parents=True)
    (home / ".ssh/authorized_keys").write_bytes(key.read_bytes())
    for path in (home, home / ".ssh", home / ".ssh/authorized_keys"):
        path.chmod(0o700 if path.is_dir() else 0o600)
        os.chown(path, ADMIN, ADMIN)


def _mount_kernel(root: Path, unified: bool) -> None:
    """/proc and /sys, with groups of its own, and kernel settings that are the server's, not the machine's."""
    linux.mount("proc", root / "proc", "proc", CALM)
    if (root / "proc/sysrq-trigger").exists():
        linux.mount("/dev/null", root / "proc/sysrq-trigger", flags=linux.BIND)
    for part in ("fs", "kernel", "vm"):
        settings = root / "proc/sys" / part
        linux.mount("tmpfs", settings, "tmpfs", CALM, "mode=755")
        of_machine = Path("/proc/sys") / part
        shutil.copytree(of_machine, settings, ignore=NOT_SETTINGS, copy_function=_copy_setting, dirs_exist_ok=True)
    for setting in OWN_ANYWAY:
        linux.mount(f"/proc/sys/{setting}", root / "proc/sys" / setting, flags=linux.BIND)
    (root / "proc/sys/kernel/random/boot_id").write_text(f"{uuid.uuid4()}\n")
    linux.mount("sysfs", root / "sys", "sysfs", CALM | linux.READ_ONLY)
    top = root / "sys/fs/cgroup"
    trees = list(cgroups.hierarchies())
    if unified and len(trees) > 1:
        trees = [replace(tree, name="") for tree in trees if not tree.options]
    if len(trees) > 1:
        linux.mount("tmpfs", top, "tmpfs", CALM, "mode=755")
    for tree in trees:
        (top / tree.name).mkdir(exist_ok=True)
        linux.mount("cgroup", top / tree.name, "cgroup" if tree.options else "cgroup2", CALM, tree.options)


def _copy_setting(source: str, target: str) -> None:
    """What the machine's kernel is set to, as a file that a server may change without changing the machine."""
    value = b""
    with suppress(OSError):  # some can only be written
        value = Path(source).read_bytes()
    Path(target).write_bytes(value)


def _show_processor(root: Path, shown: Path) -> None:
    """Lay a processor's description over the machine's own, if the server has one."""
    if (shown / "cpuinfo").exists():
        for name, place in SHOWN.items():
            linux.mount(shown / name, root / place, flags=linux.BIND)
            linux.mount("none", root / place, flags=linux.BIND | linux.REMOUNT | linux.READ_ONLY)


def _make_devices(dev: Path) -> None:
    linux.mount("tmpfs", dev, "tmpfs", linux.NO_SUID, "mode=755,size=1m")
    for name, number in DEVICES.items():
        os.mknod(dev / name, stat.S_IFCHR, os.makedev(*number))
        (dev / name).chmod(0o666)
    os.mknod(dev / "loop-control", stat.S_IFCHR | 0o660, os.makedev(10, 237))
    for loop in range(LOOPS):
        os.mknod(dev / f"loop{loop}", stat.S_IFBLK | 0o660, os.makedev(7, loop))
    for name in ("pts", "shm", "mqueue"):
        (dev / name).mkdir()
    terminals = "newinstance,ptmxmode=0666,mode=620,gid=5"
    linux.mount("devpts", dev / "pts", "devpts", linux.NO_SUID | linux.NO_EXEC, terminals)
    linux.mount("tmpfs", dev / "shm", "tmpfs", linux.NO_SUID | linux.NO_DEV)
    for name, target in LINKS.items():
        (dev / name).symlink_to(target)

"""What the machine's own apt knows: which mirror, which options; tools are installed, packages fetched through it."""

import os
import re
import subprocess
from pathlib import Path

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
TOOLS = {
    "mmdebstrap": "mmdebstrap",  # builds root file systems
    "mksquashfs": "squashfs-tools",  # packs them
    "ssh": "openssh-client",  # comes with ssh-keygen
    "ip": "iproute2",
    "nsenter": "util-linux",
    "losetup": "mount",
}
PASSED_ON = re.compile(r'^Acquire::(?!IndexTargets|Changelogs|CompressionTypes|cdrom|Languages)\S+ ".+";$', re.M)


class NoDebian(Exception):
    """The machine has no apt sources of Debian to build from."""


def mirror() -> str:
    """The address from which this machine gets Debian.

    Raises:
        NoDebian: its apt names none.
    """
    try:
        found = _told("apt-get", "indextargets", "--format", "$(REPO_URI) $(LABEL)", "Created-By: Packages")
    except FileNotFoundError:
        raise NoDebian("there is no apt") from None
    for line in found.splitlines():
        address, _, label = line.partition(" ")
        if label == "Debian":
            return address
    raise NoDebian("apt's sources name no mirror of Debian")


def options() -> str:
    """The machine's apt options that concern fetching (proxies among them), as apt reads them."""
    return "\n".join(PASSED_ON.findall(_told("apt-config", "dump"))) + '\nAcquire::Languages "none";\n'


def install_tools() -> None:
    """Install the tools that are missing; nothing is asked of the network when none is."""
    paths = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    absent = [
        package
        for tool, package in TOOLS.items()
        if not any(Path(folder, tool).exists() for folder in paths.split(":"))
    ]
    if absent:
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        run("apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300", "update", env=quiet)
        install = ("install", "--yes", "--no-install-recommends", *absent)
        run("apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300", *install, env=quiet)


def unpack(package: str, suite: str, folder: Path) -> None:
    """Fetch a package of a suite, checked against Debian's signatures, and unpack it; nothing is installed."""
    apt = folder / "apt"
    for part in ("lists/partial", "cache/archives/partial"):
        (apt / part).mkdir(parents=True)
    (apt / "sources").write_text(f"deb [signed-by={KEYRING}] {mirror()} {suite} main\n")
    (apt / "options").write_text(options())
    own = {
        "Dir::Etc::sourcelist": apt / "sources",
        "Dir::Etc::sourceparts": "-",
        "Dir::State::lists": apt / "lists",
        "Dir::Cache": apt / "cache",
        "APT::Sandbox::User": "root",
    }
    command = ["apt-get", "-qq", *(word for name, value in own.items() for word in ("-o", f"{name}={value}"))]
    run(*command, "update")
    run(*command, "download", package, cwd=apt)
    run("dpkg-deb", "-x", str(next(apt.glob("*.deb"))), str(folder))


def run(*command: str, cwd: Path | None = None, env: dict[str, str] | None = None) -> None:
    """Run a command to its end.

    Raises:
        RuntimeError: it failed; carries its last words.
    """
    done = subprocess.run(command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[:8])} ended with {done.returncode}: {done.stderr[-2000:]}")


def _told(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout

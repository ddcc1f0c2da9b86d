"""The network of a bed with workers: a namespace of its own, so that no two beds and nothing else meet in it."""

import subprocess
from pathlib import Path

from tests.beds.kubernetes.processes import start, stop, until

GATEWAY = "10.99.0.1"
SERVICES = "10.96.0.0/16"
PODS = "10.244.0.0/16"
MOST = 9
"""How many workers a network has room for."""


def address(number: int) -> str:
    """Where the worker of that number, from 1, is reached inside."""
    return f"10.99.0.{10 + number}"


def pods(number: int) -> str:
    """The addresses of that worker's pods."""
    return f"10.244.{number}.0/24"


class Network:
    """A bridge that workers plug into; the control plane lives at its address. It lives as long as its holder."""

    def __init__(self, log: Path) -> None:
        self._holder = start(["unshare", "--net", "sleep", "infinity"], log)
        self.path = f"/proc/{self._holder.pid}/ns/net"
        entered(self.path)
        configure(
            self.path,
            "link set lo up",
            # of its own address: else it takes a worker's, and is not found any more when that worker goes
            "link add br0 address 02:00:0a:63:00:01 type bridge",
            f"addr add {GATEWAY}/16 dev br0",
            "link set br0 up",
            *(f"route add {pods(number)} via {address(number)}" for number in range(1, MOST + 1)),
        )

    def plug_in(self, number: int, machine: int) -> None:
        """Give the network namespace of the process `machine` its card, addresses and ways."""
        link, inside = f"worker{number}", f"/proc/{machine}/ns/net"
        configure(
            self.path,
            f"link add {link} type veth peer name eth0 netns {machine}",
            f"link set {link} master br0 up",
        )
        configure(
            inside,
            "link set lo up",
            f"addr add {address(number)}/16 dev eth0",
            "link set eth0 up",
            f"route add default via {GATEWAY}",
            *(f"route add {pods(n)} via {address(n)}" for n in range(1, MOST + 1) if n != number),
        )

    def close(self) -> None:
        stop(self._holder)


def entered(path: str) -> None:
    """Return when the process has left our network namespace for its own."""
    ours = Path("/proc/self/ns/net").readlink()
    until("a network namespace", lambda: Path(path).readlink() != ours, seconds=10, every=0.01)


def configure(net: str, *commands: str) -> None:
    """Commands of `ip` in that network namespace, which then forwards packets."""
    enter = ["nsenter", f"--net={net}", "--", "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward && ip -batch -"]
    done = subprocess.run(enter, input="\n".join(commands), capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"ip: {done.stderr}")

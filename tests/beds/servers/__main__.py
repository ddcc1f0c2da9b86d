"""Builds the images, or brings a bed up to look at.

python -m tests.beds.servers build                    what is built already is kept
python -m tests.beds.servers up [PROCESSOR …]         until Ctrl-C; without names one of each architecture
"""

import shlex
import sys
import threading
import time
from contextlib import suppress

from tests.beds.servers import images, needs
from tests.beds.servers.bed import Bed
from tests.beds.servers.processors import PROCESSORS
from tests.beds.servers.server import ADMIN

EACH = ("x86", "kunpeng", "loongson")


def main(words: list[str]) -> None:
    match words:
        case ["build"]:
            build()
        case ["up", *processors] if set(processors) <= set(PROCESSORS):
            build()
            up(processors or EACH)
        case _:
            sys.exit(f"{__doc__}\nProcessors: {', '.join(PROCESSORS)}.")


def build() -> None:
    began = time.monotonic()
    why = needs.unmet()
    if why:
        sys.exit(f"The bed of bare servers cannot run here: {why}.")
    images.build(lambda line: print(f"{time.monotonic() - began:4.0f} s  {line}", flush=True))


def up(processors: "list[str] | tuple[str, ...]") -> None:
    with Bed() as bed:
        for server in bed.add(*processors):
            proxy = shlex.join(bed.proxy)
            print(f"{server.name} is up. Log in:\n  ssh {proxy} -i {bed.key} {ADMIN}@{server.address}")
            print(f"  its host key: {server.host_key}\n  as root: nsenter --target {server.process} --all")
        print("Ctrl-C takes them away.", flush=True)
        with suppress(KeyboardInterrupt):
            threading.Event().wait()


main(sys.argv[1:])

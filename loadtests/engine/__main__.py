"""`python -m loadtests.engine`: told its order and commands on standard input, it reports on standard output.

It opens no port. It ends when its input does: whoever drives it may die in any way, and no request leaves any more.
"""

from gevent import monkey

monkey.patch_all()

import collections  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
import signal  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from typing import Any  # noqa: E402

import gevent  # noqa: E402

from loadtests.engine.dispatcher import Dispatcher  # noqa: E402
from loadtests.engine.users import Broken, Users  # noqa: E402
from loadtests.engine.visitors import Visitors, pin  # noqa: E402
from loadtests.orders import Order  # noqa: E402


class Commands:
    """Lines of standard input, read by a thread that the kernel schedules: code that never yields cannot silence it."""

    def __init__(self) -> None:
        self.lines: collections.deque[dict[str, Any]] = collections.deque()
        self._came = gevent.get_hub().loop.async_()
        monkey.get_original("_thread", "start_new_thread")(self._read, ())

    def follow(self, dispatcher: Dispatcher) -> None:
        self._came.start(self._carry_out, dispatcher)
        self._carry_out(dispatcher)

    def _read(self) -> None:
        rest, read = b"", monkey.get_original("os", "read")
        while True:
            came = read(0, 65536)
            if not came:
                os._exit(0)
            *lines, rest = (rest + came).split(b"\n")
            for line in lines:
                command = json.loads(line)
                if command["do"] == "stop":
                    os._exit(0)
                self.lines.append(command)
            self._came.send()

    def _carry_out(self, dispatcher: Dispatcher) -> None:
        while self.lines:
            match self.lines.popleft():
                case {"do": "origin", "at": at}:
                    dispatcher.origin = at
                case {"do": "follow", "points": points, "epoch": epoch, "random": is_random}:
                    dispatcher.follow(points, epoch, is_random)
                case {"do": "mark", "epoch": epoch}:
                    dispatcher.mark(epoch)
                case {"do": "closed", "users": users, "epoch": epoch}:
                    dispatcher.close_loop(users, epoch)


def main() -> None:
    order = Order.model_validate_json(sys.stdin.buffer.readline())
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, order.lasts)  # the kernel ends it then, whatever it does
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever else prints does not get between the reports
    if order.journeys:
        pin(order)  # a locustfile has no other network
    commands = Commands()
    try:
        dispatcher = Dispatcher(order, Visitors if order.journeys else Users)
    except Broken as broken:
        told = {"slug": "locustfile-broken", "figures": broken.figures}
        print(json.dumps({"broken": told}), file=out, flush=True)
        return
    commands.follow(dispatcher)
    gevent.spawn(dispatcher.dispatch)
    print(json.dumps({"clock": time.monotonic()}), file=out, flush=True)
    for report in dispatcher.reports():
        print(json.dumps(report, separators=(",", ":")), file=out, flush=True)


main()

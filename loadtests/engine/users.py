"""Users of a locustfile: each arrival is one of them, who carries out one of its tasks once. Runs confined only."""

import contextvars
import linecache
import os
import ssl
import sys
import time
import traceback
import types
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import gevent
import locust
from locust.clients import HttpSession
from locust.env import Environment
from locust.exception import InterruptTaskSet, RescheduleTask, RescheduleTaskImmediately, StopTest, StopUser
from locust.user.task import DefaultTaskSet
from urllib3 import PoolManager

from loadtests.engine import gates
from loadtests.engine.caps import Caps
from loadtests.engine.counts import Counts
from loadtests.orders import Code, Order

NAME = "locustfile.py"
TICKET = "loadtest"  # what Locust's own event carries along
OVER = (InterruptTaskSet, RescheduleTask, RescheduleTaskImmediately)  # ways in which a task says that it is over
Ticket = tuple[int, int, float]

_visit: contextvars.ContextVar["_Visit | None"] = contextvars.ContextVar("visit", default=None)


class Broken(Exception):
    """A locustfile cannot be used: it raised something, or has nobody with a task; tells what, and in which line."""

    def __init__(self, message: str, line: int | None) -> None:
        super().__init__(message)
        self.figures = {"message": message[:300], "line": line}


class _Home(BaseException):
    """The visitor asks for nothing more. No `except Exception` of a locustfile keeps it."""


class _Visit:
    """One arrival: the ticket of its first request, those that nothing has come of yet, and whether all went well."""

    def __init__(self, first: Ticket, wave: int) -> None:
        self.first: Ticket | None = first
        self.wave, self.well = wave, True
        self.open = {first[0]: first}


class Users(Caps):
    """Lets users of a locustfile come, and tells what became of every request. Stands where visitors stand."""

    def __init__(self, order: Order, counts: Counts, clock: Callable[[], float]) -> None:
        assert order.locustfile
        super().__init__(order, counts, clock)
        self.owed = 0
        self.raised: dict[str, Any] | None = None
        self.environment = Environment(events=locust.events, host=order.base_url)
        gates.inherit()
        gates.at_sessions(self._asked)
        gates.at_wire(order.mark, self.wait_turn)
        self.kinds = _loaded(order.locustfile)
        self.environment.user_classes = self.kinds
        happens: Any = self.environment.events
        happens.request.add_listener(self._answered)
        happens.init.fire(environment=self.environment, runner=None, web_ui=None)
        self._prepare()
        happens.test_start.fire(environment=self.environment)

    def may_ask(self) -> bool:
        """Whether one more request may leave now. What tasks ask beyond their first is taken from who would come."""
        if self.owed:
            self.owed -= 1
            return False
        return super().may_ask()

    def send_home(self) -> None:
        """Whoever is there asks for nothing more."""
        super().send_home()
        self.owed = 0

    def visit(self, intended: float) -> bool:
        """One arrival, which should have come at that moment and may ask once; whether all went well."""
        wave = self.wave
        for tries in range(self.order.profile.retries + 1):
            if tries and (wave != self.wave or not self.allowance.take(time.monotonic())):
                return False
            intended = self.clock() if tries else intended
            if self.is_dropped(intended):
                return False
            visit = _Visit(self.counts.begin(intended), wave)
            _visit.set(visit)
            self._pass(visit)
            if visit.well:
                return True
        return False

    # -- what a user does

    def _pass(self, visit: _Visit) -> None:
        kind: Any = self.random.choices(self.kinds, [max(0, each.weight) for each in self.kinds])[0]
        try:
            user = kind(self.environment)
            user._taskset_instance, user._state = DefaultTaskSet(user), "running"
            if isinstance(getattr(user, "client", None), HttpSession):
                user.client.verify = self._trusted()
            user.on_start()
            self._carry_out(self.random.choice(kind.tasks), user)
            user.on_stop()
        except (_Home, StopUser, StopTest, gevent.GreenletExit, *OVER):
            pass
        except Exception as error:
            visit.well = False
            self._note(error)
        for ticket in list(visit.open.values()):  # also of a user who asked nothing: that is not one served well
            self._end(visit, ticket, "failed", self.clock())

    def _carry_out(self, task: Any, parent: Any) -> None:
        """One pass of a task; of a set of tasks one of them, of a sequence each once."""
        with suppress(*OVER):
            if not (isinstance(task, type) and issubclass(task, locust.TaskSet)):
                task() if getattr(task, "__self__", None) is parent else task(parent)
                return
            tasks: Any = task(parent)
            tasks.on_start()
            try:
                for _ in range(len(tasks.tasks) if issubclass(task, locust.SequentialTaskSet) else 1):
                    self._carry_out(tasks.get_next_task(), tasks)
            finally:
                tasks.on_stop()

    # -- what becomes of its requests

    def _asked(self, make: Callable[..., Any], options: dict[str, Any]) -> Any:
        """Instead of each request of a session: within the caps, and counted from when it should have left."""
        visit = _visit.get()
        if visit and visit.wave != self.wave:
            raise _Home
        ticket = self._ticket(visit)
        context = {**(options.pop("context", None) or {}), TICKET: (visit, ticket, self.clock())}
        try:
            return make(**options, context=context)
        except BaseException:  # Locust has told nobody
            self._end(visit, ticket, "failed", self.clock())
            raise

    def _ticket(self, visit: _Visit | None) -> Ticket:
        """Of the arrival's first request, or of a further one, which waits for its turn first."""
        if visit and visit.first:
            ticket, visit.first = visit.first, None
            return ticket
        self._owe()
        self.wait_turn()
        if self.is_dropped(self.clock()):
            raise _Home
        if visit and visit.wave != self.wave:
            raise _Home
        ticket = self.counts.begin(self.clock())
        if visit:
            visit.open[ticket[0]] = ticket
        return ticket

    def _answered(
        self, response_time: float | None, exception: Any, context: Any = None, response_length: int = 0, **_: Any
    ) -> None:
        """Locust's own event: of a request that has a ticket, or of a client that is not Locust's."""
        took = (response_time or 0.0) / 1000
        if isinstance(context, dict) and TICKET in context:
            visit, ticket, began = context[TICKET]
        else:
            visit, began = _visit.get(), self.clock() - took
            first = visit.first if visit else None
            ticket = first or self.counts.begin(began)
            if visit and first:
                visit.first = None
            else:
                self._owe()
        ended = began + took
        late = (ended - ticket[2]) * 1000 > self.order.level.latency_ms
        self.counts.bytes += response_length or 0
        self._end(visit, ticket, "failed" if exception else "late" if late else "good", ended)

    def _end(self, visit: _Visit | None, ticket: Ticket, kind: str, now: float) -> None:
        """What became of a request; told once."""
        if ticket[0] not in self.counts.inflight:
            return
        self.counts.end(ticket, kind, now)
        if visit:
            visit.open.pop(ticket[0], None)
            visit.well = visit.well and kind != "failed"

    def _owe(self) -> None:
        self.owed = min(self.owed + 1, int(self.order.ceiling) + 1)

    # -- before the first comes

    def _prepare(self) -> None:
        """Have all of them ask the target only, on connections that are shared, as visitors do."""
        shared = self.connections()
        pool = PoolManager(num_pools=4, maxsize=self.most_out, timeout=self.order.timeout)
        for kind in self.kinds:
            kind.host = self.order.base_url.rstrip("/")
            if issubclass(kind, locust.FastHttpUser):
                kind.insecure, kind.client_pool = False, shared
                kind.proxy_host = kind.proxy_port = None
            if issubclass(kind, locust.HttpUser):
                kind.pool_manager = pool

    def _trusted(self) -> str | bool:
        file = self.order.authority or ssl.get_default_verify_paths().cafile
        return file if file and os.path.exists(file) else True  # noqa: PTH110

    def _note(self, error: BaseException) -> None:
        told = _blamed(error)
        self.raised = {"slug": "locustfile-raised", "figures": told.figures}


def _loaded(code: Code) -> list[Any]:
    """The classes of users that a locustfile has.

    Raises:
        Broken: it raised something, or there is none with a task.
    """
    module = types.ModuleType("locustfile")
    module.__file__ = NAME
    sys.modules["locustfile"] = module
    linecache.cache[NAME] = (len(code.text), None, code.text.splitlines(keepends=True), NAME)
    try:
        exec(compile(code.text, NAME, "exec"), module.__dict__)  # noqa: S102  what this process is confined for
    except Exception as error:
        raise _blamed(error) from None
    kinds = [each for each in vars(module).values() if _is_user(each)]
    if not kinds or not any(each.tasks and each.weight > 0 for each in kinds):
        raise Broken("no user class with a task", None)
    return [each for each in kinds if each.tasks and each.weight > 0]


def _is_user(each: Any) -> bool:
    return isinstance(each, type) and issubclass(each, locust.User) and each.abstract is False


def _blamed(error: BaseException) -> Broken:
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == NAME]
    return Broken(f"{type(error).__name__}: {error}", lines[-1] if lines else None)

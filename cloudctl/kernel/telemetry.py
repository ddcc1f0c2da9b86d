"""Telemetry: every metric of a process, declared once; logs as lines of JSON that say which request and operation."""

import json
import logging
import os
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, TextIO

from prometheus_client import (
    REGISTRY,
    CollectorRegistry,
    Counter,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

from cloudctl.kernel.secrets import Secret

disable_created_metrics()  # type: ignore[no-untyped-call] # a second series for each, which nobody asks for

API_LATENCY = Histogram(
    "cloudctl_api_latency_seconds",
    "Time to answer a call, by the template of its route, never by its path.",
    ["method", "route", "status"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
OPERATION_STEPS = Counter(
    "cloudctl_operation_steps_total", "Attempts at steps of operations.", ["operation", "step", "outcome"]
)
OPERATIONS_ENDED = Counter("cloudctl_operations_ended_total", "Operations that ended.", ["operation", "outcome"])
RUNS_ENDED = Counter("cloudctl_runs_ended_total", "Runs of load tests that ended.", ["outcome"])
STEP_DURATION = Histogram(
    "cloudctl_operation_step_duration_seconds",
    "Time that one attempt at a step took.",
    ["operation", "step"],
    buckets=(0.01, 0.05, 0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600),
)
AUDIT_SEALED = Counter("cloudctl_audit_sealed_entries_total", "Entries of the audit log that this process sealed.")

_request: ContextVar[str | None] = ContextVar("request", default=None)
_operation: ContextVar[str | None] = ContextVar("operation", default=None)

_PLAIN = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"}
_HIDDEN = re.compile(
    r"(?<=://)[^/@\s\"]+:[^/@\s\"]+(?=@)"  # name and password in an address
    r"|(?<=bearer )[^\s\"]+"
    r"|(?<=cct_)[\w-]+"  # an API token
    r"|(?<=sealed:)[0-9a-f]{8}:[\w=-]+",
    re.IGNORECASE,
)


def exposition() -> bytes:
    """The metrics in Prometheus' text format; of all serving processes where PROMETHEUS_MULTIPROC_DIR is set."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return generate_latest(REGISTRY)
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)


@contextmanager
def of_request(id: str) -> Iterator[None]:
    """Within the block, every log line of this thread or task names the request."""
    token = _request.set(id)
    try:
        yield
    finally:
        _request.reset(token)


@contextmanager
def of_operation(id: str) -> Iterator[None]:
    """Within the block, every log line of this thread or task names the operation."""
    token = _operation.set(id)
    try:
        yield
    finally:
        _operation.reset(token)


class JsonLines(logging.Formatter):
    """One line of JSON a record, with whatever was given as `extra`.

    Masked are Secrets among the arguments, passwords in addresses, bearer tokens and sealed secrets.
    """

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _masked_message(record),
            "request": _request.get(),
            "operation": _operation.get(),
            **{name: value for name, value in vars(record).items() if name not in _PLAIN},
        }
        if record.exc_info and record.exc_info[0]:
            line["error"] = "".join(traceback.format_exception(*record.exc_info))
        return _HIDDEN.sub("***", json.dumps(_masked(line), ensure_ascii=False, default=repr))


def log_to(stream: TextIO = sys.stderr, level: int = logging.INFO) -> None:
    """Let everything this process logs go to `stream`, as lines of JSON."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    logging.basicConfig(handlers=[handler], level=level, force=True)


def _masked_message(record: logging.LogRecord) -> str:
    arguments: Any = _masked(record.args)
    return str(record.msg) % arguments if arguments else str(record.msg)


def _masked(value: Any) -> Any:
    """The same with a mask for every Secret in it; what is None is left out of a dict."""
    match value:
        case Secret():
            return "***"
        case dict():
            return {name: _masked(one) for name, one in value.items() if one is not None}
        case tuple() | list():
            return type(value)(map(_masked, value))
    return value

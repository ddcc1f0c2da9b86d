"""Log lines are JSON, say which request and operation they belong to, and never hold a secret."""

import io
import json
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from cloudctl.kernel import telemetry
from cloudctl.kernel.secrets import Secret

log = logging.getLogger("cloudctl.test")


class Logged:
    def __init__(self) -> None:
        self.stream = io.StringIO()

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.stream.getvalue().splitlines()]


@pytest.fixture
def logged() -> Iterator[Logged]:
    logged, root = Logged(), logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers = []  # `log_to` closes the handlers it replaces, and pytest's own must live on
    telemetry.log_to(logged.stream)
    yield logged
    root.handlers = handlers
    root.setLevel(level)


def test_a_line_says_when_where_and_what(logged: Logged) -> None:
    log.warning("%s of %d\nsteps", "一", 3, extra={"job": 7, "path": {"a": [1]}})
    (line,) = logged.lines
    assert line.pop("at").endswith("+00:00")
    assert line == {
        "level": "warning",
        "logger": "cloudctl.test",
        "message": "一 of 3\nsteps",
        "job": 7,
        "path": {"a": [1]},
    }


def test_a_line_names_its_request_and_operation_and_those_of_no_other_thread(logged: Logged) -> None:
    def work(number: int) -> None:
        with telemetry.of_request(f"r-{number}"), telemetry.of_operation(f"op_{number}"):
            log.info("%d", number)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(40)))
    log.info("outside")
    *inside, outside = logged.lines
    assert len(inside) == 40
    assert all(
        (line["request"], line["operation"]) == (f"r-{line['message']}", f"op_{line['message']}") for line in inside
    )
    assert "request" not in outside
    assert "operation" not in outside


def test_an_operation_named_by_hand_is_kept(logged: Logged) -> None:
    log.info("x", extra={"operation": "op_1"})
    assert logged.lines[0]["operation"] == "op_1"


def test_no_secret_gets_into_a_line(logged: Logged) -> None:
    secret = Secret("hunter2")
    log.info("direct %s", secret)
    log.info("named %(password)s", {"password": secret})
    log.info("inside %s", [{"password": secret}])
    log.info("beside", extra={"access": {"password": secret}})
    log.info("cannot reach postgresql://cloudctl:hunter2@db/cloudctl")
    log.info("sent Authorization: Bearer hunter2")
    log.info("kept sealed:0011aabb:hunter2-hunter2=")
    log.info("given cct_01kc4y3hq2fwp9s6v7x8z0a1b2_hunter2")
    try:
        raise ValueError(f"at http://user:hunter2@host with {[secret]}")
    except ValueError:
        log.exception("failed")
    assert len(logged.lines) == 9
    assert "hunter2" not in logged.stream.getvalue()
    assert "ValueError: at http://***@host" in logged.lines[-1]["error"]


def test_what_is_not_json_is_written_as_it_prints(logged: Logged) -> None:
    log.info("x", extra={"thing": {1}})
    assert logged.lines[0]["thing"] == "{1}"


def test_what_was_measured_is_exposed_under_its_name() -> None:
    telemetry.API_LATENCY.labels("GET", "/v1/tenancies/{id}", "200").observe(0.02)
    telemetry.OPERATIONS_ENDED.labels("toy.measured", "done").inc()
    telemetry.OPERATION_STEPS.labels("toy.measured", "weigh", "done").inc()
    telemetry.STEP_DURATION.labels("toy.measured", "weigh").observe(3)
    families = {family.name: family for family in text_string_to_metric_families(telemetry.exposition().decode())}
    ours = {name for name in families if name.startswith("cloudctl_")}
    assert ours == {
        "cloudctl_api_latency_seconds",
        "cloudctl_operation_steps",
        "cloudctl_operations_ended",
        "cloudctl_operation_step_duration_seconds",
        "cloudctl_audit_sealed_entries",
        "cloudctl_runs_ended",
    }
    counted = {"operation": "toy.measured", "step": "weigh", "outcome": "done"}
    steps = [sample for sample in families["cloudctl_operation_steps"].samples if sample.labels == counted]
    assert {sample.name: sample.value for sample in steps}["cloudctl_operation_steps_total"] == 1

"""The shipped rules say what they should, and whoever is woken by one finds what to do."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from monitoring.instruments import RULES
from tests.beds.prometheus import programs

FILES = sorted(RULES.glob("*.rules.yml"))
TESTS = sorted((RULES / "tests").glob("*.test.yml"))
ALERTS = [
    rule
    for file in FILES
    for group in yaml.safe_load(file.read_text())["groups"]
    for rule in group["rules"]
    if "alert" in rule
]


def test_promtool_finds_nothing_wrong_with_the_rules(prometheus_programs: None) -> None:
    done = subprocess.run(
        [programs.path("promtool"), "check", "rules", "--lint=all", "--lint-fatal", *FILES],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("file", TESTS, ids=lambda file: file.name)
def test_the_rules_fire_as_their_tests_say(prometheus_programs: None, file: Path) -> None:
    done = subprocess.run([programs.path("promtool"), "test", "rules", file], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_tried() -> None:
    tried = {
        one["alertname"]
        for file in TESTS
        for test in yaml.safe_load(file.read_text())["tests"]
        for one in test.get("alert_rule_test", ())
        if one["exp_alerts"]
    }
    assert {rule["alert"] for rule in ALERTS} == tried


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_every_alert_has_a_severity_a_summary_and_a_page_that_says_what_to_do(rule: dict) -> None:
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert rule["annotations"]["summary"]
    runbook = (Path(__file__).parents[2] / "docs" / "operations.md").read_text(encoding="utf-8")
    (section,) = re.findall(rf"^#### {rule['alert']}\n\n(.+?)(?=\n#|\Z)", runbook, re.M | re.S)
    assert "`" in section, "it names a command"

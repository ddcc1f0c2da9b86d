"""`cloudctl target`, `campaign` and `freeze`: from a file to a campaign that is approved, as people type it."""

import json
from pathlib import Path

import pytest

from cloudctl.kernel import ids
from tenancy import projects
from tenancy.callers import SYSTEM
from tests.cli.conftest import Cloud
from tests.world import in_use

PROJECT = "522300-jyj-2026-0001"
TARGET = """project: {project}
tenancy: {tenancy}
name: scores
base_url: http://scores.example
contacts: [Wang]
ceiling: 800
production: {production}
"""
DAY = """target: {target}
name: the day
profile: {{kind: spike, base: 5, peak: {peak}}}
journeys:
  journeys:
    - name: look
      requests:
        - path: {path}
"""


@pytest.fixture
def tenancy(cloud: Cloud) -> str:
    """One that is in use."""
    project = projects.seen_by(cloud.session, SYSTEM, PROJECT)
    made = in_use(cloud.session, project, ids.new("web")[-12:], {"vcpu": 4})
    cloud.session.commit()
    return made.id


def file(cloud: Cloud, text: str) -> str:
    path: Path = cloud.folder / "file.yaml"
    path.write_text(text)
    return str(path)


def registered(cloud: Cloud, tenancy: str, production: str = "false") -> str:
    about = TARGET.format(project=PROJECT, tenancy=tenancy, production=production)
    made = cloud.terminal("jyj-clerk")("target", "register", "-f", file(cloud, about), "-o", "json")
    return str(json.loads(made.out)["id"])


def day(cloud: Cloud, target: str, *, path: str = "/scores", peak: int = 300) -> str:
    return file(cloud, DAY.format(target=target, path=path, peak=peak))


def test_a_campaign_is_drawn_submitted_and_approved_by_somebody_else(cloud: Cloud, tenancy: str) -> None:
    clerk, head = cloud.terminal("jyj-clerk"), cloud.terminal("jyj-head")
    target = registered(cloud, tenancy, "true")
    shown = clerk("target", "show", target).out
    assert "cloudctl-loadtest-" in shown
    assert "http://scores.example/.well-known/cloudctl-loadtest" in shown
    assert clerk("target", "set", target, "--software", "2").code == 0
    drawn = clerk("campaign", "preview", "-f", day(cloud, target))
    assert (drawn.code, "300" in drawn.out, "█" in drawn.out) == (0, True, True)
    made = json.loads(clerk("campaign", "submit", "-f", day(cloud, target), "-o", "json").out)
    assert made["state"] == "waiting"
    assert clerk("campaign", "run", made["id"]).code == 1
    assert clerk("campaign", "approve", made["id"]).code == 1
    assert json.loads(head("campaign", "approve", made["id"], "-o", "json").out)["state"] == "ready"
    assert "the day" in cloud.terminal("operator")("campaign", "list").out
    vetoed = cloud.terminal("operator")("campaign", "veto", made["id"], "--reason", "exams", "-o", "json")
    assert json.loads(vetoed.out)["state"] == "vetoed"


def test_a_journey_that_leads_away_is_refused_with_its_line(cloud: Cloud, tenancy: str) -> None:
    clerk, target = cloud.terminal("jyj-clerk"), registered(cloud, tenancy)
    away = day(cloud, target, path="//elsewhere.example/")
    for verb in ("preview", "submit"):
        refused = clerk("campaign", verb, "-f", away)
        assert (refused.code, "file.yaml:8" in refused.err) == (1, True), refused.err


def test_more_than_the_ceiling_is_refused_with_both_figures(cloud: Cloud, tenancy: str) -> None:
    clerk, target = cloud.terminal("jyj-clerk"), registered(cloud, tenancy)
    refused = clerk("campaign", "submit", "-f", day(cloud, target, peak=900))
    assert refused.code == 1
    assert "900" in refused.err
    assert "800" in refused.err


def test_during_a_freeze_nothing_runs(cloud: Cloud, tenancy: str) -> None:
    clerk, operator, target = cloud.terminal("jyj-clerk"), cloud.terminal("operator"), registered(cloud, tenancy)
    made = json.loads(clerk("campaign", "submit", "-f", day(cloud, target), "-o", "json").out)
    whole = ("--from", "2020-01-01T00:00", "--until", "2099-01-01T00:00", "--reason", "exam week")
    frozen = json.loads(operator("freeze", "declare", *whole, "-o", "json").out)
    refused = clerk("campaign", "run", made["id"])
    assert (refused.code, "exam week" in refused.err) == (1, True), refused.err
    assert "exam week" in clerk("freeze", "list").out
    assert operator("freeze", "lift", frozen["id"]).code == 0
    started = json.loads(clerk("campaign", "run", made["id"], "-o", "json").out)
    stopped = clerk("campaign", "stop", started["id"], "--reason", "not today", "-o", "json")
    assert json.loads(stopped.out)["outcome"] is None  # nobody works here; whoever does will see the wish

"""What commands print, exactly: tables for people, JSON and YAML for programs."""

import json
import re
from pathlib import Path

import yaml
from rich.cells import cell_len

from tests.cli.conftest import Cloud

_VARYING = (
    (re.compile(r"\b(dep|prj|usr|req|ten|itm|op|tok)_[0-9a-z]{26}\b"), r"\1_…"),
    (re.compile(r"\b20\d\d-\d\d-\d\d \d\d:\d\d UTC\b"), "2000-00-00 00:00"),
    (re.compile(r"\b20\d\d-0"), "2000-0"),
    (re.compile(r" +"), " "),
)


def steady(text: str) -> str:
    """Without what differs from run to run, and without the widths that follow from it."""
    for pattern, instead in _VARYING:
        text = pattern.sub(instead, text)
    return text.replace(" \n", "\n")


QUOTA = """\
department: 522300-jyj
purpose: The enrolment season.
items:
  - kind: quota
    limits: {vcpu: 130, memory_gib: 520}
"""
PREVIEW = """\
no. 0
kind quota

Steps
step department approvers days due
accept 黔西南布依族苗族自治州 (522300) 王振邦 3 2000-00-00 00:00
approval by the parent department 黔西南布依族苗族自治州 (522300) 王振邦 3 2000-00-00 00:00
"""


def test_departments_stand_in_columns_however_wide_their_characters_are(cloud: Cloud) -> None:
    lines = cloud.terminal("operator")("department", "list", "--limit", "3").out.splitlines()
    assert lines[0].split()[:2] == ["code", "name"]
    assert lines[1].split()[:2] == ["522300", "黔西南布依族苗族自治州"]
    starts = {cell_len(line[: line.index("dep_")]) for line in lines[1:]}
    assert len(starts) == 1


def test_the_same_list_for_programs(cloud: Cloud) -> None:
    operator = cloud.terminal("operator")
    as_json = json.loads(operator("department", "list", "-o", "json").out)
    as_yaml = yaml.safe_load(operator("department", "list", "-o", "yaml").out)
    assert as_json == as_yaml
    assert as_json[0]["name"] == "黔西南布依族苗族自治州"


def test_a_list_longer_than_a_page_is_read_to_its_end(cloud: Cloud, tmp_path: Path) -> None:
    operator, file = cloud.terminal("operator"), tmp_path / "units.csv"
    lines = [f"T-{number:03},{number}处,Unit {number},522327" for number in range(205)]
    file.write_text("\n".join(["code,name,name_en,parent_code", *lines]), encoding="gbk")
    assert operator("department", "import", str(file)).out == f"{file}: 205 departments imported.\n"
    found = json.loads(operator("department", "list", "--below", "522327", "-o", "json").out)
    assert len(found) == 206
    assert len(json.loads(operator("department", "list", "--below", "522327", "--limit", "7", "-o", "json").out)) == 7


def test_a_quota_shows_every_limit_up_to_the_root(cloud: Cloud) -> None:
    lines = steady(cloud.terminal("jyj-clerk")("quota", "show", "522300-jyj").out).splitlines()
    assert lines[0].strip() == "department resource limit held used free"
    assert "州教育局 (522300-jyj) vcpu 128 0 0 128" in lines
    assert "黔西南布依族苗族自治州 (522300) vcpu 2048 0 0 2048" in lines


def test_a_request_from_its_file_to_its_decision(cloud: Cloud, tmp_path: Path) -> None:
    file = tmp_path / "quota.yaml"
    file.write_text(QUOTA, encoding="utf-8")
    clerk, authority = cloud.terminal("jyj-clerk"), cloud.terminal("authority")
    before = clerk("request", "list").out
    assert steady(clerk("request", "preview", "-f", str(file)).out).strip() == PREVIEW.strip()
    assert clerk("request", "list").out == before

    made = clerk("request", "create", "-f", str(file))
    assert made.code == 0
    assert "130 vCPU, 520 GiB memory" in made.out
    number = json.loads(authority("approval", "list", "-o", "json").out)[0]["number"]

    undecided = authority("approval", "accept", number, given="n\n")
    assert undecided.code == 1
    assert undecided.err.endswith(f"cloudctl: Nothing was decided: {number} stays as it is.\n")
    assert (undecided.out, "The enrolment season." in undecided.err) == ("", True)
    unasked = authority("approval", "accept", number, given="", CLOUDCTL_LANG="zh")
    assert unasked.code == 1
    assert "Aborted" not in unasked.err
    assert unasked.err.endswith(f"cloudctl: 未作决定：{number} 保持原样。\n")
    accepted = authority("approval", "accept", number, "-o", "json", given="y\n")
    assert (accepted.code, json.loads(accepted.out)["number"]) == (0, number)
    assert authority("approval", "refuse", number, "--reason", "next year", "--yes").code == 0
    shown = json.loads(clerk("request", "show", number, "-o", "json").out)
    assert (shown["state"], shown["items"][0]["reason"]["figures"]["reason"]) == ("refused", "next year")


def test_nobody_decides_on_what_they_did_not_see(cloud: Cloud, tmp_path: Path) -> None:
    file = tmp_path / "quota.yaml"
    file.write_text(QUOTA, encoding="utf-8")
    clerk, head = cloud.terminal("jyj-clerk"), cloud.terminal("jyj-head")
    number = json.loads(clerk("request", "create", "-f", str(file), "-o", "json").out)["number"]
    refused = head("approval", "accept", number, "--yes")
    assert refused.code == 1
    assert refused.err.startswith("cloudctl: ")


def test_a_request_over_quota_says_what_would_fit_and_writes_the_request_for_more(cloud: Cloud, tmp_path: Path) -> None:
    clerk = cloud.terminal("jyj-clerk")
    project = json.loads(clerk("project", "list", "-o", "json").out)[0]["code"]
    asked = {
        "department": "522300-jyj",
        "project": project,
        "purpose": "All of it.",
        "items": [{"kind": "create", "name": "too-large", "size": {"vcpu": 500}}],
    }
    file = tmp_path / "large.yaml"
    file.write_text(yaml.safe_dump(asked))
    refused = clerk("request", "create", "-f", str(file))
    assert refused.code == 1
    first, hint, *rest = refused.err.splitlines()
    assert first.startswith(f"cloudctl: {file}:")
    assert "128 vCPU" in first
    assert "quota.yaml" in hint
    assert yaml.safe_load("\n".join(rest)) == {
        "department": "522300-jyj",
        "purpose": "",
        "items": [{"kind": "quota", "limits": {"vcpu": 500}}],
    }


def test_a_token_is_shown_once(cloud: Cloud) -> None:
    clerk = cloud.terminal("jyj-clerk")
    made = json.loads(clerk("token", "create", "report", "--scope", "read", "--days", "3", "-o", "json").out)
    assert made["secret"].startswith("cct_")
    assert made["secret"] not in clerk("token", "list", "-o", "json").out
    refused = clerk("token", "create", "x", CLOUDCTL_SERVER=cloud.address, CLOUDCTL_TOKEN=made["secret"])
    assert refused.code == 1
    assert clerk("token", "revoke", made["id"]).code == 0
    gone = clerk("token", "list", CLOUDCTL_SERVER=cloud.address, CLOUDCTL_TOKEN=made["secret"])
    assert gone.code == 4

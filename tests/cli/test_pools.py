"""Pools at the terminal: entered, shown so that people can read it, changed, drained."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from sqlalchemy import delete

from provisioning.pools import Pool, Server
from tests.cli.conftest import Cloud, Terminal

POOL = {
    "name": "kunpeng-1",
    "provider": "云上贵州",
    "driver": "servers",
    "zone": "extranet",
    "architecture": "arm64",
    "abi": "aapcs64",
    "cpu_family": "Kunpeng-920",
    "level": 3,
    "connection": {"connection": "local", "folder": "/var/lib/kunpeng", "token": "file:/run/secret"},
    "overcommit": {"vcpu": 2, "memory_gib": 1.5},
}
SINCE = "2026-03-02T01:00:00+00:00"
SERVER = {"name": "node-07", "address": "10.0.0.7", "inventory": {"vcpu": 64, "memory_gib": 256}}


@pytest.fixture
def operator(cloud: Cloud, tmp_path: Path) -> Iterator[Terminal]:
    """A terminal of an operator who has entered a pool of one server."""
    terminal, file = cloud.terminal("operator"), tmp_path / "pool.yaml"
    file.write_text(yaml.safe_dump(POOL, allow_unicode=True))
    assert terminal("pool", "add", "-f", str(file)).code == 0
    file.write_text(yaml.safe_dump(SERVER))
    assert terminal("pool", "server", "add", "kunpeng-1", "-f", str(file)).code == 0
    yield terminal
    cloud.session.rollback()
    for table in (Server, Pool):
        cloud.session.execute(delete(table))
    cloud.session.commit()


def find(cloud: Cloud, **condition: object) -> None:
    """What reconciling would have found of the pool."""
    pool = cloud.session.query(Pool).one()
    pool.condition = condition
    cloud.session.commit()


def test_a_pool_is_shown_so_that_people_can_read_it(cloud: Cloud, operator: Terminal) -> None:
    find(
        cloud,
        unreachable={"node-07": {"slug": "unreachable", "figures": {"message": "no route to host"}}},
        short={"node-07": {"vcpu": [64, 32]}},
        breaker={"since": SINCE, "drifted": 4, "of": 9, "empty": [], "wrong": [], "digest": "", "confirmed_by": None},
    )
    shown = operator("pool", "show", "kunpeng-1").out
    lines = {" ".join(line.split()) for line in shown.splitlines()}
    assert "overcommit vcpu × 2, memory_gib × 1.5" in lines
    (connection,) = [line for line in lines if line.startswith("connection ")]
    assert all(part in connection for part in ("connection: local", "folder: /var/lib/kunpeng", "token: file:…"))
    assert "node-07 vcpu 64 32" in lines
    assert any(line.startswith("node-07 10.0.0.7 open 64 vCPU, 256 GiB memory") for line in lines)
    assert any(line.startswith("node-07") and line.endswith("no route to host") for line in lines)
    assert any(line.startswith("repairs stopped since 2026-03-02") and "4 of 9" in line for line in lines)
    assert "{" not in shown
    chinese = operator("pool", "show", "kunpeng-1", CLOUDCTL_LANG="zh").out
    assert "自动修复" in chinese
    assert "停止" in chinese


def test_a_pool_is_changed_and_what_is_not_named_stays(operator: Terminal, tmp_path: Path) -> None:
    changed = operator("pool", "set", "kunpeng-1", "--overcommit", "vcpu=2.5", "--reserve", "vcpu=8", "-o", "json")
    told = json.loads(changed.out)
    assert (told["overcommit"], told["reserve"]) == ({"vcpu": 2.5, "memory_gib": 1.5}, {"vcpu": 8})
    assert told["capacity"]["vcpu"]["limit"] == 152
    file = tmp_path / "changes.yaml"
    file.write_text("traits: [local-ssd]\nconnection: {connection: local, folder: /srv}\n")
    told = json.loads(operator("pool", "set", "kunpeng-1", "-f", str(file), "-o", "json").out)
    assert (told["traits"], told["connection"]["folder"]) == (["local-ssd"], "/srv")
    file.write_text("colour: red\n")
    refused = operator("pool", "set", "kunpeng-1", "-f", str(file))
    assert (refused.code, f"{file}:1" in refused.err) == (1, True)
    nothing = operator("pool", "set", "kunpeng-1")
    assert nothing.code == 2


def test_who_confirms_is_shown_what_and_asked(cloud: Cloud, operator: Terminal) -> None:
    wrong = ["ten_01", "ten_02"]
    told = {"since": SINCE, "drifted": 2, "of": 9, "empty": [], "wrong": wrong, "digest": "abc", "confirmed_by": None}
    find(cloud, breaker=told)
    words = ("pool", "confirm", "kunpeng-1", "--reason", "rebuilt last night", "-o", "json")
    asked = operator(*words)
    assert (asked.code, asked.out) == (1, "")
    assert all(tenancy in asked.err for tenancy in wrong)
    assert json.loads(operator(*words, "--yes").out)["condition"]["breaker"]["confirmed_by"]


def test_a_pool_is_drained_and_opened_again(operator: Terminal) -> None:
    assert json.loads(operator("pool", "drain", "kunpeng-1", "-o", "json").out)["state"] == "draining"
    explained = json.loads(operator("pool", "explain", "vcpu=1", "--architecture", "arm64", "-o", "json").out)
    assert explained["items"][0]["because"]["slug"] == "pool-draining"
    assert json.loads(operator("pool", "drain", "kunpeng-1", "--off", "-o", "json").out)["state"] == "open"


def test_a_server_is_changed_by_its_name(operator: Terminal) -> None:
    words = ("pool", "server", "set", "kunpeng-1", "node-07", "--inventory", "memory_gib=512", "-o", "json")
    told = json.loads(operator(*words).out)
    assert told["inventory"] == {"vcpu": 64, "memory_gib": 512}
    unknown = operator("pool", "server", "set", "kunpeng-1", "node-99", "--address", "10.0.0.9")
    assert (unknown.code, "node-99" in unknown.err) == (1, True)


def test_a_class_that_is_named_twice_is_refused(operator: Terminal) -> None:
    refused = operator("pool", "explain", "vcpu=4", "vcpu=5")
    assert (refused.code, refused.out) == (2, "")
    assert "vcpu=4, vcpu=5" in refused.err

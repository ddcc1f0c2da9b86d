"""Enrolling from a terminal: keys come from the operator or are compared by one; each server gets its operation."""

import io
import json
import subprocess
from pathlib import Path

import pytest

from cloudctl.cli import host_keys
from cloudctl.cli.failures import Failure
from tests.cli.conftest import Cloud, Terminal

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAlO9YlJ1Ud1S0ZyGVXkYy7RmUo8H8cTtn9EhcJQ2H4d"
OTHER = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBA=="
POOL = """\
name: {name}
provider: here
driver: servers
zone: extranet
architecture: arm64
abi: aapcs64
cpu_family: Kunpeng-920
level: 3
connection: {{connection: ssh, user: admin, private_key: /etc/cloudctl/key}}
"""


@pytest.fixture
def known(tmp_path: Path) -> Path:
    """A file of keys, one of its hosts hashed as ssh does it."""
    file = tmp_path / "keys"
    file.write_text(f"10.0.0.7 {OTHER}\n10.0.0.7 {KEY}\n[10.0.0.8]:2222 {KEY}\n10.0.0.9 {KEY}\n")
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", file], check=True, capture_output=True)
    return file


@pytest.fixture
def operator(cloud: Cloud, tmp_path: Path) -> Terminal:
    return cloud.terminal("operator")


def pool(operator: Terminal, tmp_path: Path, name: str) -> str:
    file = tmp_path / "pool.yaml"
    file.write_text(POOL.format(name=name))
    assert operator("pool", "add", "-f", str(file)).code == 0
    return name


def test_keys_are_found_in_a_file_as_ssh_has_it(known: Path) -> None:
    assert host_keys.of(["10.0.0.7", "10.0.0.9"], 22, known) == {"10.0.0.7": KEY, "10.0.0.9": KEY}
    assert host_keys.of(["10.0.0.8"], 2222, known) == {"10.0.0.8": KEY}
    with pytest.raises(Failure, match="no-key-known"):
        host_keys.of(["10.0.0.8"], 22, known)


def test_the_fingerprint_is_the_one_that_ssh_tells(tmp_path: Path) -> None:
    (tmp_path / "key.pub").write_text(KEY)
    told = subprocess.run(["ssh-keygen", "-lf", tmp_path / "key.pub"], check=True, capture_output=True, text=True)
    assert host_keys.fingerprint(KEY) == told.stdout.split()[1]


def test_a_host_that_shows_no_key_ends_the_command() -> None:
    with pytest.raises(Failure, match="no-key-shown"):
        host_keys.of(["127.0.0.1"], 1, None)


@pytest.mark.parametrize(("said", "is_believed"), [("y\n", True), ("n\n", False), ("", False)])
def test_a_key_that_a_server_shows_counts_only_when_somebody_says_so(
    bed, server_with, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], said: str, is_believed: bool
) -> None:
    machine = server_with("x86")
    monkeypatch.setattr("sys.stdin", io.StringIO(said))
    with bed.network():
        if is_believed:
            assert host_keys.of([machine.address], 22, None) == {machine.address: machine.host_key}
        else:
            with pytest.raises(Failure, match="key-not-confirmed"):
                host_keys.of([machine.address], 22, None)
    assert host_keys.fingerprint(machine.host_key) in capsys.readouterr().err


def test_each_server_is_enrolled_by_an_operation_of_its_own(operator: Terminal, known: Path, tmp_path: Path) -> None:
    name = pool(operator, tmp_path, "kunpeng-two")
    words = ("node-07=10.0.0.7", "10.0.0.9", "--pool", name, "--known-hosts", str(known), "-o", "json")
    done = operator("server", "enroll", *words)
    assert done.code == 0, done.err
    enrolled = json.loads(done.out)
    assert [(one["name"], one["address"], one["state"]) for one in enrolled] == [
        ("node-07", "10.0.0.7", "enrolling"),
        ("10.0.0.9", "10.0.0.9", "enrolling"),
    ]
    assert {one["operation"]["kind"] for one in enrolled} == {"server.enroll"}
    listed = operator("server", "list", "--pool", name).out
    assert "being enrolled" in listed
    assert "node-07" in operator("pool", "show", name).out
    again = operator("server", "enroll", *words)
    assert (again.code, "cannot enrol from there" in again.err) == (1, True)


def test_one_key_is_not_taken_for_several_servers(operator: Terminal) -> None:
    done = operator("server", "enroll", "a", "b", "--pool", "kunpeng", "--host-key", KEY)
    assert (done.code, "--known-hosts" in done.err) == (2, True)


def test_a_server_in_a_pool_that_is_not_reached_by_ssh_is_refused(operator: Terminal, tmp_path: Path) -> None:
    file = tmp_path / "pool.yaml"
    file.write_text(POOL.format(name="here").replace("connection: ssh", "connection: local"))
    assert operator("pool", "add", "-f", str(file)).code == 0
    done = operator("server", "enroll", "10.0.0.7", "--pool", "here", "--host-key", KEY)
    assert (done.code, "is not reached by SSH" in done.err) == (1, True)

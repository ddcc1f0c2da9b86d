"""Servers are spoken to only under the host key that was pinned, and what goes wrong has a plain name."""

from dataclasses import replace
from datetime import timedelta

import pytest

from cloudctl.kernel.operations import GiveUp, RetryLater
from provisioning import plays, ssh
from provisioning.drivers import Place
from tests.beds.servers.server import ADMIN

PROGRAM = "import json, os, sys\nprint(json.dumps([os.geteuid(), sys.argv[1:]]))"


@pytest.fixture
def place(bed, server_with):
    server = server_with("x86")
    connection = {"connection": "ssh", "user": ADMIN, "private_key": str(bed.key)}
    return Place("pool_1", "servers", "amd64", connection, server.name, server.address, server.host_key)


def ask(bed, place, *words):
    with bed.network():
        return ssh.ask(place, PROGRAM, *words)


def play(bed, place, folder, tasks):
    playbook = folder / "play.yml"
    playbook.write_text(tasks)
    files, hosts = {"known_hosts": ssh.known_hosts(place)}, ssh.variables(place)
    with bed.network():
        return plays.run(folder / "j", "one", str(playbook), hosts, lambda *_, **__: None, timedelta(minutes=1), files)


WHO = """
- hosts: all
  gather_facts: false
  tasks:
    - {name: Who, ansible.builtin.command: {argv: [id, -u]}}
"""


def test_a_program_runs_as_root_with_its_words_as_they_are(bed, place):
    assert ask(bed, place, "two words", "$HOME") == [0, ["two words", "$HOME"]]


def test_a_play_runs_as_root(bed, place, tmp_path):
    assert play(bed, place, tmp_path, WHO)["Who"]["stdout"] == "0"


@pytest.mark.parametrize("way", ["look", "play"])
def test_another_host_key_than_the_pinned_one_stops_everything(bed, place, tmp_path, way):
    other = replace(place, host_key="ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAlO9YlJ1Ud1S0ZyGVXkYy7RmUo8H8cTtn9EhcJQ2H4d")
    with pytest.raises(GiveUp) as given:
        ask(bed, other) if way == "look" else play(bed, other, tmp_path, WHO)
    assert given.value.reason == "host-key-changed"


@pytest.mark.parametrize("way", ["look", "play"])
def test_who_is_not_let_in_is_told_so(bed, place, tmp_path, way):
    nobody = replace(place, connection=place.connection | {"user": "nobody"})
    with pytest.raises(GiveUp) as given:
        ask(bed, nobody) if way == "look" else play(bed, nobody, tmp_path, WHO)
    assert given.value.reason == "not-let-in"


@pytest.mark.parametrize("way", ["look", "play"])
def test_where_nobody_answers_one_comes_back_later(bed, place, tmp_path, way):
    silent = replace(place, connection=place.connection | {"port": 2222})
    with pytest.raises(RetryLater) as later:
        ask(bed, silent) if way == "look" else play(bed, silent, tmp_path, WHO)
    assert later.value.reason == "unreachable"


def test_a_server_whose_key_nobody_pinned_is_not_spoken_to(bed, place):
    with pytest.raises(GiveUp, match="not-enrolled"):
        ask(bed, replace(place, host_key=None))


@pytest.mark.parametrize(
    ("field", "value"), [("user", ""), ("private_key", "key"), ("port", 0), ("port", "22"), ("port", True)]
)
def test_a_connection_that_does_not_say_who_comes_with_which_key_is_refused(field, value):
    with pytest.raises(GiveUp) as given:
        ssh.check({"user": "admin", "private_key": "/key", field: value})
    assert given.value.figures == {"field": field}


def test_a_play_gets_in_however_long_the_path_of_its_folder_is(bed, place, tmp_path):
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    assert play(bed, place, deep, WHO)["Who"]["stdout"] == "0"


@pytest.mark.parametrize("way", ["look", "play"])
def test_a_private_key_that_is_missing_here_is_named_and_waited_for(bed, place, tmp_path, way):
    keyless = replace(place, connection=place.connection | {"private_key": str(tmp_path / "none")})
    with pytest.raises(RetryLater) as later:
        ask(bed, keyless) if way == "look" else play(bed, keyless, tmp_path, WHO)
    assert (later.value.reason, later.value.figures["file"]) == ("no-private-key", str(tmp_path / "none"))

"""Logging in, and what is kept of it."""

import json
import re
import stat
from pathlib import Path

import pytest

from tests.cli.conftest import Cloud


def test_a_token_is_stored_for_its_owner_alone_and_never_shown(cloud: Cloud) -> None:
    terminal, secret = cloud.terminal(), cloud.secret_of("operator")
    assert terminal("login", cloud.address, given=secret).code == 0
    file = Path(terminal.environment["XDG_CONFIG_HOME"]) / "cloudctl" / "contexts.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert json.loads(file.read_text())["known"]["default"]["token"] == secret
    for output in ("table", "json", "yaml"):
        assert secret not in terminal("context", "list", "-o", output).out


def test_a_wrong_token_is_not_stored(cloud: Cloud) -> None:
    terminal = cloud.terminal()
    refused = terminal("login", cloud.address, given="cct_nonsense")
    assert refused.code == 4
    assert refused.err.startswith("cloudctl: ")
    assert "cloudctl login" in refused.err
    assert json.loads(terminal("context", "list", "-o", "json").out) == []


def test_a_name_of_ones_own_is_told_as_it_is(cloud: Cloud) -> None:
    terminal = cloud.terminal()
    assert terminal("login", cloud.address, "--name", "security", given=cloud.secret_of("operator")).code == 0
    assert "\nsecurity " in terminal("context", "list").out  # which is also a role, and has a word


def test_nobody_logged_in_is_exit_code_4_and_says_what_to_do(cloud: Cloud) -> None:
    done = cloud.terminal()("department", "list")
    assert (done.code, done.out) == (4, "")
    assert done.err == "cloudctl: Nobody is logged in. Run: cloudctl login http://SERVER:8080\n"


def test_a_server_that_is_not_there_is_exit_code_3(cloud: Cloud) -> None:
    done = cloud.terminal()("project", "list", CLOUDCTL_SERVER="http://127.0.0.1:1", CLOUDCTL_TOKEN="cct_x")
    assert done.code == 3
    assert done.err.startswith("cloudctl: http://127.0.0.1:1 cannot be reached: ")
    assert done.err.count("\n") == 1


@pytest.mark.parametrize("given", ["CLOUDCTL_SERVER", "CLOUDCTL_TOKEN"])
def test_half_of_server_and_token_is_not_passed_over(cloud: Cloud, given: str) -> None:
    done = cloud.terminal("operator")("department", "list", **{given: "x"})
    assert (done.code, done.out) == (2, "")
    assert {"CLOUDCTL_SERVER", "CLOUDCTL_TOKEN"} <= set(re.findall(r"CLOUDCTL_\w+", done.err))


def test_wrong_usage_is_exit_code_2(cloud: Cloud) -> None:
    assert cloud.terminal()("department", "show").code == 2
    assert cloud.terminal()("nonsense").code == 2


def test_one_can_have_several_contexts_and_change_between_them(cloud: Cloud) -> None:
    terminal = cloud.terminal("operator")
    assert terminal("login", cloud.address, "--name", "audit", given=cloud.secret_of("auditor")).code == 0
    assert json.loads(terminal("context", "show", "-o", "json").out)["role"] == "auditor"
    assert json.loads(terminal("--context", "default", "context", "show", "-o", "json").out)["role"] == "operator"
    assert terminal("context", "use", "default").code == 0
    assert json.loads(terminal("context", "show", "-o", "json").out)["role"] == "operator"
    unknown = terminal("context", "use", "office")
    assert unknown.code == 2
    assert "audit, default" in unknown.err
    assert terminal("context", "remove", "default").code == 0
    assert terminal("department", "list").code == 4


def test_what_goes_wrong_is_said_in_the_users_language(cloud: Cloud) -> None:
    terminal = cloud.terminal("operator")
    assert "没有" in terminal("department", "show", "999999", CLOUDCTL_LANG="zh").err
    assert "999999" in terminal("department", "show", "999999").err

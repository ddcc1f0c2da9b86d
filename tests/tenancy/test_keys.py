"""Public keys: one good line is taken as it is meant, and any other says what is wrong with it."""

import pytest

from cloudctl.kernel import messages
from tenancy import keys
from tenancy.keys import BadKey, PrivateKey
from tests.tenancy.bureau import Bureau, create

GOOD = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBpP5q6sJ7c0yJ0uJY0m9gk1x0Xw2vJkq0bqk5d9yV3u"


@pytest.mark.parametrize("key", [GOOD, f"{GOOD} wang@bureau", f"{GOOD} 王芳 的 电脑", f"  {GOOD}\n", f"{GOOD}\twang"])
def test_a_good_key_is_taken_with_or_without_a_comment(key: str) -> None:
    assert keys.problems([key]) == []


@pytest.mark.parametrize(
    "key",
    [
        "ssh-ed25519 AAAA… wang",
        "ssh-ed25519 AAA",
        "ssh-ed25519 密钥",
        "ssh-ed25519",
        "",
        "ssh-dss AAAAB3NzaC1kc3M=",
        f"{GOOD}\n{GOOD}",
        GOOD.replace("ssh-ed25519", "ssh-rsa"),
        "ssh-ed25519 \ud800",
        "ssh-ed25519 " + "A" * 5000,
    ],
)
def test_a_bad_key_is_told_with_its_field_and_the_rule(key: str) -> None:
    (problem,) = keys.problems([GOOD, key])
    assert (type(problem), problem.field) == (BadKey, "1")
    told = messages.render(problem.slug, problem.figures, "en")
    assert "ssh-ed25519, ecdsa" in told
    assert len(told) < 400


def test_a_private_key_is_not_shown() -> None:
    (problem,) = keys.problems(["-----BEGIN OPENSSH PRIVATE KEY----- b3Blbn"])
    assert (type(problem), problem.figures) == (PrivateKey, {})


def test_a_key_is_kept_without_the_spaces_around_it(bureau: Bureau) -> None:
    request = bureau.submit({**create(), "keys": [f" {GOOD} wang\n"]})
    assert request.items[0].spec["keys"] == [f"{GOOD} wang"]

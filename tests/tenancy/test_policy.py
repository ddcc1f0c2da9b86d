"""The published rules: which steps an item needs, what needs no human, and a policy file that breaks its schema."""

from pathlib import Path

import pytest

from cloudctl.kernel.settings import Settings
from tenancy import policy
from tenancy.policy import BadPolicy, Facts

PLAIN = policy.load(Settings())


def steps(facts: Facts) -> list[str]:
    return [step.name for step in PLAIN.judge(facts).steps]


@pytest.mark.parametrize(
    ("facts", "names"),
    [
        (Facts("project"), ["accept", "department-head", "authority-review"]),
        (Facts("quota", size={"vcpu": 10}), ["accept", "parent"]),
        (Facts("extend"), ["accept", "department-head"]),
        (Facts("create", size={"vcpu": 64}), ["accept", "department-head", "authority-review"]),
        (Facts("create", size={"vcpu": 65}), ["accept", "department-head", "authority-review", "large-or-sensitive"]),
        (Facts("create", size={"gpu": 1}), ["accept", "department-head", "authority-review", "large-or-sensitive"]),
        (
            Facts("create", size={"vcpu": 1}, level=3),
            [
                "accept",
                "department-head",
                "authority-review",
                "large-or-sensitive",
            ],
        ),
        (Facts("return"), []),
    ],
)
def test_an_item_needs_the_steps_that_its_size_level_and_kind_ask_for(facts: Facts, names: list[str]) -> None:
    assert steps(facts) == names


def increase(wanted: int, *, current: int = 10, approved: int = 10, use: dict[str, float] | None = None) -> Facts:
    return Facts("resize", size={"vcpu": wanted}, current={"vcpu": current}, approved={"vcpu": approved}, use=use)


@pytest.mark.parametrize(
    ("facts", "automatic", "slug"),
    [
        (increase(15, use={"vcpu": 3.5}), "small-increase", None),
        (increase(16, use={"vcpu": 9.0}), None, "rule-above-approved"),
        (increase(15, use={"vcpu": 3.4}), None, "rule-use-too-low"),
        (increase(15), None, "rule-no-evidence"),
        (increase(15, use={"memory_gib": 9.0}), None, "rule-no-evidence"),
        (increase(14, current=12, approved=8, use={"vcpu": 12.0}), None, "rule-above-approved"),
        (
            Facts("resize", size={"public_ip": 2}, current={"public_ip": 2 - 1}, approved={"public_ip": 4}, use={}),
            None,
            "rule-not-for-class",
        ),
        (
            Facts(
                "resize",
                size={"vcpu": 12, "memory_gib": 4},
                current={"vcpu": 10, "memory_gib": 8},
                approved={"vcpu": 10, "memory_gib": 8},
                use={"vcpu": 9.0, "memory_gib": 1.0},
            ),
            None,
            "rule-shrinks",
        ),
    ],
)
def test_an_increase_is_automatic_within_the_share_and_with_evidence(
    facts: Facts, automatic: str | None, slug: str | None
) -> None:
    judged = PLAIN.judge(facts)
    assert judged.automatic == automatic
    if slug:
        assert judged.hindrances[-1]["slug"] == slug
        assert steps(facts)[0] == "accept"


def test_each_rule_that_did_not_apply_says_why() -> None:
    told = PLAIN.judge(increase(16, use={"vcpu": 9.0})).hindrances
    assert [reason["figures"]["rule"] for reason in told] == ["decrease-below-use", "small-increase"]
    assert told[1]["figures"] == {
        "rule": "small-increase",
        "resource": "vcpu",
        "wanted": 16,
        "approved": 10,
        "percent": 50,
        "most": 15,
    }


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("version: [", "while parsing"),
        ("version: '1'\naccept: {by: own, days: 0}\nsteps: []\n", "accept.days"),
        ("version: '1'\naccept: {by: nobody, days: 1}\nsteps: []\n", "accept.by"),
        ("version: '1'\naccept: {by: own, days: 1}\nsteps: []\nsurprise: 1\n", "surprise"),
        ("steps: []\n", "version"),
        ("", "Policy"),
    ],
)
def test_a_policy_that_breaks_its_schema_is_not_started_with(tmp_path: Path, text: str, fault: str) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(text)
    with pytest.raises(BadPolicy) as refused:
        policy.load(Settings(policy_file=file))
    assert refused.value.figures["file"] == str(file)
    assert fault in refused.value.figures["fault"]


def test_a_policy_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadPolicy):
        policy.load(Settings(policy_file=tmp_path / "none.yaml"))

"""What the operator on duty types: what is wrong, whom to wake, how full it is; and what she mails."""

import json
import re
from datetime import UTC, datetime

from sqlalchemy.orm import Session

from monitoring import alerts
from provisioning import pools
from tenancy.callers import Caller
from tests.cli.conftest import Cloud

MONITOR = Caller(id="usr_m", name="prometheus", platform_role="monitor")


def report(session: Session, severity: str, over: bool) -> None:
    labels = {"alertname": "ApiErrorsFast", "severity": severity}
    ended_at = datetime(2026, 3, 2, 2, tzinfo=UTC) if over else None
    told = alerts.Told(f"cli-{severity}", labels, "2% of calls fail", datetime(2026, 3, 2, 1, tzinfo=UTC), ended_at)
    alerts.report(session, MONITOR, [told])
    session.commit()


def test_the_exit_code_says_whether_to_wake_somebody(cloud: Cloud) -> None:
    operator = cloud.terminal("operator")
    report(cloud.session, "warning", over=False)
    mild = operator("status")
    report(cloud.session, "critical", over=False)
    bad = operator("status")
    listed = json.loads(operator("status", "-o", "json").out)
    for severity in ("warning", "critical"):
        report(cloud.session, severity, over=True)
    assert (mild.code, bad.code) == (0, 5)
    assert "in the morning" in mild.out
    first = bad.out.splitlines()[1]
    assert first.startswith("at once")
    assert "ApiErrorsFast: 2% of calls fail" in first
    assert "docs/operations.md#apierrorsfast" in first
    assert [one["wakes"] for one in listed["troubles"]] == [True, False]
    assert cloud.terminal("jyj-clerk")("status").code == 1


def test_a_silence_is_made_listed_and_ended(cloud: Cloud) -> None:
    operator = cloud.terminal("operator")
    until = ("--until", "2099-03-02T18:00", "--reason", "disk swap")
    assert operator("silence", "create", "pool=local", *until).code == 1
    assert operator("silence", "create", "local", *until).code == 2
    soon = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0).timestamp() + 2 * 86_400
    until = ("--until", f"{datetime.fromtimestamp(soon, UTC):%Y-%m-%dT%H:%M:%S}", "--reason", "disk swap")
    made = json.loads(operator("silence", "create", "pool=local", *until, "-o", "json").out)
    assert made["matchers"] == {"pool": "local"}
    assert "pool=local" in operator("silence", "list").out
    assert operator("silence", "end", made["id"]).code == 0
    assert made["id"] not in operator("silence", "list").out


def test_capacity_is_drawn_in_the_terminal_and_on_a_page_that_needs_no_network(cloud: Cloud) -> None:
    operator = cloud.terminal("operator")
    caller = Caller(id="usr_o", name="operator", platform_role="operator")
    about = {"provider": "here", "driver": "kubernetes", "zone": "extranet", "level": 3}
    chip = {"architecture": "arm64", "abi": "arm64", "cpu_family": "any"}
    kubeconfig = {"kubeconfig": "/nowhere", "storage_classes": {"ssd": "ssd"}}
    amounts = {"vcpu": 100, "memory_gib": 100, "storage_gib.ssd": 1000}
    pools.add(
        cloud.session,
        caller,
        name="drawn",
        connection=kubeconfig,
        inventory=amounts,
        reserve={"vcpu": 50},
        **about,
        **chip,
    )
    cloud.session.commit()
    shown = operator("capacity").out
    assert "drawn · arm64 · extranet: room for 12 more" in shown
    (line,) = [one for one in shown.partition("drawn")[2].splitlines() if one.strip().startswith("vcpu")]
    assert (line.count("░"), line.count("·")) == (20, 20)
    file = cloud.folder / "capacity.html"
    assert operator("capacity", "--html", str(file)).code == 0
    page = file.read_text(encoding="utf-8")
    assert "drawn" in page
    assert "<svg" in page
    assert re.findall(r"(?:src|href)=|url\(|://", page) == []
    assert json.loads(operator("capacity", "-o", "json").out)["standard"]["vcpu"] == 4

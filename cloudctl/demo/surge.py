"""The surge: a load test fails, the tenancy grows as proposed, a second one passes; then it shrinks back."""

import json
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

from cloudctl.cli.words import say
from cloudctl.demo.opening import (
    BUREAU,
    LOOK,
    Cast,
    begin,
    carried_out,
    confirmed_target,
    decide,
    must,
    public_key,
    submit_file,
)
from cloudctl.demo.stage import Stage

SMALL = {"vcpu": 1, "memory_gib": 1, "storage_gib.ssd": 2}
PEAK = 55  # requests a second on the day; the sample service answers 40 with each processor
PASSED = ("pass", "likely")
TRIES = 3  # of a search on a machine that may be busy with other things


def play(stage: Stage) -> None:
    """Play every act, in order.

    Raises:
        Failure: something did not come out as it should.
    """
    cast, project = begin(stage)
    tenancy = get_tenancy(stage, cast, project)
    with stage.serving(tenancy) as port:
        target = confirmed_target(stage, cast, project, tenancy, port, production=True)
        first = try_day(stage, cast, target, "surge-first")
        must(first["outcome"] == "fail", "one processor is too little")
        grow(stage, cast, first, tenancy)
        second = try_day(stage, cast, target, "surge-second")
        must(second["outcome"] in PASSED, "what was proposed is enough")
        must(second["result"]["goodput"] > first["result"]["goodput"], "more is served than before")
        proven = prove(stage, cast, target)
        must(proven["result"]["capacity"] > first["result"]["goodput"], "more is held than before")
    shrink(stage, cast, tenancy, target)
    stage.title("surge-end")
    stage.on_server("admin", "doctor")
    page = _page(stage, cast, {"surge-first": first, "surge-second": second, "surge-proven": proven})
    stage.tell("surge-told", page=str(page))


def get_tenancy(stage: Stage, cast: Cast, project: str) -> str:
    """The bureau gets a tenancy that is too small for the day; returns its id."""
    stage.title("surge-small")
    key = public_key(stage.folder / "id_ed25519")
    item = {"kind": "create", "name": "booking-web", "size": SMALL, "keys": [key]}
    asked = {"department": BUREAU, "project": project, "purpose": say("demo-purpose"), "items": [item]}
    number = submit_file(cast, stage.write("booking.yaml", asked))
    decide(number, (cast.authority, "accept"), (cast.head, "approve"), (cast.authority, "approve"))
    cast.clerk.run("request", "watch", number)
    return str(cast.clerk.json("tenancy", "list")[0]["id"])


def try_day(stage: Stage, cast: Cast, target: str, title: str) -> dict[str, Any]:
    """A campaign with the rate of the day; returns its run."""
    stage.title(title)
    return _run(
        stage, cast, {"target": target, "name": say(title), "profile": {"kind": "soak", "rate": PEAK, "seconds": 12}}
    )


def prove(stage: Stage, cast: Cast, target: str) -> dict[str, Any]:
    """How much it really holds: the record that stands for it until something of it changes."""
    stage.title("surge-proven")
    campaign = {"target": target, "name": say("surge-proven"), "profile": {"kind": "search", "coarse": True}}
    for _ in range(TRIES):
        found = _run(stage, cast, campaign)
        if found["outcome"] in PASSED:
            break
    must(found["outcome"] in PASSED, "a capacity is found")
    must(cast.clerk.json("target", "show", target)["capacity"] is not None, "the capacity is on record")
    return found


def grow(stage: Stage, cast: Cast, run: dict[str, Any], tenancy: str) -> None:
    """What the run proposes becomes an application with one command; people decide, the platform carries it out."""
    stage.title("surge-grow")
    number = str(cast.clerk.json("campaign", "resize", str(run["id"]))["number"])
    decide(number, (cast.authority, "accept"), (cast.head, "approve"), (cast.authority, "approve"))
    cast.clerk.run("request", "watch", number)
    must(cast.clerk.json("tenancy", "show", tenancy)["size"] == run["proposal"]["size"], "it has the size proposed")


def shrink(stage: Stage, cast: Cast, tenancy: str, target: str) -> None:
    """The day is over: while more is used than the small size has, a person would have to decide; then a rule does."""
    stage.title("surge-shrink")
    back = ("tenancy", "resize", tenancy, *(f"{each}={amount}" for each, amount in SMALL.items()))
    purpose = ("--purpose", say("surge-over"))
    _measured(cast, tenancy, vcpu=1.8)
    waiting = cast.clerk.json(*back, *purpose)
    must(waiting["state"] != "finished" and waiting["steps"], "it waits for a person while use is above the small size")
    cast.clerk.run("request", "show", str(waiting["number"]))
    cast.clerk.run("request", "withdraw", str(waiting["number"]))
    _measured(cast, tenancy, vcpu=0.3)
    cast.clerk.run(*back, *purpose, "--wait")
    must(cast.clerk.json("tenancy", "show", tenancy)["size"] == SMALL, "it has its old size")
    must(cast.clerk.json("target", "show", target)["capacity"] is None, "the proof was of another size, and is expired")


def _run(stage: Stage, cast: Cast, campaign: dict[str, Any]) -> dict[str, Any]:
    """The curve first, then the load itself; returns the run."""
    file = stage.write("campaign.yaml", {**campaign, "journeys": LOOK, "forecast": PEAK})
    cast.clerk.run("campaign", "preview", "-f", file)
    return carried_out(cast, file)


def _measured(cast: Cast, tenancy: str, vcpu: float) -> None:
    """What monitoring would have measured by then: the demo does not last for days."""
    used = {"vcpu": vcpu, "memory_gib": 0.4, "storage_gib.ssd": 0.1}
    told = {"kind": "usage", "subject": tenancy, "value": used, "measured_at": datetime.now(UTC).isoformat()}
    cast.operator.client.post("evidence", body=told)


def _page(stage: Stage, cast: Cast, told: dict[str, dict[str, Any]]) -> Path:
    """The reports one below the other, on one page that needs no network."""
    parts = []
    for title, run in told.items():
        report = stage.folder / f"{title}.html"
        cast.clerk.run("campaign", "report", str(run["id"]), "--into", str(report))
        inside = escape(report.read_text(encoding="utf-8"), quote=True)
        parts.append(f'<h1>{escape(say(title))}</h1><iframe srcdoc="{inside}"></iframe>')
    style = "body{font-family:system-ui,sans-serif;max-width:60rem;margin:auto}iframe{width:100%;height:75rem;border:0}"
    page = stage.folder / "surge.html"
    page.write_text(f'<!doctype html><meta charset="utf-8"><style>{style}</style>{"".join(parts)}', encoding="utf-8")
    (stage.folder / "surge.json").write_text(json.dumps(told, ensure_ascii=False), encoding="utf-8")
    return page

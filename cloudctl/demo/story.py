"""The story: a new bureau gets its project and two tenancies, uses, resizes, returns and erases them."""

import json
import os
import subprocess
from pathlib import Path

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
from cloudctl.demo.stage import TOOLS, Stage

LETTER = "布依族八音坐唱 · Buyei eight-tone singing\n"


def play(stage: Stage) -> None:
    """Play every act, in order.

    Raises:
        Failure: something did not come out as it should.
    """
    cast, project = begin(stage)
    web, archive = get_tenancies(stage, cast, project)
    volume = use(stage, cast, web)
    resize(stage, cast, web)
    prove(stage, cast, project, web)
    go_over_quota(stage, cast, project)
    give_back(stage, cast, archive)
    erase(stage, cast, archive)
    summarise(stage, cast, volume)


def get_tenancies(stage: Stage, cast: Cast, project: str) -> tuple[str, str]:
    """One application for two things, looked at before it is submitted; returns the ids of what came of it."""
    stage.title("demo-apply")
    web = {
        "kind": "create",
        "name": "booking-web",
        "size": {"vcpu": 4, "memory_gib": 8, "storage_gib.ssd": 10},
        "keys": [public_key(stage.folder / "id_ed25519")],
    }
    archive = {"kind": "create", "name": "booking-archive", "size": {"storage_gib.ssd": 5}}
    asked = {"project": project, "purpose": say("demo-purpose"), "items": [web, archive]}
    file = stage.write("booking.yaml", {"department": BUREAU, **asked})
    cast.clerk.run("request", "preview", "-f", file)
    stage.title("demo-submit")
    number = submit_file(cast, file)
    cast.authority.run("approval", "list")
    decide(number, (cast.authority, "accept"), (cast.head, "approve"), (cast.authority, "approve"))
    stage.title("demo-provision")
    cast.clerk.run("request", "watch", number)
    cast.clerk.run("tenancy", "list")
    ids = {one["name"]: str(one["id"]) for one in cast.clerk.client.items("tenancies")}
    return ids["booking-web"], ids["booking-archive"]


def use(stage: Stage, cast: Cast, tenancy: str) -> Path:
    """Take the access over and use it: write a file into the volume and read it back. Returns the volume."""
    stage.title("demo-use")
    cast.clerk.run("tenancy", "show", tenancy)
    access = json.loads(cast.clerk.run("tenancy", "access", tenancy, "-o", "json"))
    volume = Path(access["how"]["volume.ssd"])
    _write_and_read(stage, volume)
    stage.tell("demo-used", volume=str(volume), gib=volume.stat().st_size // 2**30, text=LETTER.strip())
    key = (stage.folder / "id_ed25519.pub").read_text().strip()
    must(key in Path(access["how"]["authorized_keys"]).read_text(), "the key is admitted")
    return volume


def resize(stage: Stage, cast: Cast, tenancy: str) -> None:
    """Ask for more of one of them; without evidence of use, people decide."""
    stage.title("demo-resize")
    words = ("tenancy", "resize", tenancy, "vcpu=6", "storage_gib.ssd=12", "--purpose", say("demo-resize-purpose"))
    number = str(cast.clerk.json(*words)["number"])
    decide(number, (cast.authority, "accept"), (cast.head, "approve"), (cast.authority, "approve"))
    cast.clerk.run("request", "watch", number)
    cast.clerk.run("tenancy", "list")


def prove(stage: Stage, cast: Cast, project: str, tenancy: str) -> None:
    """Load-test a sample service that runs in the tenancy: how much does it hold, and is that enough for the day?"""
    stage.title("demo-prove")
    with stage.serving(tenancy) as port:
        target = confirmed_target(stage, cast, project, tenancy, port, production=True)
        peak = {"population": 90_000, "share": 0.4, "requests": 3, "minutes": 15, "arrival": "even"}
        campaign = {
            "target": target,
            "name": say("demo-campaign"),
            "journeys": LOOK,
            "peak": peak,
        }
        cast.clerk.run("campaign", "preview", "-f", stage.write("campaign.yaml", campaign))
        search = stage.write("campaign.yaml", {**campaign, "profile": {"kind": "search", "coarse": True}})
        run = carried_out(cast, search)
        report = str(stage.folder / "report.html")
        cast.clerk.run("campaign", "report", str(run["id"]), "--into", report)
        stage.tell("demo-proven", report=report)


def go_over_quota(stage: Stage, cast: Cast, project: str) -> None:
    """Ask for more than there is: refused with figures, and with the request for more quota filled in."""
    stage.title("demo-over")
    item = {"kind": "create", "name": "booking-live", "size": {"vcpu": 8, "memory_gib": 4}}
    asked = {"department": BUREAU, "project": project, "purpose": say("demo-purpose"), "items": [item]}
    file = stage.write("live.yaml", asked)
    cast.clerk.run("request", "create", "-f", file, code=1)
    stage.tell("demo-refused")
    over = cast.clerk.client.post("requests", "preview", body=asked)["items"][0]["over_quota"]
    more = {**over["quota_request"], "purpose": say("demo-more-purpose")}
    number = submit_file(cast, stage.write("more-quota.yaml", more))
    decide(number, (cast.authority, "accept"), (cast.city, "approve"))
    stage.title("demo-again")
    number = submit_file(cast, file)
    cast.clerk.run("request", "withdraw", number)


def give_back(stage: Stage, cast: Cast, tenancy: str) -> None:
    """Return a tenancy, which no human needs to approve, and take it out of quarantine again."""
    stage.title("demo-return")
    cast.clerk.run("tenancy", "return", tenancy, "--purpose", say("demo-return-purpose"), "--wait")
    cast.clerk.run("tenancy", "restore", tenancy, "--reason", say("demo-restore-reason"), "--wait")


def erase(stage: Stage, cast: Cast, tenancy: str) -> None:
    """Return it for good and erase it; nothing of it is left."""
    stage.title("demo-erase")
    cast.clerk.run("tenancy", "return", tenancy, "--purpose", say("demo-return-purpose"), "--wait")
    cast.operator.run("tenancy", "erase", tenancy, "--reason", say("demo-erase-reason"), "--wait")
    found = cast.clerk.client.get("tenancies", tenancy)
    must(found["state"] == "erased" and found["erasure"], "the erasure is on record")
    left = [path for path in (stage.folder / "tenancies").rglob("*") if tenancy in str(path)]
    must(not left, f"nothing is left, but {left}")
    stage.tell("demo-erased", folder=str(stage.folder / "tenancies"), tenancy=tenancy)


def summarise(stage: Stage, cast: Cast, volume: Path) -> None:
    """What there is now, and what to try next."""
    stage.title("demo-end")
    cast.clerk.run("tenancy", "list")
    cast.clerk.run("request", "list")
    client = cast.operator.client
    counts = {noun: len(client.items(noun)) for noun in ("departments", "projects", "requests", "operations")}
    stage.tell("demo-summary", **counts, folder=str(stage.folder), volume=str(volume))
    stage.tell("demo-next")


def _write_and_read(stage: Stage, volume: Path) -> None:
    """As the tenant: put a file into the file system on the volume, without mounting it, and read it back."""
    letter = stage.folder / "letter.txt"
    letter.write_text(LETTER, encoding="utf-8")
    environment = {**os.environ, "PATH": TOOLS}
    for command in (["-w", "-R", f"write {letter} letter.txt"], ["-R", "cat letter.txt"]):
        done = subprocess.run(["debugfs", *command, str(volume)], env=environment, capture_output=True, text=True)
    must(done.stdout == LETTER, "what was written can be read")

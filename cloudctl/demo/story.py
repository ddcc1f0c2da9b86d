"""The story: a new bureau gets its project and two tenancies, uses, resizes, returns and erases them."""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from cloudctl.cli.failures import Failure
from cloudctl.cli.words import say
from cloudctl.demo.stage import TOOLS, Person, Stage

CITY, BUREAU = "522301", "522301-whj"
LETTER = "布依族八音坐唱 · Buyei eight-tone singing\n"


@dataclass(frozen=True)
class Cast:
    """Who plays. The bureau's clerk asks; its head, the city's and the authority's approvers decide."""

    operator: Person
    security: Person
    clerk: Person
    head: Person
    city: Person
    authority: Person


def play(stage: Stage) -> None:
    """Play every act, in order.

    Raises:
        Failure: something did not come out as it should.
    """
    cast = register(stage)
    get_quota(stage, cast)
    project = get_project(stage, cast)
    web, archive = get_tenancies(stage, cast, project)
    volume = use(stage, cast, web)
    resize(stage, cast, web)
    prove(stage, cast, project, web)
    go_over_quota(stage, cast, project)
    give_back(stage, cast, archive)
    erase(stage, cast, archive)
    summarise(stage, cast, volume)


def register(stage: Stage) -> Cast:
    """An operator registers the bureau and its people; the security administrator says what they may do."""
    stage.title("demo-register")
    operator = stage.logs_in("operator", say("demo-operator"))
    security = stage.logs_in("security", say("demo-security"))
    operator.run("department", "list", "--limit", "5")
    names = ("--name", "兴义市文化广电旅游局", "--name-en", "Xingyi Bureau of Culture and Tourism")
    operator.run("department", "create", BUREAU, "--parent", CITY, *names)
    people = {"whj-clerk": "杨丽琴", "whj-head": "王德明"}
    for login, name in people.items():
        operator.run("user", "create", login, "--name", name)
    security.run("user", "grant", "whj-clerk", "clerk", "--department", BUREAU)
    security.run("user", "grant", "whj-head", "approver", "--department", BUREAU)
    return Cast(
        operator,
        security,
        clerk=stage.logs_in("whj-clerk", say("demo-clerk")),
        head=stage.logs_in("whj-head", say("demo-head")),
        city=stage.logs_in("xingyi-head", say("demo-city")),
        authority=stage.logs_in("authority", say("demo-authority")),
    )


def get_quota(stage: Stage, cast: Cast) -> None:
    """The bureau asks the city above it for a quota."""
    stage.title("demo-quota")
    limits = {"vcpu": 8, "memory_gib": 16, "storage_gib.ssd": 40}
    item = {"kind": "quota", "limits": limits}
    number = _submit(stage, cast, "quota.yaml", {"purpose": say("demo-quota-purpose"), "items": [item]})
    _decide(number, (cast.authority, "accept"), (cast.city, "approve"))
    cast.clerk.run("quota", "show", BUREAU)


def get_project(stage: Stage, cast: Cast) -> str:
    """The clerk applies for a project, which gets its code; returns the code."""
    stage.title("demo-project")
    item = {
        "kind": "project",
        "name": "马岭河峡谷景区预约系统",
        "name_en": "Maling River Canyon Booking",
        "owner": "杨丽琴",
        "funding": say("demo-funding"),
        "level": 2,
    }
    number = _submit(stage, cast, "project.yaml", {"purpose": say("demo-project-purpose"), "items": [item]})
    _decide(number, (cast.authority, "accept"), (cast.head, "approve"), (cast.authority, "approve"))
    code = str(cast.clerk.json("project", "list", "--department", BUREAU)[0]["code"])
    stage.tell("demo-code", code=code)
    return code


def get_tenancies(stage: Stage, cast: Cast, project: str) -> tuple[str, str]:
    """One application for two things, looked at before it is submitted; returns the ids of what came of it."""
    stage.title("demo-apply")
    web = {
        "kind": "create",
        "name": "booking-web",
        "size": {"vcpu": 4, "memory_gib": 8, "storage_gib.ssd": 10},
        "keys": [_public_key(stage.folder / "id_ed25519")],
    }
    archive = {"kind": "create", "name": "booking-archive", "size": {"storage_gib.ssd": 5}}
    asked = {"project": project, "purpose": say("demo-purpose"), "items": [web, archive]}
    file = stage.write("booking.yaml", {"department": BUREAU, **asked})
    cast.clerk.run("request", "preview", "-f", file)
    stage.title("demo-submit")
    number = _submit_file(cast, file)
    cast.authority.run("approval", "list")
    _decide(number, (cast.authority, "accept"), (cast.head, "approve"), (cast.authority, "approve"))
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
    _must(key in Path(access["how"]["authorized_keys"]).read_text(), "the key is admitted")
    return volume


def resize(stage: Stage, cast: Cast, tenancy: str) -> None:
    """Ask for more of one of them; without evidence of use, people decide."""
    stage.title("demo-resize")
    words = ("tenancy", "resize", tenancy, "vcpu=6", "storage_gib.ssd=12", "--purpose", say("demo-resize-purpose"))
    number = str(cast.clerk.json(*words)["number"])
    _decide(number, (cast.authority, "accept"), (cast.head, "approve"), (cast.authority, "approve"))
    cast.clerk.run("request", "watch", number)
    cast.clerk.run("tenancy", "list")


def prove(stage: Stage, cast: Cast, project: str, tenancy: str) -> None:
    """Load-test a sample service that runs in the tenancy: how much does it hold, and is that enough for the day?"""
    stage.title("demo-prove")
    with stage.serving(tenancy) as port:
        endpoint = cast.clerk.json("tenancy", "endpoint", "add", tenancy, "127.0.0.1", "--port", str(port))
        cast.operator.run("tenancy", "endpoint", "confirm", tenancy, str(endpoint["id"]))
        target = {
            "project": project,
            "tenancy": tenancy,
            "name": say("demo-target"),
            "base_url": f"http://127.0.0.1:{port}",
            "contacts": ["0859-3222222"],
            "ceiling": 500,
            "production": True,
        }
        registered = cast.clerk.json("target", "register", "-f", stage.write("target.yaml", target))
        stage.answer(tenancy, registered["token"])
        peak = {"population": 90_000, "share": 0.4, "requests": 3, "minutes": 15, "arrival": "even"}
        campaign = {
            "target": registered["id"],
            "name": say("demo-campaign"),
            "journeys": {"journeys": [{"name": "look", "requests": [{"path": "/places", "check": {"status": [200]}}]}]},
            "peak": peak,
        }
        cast.clerk.run("campaign", "preview", "-f", stage.write("campaign.yaml", campaign))
        search = stage.write("campaign.yaml", {**campaign, "profile": {"kind": "search", "coarse": True}})
        submitted = cast.clerk.json("campaign", "submit", "-f", search)
        cast.head.run("campaign", "approve", str(submitted["id"]))
        started = cast.clerk.json("campaign", "run", str(submitted["id"]))
        cast.clerk.run("campaign", "watch", str(started["id"]), code=None)
        measured = cast.clerk.client.get("runs", started["id"])
        _must(measured["result"] is not None, "the service was measured")
        report = str(stage.folder / "report.html")
        cast.clerk.run("campaign", "report", str(started["id"]), "--into", report)
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
    number = _submit_file(cast, stage.write("more-quota.yaml", more))
    _decide(number, (cast.authority, "accept"), (cast.city, "approve"))
    stage.title("demo-again")
    number = _submit_file(cast, file)
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
    _must(found["state"] == "erased" and found["erasure"], "the erasure is on record")
    left = [path for path in (stage.folder / "tenancies").rglob("*") if tenancy in str(path)]
    _must(not left, f"nothing is left, but {left}")
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


def _submit(stage: Stage, cast: Cast, name: str, asked: dict[str, Any]) -> str:
    return _submit_file(cast, stage.write(name, {"department": BUREAU, **asked}))


def _submit_file(cast: Cast, file: str) -> str:
    """The clerk submits; returns the request's number."""
    before = {one["number"] for one in cast.clerk.client.items("requests")}
    cast.clerk.run("request", "create", "-f", file)
    (number,) = {str(one["number"]) for one in cast.clerk.client.items("requests")} - before
    return number


def _decide(number: str, *decisions: tuple[Person, str]) -> None:
    for person, verb in decisions:
        person.run("approval", verb, number, "--yes")


def _public_key(file: Path) -> str:
    """The tenant's own key pair; only its public half is ever sent."""
    key = Ed25519PrivateKey.generate()
    file.touch(mode=0o600)
    file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode() + " whj-clerk"
    file.with_suffix(".pub").write_text(public + "\n")
    return public


def _write_and_read(stage: Stage, volume: Path) -> None:
    """As the tenant: put a file into the file system on the volume, without mounting it, and read it back."""
    letter = stage.folder / "letter.txt"
    letter.write_text(LETTER, encoding="utf-8")
    environment = {**os.environ, "PATH": TOOLS}
    for command in (["-w", "-R", f"write {letter} letter.txt"], ["-R", "cat letter.txt"]):
        done = subprocess.run(["debugfs", *command, str(volume)], env=environment, capture_output=True, text=True)
    _must(done.stdout == LETTER, "what was written can be read")


def _must(fact: bool, what: str) -> None:
    if not fact:
        raise Failure("demo-untrue", what=what)

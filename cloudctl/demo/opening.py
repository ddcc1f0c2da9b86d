"""The opening of both stories: a new bureau with its people, its quota and its project; and how people act in them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from cloudctl.cli.failures import Failure
from cloudctl.cli.words import say
from cloudctl.demo.stage import Person, Stage

CITY, BUREAU = "522301", "522301-whj"
LOOK = {"journeys": [{"name": "look", "requests": [{"path": "/places", "check": {"status": [200]}}]}]}
"""What visitors of the sample service do."""


@dataclass(frozen=True)
class Cast:
    """Who plays. The bureau's clerk asks; its head, the city's and the authority's approvers decide."""

    operator: Person
    security: Person
    clerk: Person
    head: Person
    city: Person
    authority: Person


def begin(stage: Stage) -> tuple[Cast, str]:
    """All of the opening; who plays, and the code of the project."""
    cast = register(stage)
    get_quota(stage, cast)
    return cast, get_project(stage, cast)


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
    number = submit(stage, cast, "quota.yaml", {"purpose": say("demo-quota-purpose"), "items": [item]})
    decide(number, (cast.authority, "accept"), (cast.city, "approve"))
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
    number = submit(stage, cast, "project.yaml", {"purpose": say("demo-project-purpose"), "items": [item]})
    decide(number, (cast.authority, "accept"), (cast.head, "approve"), (cast.authority, "approve"))
    code = str(cast.clerk.json("project", "list", "--department", BUREAU)[0]["code"])
    stage.tell("demo-code", code=code)
    return code


def confirmed_target(stage: Stage, cast: Cast, project: str, tenancy: str, port: int, *, production: bool) -> str:
    """The service in a tenancy becomes a target that answers its token, at an address that the operator confirmed;
    returns its id."""
    endpoint = cast.clerk.json("tenancy", "endpoint", "add", tenancy, "127.0.0.1", "--port", str(port))
    cast.operator.run("tenancy", "endpoint", "confirm", tenancy, str(endpoint["id"]))
    target = {
        "project": project,
        "tenancy": tenancy,
        "name": say("demo-target"),
        "base_url": f"http://127.0.0.1:{port}",
        "contacts": ["0859-3222222"],
        "ceiling": 500,
        "production": production,
    }
    registered = cast.clerk.json("target", "register", "-f", stage.write("target.yaml", target))
    stage.answer(tenancy, registered["token"])
    return str(registered["id"])


def carried_out(cast: Cast, file: str) -> dict[str, Any]:
    """A campaign is submitted, approved, run and watched to its end; returns its run."""
    submitted = str(cast.clerk.json("campaign", "submit", "-f", file)["id"])
    cast.head.run("campaign", "approve", submitted)
    started = cast.clerk.json("campaign", "run", submitted)
    cast.clerk.run("campaign", "watch", str(started["id"]), code=None)
    found: dict[str, Any] = cast.clerk.client.get("runs", started["id"])
    must(found["result"] is not None, "the service was measured")
    return found


def submit(stage: Stage, cast: Cast, name: str, asked: dict[str, Any]) -> str:
    """The clerk writes and submits an application of the bureau; returns its number."""
    return submit_file(cast, stage.write(name, {"department": BUREAU, **asked}))


def submit_file(cast: Cast, file: str) -> str:
    """The clerk submits; returns the request's number."""
    before = {one["number"] for one in cast.clerk.client.items("requests")}
    cast.clerk.run("request", "create", "-f", file)
    (number,) = {str(one["number"]) for one in cast.clerk.client.items("requests")} - before
    return number


def decide(number: str, *decisions: tuple[Person, str]) -> None:
    """Each of them decides in turn."""
    for person, verb in decisions:
        person.run("approval", verb, number, "--yes")


def public_key(file: Path) -> str:
    """The tenant's own key pair; only its public half is ever sent."""
    key = Ed25519PrivateKey.generate()
    file.touch(mode=0o600)
    file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode() + " whj-clerk"
    file.with_suffix(".pub").write_text(public + "\n")
    return public


def must(fact: bool, what: str) -> None:
    """Break the demo off where a fact is none.

    Raises:
        Failure.
    """
    if not fact:
        raise Failure("demo-untrue", what=what)

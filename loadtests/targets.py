"""Targets: public service systems that load may be sent to, and whose they are proven to be."""

import re
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime, time
from typing import Any, TypedDict, Unpack
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from cloudctl.kernel import audit, clock, events, ids
from cloudctl.kernel.errors import Conflict, Invalid, NotFound, Problem, all_or_none, must_be_at
from loadtests.models import Target as Target
from tenancy import departments, projects, tenancies
from tenancy.callers import SYSTEM, Caller

HOST = re.compile(r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$")
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
WELL_KNOWN = "/.well-known/cloudctl-loadtest"
MOST = 1_000_000.0  # requests a second that anybody may name


class NoSuchTarget(NotFound):
    """There is no target with this id, or the caller may not know of it."""


class BadTarget(Invalid):
    """A field of a target breaks its rule; tells what is allowed."""


class NotOfProject(Invalid):
    """The tenancy is not one of the project's that is in use."""


class NoSuchDependency(NotFound):
    """The target does not depend on that, or another department consents."""


class InBlackout(Conflict):
    """The target's owner wants no load at this time; tells which window."""


class TargetChanges(TypedDict, total=False):
    """What of a target may change. Where it is does not: another address is another target."""

    contacts: Sequence[str]
    ceiling: float
    production: bool
    blackouts: Sequence[Mapping[str, Any]]
    depends: Sequence[Mapping[str, Any]]
    software: str


def register(
    session: Session,
    caller: Caller,
    *,
    project: str,
    tenancy: str,
    name: str,
    base_url: str,
    contacts: Sequence[str],
    ceiling: float,
    production: bool,
    blackouts: Sequence[Mapping[str, Any]] = (),
    depends: Sequence[Mapping[str, Any]] = (),
    software: str = "",
) -> Target:
    """Register a system of a project. Nothing is sent to it before its ownership is proven, anew for each run.

    Args:
        project: id or code.
        tenancy: id of the one it runs in; its address must be one of that tenancy's endpoints.
        ceiling: requests a second that are never exceeded.
        depends: what else a surge would reach (name, and the code of the department that consents).

    Raises:
        NoSuchProject, NoSuchTenancy, NotPermitted.
        BadTarget, NotOfProject: Several where more than one is wrong.
    """
    found = projects.seen_by(session, caller, project, field="project")
    caller.must("target:register", found.department)
    runs_in = tenancies.seen_by(session, caller, tenancy)
    problems = [*_address_problems(base_url), *_problems(ceiling=ceiling, blackouts=blackouts)]
    if runs_in.project_id != found.id or runs_in.state not in ("active", "changing"):
        problems.append(NotOfProject(field="tenancy", tenancy=runs_in.id, project=found.code))
    all_or_none(problems)
    target = Target(
        id=ids.new("tgt"),
        department_id=found.department_id,
        project_id=found.id,
        tenancy_id=runs_in.id,
        name=name,
        base_url=base_url.rstrip("/"),
        contacts=list(contacts),
        ceiling=ceiling,
        production=production,
        blackouts=[dict(window) for window in blackouts],
        depends=_depends(session, depends),
        software=software,
        token=f"cloudctl-loadtest-{secrets.token_hex(16)}",
    )
    session.add(target)
    session.flush()
    _note(session, caller, "register", target, base_url=target.base_url)
    for one in target.depends:
        figures = {"target": target.id, "name": target.name, "on": one["name"]}
        events.record(session, one["department"], "consent-wanted", caller.id, **figures)
    return target


def seen_by(session: Session, caller: Caller, target_id: str, *, lock: bool = False) -> Target:
    """The target, if the caller may know of it.

    Raises:
        NoSuchTarget.
    """
    query = _seen(session, caller).where(Target.id == target_id)
    found = session.scalar(query.with_for_update().execution_options(populate_existing=True) if lock else query)
    if found is None:
        raise NoSuchTarget(target=target_id)
    return found


def listed(
    session: Session, caller: Caller, *, project: str | None = None, after: str | None = None, limit: int = 50
) -> list[Target]:
    """Targets the caller may see, newest first; `after` is the id of the last one already read.

    Raises:
        NoSuchProject.
    """
    query = _seen(session, caller).order_by(Target.id.desc()).limit(limit)
    if project:
        query = query.where(Target.project_id == projects.seen_by(session, caller, project, field="project").id)
    return list(session.scalars(query.where(Target.id < after) if after else query))


def update(
    session: Session, caller: Caller, target_id: str, *, version: int | None = None, **changes: Unpack[TargetChanges]
) -> Target:
    """Change what of a target may change; consents to what it depends on stay where that stays.

    Raises:
        NoSuchTarget, NotPermitted, Outdated.
        BadTarget: Several where more than one is wrong.
    """
    target = seen_by(session, caller, target_id, lock=True)
    caller.must("target:update", departments.seen_by(session, caller, target.department_id))
    must_be_at(version, target.version)
    all_or_none(_problems(**changes))
    if "depends" in changes:
        target.depends = _depends(session, changes.pop("depends"), target.depends)
    if "blackouts" in changes:
        target.blackouts = [dict(window) for window in changes.pop("blackouts")]
    for name, value in changes.items():
        setattr(target, name, value)
    target.version += 1
    _note(session, caller, "update", target)
    return target


def consent(session: Session, caller: Caller, target_id: str, name: str) -> Target:
    """Say for one's own department that load on the target may reach what it depends on.

    Raises:
        NoSuchTarget: there is none.
        NoSuchDependency: it does not depend on that.
        NotPermitted: the caller is no approver of the department that owns it.
    """
    target = session.get(Target, target_id, with_for_update=True, populate_existing=True)
    if target is None:
        raise NoSuchTarget(target=target_id)
    wanted = next((one for one in target.depends if one["name"] == name), None)
    if wanted is None or not _knows(session, caller, wanted["department"]):
        seen_by(session, caller, target_id)
        raise NoSuchDependency(field="name", target=target.id, given=name)
    caller.must("target:consent", departments.seen_by(session, caller, wanted["department"]))
    said = {**wanted, "consent_by": caller.id, "consent_at": clock.now().isoformat()}
    target.depends = [said if one["name"] == name else one for one in target.depends]
    target.version += 1
    _note(session, caller, "consent", target, name=name)
    return target


def lacking(target: Target) -> list[str]:
    """What it depends on and nobody has consented to."""
    return [one["name"] for one in target.depends if not one.get("consent_by")]


def must_not_be_dark(target: Target, moment: datetime, seconds: float) -> None:
    """Raise InBlackout where a run that begins then would reach into one of the target's windows."""
    for window in target.blackouts:
        zone = ZoneInfo(window.get("zone", "Asia/Shanghai"))
        here, starts, ends = moment.astimezone(zone), _time(window["from"]), _time(window["to"])
        reach = here.timestamp() + seconds
        for back in (1, 0):
            day = datetime.combine(here.date(), starts, zone).timestamp() - back * 86400
            length = (ends.hour - starts.hour) * 3600 + (ends.minute - starts.minute) * 60
            until = day + (length if length > 0 else length + 86400)
            named = DAYS[datetime.fromtimestamp(day, zone).weekday()]
            if day < reach and here.timestamp() < until and named in window.get("days", DAYS):
                raise InBlackout(target=target.id, **{"from": window["from"], "to": window["to"], "day": named})


def proven(session: Session, target: Target) -> dict[str, Any] | None:
    """Its proven capacity, unless what it was proven of has changed since: size, place, software, or time."""
    found = target.capacity
    if found is None:
        return None
    tenancy = tenancies.get(session, target.tenancy_id)
    now = {
        "size": dict(tenancy.size),
        "pool": tenancy.pool_id,
        "server": tenancy.server_id,
        "software": target.software,
    }
    if any(found[name] != value for name, value in now.items()):
        return None
    return found if datetime.fromisoformat(found["expires_at"]) > clock.now() else None


def _seen(session: Session, caller: Caller) -> Select[Target]:
    seen = departments.all_seen(session, caller)
    return select(Target) if seen is None else select(Target).where(Target.department_id.in_(seen))


def _knows(session: Session, caller: Caller, department: str) -> bool:
    return departments.is_seen(session, caller, department)


def _depends(
    session: Session, wanted: Sequence[Mapping[str, Any]], before: Sequence[Mapping[str, Any]] = ()
) -> list[dict[str, Any]]:
    """What is depended on, each once, with the consents that were given to the same."""
    known = {(one["name"], one["department"]): dict(one) for one in before}
    found: dict[str, dict[str, Any]] = {}
    for number, one in enumerate(wanted):
        owner = departments.seen_by(session, SYSTEM, one["department"], field=f"depends.{number}.department")
        found[one["name"]] = known.get((one["name"], owner.id), {"name": one["name"], "department": owner.id})
    return list(found.values())


def _address_problems(base_url: str) -> list[Problem]:
    try:
        parts = urlsplit(base_url)
        port = parts.port
    except ValueError:
        return [BadTarget(field="base_url", given=base_url[:200], allowed="https://HOST[:PORT]")]
    host = parts.hostname or ""
    extra = parts.path.rstrip("/") or parts.query or parts.fragment or parts.username or parts.password
    if parts.scheme not in ("http", "https") or not HOST.match(host) or extra or port == 0:
        return [BadTarget(field="base_url", given=base_url[:200], allowed="https://HOST[:PORT]")]
    return []


def _problems(**fields: Any) -> list[Problem]:
    found: list[Problem] = []
    ceiling = fields.get("ceiling", 1.0)
    if not 0 < ceiling <= MOST:
        found.append(BadTarget(field="ceiling", given=ceiling, allowed=f"0 < x <= {MOST:g}"))
    for number, window in enumerate(fields.get("blackouts", ())):
        for name in ("from", "to"):
            try:
                _time(window[name])
            except ValueError:
                found.append(BadTarget(field=f"blackouts.{number}.{name}", given=window[name], allowed="HH:MM"))
        try:
            ZoneInfo(window.get("zone", "Asia/Shanghai"))
        except (KeyError, ValueError, OSError):
            found.append(BadTarget(field=f"blackouts.{number}.zone", given=window["zone"], allowed="Asia/Shanghai, …"))
    return found


def _time(said: str) -> time:
    hours, colon, minutes = said.partition(":")
    if not colon or not (hours.isascii() and hours.isdigit() and minutes.isascii() and minutes.isdigit()):
        raise ValueError(said)
    return time(int(hours), int(minutes))


def _note(session: Session, caller: Caller, verb: str, target: Target, **figures: Any) -> None:
    audit.record(session, caller, f"target:{verb}", target.id, department=target.department_id, **figures)
    events.record(session, target.id, f"target-{_PAST[verb]}", caller.id, name=figures.get("name", target.name))


_PAST = {"register": "registered", "update": "updated", "consent": "consented"}

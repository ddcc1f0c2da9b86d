"""Silences: who wants to hear nothing of what, why, and until when. Ours are the truth; Alertmanager forgets."""

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta

import httpx
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from cloudctl.kernel import audit, clock, ids
from cloudctl.kernel.errors import Invalid, NotFound
from cloudctl.kernel.settings import Settings
from monitoring.models import Silence as Silence
from tenancy.callers import Caller

LONGEST = timedelta(days=30)
_PATIENCE = 5.0  # seconds that Alertmanager has for an answer

log = logging.getLogger(__name__)


class NoSuchSilence(NotFound):
    """There is no silence with this id, or it is over."""


class BadSilence(Invalid):
    """A silence names at least one label, and ends later than now and at most 30 days from now."""


def create(session: Session, caller: Caller, matchers: Mapping[str, str], reason: str, until: datetime) -> Silence:
    """Have nobody told of the alerts with these labels until then.

    Raises:
        NotPermitted: the caller may not silence.
        BadSilence: no label, or the end is over already or too far away.
    """
    caller.must("silence:create")
    now = clock.now()
    if not matchers or not now < until <= now + LONGEST:
        raise BadSilence(field="until" if matchers else "matchers", until=until.isoformat(), days=LONGEST.days)
    made = Silence(
        id=ids.new("sil"), matchers=dict(matchers), reason=reason, made_by=caller.name, starts_at=now, ends_at=until
    )
    session.add(made)
    session.flush()
    audit.record(session, caller, "silence:create", made.id, reason=reason, matchers=made.matchers)
    return made


def end(session: Session, caller: Caller, silence: str) -> Silence:
    """End a silence before its time.

    Raises:
        NotPermitted: the caller may not.
        NoSuchSilence: there is none, or it is over.
    """
    caller.must("silence:end")
    found = session.get(Silence, silence, with_for_update=True)
    if found is None or found.ends_at <= clock.now():
        raise NoSuchSilence(silence=silence)
    found.ends_at = clock.now()
    session.flush()
    audit.record(session, caller, "silence:end", found.id)
    return found


def listed(session: Session, caller: Caller) -> list[Silence]:
    """The silences that hold now, the newest first.

    Raises:
        NotPermitted: the caller may not look at silences.
    """
    caller.must("silence:read")
    return standing(session)


def standing(session: Session) -> list[Silence]:
    """The silences that hold now, the newest first."""
    return list(session.scalars(select(Silence).where(Silence.ends_at > clock.now()).order_by(Silence.id.desc())))


def covers(silence: Silence, labels: Mapping[str, str]) -> bool:
    """Whether an alert with these labels is silenced."""
    return all(labels.get(name) == value for name, value in silence.matchers.items())


def post(engine: Engine, settings: Settings) -> None:
    """Make Alertmanager's silences ours. Periodic: what it forgot in a restart is posted again, what ended here ends
    there; what others made there is left alone."""
    if not settings.alertmanager_url:
        return
    with Session(engine) as session:
        wanted = {one.id: one for one in standing(session)}
    try:
        with httpx.Client(base_url=settings.alertmanager_url, timeout=_PATIENCE) as http:
            _agree(http, wanted)
    except httpx.HTTPError as error:
        log.warning("silences are not posted", extra={"reason": str(error) or type(error).__name__})


def _agree(http: httpx.Client, wanted: Mapping[str, Silence]) -> None:
    """An id of ours stands in the comment, since Alertmanager gives ids of its own."""
    answer = http.get("/api/v2/silences").raise_for_status()
    there = {
        one["comment"].partition("]")[0].removeprefix("["): one["id"]
        for one in answer.json()
        if one["status"]["state"] != "expired" and one["comment"].startswith("[sil_")
    }
    for id, silence in wanted.items():
        if id not in there:
            http.post("/api/v2/silences", json=_told(silence)).raise_for_status()
    for id, theirs in there.items():
        if id not in wanted:
            http.delete(f"/api/v2/silence/{theirs}").raise_for_status()


def _told(silence: Silence) -> dict[str, object]:
    return {
        "matchers": [
            {"name": name, "value": value, "isRegex": False, "isEqual": True}
            for name, value in silence.matchers.items()
        ],
        "startsAt": silence.starts_at.isoformat(),
        "endsAt": silence.ends_at.isoformat(),
        "createdBy": silence.made_by,
        "comment": f"[{silence.id}] {silence.reason}",
    }

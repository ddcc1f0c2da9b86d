"""Campaigns: what is tried on a target, by whom it is allowed, and when it is due."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from croniter import croniter
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from cloudctl.kernel import audit, clock, events, ids
from cloudctl.kernel.errors import Conflict, Forbidden, Invalid, NotFound, Problem, all_or_none
from cloudctl.kernel.lifecycle import Lifecycle
from cloudctl.kernel.operations import ReasonRequired
from cloudctl.kernel.parsing import parsed
from loadtests import locustfiles, profiles, targets
from loadtests.journeys import Journeys
from loadtests.locustfiles import Locustfile
from loadtests.models import Campaign as Campaign
from loadtests.orders import SEARCH, Level
from loadtests.profiles import LONGEST, Peak, Profile
from loadtests.targets import Target
from provisioning import generator_pools
from provisioning.generator_pools import NoGeneratorPool
from tenancy import departments
from tenancy.callers import POLICY, Caller

CAMPAIGN = Lifecycle(
    "campaign",
    {
        "waiting": {"approve": "ready", "refuse": "refused", "veto": "vetoed"},
        "ready": {"pause": "paused", "veto": "vetoed", "finish": "finished"},
        "paused": {"resume": "ready", "veto": "vetoed", "finish": "finished"},
        "refused": {},
        "vetoed": {},
        "finished": {},
    },
)


class NoSuchCampaign(NotFound):
    """There is no campaign with this id, or the caller may not know of it."""


class AboveCeiling(Invalid):
    """The profile goes beyond the target's ceiling; tells both."""


class BadSchedule(Invalid):
    """Not a cron line of five fields, or not a time zone; or it never comes before the campaign expires."""


class OneOrTheOther(Invalid):
    """A profile or the model that makes one; a moment or a cron line."""


class NotOnesOwn(Forbidden):
    """Nobody approves the campaign that they submitted."""


class NotReady(Conflict):
    """The campaign is not to be run: not approved, paused, vetoed or finished."""


class Wanted(BaseModel):
    """A campaign as it is asked for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    target: str = Field(max_length=40, description="Id of the target.", examples=["tgt_01k9xr3w8q7f5t2n6m4v0c1b8d"])
    name: str = Field(min_length=1, max_length=80, description="Its name.", examples=["exam scores 2026"])
    journeys: Journeys | None = Field(None, description="What visitors do; or else `locustfile`.")
    locustfile: str | None = Field(
        None, max_length=40, description="Id of a locustfile that an operator has registered.", examples=[None]
    )
    profile: Profile | None = Field(None, description="How load comes over time; or else `peak`.")
    peak: Peak | None = Field(None, description="The model of a peak: it makes the forecast, and the profile if none.")
    level: Level = Field(default=Level(), description="The service level that it is tried for.")
    forecast: float | None = Field(
        None, gt=0, le=1_000_000, description="Requests a second that are expected at most; the model's where absent."
    )
    generators: int = Field(1, ge=1, le=16, description="Engines that share the load.")
    on: str | None = Field(
        None, max_length=63, description="Pool on whose machines they run; null: the platform's.", examples=["kunpeng"]
    )
    at: datetime | None = Field(None, description="When it runs once (UTC); null: when somebody says so.")
    cron: str | None = Field(None, max_length=100, description="When it runs again and again.", examples=["30 6 * * 1"])
    zone: str = Field("Asia/Shanghai", max_length=40, description="Time zone of `cron`.")
    expires_at: datetime | None = Field(None, description="After which it does not run by itself any more (UTC).")

    def played(self) -> Profile:
        """The profile, or the one that the model makes."""
        assert self.profile or self.peak
        return self.profile or self.peak.profile()  # type: ignore[union-attr]


def submit(session: Session, caller: Caller, wanted: Wanted) -> Campaign:
    """Enter a campaign. One on a production target waits for somebody else's approval; it then runs when it is due.

    Raises:
        NoSuchTarget, NotPermitted, NoSuchLocustfile, LocustfileRetired.
        AboveCeiling, BadSchedule, OneOrTheOther, NoGeneratorPool: Several where more than one is wrong.
    """
    target = targets.seen_by(session, caller, wanted.target)
    caller.must("campaign:submit", departments.seen_by(session, caller, target.department_id))
    must_be_possible(session, caller, target, wanted)
    campaign = Campaign(
        id=ids.new("cmp"),
        target_id=target.id,
        department_id=target.department_id,
        name=wanted.name,
        journeys=wanted.journeys and wanted.journeys.model_dump(mode="json"),
        locustfile_id=wanted.locustfile,
        profile=wanted.played().model_dump(mode="json"),
        level=wanted.level.model_dump(),
        peak=wanted.peak.model_dump() if wanted.peak else None,
        forecast=wanted.forecast or (wanted.peak.rate() if wanted.peak else None),
        generators=wanted.generators,
        on=wanted.on,
        cron=wanted.cron,
        zone=wanted.zone,
        expires_at=wanted.expires_at,
        next_run_at=wanted.at or due_after(wanted.cron, wanted.zone, clock.now()),
        state=CAMPAIGN.initial,
        submitted_by=caller.id,
    )
    session.add(campaign)
    session.flush()
    audit.record(session, caller, "campaign:submit", campaign.id, department=campaign.department_id, target=target.id)
    events.record(session, campaign.id, "campaign-submitted", caller.id, name=campaign.name, target=target.name)
    if not target.production:
        advance(session, campaign, "approve", POLICY)
    return campaign


def must_be_possible(session: Session, caller: Caller, target: Target, wanted: Wanted) -> None:
    """Raise what is wrong with a campaign on this target: Several where it is more than one thing."""
    all_or_none(_problems(session, target, wanted))
    if wanted.locustfile:
        locustfiles.for_target_of(session, caller, target.department_id, wanted.locustfile)


def _problems(session: Session, target: Target, wanted: Wanted) -> list[Problem]:
    found: list[Problem] = []
    if (wanted.journeys is None) == (wanted.locustfile is None):
        found.append(OneOrTheOther(field="journeys", given="", other="locustfile"))
    if (wanted.profile is None) == (wanted.peak is None) and wanted.profile is None:
        return [*found, OneOrTheOther(field="profile", given="", other="peak")]
    if wanted.at and wanted.cron:
        found.append(OneOrTheOther(field="at", given=wanted.at.isoformat(), other="cron"))
    found += _place_problems(session, wanted)
    highest = profiles.peak(wanted.played())
    if highest > target.ceiling:
        found.append(AboveCeiling(field="profile", highest=highest, ceiling=target.ceiling, target=target.name))
    if profiles.seconds(wanted.played()) > LONGEST:
        found.append(BadSchedule(field="profile", given=wanted.played().kind))
    try:
        ZoneInfo(wanted.zone)
    except (KeyError, ValueError, OSError):
        return [*found, BadSchedule(field="zone", given=wanted.zone)]
    if wanted.cron is not None:
        due = due_after(wanted.cron, wanted.zone, clock.now()) if _is_cron(wanted.cron) else None
        if due is None or (wanted.expires_at and due > wanted.expires_at):
            found.append(BadSchedule(field="cron", given=wanted.cron))
    return found


def _place_problems(session: Session, wanted: Wanted) -> list[Problem]:
    """What is wrong with where its engines shall run: no code of visitors goes elsewhere, where nobody confines it."""
    if wanted.on is None:
        return []
    if wanted.locustfile is not None:
        return [OneOrTheOther(field="on", given=wanted.on, other="locustfile")]
    try:
        generator_pools.named(session, wanted.on)
    except NoGeneratorPool as none:
        return [none]
    return []


def _is_cron(line: str) -> bool:
    return len(line.split()) == 5 and bool(croniter.is_valid(line))


def due_after(cron: str | None, zone: str, moment: datetime) -> datetime | None:
    """When a cron line is due next, in the calendar of its zone."""
    if cron is None:
        return None
    found: datetime = croniter(cron, moment.astimezone(ZoneInfo(zone))).get_next(datetime)
    return found.astimezone(moment.tzinfo)


def seen_by(session: Session, caller: Caller, campaign_id: str, *, lock: bool = False) -> Campaign:
    """The campaign, if the caller may know of it.

    Raises:
        NoSuchCampaign.
    """
    query = _seen(session, caller).where(Campaign.id == campaign_id)
    found = session.scalar(query.with_for_update().execution_options(populate_existing=True) if lock else query)
    if found is None:
        raise NoSuchCampaign(campaign=campaign_id)
    return found


def listed(
    session: Session,
    caller: Caller,
    *,
    target: str | None = None,
    state: str | None = None,
    after: str | None = None,
    limit: int = 50,
) -> list[Campaign]:
    """Campaigns the caller may see, newest first; operators see every one.

    Raises:
        NoSuchTarget.
    """
    query = _seen(session, caller).order_by(Campaign.id.desc()).limit(limit)
    if target:
        query = query.where(Campaign.target_id == targets.seen_by(session, caller, target).id)
    for condition, given in ((Campaign.state == state, state), (Campaign.id < (after or ""), after)):
        query = query.where(condition) if given else query
    return list(session.scalars(query))


def approve(session: Session, caller: Caller, campaign_id: str) -> Campaign:
    """Allow it, as a second person.

    Raises:
        NoSuchCampaign, NotPermitted, NotOnesOwn, NotAllowed.
    """
    campaign = _decided(session, caller, campaign_id, "campaign:approve")
    if campaign.submitted_by == caller.id:
        raise NotOnesOwn(campaign=campaign.id)
    advance(session, campaign, "approve", caller)
    campaign.approved_by = caller.id
    return campaign


def refuse(session: Session, caller: Caller, campaign_id: str, reason: str) -> Campaign:
    """Do not allow it.

    Raises:
        NoSuchCampaign, NotPermitted, ReasonRequired, NotAllowed.
    """
    return _ended(session, caller, campaign_id, "campaign:approve", "refuse", reason)


def veto(session: Session, caller: Caller, campaign_id: str, reason: str) -> Campaign:
    """Forbid it, as whoever runs the pool; what runs of it is stopped by its next look.

    Raises:
        NoSuchCampaign, NotPermitted, ReasonRequired, NotAllowed.
    """
    return _ended(session, caller, campaign_id, "campaign:veto", "veto", reason)


def pause(session: Session, caller: Caller, campaign_id: str) -> Campaign:
    """Have it not run by itself for a while.

    Raises:
        NoSuchCampaign, NotPermitted, NotAllowed.
    """
    campaign = _decided(session, caller, campaign_id, "campaign:submit")
    advance(session, campaign, "pause", caller)
    return campaign


def resume(session: Session, caller: Caller, campaign_id: str) -> Campaign:
    """Have it run again when it is due next; what was due meanwhile is not run late.

    Raises:
        NoSuchCampaign, NotPermitted, NotAllowed.
    """
    campaign = _decided(session, caller, campaign_id, "campaign:submit")
    advance(session, campaign, "resume", caller)
    campaign.next_run_at = due_after(campaign.cron, campaign.zone, clock.now())
    return campaign


def advance(session: Session, campaign: Campaign, event: str, by: audit.Actor, reason: str | None = None) -> None:
    """Move it along its lifecycle, with event and audit entry.

    Raises:
        NotAllowed: no such move from its state.
    """
    campaign.state = CAMPAIGN.next(campaign.state, event)
    campaign.version += 1
    session.flush()
    events.record(session, campaign.id, f"campaign-{event}", by.id, name=campaign.name, reason=reason)
    audit.record(
        session,
        by,
        f"campaign:{event}",
        campaign.id,
        reason=reason,
        department=campaign.department_id,
        name=campaign.name,
    )


def must_be_ready(campaign: Campaign) -> None:
    if campaign.state != "ready":
        raise NotReady(campaign=campaign.id, state=campaign.state)


def wanted_again(campaign: Campaign) -> Mapping[str, Any]:
    """What of a campaign stands in the order of each of its runs."""
    return {
        "journeys": campaign.journeys,
        "locustfile": campaign.locustfile and _code(campaign.locustfile),
        "profile": campaign.profile,
        "level": campaign.level,
        "generators": campaign.generators,
        "on": campaign.on,
    }


def _code(locustfile: Locustfile) -> dict[str, str]:
    return {"id": locustfile.id, "text": locustfile.text, "sha256": locustfile.sha256}


def length(campaign: Campaign) -> timedelta:
    """How long a run of it may take."""
    profile = parsed(_Played, {"profile": campaign.profile}).profile
    curve = profiles.seconds(profile)
    return timedelta(seconds=curve + 120 if curve else SEARCH)


class _Played(BaseModel):
    profile: Profile


def _decided(session: Session, caller: Caller, campaign_id: str, permission: str) -> Campaign:
    campaign = seen_by(session, caller, campaign_id, lock=True)
    caller.must(permission, departments.seen_by(session, caller, campaign.department_id))
    return campaign


def _ended(session: Session, caller: Caller, campaign_id: str, permission: str, event: str, reason: str) -> Campaign:
    campaign = _decided(session, caller, campaign_id, permission)
    if not reason.strip():
        raise ReasonRequired(field="reason", action=permission)
    advance(session, campaign, event, caller, reason)
    campaign.reason, campaign.next_run_at = reason, None
    return campaign


def _seen(session: Session, caller: Caller) -> Select[Campaign]:
    seen = departments.all_seen(session, caller)
    return select(Campaign) if seen is None else select(Campaign).where(Campaign.department_id.in_(seen))

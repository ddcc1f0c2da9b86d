"""Runs: a campaign carried out once. One whose worker died is lost; it is never repeated by itself."""

import hashlib
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from sqlalchemy import Engine, Select, select, update
from sqlalchemy.orm import Session

from cloudctl.kernel import audit, clock, events, ids, operations, sweeps, telemetry
from cloudctl.kernel.engine import Run as Step
from cloudctl.kernel.errors import Conflict, NotFound
from cloudctl.kernel.operations import GiveUp, Inside, Operation, Outside
from cloudctl.kernel.settings import Settings
from loadtests import campaigns, engine_jobs, freezes, locustfiles, neighbours, ownership, targets
from loadtests.conductor import conduct
from loadtests.engines import unconfined
from loadtests.models import Campaign, Target
from loadtests.models import Run as Run
from loadtests.neighbours import Neighbours
from loadtests.orders import Order, Progress, Result, Told
from loadtests.resizing import grown, propose
from provisioning import pools
from tenancy import departments, evidence, submissions, tenancies
from tenancy.applications import Application
from tenancy.callers import SYSTEM, Caller
from tenancy.requests import Request
from tenancy.rules import Rules

KIND = "campaign.run"
LATE = timedelta(seconds=60)  # after which a run that was due is missed, and not fired late
TOLD_EVERY = 1.0  # seconds between two entries of progress
PROVEN_FOR = timedelta(days=180)
DAY = timedelta(days=1)


class NoSuchRun(NotFound):
    """There is no run with this id, or the caller may not know of it."""


class TargetBusy(Conflict):
    """Another run is under way on the target: there is one at a time."""


class RunOver(Conflict):
    """The run has ended; nothing can be stopped any more."""


class NothingToPropose(Conflict):
    """The run found no capacity that is short of the forecast; there is nothing to resize."""


# -- what people do


def start(session: Session, caller: Caller, campaign_id: str) -> Run:
    """Carry a campaign out now.

    Raises:
        NoSuchCampaign, NotPermitted.
        NotReady: it is not approved, paused, vetoed or finished.
        TargetBusy, InBlackout, Frozen: not now.
    """
    campaign = campaigns.seen_by(session, caller, campaign_id, lock=True)
    caller.must("campaign:run", departments.seen_by(session, caller, campaign.department_id))
    campaigns.must_be_ready(campaign)
    run = _promised(session, campaign, caller)
    audit.record(session, caller, "campaign:run", campaign.id, department=campaign.department_id, run=run.id)
    return run


def stop(session: Session, caller: Caller, run_id: str, reason: str) -> Run:
    """Have a run stopped: its last request leaves within a second.

    Raises:
        NoSuchRun, NotPermitted, RunOver.
    """
    run = seen_by(session, caller, run_id, lock=True)
    caller.must("campaign:stop", departments.seen_by(session, caller, run.department_id))
    if run.outcome:
        raise RunOver(run=run.id, outcome=run.outcome)
    run.stop = {"by": caller.name, "reason": reason}
    events.record(session, run.id, "run-stop", caller.id, reason=reason)
    audit.record(
        session, caller, "campaign:stop", run.campaign_id, reason=reason, department=run.department_id, run=run.id
    )
    return run


def resize(session: Session, caller: Caller, rules: Rules, run_id: str) -> Request:
    """Ask for what the run proposed: a size at which the headroom is enough.

    Raises:
        NoSuchRun, NothingToPropose; whatever submitting an application raises.
    """
    run = seen_by(session, caller, run_id)
    if not run.proposal or not run.proposal.get("size"):
        raise NothingToPropose(run=run.id)
    tenancy = tenancies.seen_by(session, caller, run.target.tenancy_id)
    asked = {
        "department": tenancy.department_id,
        "project": tenancy.project_id,
        "purpose": f"{run.campaign.name}: {run.id}",
        "items": [{"kind": "resize", "tenancy": tenancy.id, "size": run.proposal["size"]}],
    }
    return submissions.submit(session, caller, rules, Application.model_validate(asked)).request


def seen_by(session: Session, caller: Caller, run_id: str, *, lock: bool = False) -> Run:
    """The run, if the caller may know of it.

    Raises:
        NoSuchRun.
    """
    query = _seen(session, caller).where(Run.id == run_id)
    found = session.scalar(query.with_for_update().execution_options(populate_existing=True) if lock else query)
    if found is None:
        raise NoSuchRun(run=run_id)
    return found


def listed(
    session: Session, caller: Caller, *, campaign: str | None = None, after: str | None = None, limit: int = 50
) -> list[Run]:
    """Runs the caller may see, newest first.

    Raises:
        NoSuchCampaign.
    """
    query = _seen(session, caller).order_by(Run.id.desc()).limit(limit)
    if campaign:
        query = query.where(Run.campaign_id == campaigns.seen_by(session, caller, campaign).id)
    return list(session.scalars(query.where(Run.id < after) if after else query))


def before(session: Session, run: Run) -> Run | None:
    """The last run of the same campaign before it that measured the same in the same way: what it compares with."""
    if not run.result:
        return None
    earlier = select(Run).where(Run.campaign_id == run.campaign_id, Run.id < run.id, Run.result.is_not(None))
    for other in session.scalars(earlier.order_by(Run.id.desc()).limit(20)):
        if other.result and other.result["comparable"] == run.result["comparable"]:
            return other
    return None


# -- when it is due


def fire(engine: Engine, settings: Settings) -> None:
    """Begin what is due; what is late, or whose target is busy or dark, is told as missed and never fired late."""
    now = clock.now()
    with Session(engine) as session:
        due = select(Campaign.id).where(Campaign.state == "ready", Campaign.next_run_at <= now)
        waiting = list(session.scalars(due.order_by(Campaign.next_run_at)))
    sweeps.each_booked(engine, waiting, _fire)


def _fire(session: Session, campaign_id: str) -> None:
    locked = select(Campaign).where(Campaign.id == campaign_id).with_for_update(skip_locked=True)
    campaign, now = session.scalar(locked.execution_options(populate_existing=True)), clock.now()
    if campaign is None or campaign.state != "ready" or campaign.next_run_at is None or campaign.next_run_at > now:
        return
    due = campaign.next_run_at
    campaign.next_run_at = campaigns.due_after(campaign.cron, campaign.zone, now)
    if campaign.expires_at and (campaign.next_run_at or now) > campaign.expires_at:
        campaign.next_run_at = None
    try:
        with session.begin_nested():
            if now - due > LATE:
                raise TargetBusy(target=campaign.target_id)
            _promised(session, campaign, SYSTEM)
    except Conflict as not_now:
        reason = not_now.reason if now - due <= LATE else {"slug": "too-late", "figures": {"due": due.isoformat()}}
        run = _entered(session, campaign)
        _over(session, run, "missed", reason)


def _promised(session: Session, campaign: Campaign, by: Caller) -> Run:
    """Enter a run and promise it; one at a time on a target."""
    target = session.get_one(Target, campaign.target_id, with_for_update=True)
    moment, longest = clock.now(), campaigns.length(campaign)
    if operations.under_way(session, target.id):
        raise TargetBusy(target=target.id)
    freezes.must_not_be(session, moment, moment + longest)
    targets.must_not_be_dark(target, moment, longest.total_seconds())
    run = _entered(session, campaign)
    row = operations.submit(session, KIND, target.id, target.department_id, by.id, run=run.id)
    run.operation_id = row.id
    events.record(session, campaign.id, "run-promised", by.id, run=run.id, name=campaign.name)
    return run


def _entered(session: Session, campaign: Campaign) -> Run:
    run = Run(
        id=ids.new("run"),
        campaign_id=campaign.id,
        target_id=campaign.target_id,
        department_id=campaign.department_id,
        size={},
    )
    session.add(run)
    session.flush()
    return run


# -- its steps


def begin(session: Session, step: Step) -> None:
    """Note what it is run against: the size that the tenancy has now."""
    run = _of(session, step)
    run.started_at = clock.now()
    run.size = dict(tenancies.get(session, run.target.tenancy_id).size)


def close(session: Session, step: Step) -> None:
    """It did not come about: refused before anything was sent, or lost with its worker."""
    reason = step.reason or {"slug": "lost", "figures": {}}
    _over(session, _of(session, step), "lost" if reason["slug"] == "lost" else "refused", reason)


def examine(step: Step) -> None:
    """See that load may be sent, and where to, before any is: owner, consents, approval, ceiling, windows, freezes."""
    with step.read() as session:
        run = _of(session, step)
        target, campaign = run.target, run.campaign
        if campaign.state != "ready":
            raise GiveUp("campaign-not-ready", state=campaign.state)
        if lacking := targets.lacking(target):
            raise GiveUp("consent-missing", names=lacking)
        if campaign.locustfile:
            locustfiles.must_be_in_use(campaign.locustfile)
        engine_jobs.must_be_possible(session, step.settings, campaign.on)
        longest = campaigns.length(campaign)
        freezes.must_not_be(session, clock.now(), clock.now() + longest)
        targets.must_not_be_dark(target, clock.now(), longest.total_seconds())
        counted = tenancies.endpoints_of(session, target.tenancy_id, confirmed=True)
        reached = [(endpoint.host, endpoint.port) for endpoint in counted]
        claim = ownership.Claim(
            target.base_url, target.token, reached, step.settings.load_authority, step.settings.load_name_server
        )
        pool = tenancies.get(session, target.tenancy_id).pool_id
        place = {"pool": pools.seen_by(session, SYSTEM, pool).name if pool else "", "tenancy": target.tenancy_id}
        order = {
            **campaigns.wanted_again(campaign),
            "run": run.id,
            "base_url": target.base_url,
            "ceiling": target.ceiling,
            "longest": longest.total_seconds(),
            "seed": int(hashlib.sha256(campaign.id.encode()).hexdigest()[:6], 16),
            "mark": f"{run.id}.{hashlib.sha256(f'{target.token}{run.id}'.encode()).hexdigest()[:16]}",
            "authority": step.settings.load_authority,
            "user": step.settings.load_user,
            "version": target.software,
            "size": dict(run.size),
        }
    order |= {"addresses": ownership.proven(claim)}
    if because := unconfined(Order.model_validate(order)):
        raise GiveUp("locustfile-unconfined", because=because)
    step.remember(order=order, place=place)


def send_load(step: Step) -> None:
    """Send the load, and measure. It is told each second how it goes; a wish to stop is seen at once."""
    order = Order.model_validate(step.memory["order"])
    around = Neighbours(neighbours.asking(step.settings), **step.memory["place"])
    with around, engine_jobs.engines_of(step, order) as start:
        result = conduct(order, _told(step, order.run), _asked(step, order.run, around), start)
    if around.suffer and result.outcome == "aborted":
        told = Told(slug="neighbours-suffer", figures=around.suffer)
        result = result.model_copy(update={"reasons": [told]})
    step.remember(result=result.model_dump(mode="json"))


def conclude(session: Session, step: Step) -> None:
    """Keep what came of it: result, proposal, and what was proven of the target."""
    run = _of(session, step)
    result = Result.model_validate(step.memory["result"])
    run.order, run.result = step.memory["order"], step.memory["result"]
    run.proposal = _proposal(session, run, result)
    target = session.get_one(Target, run.target_id, with_for_update=True, populate_existing=True)
    target.proven_at = run.started_at
    if result.capacity and result.outcome in ("pass", "likely"):
        _prove(session, run, target, result)
    _over(session, run, result.outcome, None)


RUN = Operation(
    KIND,
    Inside(begin, undo=close),
    Outside(examine),
    Outside(send_load, undo=engine_jobs.dismiss, repeatable=False, within=timedelta(hours=50)),
    Inside(conclude),
    queue=operations.LONG,
)


def _of(session: Session, step: Step) -> Run:
    return session.get_one(Run, step.arguments["run"])


def _told(step: Step, run_id: str) -> Callable[[Progress], None]:
    last = 0.0

    def tell(progress: Progress) -> None:
        nonlocal last
        if time.monotonic() - last < TOLD_EVERY and not progress.guard:
            return
        last = time.monotonic()
        with step.write() as session:
            session.execute(update(Run).where(Run.id == run_id).values(progress=progress.model_dump(mode="json")))
            figures = progress.model_dump(mode="json", exclude={"guard"} if progress.guard is None else None)
            events.record(session, run_id, "run-guard" if progress.guard else "run-progress", **figures)

    return tell


def _asked(step: Step, run_id: str, around: Neighbours) -> Callable[[], str | None]:
    def stop() -> str | None:
        with step.read() as session:
            wish, state = session.execute(
                select(Run.stop, Campaign.state).join(Campaign, Campaign.id == Run.campaign_id).where(Run.id == run_id)
            ).one()
            cancelled = operations.get(session, step.id).cancel
        if around.suffer:
            return "neighbours-suffer"
        if state == "vetoed":
            return "vetoed"
        return "run-stopped" if wish or cancelled or step.must_end else None

    return stop


def _over(session: Session, run: Run, outcome: str, reason: dict[str, Any] | None) -> None:
    run.outcome, run.reason, run.finished_at = outcome, reason, clock.now()
    telemetry.RUNS_ENDED.labels(outcome).inc()
    session.flush()
    figures: dict[str, Any] = {"run": run.id, "outcome": outcome, "reason": reason, "name": run.campaign.name}
    for subject in (run.id, run.campaign_id):
        events.record(session, subject, "run-over-told", **figures)


def _proposal(session: Session, run: Run, result: Result) -> dict[str, Any] | None:
    """The headroom over the forecast, and the size that has enough of it; none without a forecast or a figure."""
    held = result.capacity or (result.goodput if result.outcome == "fail" else None)
    if not run.campaign.forecast or not held or result.outcome in ("invalid", "aborted"):
        return None
    told = propose(held, run.campaign.forecast)
    found: dict[str, Any] = {
        "headroom": round(told.headroom, 3),
        "planning": round(told.planning, 1),
        "peak": told.peak,
        "assumed": told.assumed,
        "size": None,
    }
    if told.factor > 1:
        found["size"] = grown(dict(run.size), told.factor)
    return found


def _prove(session: Session, run: Run, target: Target, result: Result) -> None:
    tenancy, now = tenancies.get(session, target.tenancy_id), clock.now()
    found = {
        "capacity": result.capacity,
        "planning": result.planning,
        "run": run.id,
        "at": now.isoformat(),
        "expires_at": (now + PROVEN_FOR).isoformat(),
        "size": dict(run.size),
        "pool": tenancy.pool_id,
        "server": tenancy.server_id,
        "software": target.software,
    }
    target.capacity, target.version = found, target.version + 1
    evidence.record(
        session,
        kind="capacity",
        subject=tenancy.id,
        value={"requests_per_second": result.planning},
        source=f"run:{run.id}",
        measured_at=now,
        expires_at=now + PROVEN_FOR,
    )


def _seen(session: Session, caller: Caller) -> Select[Run]:
    seen = departments.all_seen(session, caller)
    return select(Run) if seen is None else select(Run).where(Run.department_id.in_(seen))

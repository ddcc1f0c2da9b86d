"""The operations on tenancies: what each does, step by step, and how each step is undone."""

import json
from dataclasses import asdict, replace
from datetime import timedelta

from sqlalchemy.orm import Session

from cloudctl.kernel import clock, events
from cloudctl.kernel.engine import Run
from cloudctl.kernel.lifecycle import NotAllowed
from cloudctl.kernel.operations import GiveUp, Inside, Operation, Outside
from cloudctl.kernel.secrets import Vault
from provisioning import drivers, placement, queue, snapshots
from provisioning.drift import differences
from tenancy import ledger, requests, tenancies
from tenancy.callers import SYSTEM

PLAY = timedelta(minutes=30)


# -- steps that several operations share


def suspend(run: Run) -> None:
    """Refuse the tenant access; the data stays."""
    tenancy = _snapshot(run)
    drivers.of(tenancy.place).suspend(replace(tenancy, suspended=True), run.log, run.step.within)


def resume(run: Run) -> None:
    """Let the tenant in again."""
    tenancy = _snapshot(run)
    drivers.of(tenancy.place).resume(replace(tenancy, suspended=False), run.log, run.step.within)


def as_it_was(run: Run) -> None:
    """Refuse or grant access as the tenancy's state says, which has not changed yet."""
    tenancy = _snapshot(run)
    driver = drivers.of(tenancy.place)
    (driver.suspend if tenancy.suspended else driver.resume)(tenancy, run.log, run.step.within)


def remove(run: Run) -> None:
    """Erase what the tenancy has on its pool, and leave nothing."""
    tenancy = _snapshot(run)
    erasure = drivers.of(tenancy.place).remove(tenancy, run.log, run.step.within)
    run.remember(erasure={**asdict(erasure), "at": clock.now().isoformat()})


def is_there(run: Run) -> None:
    """See that it is still there: what was lost is told and repaired as such, never made anew by the way."""
    tenancy = _snapshot(run)
    if drivers.of(tenancy.place).observe(tenancy) is None:
        raise GiveUp("nothing-there", tenancy=tenancy.id)


def verify(run: Run) -> None:
    """See that what is there is what was ordered, in every part."""
    _must_be(_snapshot(run))


def verify_shut(run: Run) -> None:
    """See that nobody gets in any more."""
    _must_be(replace(_snapshot(run), suspended=True))


def verify_open(run: Run) -> None:
    """See that all is as it was before the tenant was shut out."""
    _must_be(replace(_snapshot(run), suspended=False))


def _must_be(tenancy: drivers.Tenancy) -> None:
    observed = drivers.of(tenancy.place).observe(tenancy)
    if observed is None:
        raise GiveUp("nothing-there", tenancy=tenancy.id)
    wrong = differences(tenancy, observed)
    if "size" in wrong:
        raise GiveUp("not-as-ordered", ordered=wrong["size"][0], found=wrong["size"][1])
    if wrong:
        raise GiveUp("still-damaged", parts=sorted(wrong), damaged=list(observed.damaged))


# -- create


def place(session: Session, run: Run) -> None:
    """Hold capacity on a pool; the queue has done so already unless an operator took it away meanwhile."""
    tenancy = tenancies.get(session, run.subject, lock=True)
    placed = placement.place(session, tenancy.id, queue.demand_of(tenancy))
    tenancy.pool_id, tenancy.server_id = placed.pool_id, placed.server_id


def give_back(session: Session, run: Run) -> None:
    """Nothing came of it: capacity and quota are free again, and the applicant is told why."""
    tenancy = tenancies.get(session, run.subject, lock=True)
    placement.give_back(session, tenancy.id)
    tenancies.advance(session, tenancy, "fail", SYSTEM, because=run.reason)
    _fail_item(session, run)
    queue.wake(session)


def provision(run: Run) -> None:
    """Make the tenancy's share exist on its pool; what is there already is kept."""
    tenancy = _snapshot(run)
    _remember(run, drivers.of(tenancy.place).provision(tenancy, run.log, run.step.within))


def activate(session: Session, run: Run) -> None:
    """What was held is used from now on, and the tenant may have the access."""
    tenancy = tenancies.get(session, run.subject, lock=True)
    ledger.commit(session, tenancy.id, run.arguments["item"], into=tenancy.id)
    tenancies.advance(session, tenancy, "succeed", SYSTEM)
    tenancies.activated(tenancy, timedelta(days=tenancy.term_days))
    _enter_access(session, tenancy, run)
    _finish_item(session, run)


# -- resize


def reserve(session: Session, run: Run) -> None:
    """Hold the capacity that the tenancy grows by; the queue has done so already."""
    tenancy = tenancies.get(session, run.subject, lock=True)
    if tenancy.state != "changing":
        tenancies.advance(session, tenancy, "resize", SYSTEM, size=run.arguments["size"])
    queue.hold_growth(session, tenancy, run.arguments["item"], run.arguments["size"])


def keep_size(session: Session, run: Run) -> None:
    """The size stays as it was; what was held for the growth is free again."""
    tenancy = tenancies.get(session, run.subject, lock=True)
    if tenancy.state == "changing":
        tenancies.advance(session, tenancy, "fail", SYSTEM, because=run.reason)
    _fail_item(session, run)
    queue.wake(session)


def resize(run: Run) -> None:
    """Make the share as large as ordered."""
    tenancy = _snapshot(run)
    _remember(run, drivers.of(tenancy.place).resize(tenancy, run.log, run.step.within))


def resize_back(run: Run) -> None:
    """Make the share as large as it was."""
    tenancy = _as_ordered_before(run)
    drivers.of(tenancy.place).resize(tenancy, run.log, run.step.within)


def settle(session: Session, run: Run) -> None:
    """The new size counts: growth becomes use, and what was given up is free."""
    tenancy = tenancies.get(session, run.subject, lock=True)
    size = run.arguments["size"]
    smaller = {
        each: tenancy.size[each] - size.get(each, 0) for each in tenancy.size if size.get(each, 0) < tenancy.size[each]
    }
    ledger.lock(session, tenancy.id, run.arguments["item"])
    if smaller:
        ledger.shrink(session, tenancy.id, "capacity", smaller)
    ledger.commit(session, run.arguments["item"], into=tenancy.id)
    if smaller:
        ledger.shrink(session, tenancy.id, "quota", smaller)
    tenancy.size = dict(size)
    if not run.arguments["automatic"]:
        tenancy.approved_size = dict(size)
    tenancies.advance(session, tenancy, "succeed", SYSTEM, size=size)
    _enter_access(session, tenancy, run)
    _finish_item(session, run)
    queue.wake(session)


# -- suspend, resume, quarantine, restore, erase


def enter_suspended(session: Session, run: Run) -> None:
    _advance(session, run, "suspend")


def enter_resumed(session: Session, run: Run) -> None:
    _advance(session, run, "resume")


def may_end(session: Session, run: Run) -> None:
    """See that the tenancy can still be given back, before anybody is shut out."""
    tenancy = tenancies.get(session, run.subject, lock=True)
    tenancies.TENANCY.next(tenancy.state, "end")
    tenancies.must_not_be_protected(tenancy)


def enter_quarantine(session: Session, run: Run) -> None:
    """The department's quota is free again; the pool's capacity stays held until the tenancy is erased."""
    tenancy = _advance(session, run, "end")
    ledger.release(session, tenancy.id, side="quota")
    tenancy.quarantined_at = clock.now()
    tenancy.erase_at = tenancy.quarantined_at + run.settings.quarantine
    _finish_item(session, run)


def stay(session: Session, run: Run) -> None:
    """The tenancy was not returned."""
    _fail_item(session, run)


def take_quota(session: Session, run: Run) -> None:
    """Hold the department's quota for a tenancy that comes back, once."""
    tenancy = tenancies.get(session, run.subject, lock=True)
    if any(claim.side == "quota" for claim in ledger.claims_of(session, tenancy.id)):
        return
    chain = tenancies.department_of(session, tenancy).path[::-1]
    ledger.hold(session, ledger.Wanted(tenancy.id, "quota", chain, tenancy.size))


def release_quota(session: Session, run: Run) -> None:
    ledger.release(session, run.subject, side="quota", state="held")


def enter_restored(session: Session, run: Run) -> None:
    """It is in use again; where its term is over, the grace begins anew, so that it can be extended."""
    tenancy = _advance(session, run, "restore")
    ledger.commit(session, tenancy.id)
    tenancy.quarantined_at = tenancy.erase_at = None
    if tenancy.ends_at:
        tenancy.ends_at = max(tenancy.ends_at, clock.now())


def enter_erased(session: Session, run: Run) -> None:
    """Write the record of the erasure; the pool's capacity is free for others."""
    tenancy = _advance(session, run, "erase")
    tenancy.erasure, tenancy.erased_at, tenancy.access = run.memory["erasure"], clock.now(), None
    tenancy.held_until = tenancy.held_because = None
    tenancies.report_endpoints(session, tenancy.id, [])
    ledger.release(session, tenancy.id)
    queue.wake(session)


# -- rotate


def may_rotate(session: Session, run: Run) -> None:
    """See that the tenancy is in use: who is shut out gets no other access."""
    must_be_in_use(tenancies.get(session, run.subject, lock=True))


def keep_access(session: Session, run: Run) -> None:
    """The keys stay as they were; what had to be handed over anew on the way back, the tenant may have."""
    if "access" in run.memory:
        _enter_access(session, tenancies.get(session, run.subject, lock=True), run)


def rotate(run: Run) -> None:
    """Make another access, and end every earlier one."""
    tenancy = _snapshot(run)
    _remember(run, drivers.of(tenancy.place).rotate(tenancy, run.log, run.step.within))


def rotate_back(run: Run) -> None:
    """Let the keys in that got in before; what the back end itself hands over is another one again."""
    tenancy = _as_ordered_before(run)
    _remember(run, drivers.of(tenancy.place).rotate(tenancy, run.log, run.step.within))


def enter_rotated(session: Session, run: Run) -> None:
    """The new access counts; it can be read once."""
    tenancy = tenancies.get(session, run.subject, lock=True)
    tenancy.keys, tenancy.version = run.arguments.get("keys") or tenancy.keys, tenancy.version + 1
    _enter_access(session, tenancy, run)
    events.record(session, tenancy.id, "tenancy-rotated")


# -- repair


def repair(run: Run) -> None:
    """Make what is there what shall be there: converge, as on the first day. Whoever works on it by hand comes first.

    What was handed over stays as it is, but where nothing was left: there the tenant gets access anew.
    """
    with run.read() as session:
        tenancies.must_not_be_held(tenancies.get(session, run.subject))
    tenancy = _snapshot(run)
    _remember(run, drivers.of(tenancy.place).provision(tenancy, run.log, run.step.within))


def note_repair(session: Session, run: Run) -> None:
    """Tell the tenant; limits and addresses are what the back end says they are."""
    tenancy = tenancies.get(session, run.subject, lock=True)
    unread = tenancy.access
    _enter_access(session, tenancy, run)
    if "existence" not in run.arguments.get("drift", {}) or tenancy.state in snapshots.SHUT:
        tenancy.access = unread
    tenancy.version += 1
    events.record(session, tenancy.id, "tenancy-repaired")


CREATE = Operation(
    "tenancy.create",
    Inside(place, undo=give_back),
    Outside(provision, undo=remove, within=PLAY),
    Outside(verify),
    Inside(activate),
)
RESIZE = Operation(
    "tenancy.resize",
    Inside(reserve, undo=keep_size),
    Outside(is_there),
    Outside(resize, undo=resize_back, within=PLAY),
    Outside(verify),
    Inside(settle),
)
SUSPEND = Operation(
    "tenancy.suspend",
    Outside(suspend, undo=as_it_was, within=PLAY),
    Outside(verify_shut),
    Inside(enter_suspended),
)
RESUME = Operation(
    "tenancy.resume",
    Outside(resume, undo=as_it_was, within=PLAY),
    Outside(verify_open),
    Inside(enter_resumed),
)
QUARANTINE = Operation(
    "tenancy.quarantine",
    Inside(may_end, undo=stay),
    Outside(suspend, undo=as_it_was, within=PLAY),
    Outside(verify_shut),
    Inside(enter_quarantine),
)
RESTORE = Operation(
    "tenancy.restore",
    Inside(take_quota, undo=release_quota),
    Outside(resume, undo=as_it_was, within=PLAY),
    Outside(verify_open),
    Inside(enter_restored),
)
ERASE = Operation("tenancy.erase", Outside(remove, within=PLAY), Inside(enter_erased), cancellable=False)
ROTATE = Operation(
    "tenancy.rotate",
    Inside(may_rotate, undo=keep_access),
    Outside(is_there),
    Outside(rotate, undo=rotate_back, within=PLAY),
    Outside(verify),
    Inside(enter_rotated),
)
REPAIR = Operation(snapshots.REPAIR, Outside(repair, within=PLAY), Outside(verify), Inside(note_repair))
ALL = (CREATE, RESIZE, SUSPEND, RESUME, QUARANTINE, RESTORE, ERASE, ROTATE, REPAIR)


def must_be_in_use(tenancy: tenancies.Tenancy) -> None:
    """Only a tenancy in use is given other access; NotAllowed where it is not."""
    if tenancy.state != "active":
        raise NotAllowed("tenancy", tenancy.state, "rotate", sorted(tenancies.TENANCY.table[tenancy.state]))


def _snapshot(run: Run) -> drivers.Tenancy:
    with run.read() as session:
        return snapshots.of(session, run.subject, size=run.arguments.get("size"), keys=run.arguments.get("keys"))


def _as_ordered_before(run: Run) -> drivers.Tenancy:
    """The share without what this operation changes of it."""
    with run.read() as session:
        return snapshots.of(session, run.subject)


def _remember(run: Run, access: drivers.Access) -> None:
    """Keep what the driver reported for the step that enters it; what the tenant gets is sealed."""
    handed_over = {"how": dict(access.how), "secret": access.secret}
    run.remember(
        access=Vault(run.settings).seal(json.dumps(handed_over)),
        endpoints=[[endpoint.host, endpoint.port] for endpoint in access.endpoints],
        limits=[asdict(limit) for limit in access.limits],
    )


def _enter_access(session: Session, tenancy: tenancies.Tenancy, run: Run) -> None:
    tenancy.access, tenancy.limits = run.memory["access"], run.memory["limits"]
    tenancies.report_endpoints(session, tenancy.id, [(host, port) for host, port in run.memory["endpoints"]])


def _advance(session: Session, run: Run, event: str) -> tenancies.Tenancy:
    tenancy = tenancies.get(session, run.subject, lock=True)
    tenancies.advance(session, tenancy, event, SYSTEM, reason=run.arguments.get("reason"))
    return tenancy


def _finish_item(session: Session, run: Run) -> None:
    if item_id := run.arguments.get("item"):
        item = requests.item_of(session, item_id)
        requests.finish_item(session, item)
        requests.item_ended(session, item)


def _fail_item(session: Session, run: Run) -> None:
    if item_id := run.arguments.get("item"):
        item = requests.item_of(session, item_id)
        requests.drop_items(session, [item], "fail", SYSTEM, run.reason)
        requests.item_ended(session, item)

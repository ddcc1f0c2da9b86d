"""Troubles of load tests, for whoever looks at `cloudctl status`: what did not come about, and whom a run hurt."""

from collections.abc import Iterator
from datetime import timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from cloudctl.kernel import clock
from loadtests.models import Campaign, Run
from loadtests.orders import Order
from monitoring.status import Trouble
from tenancy import departments
from tenancy.callers import SYSTEM

DAY = timedelta(days=1)  # for which one is told, and before which somebody must have approved
CAME_TO_NOTHING = ("missed", "refused", "lost", "invalid")


def troubles(session: Session) -> Iterator[Trouble]:
    """Of each campaign's newest run of the last day what went wrong; campaigns that will be due and not approved."""
    newest = select(func.max(Run.id)).where(Run.finished_at > clock.now() - DAY).group_by(Run.campaign_id)
    for run in session.scalars(select(Run).where(Run.id.in_(newest)).order_by(Run.id)):
        if trouble := _trouble(session, run):
            yield trouble
    soon = select(Campaign).where(Campaign.state == "waiting", Campaign.next_run_at < clock.now() + DAY)
    for campaign in session.scalars(soon.order_by(Campaign.next_run_at)):
        due = campaign.next_run_at.isoformat() if campaign.next_run_at else None
        figures = {"name": campaign.name, "target": campaign.target.name, "due_at": due}
        who, look = _department(session, campaign.department_id), f"cloudctl campaign show {campaign.id}"
        yield Trouble("trouble-campaign-unapproved", False, campaign.created_at, who, look, figures)


def _trouble(session: Session, run: Run) -> Trouble | None:
    who, look = _department(session, run.department_id), f"cloudctl campaign result {run.id}"
    figures = {"name": run.campaign.name, "target": run.target.name, "outcome": run.outcome}
    recovery = (run.result or {}).get("recovery_seconds")
    if recovery is not None and run.order and recovery >= Order.model_validate(run.order).calm:
        told = {**figures, "seconds": round(recovery)}
        return Trouble("trouble-target-down", True, run.finished_at, who, look, told)
    if run.outcome in CAME_TO_NOTHING:
        return Trouble("trouble-run", False, run.finished_at, who, look, figures)
    return None


def _department(session: Session, department: str) -> str:
    return departments.seen_by(session, SYSTEM, department).name

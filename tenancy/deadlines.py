"""Deadlines: every open step gets its light, and who is overdue is escalated. Periodic, and without input."""

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from cloudctl.kernel import clock, sweeps
from cloudctl.kernel.settings import Settings
from tenancy import approvals
from tenancy.models import ApprovalStep
from tenancy.rules import read


def watch(engine: Engine, settings: Settings) -> None:
    """Look at every open step; one that breaks stalls no other."""
    rules = read(settings)
    with Session(engine) as session:
        steps = session.scalars(select(ApprovalStep.id).where(ApprovalStep.state == "open")).all()

    def look(session: Session, step_id: str) -> None:
        step = session.get_one(ApprovalStep, step_id, with_for_update=True)
        if step.state == "open":
            approvals.watch(session, rules, step, clock.now())

    sweeps.each_booked(engine, steps, look)

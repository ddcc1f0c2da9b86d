"""The tables of load tests. Only this room reads them."""

from datetime import datetime
from typing import Any

from sqlalchemy import Float, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from cloudctl.kernel.clock import now
from cloudctl.kernel.database import Base, Id, Ref, Size


class Target(Base):
    """A public service system of a project, which load may be sent to once its owner has proven to be that."""

    __tablename__ = "targets"

    id: Mapped[Id]
    department_id: Mapped[Ref] = mapped_column(index=True)
    project_id: Mapped[Ref]
    tenancy_id: Mapped[Ref] = mapped_column(index=True)  # the one it runs in
    name: Mapped[str]
    base_url: Mapped[str]
    contacts: Mapped[list[str]]
    ceiling: Mapped[float] = mapped_column(Float)  # requests a second that are never exceeded
    production: Mapped[bool]
    blackouts: Mapped[list[dict[str, Any]]]  # from, to (times of day), days, zone
    depends: Mapped[list[dict[str, Any]]]  # name, department, consent_by, consent_at
    software: Mapped[str]  # its version, as its owner names it
    token: Mapped[str]  # what its well-known address answers; no secret
    proven_at: Mapped[datetime | None]  # when its ownership was seen last
    capacity: Mapped[dict[str, Any] | None]  # the last that was proven, with what it was proven of
    version: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime] = mapped_column(default=now)


class Locustfile(Base):
    """Code of visitors that an operator answers for. Its text never changes: another text is another one."""

    __tablename__ = "locustfiles"

    id: Mapped[Id]
    name: Mapped[str]
    text: Mapped[str]
    sha256: Mapped[str]
    department_id: Mapped[str | None] = mapped_column(index=True)  # whose targets it is for; null: everybody's
    reason: Mapped[str]
    registered_by: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(default=now)
    retired_at: Mapped[datetime | None]


class Campaign(Base):
    """What is tried on a target: by whom, how, how often."""

    __tablename__ = "campaigns"
    __table_args__ = (Index("ix_campaigns_next_run_at", "next_run_at", postgresql_where=text("state = 'ready'")),)

    id: Mapped[Id]
    target_id: Mapped[Ref] = mapped_column(ForeignKey("targets.id"), index=True)
    department_id: Mapped[Ref] = mapped_column(index=True)
    name: Mapped[str]
    journeys: Mapped[dict[str, Any] | None]  # or else a locustfile
    locustfile_id: Mapped[str | None] = mapped_column(ForeignKey("locustfiles.id"), index=True)
    profile: Mapped[dict[str, Any]]
    level: Mapped[dict[str, Any]]
    peak: Mapped[dict[str, Any] | None]  # the model that the forecast comes from
    forecast: Mapped[float | None] = mapped_column(Float)  # requests a second that are expected at most
    generators: Mapped[int]
    on: Mapped[str | None]  # the pool whose machines send; null: the worker's own
    cron: Mapped[str | None]
    zone: Mapped[str]
    expires_at: Mapped[datetime | None]
    next_run_at: Mapped[datetime | None]
    state: Mapped[str]
    reason: Mapped[str | None]  # of a veto
    submitted_by: Mapped[str]
    approved_by: Mapped[str | None]
    version: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime] = mapped_column(default=now)
    target: Mapped[Target] = relationship(viewonly=True)
    locustfile: Mapped[Locustfile | None] = relationship(viewonly=True)


class Run(Base):
    """One run of a campaign, and what came of it. `outcome` is null until it has ended."""

    __tablename__ = "runs"

    id: Mapped[Id]
    campaign_id: Mapped[Ref] = mapped_column(ForeignKey("campaigns.id"), index=True)
    target_id: Mapped[Ref] = mapped_column(ForeignKey("targets.id"), index=True)
    department_id: Mapped[Ref] = mapped_column(index=True)
    operation_id: Mapped[str | None]
    order: Mapped[dict[str, Any] | None]
    progress: Mapped[dict[str, Any] | None]
    stop: Mapped[dict[str, Any] | None]  # a wish, honoured within a second: by, reason
    outcome: Mapped[str | None]
    reason: Mapped[dict[str, Any] | None]  # why it was refused, missed or lost: slug and figures
    result: Mapped[dict[str, Any] | None]
    proposal: Mapped[dict[str, Any] | None]  # headroom, and the size that has enough of it
    size: Mapped[Size]  # of the tenancy when it began
    created_at: Mapped[datetime] = mapped_column(default=now)
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    campaign: Mapped[Campaign] = relationship(viewonly=True)
    target: Mapped[Target] = relationship(viewonly=True)


class Freeze(Base):
    """A time in which nothing is tried on anything; it overrides all else."""

    __tablename__ = "freezes"

    id: Mapped[Id]
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    reason: Mapped[str]
    created_by: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(default=now)


class Crew(Base):
    """The engines of a run that are elsewhere, while it is under way. Unlogged: no run survives its database's end."""

    __tablename__ = "crews"
    __table_args__ = ({"prefixes": ["UNLOGGED"]},)

    run_id: Mapped[Id]
    beat: Mapped[int] = mapped_column(default=0)  # grows while the run's driver is alive
    expires_at: Mapped[datetime]


class Member(Base):
    """One engine elsewhere: what it shows to speak and be told, and how it is."""

    __tablename__ = "crew_members"
    __table_args__ = ({"prefixes": ["UNLOGGED"]},)

    id: Mapped[Id]
    run_id: Mapped[Ref] = mapped_column(ForeignKey("crews.run_id", ondelete="CASCADE"), index=True)
    digest: Mapped[str]  # SHA-256 of its secret
    heard: Mapped[int] = mapped_column(default=0)  # number of the last report that was taken
    seen: Mapped[int] = mapped_column(default=0)  # exchanges
    ready: Mapped[bool] = mapped_column(default=False)
    over: Mapped[bool] = mapped_column(default=False)


class Line(Base):
    """A command that an engine has not got yet, or a report that its run has not read yet."""

    __tablename__ = "crew_lines"
    __table_args__ = ({"prefixes": ["UNLOGGED"]},)

    member_id: Mapped[Ref] = mapped_column(ForeignKey("crew_members.id", ondelete="CASCADE"), primary_key=True)
    command: Mapped[bool] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    said: Mapped[dict[str, Any]]

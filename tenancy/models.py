"""The tables of who may have how much. Only this room reads them; other rooms ask its functions."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, Computed, ForeignKey, Index, Sequence, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from cloudctl.kernel.clock import now
from cloudctl.kernel.database import Base, Id, Ref, Serial, Size

_nothing = text("'{}'")


class Department(Base):
    """A unit of the administration. `path` holds the ids from the root down to itself."""

    __tablename__ = "departments"
    __table_args__ = (Index("ix_departments_path", "path", postgresql_using="gin"),)

    id: Mapped[Id]
    code: Mapped[str] = mapped_column(unique=True)  # administrative division or unit code
    name: Mapped[str]
    name_en: Mapped[str]
    parent_id: Mapped[str | None] = mapped_column(ForeignKey("departments.id"), index=True)
    path: Mapped[list[str]]
    version: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime] = mapped_column(default=now)

    @property
    def depth(self) -> int:
        return len(self.path)


class Project(Base):
    """An information system of a department. Its code ties every request, tenancy, order and campaign together."""

    __tablename__ = "projects"

    id: Mapped[Id]
    code: Mapped[str] = mapped_column(unique=True)
    department_id: Mapped[Ref] = mapped_column(ForeignKey("departments.id"), index=True)
    name: Mapped[str]
    name_en: Mapped[str]
    owner: Mapped[str]  # the person who answers for the system
    funding: Mapped[str]
    level: Mapped[int]  # MLPS (GB/T 22239) security level
    version: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime] = mapped_column(default=now)
    department: Mapped[Department] = relationship(viewonly=True)

    __table_args__ = (CheckConstraint("level BETWEEN 1 AND 4", name="level"),)


class User(Base):
    __tablename__ = "users"

    id: Mapped[Id]
    login: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    disabled_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(default=now)


class Membership(Base):
    """What a person may do for a department and everything below it."""

    __tablename__ = "memberships"
    __table_args__ = (CheckConstraint("role IN ('clerk', 'approver')", name="role"),)

    user_id: Mapped[Ref] = mapped_column(ForeignKey("users.id"), primary_key=True)
    department_id: Mapped[Ref] = mapped_column(ForeignKey("departments.id"), primary_key=True, index=True)
    role: Mapped[str] = mapped_column(primary_key=True)
    granted_by: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(default=now)


class PlatformRole(Base):
    """One of the three administrators (三员), or a robot. The key is the person alone: nobody can be two of them."""

    __tablename__ = "platform_roles"
    __table_args__ = (CheckConstraint("role IN ('operator', 'security', 'auditor', 'monitor')", name="role"),)

    user_id: Mapped[Ref] = mapped_column(ForeignKey("users.id"), primary_key=True)
    role: Mapped[str]
    granted_by: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(default=now)


class Token(Base):
    """A key to the API. Only the SHA-256 of its secret is kept; the secret is shown once."""

    __tablename__ = "tokens"

    id: Mapped[Id]
    user_id: Mapped[Ref] = mapped_column(ForeignKey("users.id"), index=True)
    name: Mapped[str]
    digest: Mapped[str]
    scope: Mapped[str]  # read, or write (which includes read)
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    failures: Mapped[int] = mapped_column(default=0)
    locked_until: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(default=now)


class Account(Base):
    """How much of one resource class its owner (department, pool, server) has in all, has promised (held) and uses.

    `rank` orders the locks of a claim: places first (servers, then pools), then departments from the leaf to the root.
    `room` is what can still be held, and the one place that says so: whatever else shall count (the peak of
    claims for a later time) becomes one more term of it.
    """

    __tablename__ = "accounts"
    __table_args__ = (
        UniqueConstraint("owner", "resource"),
        CheckConstraint("held >= 0 AND used >= 0", name="not_negative"),
        CheckConstraint("room >= 0", name="within_limit"),
    )

    id: Mapped[Serial]
    owner: Mapped[Ref]
    resource: Mapped[str]
    rank: Mapped[int]
    limit: Mapped[int]
    held: Mapped[int] = mapped_column(default=0)
    used: Mapped[int] = mapped_column(default=0)
    room: Mapped[int] = mapped_column(Computed('"limit" - held - used', persisted=True))


class Claim(Base):
    """What one holder (a request's item, a tenancy) has of a set of accounts: held, then committed, then released."""

    __tablename__ = "claims"

    id: Mapped[Id]
    holder: Mapped[Ref] = mapped_column(index=True)
    side: Mapped[str]  # quota (departments) or capacity (pools and servers)
    state: Mapped[str]  # held, committed, released
    created_at: Mapped[datetime]
    settled_at: Mapped[datetime | None]


class ClaimLine(Base):
    """The accounts a claim stands in, with the amount it takes there; it is released on exactly these.

    Only `ledger.sql` writes lines, with their claims and accounts locked: foreign keys would check each of them again
    while the root's account is locked.
    """

    __tablename__ = "claim_lines"
    __table_args__ = (CheckConstraint("amount >= 0", name="not_negative"),)

    claim_id: Mapped[Ref] = mapped_column(primary_key=True)
    account_id: Mapped[int] = mapped_column(primary_key=True, index=True)
    amount: Mapped[int]


class LedgerEntry(Base):
    """One movement on one account. Append-only: the balances are the sums of these."""

    __tablename__ = "ledger_entries"

    id: Mapped[Serial]
    account_id: Mapped[int] = mapped_column(index=True)
    claim_id: Mapped[str | None] = mapped_column(index=True)
    limit_change: Mapped[int] = mapped_column(default=0)
    held_change: Mapped[int] = mapped_column(default=0)
    used_change: Mapped[int] = mapped_column(default=0)
    at: Mapped[datetime]


class Evidence(Base):
    """A measured fact about a subject: other rooms write it, policy reads it. The newest of a kind counts."""

    __tablename__ = "evidence"

    kind: Mapped[str] = mapped_column(primary_key=True)
    subject: Mapped[Ref] = mapped_column(primary_key=True)
    value: Mapped[dict[str, Any]]
    source: Mapped[str]
    measured_at: Mapped[datetime]
    expires_at: Mapped[datetime]


NUMBERS = Sequence("request_numbers", metadata=Base.metadata)


class Request(Base):
    """One application (申请) of a department: a number, a purpose, items, and the steps of its approval."""

    __tablename__ = "requests"

    id: Mapped[Id]
    number: Mapped[str] = mapped_column(unique=True)
    department_id: Mapped[Ref] = mapped_column(ForeignKey("departments.id"), index=True)
    project_id: Mapped[str | None] = mapped_column(ForeignKey("projects.id"), index=True)
    state: Mapped[str] = mapped_column(index=True)
    purpose: Mapped[str]
    submitted_by: Mapped[Ref]
    policy_version: Mapped[str]
    missing: Mapped[list[str]] = mapped_column(
        server_default=_nothing
    )  # accepted all the same (容缺), due before approval
    version: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime] = mapped_column(default=now)
    finished_at: Mapped[datetime | None]
    department: Mapped[Department] = relationship(viewonly=True)
    project: Mapped[Project | None] = relationship(viewonly=True)
    submitter: Mapped[User] = relationship(primaryjoin="foreign(Request.submitted_by) == User.id", viewonly=True)
    items: Mapped[list["Item"]] = relationship(order_by="Item.position", lazy="selectin", back_populates="request")
    steps: Mapped[list["ApprovalStep"]] = relationship(order_by="ApprovalStep.position", lazy="selectin")
    attachments: Mapped[list["Attachment"]] = relationship(order_by="Attachment.created_at", lazy="selectin")


class Item(Base):
    """One thing asked for in a request; decided on and carried out by itself."""

    __tablename__ = "request_items"

    id: Mapped[Id]
    request_id: Mapped[Ref] = mapped_column(ForeignKey("requests.id"), index=True)
    position: Mapped[int]
    kind: Mapped[str]
    spec: Mapped[dict[str, Any]]  # as asked, or as changed by an approver; the kind's own schema
    state: Mapped[str] = mapped_column(index=True)
    subject: Mapped[str | None] = mapped_column(
        index=True
    )  # what it is about or has made: tenancy, project, department
    automatic: Mapped[str | None]  # the published rule that approved it, where no human did
    reason: Mapped[dict[str, Any] | None]  # why it was refused, failed or waits: slug and figures
    queued_at: Mapped[datetime | None]  # since when it waits for capacity: its place in the queue
    finished_at: Mapped[datetime | None]
    request: Mapped[Request] = relationship(back_populates="items")


class ApprovalStep(Base):
    """One decision that a request needs: who must act, by when, and what was decided on."""

    __tablename__ = "approval_steps"

    id: Mapped[Id]
    request_id: Mapped[Ref] = mapped_column(ForeignKey("requests.id"), index=True)
    position: Mapped[int]
    name: Mapped[str]  # the policy's name of the step; `accept` is the first
    department_id: Mapped[Ref] = mapped_column(ForeignKey("departments.id"), index=True)  # whose approvers act
    item_ids: Mapped[list[str]]  # the items it decides on
    days: Mapped[int]  # limit in working days
    days_spent: Mapped[int] = mapped_column(default=0)  # before the clock was last stopped
    state: Mapped[str] = mapped_column(index=True)  # waiting, open, stopped, done, skipped
    delegate_id: Mapped[str | None] = mapped_column(ForeignKey("users.id"))
    opened_at: Mapped[datetime | None]
    due_at: Mapped[datetime | None] = mapped_column(index=True)
    due_provisional: Mapped[bool] = mapped_column(default=False)
    light: Mapped[str] = mapped_column(default="green")
    escalated_at: Mapped[datetime | None]
    closed_at: Mapped[datetime | None]
    department: Mapped[Department] = relationship(viewonly=True)
    decisions: Mapped[list["Decision"]] = relationship(
        order_by="Decision.decided_at, Decision.id", lazy="selectin", back_populates="step"
    )


class Decision(Base):
    """What one person decided on one item at one step, and the digest of what was shown."""

    __tablename__ = "decisions"

    id: Mapped[Id]
    step_id: Mapped[Ref] = mapped_column(ForeignKey("approval_steps.id"), index=True)
    item_id: Mapped[Ref] = mapped_column(ForeignKey("request_items.id"), index=True)
    verdict: Mapped[str]  # accept, approve, refuse, return
    changes: Mapped[dict[str, Any] | None]
    reason: Mapped[str | None]
    digest: Mapped[str]
    decided_by: Mapped[Ref]
    decided_at: Mapped[datetime]
    superseded: Mapped[bool] = mapped_column(default=False)  # what it was decided on has changed since
    step: Mapped[ApprovalStep] = relationship(back_populates="decisions")
    by: Mapped[User] = relationship(primaryjoin="foreign(Decision.decided_by) == User.id", viewonly=True)


class Attachment(Base):
    __tablename__ = "attachments"

    id: Mapped[Id]
    request_id: Mapped[Ref] = mapped_column(ForeignKey("requests.id"), index=True)
    name: Mapped[str]
    media_type: Mapped[str]
    size: Mapped[int]
    digest: Mapped[str]  # SHA-256 of the content
    content: Mapped[bytes] = mapped_column(deferred=True)
    created_at: Mapped[datetime] = mapped_column(default=now)


class Tenancy(Base):
    """An isolated share of compute and storage that a project has."""

    __tablename__ = "tenancies"
    __table_args__ = (
        Index(
            "uq_tenancies_project_id_name",
            "project_id",
            "name",
            unique=True,
            postgresql_where=text("state NOT IN ('failed', 'withdrawn', 'erased')"),
        ),
    )

    id: Mapped[Id]
    project_id: Mapped[Ref] = mapped_column(ForeignKey("projects.id"), index=True)
    department_id: Mapped[Ref] = mapped_column(ForeignKey("departments.id"), index=True)
    name: Mapped[str]
    state: Mapped[str] = mapped_column(index=True)
    size: Mapped[Size]
    approved_size: Mapped[Size]  # the size that a human last approved
    architectures: Mapped[list[str]]
    zone: Mapped[str]
    level: Mapped[int]
    keys: Mapped[list[str]]  # the tenant's own public keys
    protected: Mapped[bool] = mapped_column(default=False)
    pool_id: Mapped[str | None] = mapped_column(index=True)
    server_id: Mapped[str | None] = mapped_column(index=True)
    limits: Mapped[list[dict[str, Any]]] = mapped_column(server_default=text("'[]'"))
    access: Mapped[str | None]  # sealed until it is read once
    erasure: Mapped[dict[str, Any] | None]
    term_days: Mapped[int]
    ends_at: Mapped[datetime | None] = mapped_column(index=True)
    reminded_at: Mapped[datetime | None]
    activated_at: Mapped[datetime | None]
    quarantined_at: Mapped[datetime | None]
    erase_at: Mapped[datetime | None] = mapped_column(index=True)
    erased_at: Mapped[datetime | None]
    held_until: Mapped[datetime | None]  # until then nothing is repaired: somebody works on it by hand
    held_because: Mapped[str | None]
    version: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime] = mapped_column(default=now)


class Endpoint(Base):
    """An address at which a tenancy answers: reported by its driver, or entered and then confirmed by an operator."""

    __tablename__ = "endpoints"
    __table_args__ = (UniqueConstraint("tenancy_id", "host", "port", postgresql_nulls_not_distinct=True),)

    id: Mapped[Id]
    tenancy_id: Mapped[Ref] = mapped_column(ForeignKey("tenancies.id"), index=True)
    host: Mapped[str]
    port: Mapped[int | None]
    reported: Mapped[bool]  # by the driver
    confirmed_by: Mapped[str | None]
    confirmed_at: Mapped[datetime | None]

"""The tables of where tenancies live. Only this room reads them."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from cloudctl.kernel.clock import now
from cloudctl.kernel.database import Base, Id, Ref, Size


class Pool(Base):
    """Servers, a cluster or a cloud of one kind that tenancies are placed on."""

    __tablename__ = "pools"

    id: Mapped[Id]
    name: Mapped[str] = mapped_column(unique=True)
    provider: Mapped[str]  # the company that runs it
    driver: Mapped[str]
    connection: Mapped[dict[str, Any]]  # the driver's own; secrets only by reference (file:, env:)
    zone: Mapped[str]
    architecture: Mapped[str]
    abi: Mapped[str]
    cpu_family: Mapped[str]
    level: Mapped[int]  # highest MLPS level it may carry
    traits: Mapped[list[str]]
    overcommit: Mapped[dict[str, Any]]  # resource class -> factor; 1 where absent
    reserve: Mapped[Size]  # resource class -> amount kept back (loss of a host, surges)
    inventory: Mapped[Size]  # what it really has
    state: Mapped[str] = mapped_column(default="open")  # open, draining
    condition: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))  # as reconciling last found it
    version: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime] = mapped_column(default=now)


class Server(Base):
    """One machine of a pool of the servers driver; a tenancy lives on exactly one of them."""

    __tablename__ = "servers"
    __table_args__ = (UniqueConstraint("pool_id", "name"),)

    id: Mapped[Id]
    pool_id: Mapped[Ref] = mapped_column(ForeignKey("pools.id"), index=True)
    name: Mapped[str]
    address: Mapped[str]
    inventory: Mapped[Size]
    state: Mapped[str] = mapped_column(default="open")
    host_key: Mapped[str | None]  # its public SSH key, pinned; none on a server that is this machine
    facts: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))  # what it said of itself when enrolled
    created_at: Mapped[datetime] = mapped_column(default=now)

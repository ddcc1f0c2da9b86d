"""Idempotency-Key: a POST that is sent again changes nothing, and is answered as it was the first time."""

import hashlib
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Engine, Index, delete, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, Session, mapped_column

from cloudctl.kernel import clock
from cloudctl.kernel.database import Base, Ref
from cloudctl.kernel.errors import Conflict, Invalid
from cloudctl.kernel.settings import Settings


class KeyReused(Invalid):
    """The Idempotency-Key was used for another call: its path, parameters or body were not the same."""


class InProgress(Conflict):
    """The first call with this Idempotency-Key is still being worked on; try again."""


class IdempotencyRecord(Base):
    """One call with a key. It commits with what the call did, so that it exists exactly if that was done."""

    __tablename__ = "idempotency_records"
    __table_args__ = (Index("ix_idempotency_records_created_at", "created_at"),)

    caller: Mapped[Ref] = mapped_column(primary_key=True)
    route: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    digest: Mapped[str]
    status: Mapped[int | None]
    body: Mapped[bytes | None]  # without any secret the answer held
    etag: Mapped[str | None]
    created_at: Mapped[datetime]


@dataclass(frozen=True)
class Kept:
    """An answer as it was given the first time."""

    status: int
    body: bytes
    etag: str | None


@dataclass(frozen=True)
class Keyed:
    """A call that is to happen once: whose, on which route, under which key, and the digest of all it says."""

    caller: str
    route: str
    key: str
    digest: str


def digest_of(*parts: bytes) -> str:
    """The digest of all a call says; where one part ends and the next begins counts."""
    whole = hashlib.sha256()
    for part in parts:
        whole.update(len(part).to_bytes(8, "big"))
        whole.update(part)
    return whole.hexdigest()


def begin(session: Session, settings: Settings, call: Keyed) -> Kept | None:
    """Claim the key for this transaction, or tell the answer that was given; a second call waits for the first one.

    Raises:
        KeyReused: it was another call.
        InProgress: the first one has left no answer. Where it takes longer than the lock time-out of the database,
            the edge says so in the same words.
    """
    moment = clock.now()
    fresh = {"digest": call.digest, "status": None, "body": None, "etag": None, "created_at": moment}
    row = insert(IdempotencyRecord).values(caller=call.caller, route=call.route, key=call.key, **fresh)
    claimed = row.on_conflict_do_update(
        index_elements=["caller", "route", "key"],
        set_=fresh,
        where=IdempotencyRecord.created_at < moment - settings.idempotency,
    ).returning(IdempotencyRecord.key)
    if session.scalar(claimed) is not None:
        return None
    found = session.execute(select(*_ANSWER).where(*_is(call))).one_or_none()
    if found is None or found.status is None:
        raise InProgress(field="Idempotency-Key")
    if found.digest != call.digest:
        raise KeyReused(field="Idempotency-Key")
    return Kept(found.status, found.body, found.etag)


def keep(session: Session, call: Keyed, answer: Kept) -> None:
    """Write the answer down, in the transaction of what it answers."""
    kept = update(IdempotencyRecord).where(*_is(call))
    session.execute(kept.values(status=answer.status, body=answer.body, etag=answer.etag))


def expire(engine: Engine, settings: Settings) -> int:
    """Forget the answers that are older than they are kept; returns how many. May run at any time."""
    old = IdempotencyRecord.created_at < clock.now() - settings.idempotency
    with Session(engine) as session, session.begin():
        return len(session.scalars(delete(IdempotencyRecord).where(old).returning(IdempotencyRecord.key)).all())


_ANSWER = (IdempotencyRecord.digest, IdempotencyRecord.status, IdempotencyRecord.body, IdempotencyRecord.etag)


def _is(call: Keyed) -> tuple[ColumnElement[bool], ...]:
    mine = IdempotencyRecord
    return mine.caller == call.caller, mine.route == call.route, mine.key == call.key

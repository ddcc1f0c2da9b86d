"""The sealer of the audit log: gives every committed entry its place in the chain and signs where the chain stands."""

import os
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from pydantic import ValidationError
from sqlalchemy import BigInteger, Engine, ForeignKey, and_, func, insert, select, text
from sqlalchemy.orm import Mapped, Session, mapped_column

from cloudctl.kernel import clock, telemetry
from cloudctl.kernel.audit import AuditEntry
from cloudctl.kernel.audit_proof import EntryLine, Seal, chained, key_id
from cloudctl.kernel.database import Base
from cloudctl.kernel.errors import Conflict
from cloudctl.kernel.secrets import KeyUnreadable, private_file
from cloudctl.kernel.settings import Settings

_LOCK = 0x5EA1  # of the whole database: one sealer at a time
_BATCH = 5_000


class AnchorMismatch(Conflict):
    """The seal kept outside the database is not in the database's chain: the log was cut, rewritten or restored."""


class AuditLink(Base):
    """An entry's place in the chain. It is given here and not in the entry: entries commit out of the order of their
    ids, and are never updated."""

    __tablename__ = "audit_links"

    entry_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("audit_entries.id"), primary_key=True)
    position: Mapped[int] = mapped_column(BigInteger, unique=True)
    hash: Mapped[str]


class AuditSeal(Base):
    """A seal as it was signed, and from where the sealer has to look on: every entry up to `settled` is sealed."""

    __tablename__ = "audit_seals"

    number: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    position: Mapped[int]
    head: Mapped[str]
    algorithm: Mapped[str]
    at: Mapped[datetime]
    key: Mapped[str]
    signature: Mapped[str]
    settled: Mapped[int]


class Sealer:
    """Seals what is committed. Its key and the anchor lie outside the database; both are made on first use."""

    def __init__(self, settings: Settings) -> None:
        """Open the sealer of these settings.

        Raises:
            KeyUnreadable: the key file is not an Ed25519 key, or open to everybody.
        """
        file = settings.data_dir / "audit.key"
        try:
            key = load_pem_private_key(private_file(file, _new_key), password=None)
        except ValueError:
            key = None
        if not isinstance(key, Ed25519PrivateKey):
            raise KeyUnreadable(file=str(file), fault="not an Ed25519 key")
        self._key, self._algorithm = key, settings.audit_hash
        self._key_id = key_id(key.public_key())
        self.anchor = settings.audit_anchor_file or settings.data_dir / "audit.anchor"

    def public_key(self) -> str:
        """What anybody needs to verify an export, in PEM."""
        return self._key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    def seal(self, engine: Engine) -> int:
        """Seal what has been committed since, in transactions of its own; returns how many entries that were.

        Raises:
            AnchorMismatch: the chain does not continue the seal kept outside. Nothing is sealed until an operator has
                found out why and put the anchor file aside.
            HashUnavailable: this machine's OpenSSL does not offer the chosen hash function.
        """
        total, sealed = 0, _BATCH
        while sealed == _BATCH:
            with Session(engine) as session:
                with session.begin():
                    _take_turns(session)
                    self._require_anchored(session)
                    sealed = self._extend(session)
                with session.begin():  # only what is committed is kept outside, and in turn: it never goes back
                    _take_turns(session)
                    if newest := _newest(session):
                        _replace(self.anchor, _seal_of(newest).model_dump_json())
            total += sealed
            telemetry.AUDIT_SEALED.inc(sealed)
        return total

    def _extend(self, session: Session) -> int:
        last = _newest(session)
        number, position, head, settled = (
            (last.number, last.position, last.head, last.settled) if last else (0, 0, "", 0)
        )
        decided = _decided(session, settled)
        unsealed = select(AuditEntry).outerjoin(AuditLink).where(AuditLink.entry_id.is_(None), AuditEntry.id > settled)
        entries = session.scalars(unsealed.order_by(AuditEntry.id).limit(_BATCH)).all()
        if not entries:
            return 0
        links = []
        for entry in entries:
            position += 1
            head = chained(self._algorithm, head, position, _content(entry))
            links.append({"entry_id": entry.id, "position": position, "hash": head})
        session.execute(insert(AuditLink), links)
        seal = Seal(
            number=number + 1,
            position=position,
            head=head,
            algorithm=self._algorithm,
            at=_written(clock.now()),
            key=self._key_id,
        ).signed_by(self._key)
        reached = min(decided, entries[-1].id) if len(entries) == _BATCH else decided
        signed = seal.model_dump(exclude={"kind", "at"})
        session.add(AuditSeal(**signed, at=datetime.fromisoformat(seal.at), settled=reached))
        return len(entries)

    def _require_anchored(self, session: Session) -> None:
        if not self.anchor.exists():
            return
        try:
            kept = Seal.model_validate_json(self.anchor.read_text())
        except ValidationError:
            raise AnchorMismatch(file=str(self.anchor), position=None) from None
        found = session.get(AuditSeal, kept.number)
        if found is None or _seal_of(found) != kept:
            raise AnchorMismatch(file=str(self.anchor), position=kept.position)


def export(session: Session) -> Iterator[str]:
    """The whole log as lines of JSON: the seals, the entries in the order of the chain, then what is not sealed yet."""
    last = 0
    for seal in session.scalars(select(AuditSeal).order_by(AuditSeal.number)):
        last = seal.position
        yield _seal_of(seal).model_dump_json()
    linked = and_(AuditLink.entry_id == AuditEntry.id, AuditLink.position <= last)  # what is sealed meanwhile stays out
    query = select(AuditEntry, AuditLink).outerjoin(AuditLink, linked)
    query = query.order_by(AuditLink.position.nulls_last(), AuditEntry.id).execution_options(yield_per=1000)
    for entry, link in session.execute(query):
        line = EntryLine(
            position=link.position if link else None, hash=link.hash if link else None, entry=_content(entry)
        )
        yield line.model_dump_json()


def unsealed_since(session: Session) -> datetime | None:
    """When the oldest entry that waits for its seal was written."""
    newest = _newest(session)
    waiting = select(func.min(AuditEntry.at)).outerjoin(AuditLink).where(AuditLink.entry_id.is_(None))
    return session.scalar(waiting.where(AuditEntry.id > (newest.settled if newest else 0)))


def _take_turns(session: Session) -> None:
    session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})


def _decided(session: Session, settled: int) -> int:
    """The id up to which no entry can appear any more that the next statement does not see; `settled` or later.

    Whoever got an id holds a lock on the table until the end of its transaction, and a commit is seen before its
    locks are gone. So when nobody else holds one, all ids given out before are decided.
    """
    newest = session.scalar(select(func.max(AuditEntry.id))) or 0  # before the look at the locks, never after
    writers = text(
        "SELECT count(*) FROM pg_locks WHERE relation = 'audit_entries'::regclass AND mode = 'RowExclusiveLock'"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    return settled if session.scalar(writers) else newest


def _newest(session: Session) -> AuditSeal | None:
    return session.scalars(select(AuditSeal).order_by(AuditSeal.number.desc()).limit(1)).first()


def _seal_of(row: AuditSeal) -> Seal:
    values = {name: getattr(row, name) for name in Seal.model_fields if name not in ("kind", "at")}
    return Seal(**values, at=_written(row.at))


def _content(entry: AuditEntry) -> dict[str, Any]:
    """What an entry says. What it does not say is left out, so that a column added later changes no hash."""
    columns = {name: getattr(entry, name) for name in AuditEntry.__table__.columns.keys()}  # noqa: SIM118
    return {name: value for name, value in {**columns, "at": _written(entry.at)}.items() if value is not None}


def _written(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()


def _new_key() -> bytes:
    return Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _replace(file: Path, content: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, draft = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    with os.fdopen(handle, "w") as output:
        output.write(content + "\n")
        output.flush()
        os.fsync(handle)
    Path(draft).replace(file)

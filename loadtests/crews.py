"""Crews: what a run and its engines elsewhere say to each other, kept between their two processes until it is read.

A run's driver and the API that its engines call are different processes, so lines pass through the database. Whoever
asks often enough is never told anything: both sides come several times a second, and what they say is short.
"""

import hmac
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import Float, cast, delete, extract, func, insert, select, update
from sqlalchemy.orm import Session

from cloudctl.kernel import clock, ids
from cloudctl.kernel.errors import Conflict
from loadtests.exchanges import MOST, Answer, Command, Said
from loadtests.models import Crew, Line, Member
from tenancy.tokens import BadToken, digest

PREFIX = "cle_"
_NOW = cast(extract("epoch", func.clock_timestamp()), Float)


class Unread(Conflict):
    """Nobody reads what the engine says: its run has too many reports of it already."""


@dataclass(frozen=True)
class Pass:
    """By what an engine elsewhere is known: its id, and the secret it shows. Nothing else knows the secret."""

    engine: str
    secret: str


@dataclass(frozen=True)
class Sign:
    """How an engine is: how often it came, whether it can send, whether it ended by itself."""

    seen: int
    ready: bool
    over: bool


@dataclass(frozen=True)
class Beaten:
    """What a driver learns with a sign of life. `now` in seconds of the clock that all go by."""

    now: float
    signs: Mapping[str, Sign]
    reports: Sequence[tuple[str, dict[str, Any]]]


def gather(session: Session, run: str, count: int, lasts: timedelta) -> list[Pass]:
    """Let so many engines speak for a run, each with a secret of its own, until it ends or so long at most."""
    session.add(Crew(run_id=run, expires_at=clock.now() + lasts))
    session.flush()
    passes = []
    for _ in range(count):
        id = ids.new("eng")
        made = Pass(id, f"{PREFIX}{id.removeprefix('eng_')}_{secrets.token_urlsafe(32)}")
        session.add(Member(id=id, run_id=run, digest=digest(made.secret)))
        passes.append(made)
    session.flush()
    return passes


def dismiss(session: Session, run: str) -> None:
    """No engine speaks for the run any more, and each ends when it next comes; may be repeated."""
    session.execute(delete(Crew).where(Crew.run_id == run))


def expire(session: Session) -> None:
    """Dismiss whom nobody has dismissed in time."""
    session.execute(delete(Crew).where(Crew.expires_at < clock.now()))


def admitted(session: Session, engine: str, secret: str) -> str:
    """The id of the engine that shows its secret, while its run is under way.

    Raises:
        BadToken: there is no such engine now, or it has another secret.
    """
    told = select(Member.digest).join(Crew, Crew.run_id == Member.run_id)
    found = session.scalar(told.where(Member.id == engine, Crew.expires_at > clock.now()))
    if not hmac.compare_digest(digest(secret), found or _NOBODY) or found is None:
        raise BadToken
    return engine


def exchange(session: Session, engine: str, said: Said) -> Answer:
    """Take what an engine says, once however often it says it, and tell what it has not got yet.

    Raises:
        BadToken: its run has ended meanwhile.
        Unread: its run does not read what it says.
    """
    member = session.scalar(select(Member).where(Member.id == engine).with_for_update())
    if member is None:
        raise BadToken
    new: list[dict[str, Any]] = [
        {"member_id": engine, "command": False, "number": number, "said": report.model_dump(mode="json")}
        for number, report in enumerate(said.reports, said.first)
        if number > member.heard
    ]
    if new:
        unread = select(func.count()).where(Line.member_id == engine, Line.command.is_(False))
        if (session.scalar(unread) or 0) + len(new) > MOST:
            raise Unread(engine=engine)
        session.execute(insert(Line), new)
        member.heard = new[-1]["number"]
    member.seen += 1
    member.ready, member.over = member.ready or said.ready, member.over or said.over
    waiting = select(Line).where(Line.member_id == engine, Line.command.is_(True)).order_by(Line.number)
    commands = list(session.scalars(waiting))
    if any(line.number <= said.after for line in commands):
        got = (Line.member_id == engine, Line.command.is_(True), Line.number <= said.after)
        session.execute(delete(Line).where(*got).execution_options(synchronize_session=False))
    beat, now = session.execute(select(Crew.beat, _NOW).where(Crew.run_id == member.run_id)).one()
    told = [Command(number=line.number, said=line.said) for line in commands if line.number > said.after]
    return Answer(beat=beat, now=now, heard=member.heard, commands=told)


def beat(session: Session, run: str, commands: Sequence[tuple[str, Command]]) -> Beaten | None:
    """Give a sign of life of the run's driver, with commands for engines by their id; and take what they said.

    Returns: None where the run has no crew any more.
    """
    alive = update(Crew).where(Crew.run_id == run).values(beat=Crew.beat + 1).returning(_NOW)
    now = session.scalar(alive.execution_options(synchronize_session=False))
    if now is None:
        return None
    if commands:
        lines = [
            {"member_id": engine, "command": True, "number": command.number, "said": command.said}
            for engine, command in commands
        ]
        session.execute(insert(Line), lines)
    mine = select(Member.id, Member.seen, Member.ready, Member.over).where(Member.run_id == run)
    signs = {row.id: Sign(row.seen, row.ready, row.over) for row in session.execute(mine)}
    read = delete(Line).where(Line.member_id.in_(signs), Line.command.is_(False))
    taken = session.execute(
        read.returning(Line.number, Line.member_id, Line.said).execution_options(synchronize_session=False)
    )
    ordered = sorted(taken, key=lambda row: row.number)
    return Beaten(now, signs, [(row.member_id, row.said) for row in ordered])


_NOBODY = digest("")

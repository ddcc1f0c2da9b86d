"""The sealer skips nothing that commits late, takes turns, and stops where the log was tampered with."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine, create_engine, select, text
from sqlalchemy.orm import Session

from cloudctl.kernel import audit, clock
from cloudctl.kernel.audit_proof import Seal, verify
from cloudctl.kernel.audit_seals import AnchorMismatch, AuditSeal, Sealer, export
from cloudctl.kernel.settings import Settings

LI = audit.Actor(id="usr_li", name="李明")


def write(engine: Engine, object: str) -> None:
    with Session(engine) as session, session.begin():
        audit.record(session, LI, "tenancy:show", object, share=0.1, huge=10**30, nothing=None, deep=[{"ü": [1.5]}])


def exported(engine: Engine) -> list[str]:
    with Session(engine) as session:
        return list(export(session))


def test_an_entry_that_commits_after_later_ones_were_sealed_is_sealed_next(engine: Engine, settings: Settings) -> None:
    sealer = Sealer(settings)
    with Session(engine) as slow:
        audit.record(slow, LI, "tenancy:show", "ten_slow")
        write(engine, "ten_fast")
        assert sealer.seal(engine) == 1
        slow.commit()
    assert sealer.seal(engine) == 1
    assert sealer.seal(engine) == 0
    report = verify(exported(engine), sealer.public_key(), sealer.anchor.read_text())
    assert (report.is_intact, report.sealed, report.seals, report.unsealed) == (True, 2, 2, 0)


def test_an_entry_that_stays_uncommitted_over_many_seals_is_not_forgotten(engine: Engine, settings: Settings) -> None:
    sealer = Sealer(settings)
    with Session(engine) as slow:
        audit.record(slow, LI, "tenancy:show", "ten_slow")
        for number in range(5):
            write(engine, f"ten_{number}")
            assert sealer.seal(engine) == 1
        slow.commit()
    write(engine, "ten_last")
    assert sealer.seal(engine) == 2
    report = verify(exported(engine), sealer.public_key(), sealer.anchor.read_text())
    assert (report.is_intact, report.sealed, report.unsealed) == (True, 7, 0)


def test_the_sealer_does_not_look_again_at_what_is_settled(engine: Engine, settings: Settings) -> None:
    def settled() -> list[int]:
        with Session(engine) as session:
            return list(session.scalars(select(AuditSeal.settled).order_by(AuditSeal.number)))

    sealer = Sealer(settings)
    write(engine, "ten_a")  # entry 1
    sealer.seal(engine)
    with Session(engine) as slow:
        audit.record(slow, LI, "tenancy:show", "ten_slow")  # entry 2
        write(engine, "ten_b")
        sealer.seal(engine)
        slow.commit()
    sealer.seal(engine)
    assert settled() == [1, 1, 3]


def test_sealers_and_writers_at_the_same_time_lose_and_double_nothing(engine: Engine, settings: Settings) -> None:
    def work(number: int) -> int:
        if number % 3:
            write(engine, f"ten_{number}")
            return 0
        return Sealer(settings).seal(engine)

    with ThreadPoolExecutor(8) as pool:
        sealed = sum(pool.map(work, range(90)))
    sealer = Sealer(settings)
    assert sealed + sealer.seal(engine) == 60
    report = verify(exported(engine), sealer.public_key(), sealer.anchor.read_text())
    assert (report.is_intact, report.sealed, report.remarks) == (True, 60, [])


def test_more_entries_than_a_batch_are_sealed_in_one_call(engine: Engine, settings: Settings) -> None:
    with Session(engine) as session, session.begin():
        session.execute(
            text(
                "INSERT INTO audit_entries (at, actor, actor_name, action, object, result, figures)"
                " SELECT now(), 'usr_li', 'Li', 'tenancy:show', 'ten_' || n, 'ok', '{}' FROM generate_series(1, 5001) n"
            )
        )
    sealer = Sealer(settings)
    assert sealer.seal(engine) == 5001
    assert verify(exported(engine), sealer.public_key(), sealer.anchor.read_text()).is_intact


def test_the_anchor_is_the_newest_seal_and_tells_its_time(engine: Engine, settings: Settings) -> None:
    sealer = Sealer(settings)
    for day in (1, 2):
        write(engine, "ten_a")
        with clock.at(datetime(2026, 3, day, tzinfo=UTC)):
            sealer.seal(engine)
    kept = Seal.model_validate_json(sealer.anchor.read_text())
    assert (kept.number, kept.position, kept.at) == (2, 2, "2026-03-02T00:00:00+00:00")


def test_an_anchor_that_was_not_written_when_the_sealer_died_is_written_by_the_next(
    engine: Engine, settings: Settings
) -> None:
    sealer = Sealer(settings)
    write(engine, "ten_a")
    sealer.seal(engine)
    older = sealer.anchor.read_text()
    write(engine, "ten_b")
    sealer.seal(engine)
    newest = sealer.anchor.read_text()
    sealer.anchor.write_text(older)
    assert sealer.seal(engine) == 0
    assert sealer.anchor.read_text() == newest


@pytest.mark.parametrize(
    "tampering",
    [
        "TRUNCATE audit_entries, audit_links, audit_seals",
        "DELETE FROM audit_seals WHERE number = 2",
        "UPDATE audit_seals SET head = 'f00' WHERE number = 2",
    ],
)
def test_the_sealer_signs_nothing_more_once_the_anchored_seal_is_gone(
    engine: Engine, settings: Settings, urls: dict[str, str], tampering: str
) -> None:
    sealer = Sealer(settings)
    for object in ("ten_a", "ten_b"):
        write(engine, object)
        sealer.seal(engine)
    anchor = sealer.anchor.read_text()
    owner = create_engine(urls["owner"].replace("postgresql://", "postgresql+psycopg://"))
    with owner.begin() as connection:
        connection.execute(text(tampering))
    owner.dispose()
    write(engine, "ten_c")
    with pytest.raises(AnchorMismatch) as stopped:
        sealer.seal(engine)
    assert stopped.value.figures["position"] == 2
    assert sealer.anchor.read_text() == anchor


def test_sm3_chains_the_log_too_and_a_change_of_hash_keeps_what_was_sealed(engine: Engine, settings: Settings) -> None:
    write(engine, "ten_a")
    Sealer(settings).seal(engine)
    sealer = Sealer(settings.model_copy(update={"audit_hash": "sm3"}))
    write(engine, "ten_b")
    sealer.seal(engine)
    lines = exported(engine)
    assert [Seal.model_validate_json(line).algorithm for line in lines[:2]] == ["sha256", "sm3"]
    assert verify(lines, sealer.public_key(), sealer.anchor.read_text()).is_intact
    assert not verify([line.replace("ten_b", "ten_c") for line in lines], sealer.public_key()).is_intact

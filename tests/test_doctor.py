"""The doctor finds what is wrong, names it, and says what to do."""

import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from cloudctl import app, doctor, seed
from cloudctl.kernel import clock, database, messages, operations
from cloudctl.kernel.operations import Operation, OperationRow
from cloudctl.kernel.settings import Settings
from provisioning import pools
from tenancy.callers import SYSTEM
from tests.conftest import DATABASES


@pytest.fixture
def found(settings: Settings, tmp_path: Path) -> Callable[[], list[str]]:
    """The slugs of what the doctor finds now; each has a sentence in both languages."""
    days = tmp_path / "days.yaml"
    days.write_text(f"complete: [{clock.now().year}, {clock.now().year + 1}]\n")
    known = settings.model_copy(update={"calendar_file": days})

    def examine() -> list[str]:
        findings = doctor.examine(known)
        for finding in findings:
            assert "…" not in messages.render(finding.slug, finding.figures, "zh")
            assert messages.render(finding.slug, finding.figures, "en") != finding.slug
        return [finding.slug for finding in findings]

    return examine


def test_a_fresh_platform_is_well(session: Session, found: Callable[[], list[str]]) -> None:
    seed.load(session)
    session.commit()
    assert found() == []


def test_a_balance_that_its_entries_do_not_bear_out_is_found(
    session: Session, urls: dict[str, str], found: Callable[[], list[str]]
) -> None:
    seed.load(session)
    session.commit()
    with psycopg.connect(urls["owner"]) as owner:
        owner.execute("UPDATE accounts SET used = 3 WHERE id = (SELECT min(id) FROM accounts)")
    assert found() == ["doctor-books"]


def test_an_audit_log_that_can_be_changed_is_found(urls: dict[str, str], found: Callable[[], list[str]]) -> None:
    with psycopg.connect(urls["owner"]) as owner:
        owner.execute("GRANT DELETE ON audit_entries TO cloudctl_app")
    assert found() == ["doctor-rights"]


@pytest.fixture
def row(session: Session) -> Iterator[OperationRow]:
    """An operation that was promised and not begun."""
    operations.register(Operation("test.doctor"))
    row = operations.submit(session, "test.doctor", "ten_x", "dep_x", "test")
    session.commit()
    yield row
    del operations.KINDS["test.doctor"]


def test_an_operation_that_waits_for_an_operator_is_found(
    session: Session, row: OperationRow, found: Callable[[], list[str]]
) -> None:
    assert found() == []
    row.state, row.reason = "parked", {"slug": "lost", "figures": {"step": "provision"}}
    session.commit()
    assert found() == ["doctor-parked"]


@pytest.mark.usefixtures("row")
def test_an_operation_that_nobody_will_advance_is_found(engine: Engine, found: Callable[[], list[str]]) -> None:
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM procrastinate_jobs WHERE task_name = 'advance'"))
    assert found() == ["doctor-without-job"]


def test_a_year_whose_holidays_nobody_knows_is_a_warning(settings: Settings) -> None:
    with clock.at(datetime(2040, 12, 1, tzinfo=UTC)):
        findings = doctor.examine(settings)
    assert [(one.slug, one.weight, one.figures) for one in findings] == [
        ("doctor-calendar-unknown", "warning", {"year": 2040}),
        ("doctor-calendar-unknown", "warning", {"year": 2041}),
    ]


def test_looking_starts_and_writes_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "nothing-here"
    with pytest.raises(doctor.DatabaseStopped):
        doctor.examine(Settings(data_dir=folder))
    assert not folder.exists()


def test_an_embedded_database_that_runs_is_found_without_starting_it(server: dict[str, str]) -> None:
    (folder,) = DATABASES.glob(f"pg-{os.getpid()}-*")
    assert database.running_url(Settings(data_dir=folder)) == server["application"]


@pytest.fixture
def condition(session: Session, settings: Settings) -> Callable[..., None]:
    """Say what reconciling found of a pool a moment ago."""
    app.register(settings)
    values = {"connection": {"connection": "local", "folder": "/x"}, "zone": "extranet", "architecture": "amd64"}
    about = {"abi": "x86-64", "cpu_family": "any", "level": 3, "driver": "servers", "provider": "here"}
    pool = pools.add(session, SYSTEM, name="local", **values, **about)
    session.commit()

    def found(**condition: Any) -> None:
        pool.condition = {"looked_at": clock.now().isoformat(), **condition}
        session.commit()

    return found


BREAKER = {"since": "2026-03-02T01:00:00+00:00", "drifted": 40, "of": 400, "empty": [], "confirmed_by": None}


def test_a_pool_that_is_as_it_shall_be_is_nothing_to_tell(
    condition: Callable[..., None], found: Callable[[], list[str]]
) -> None:
    condition(breaker=None, unreachable={}, short={}, strangers=[])
    assert found() == []
    condition(breaker={**BREAKER, "confirmed_by": "luo"})
    assert found() == []


@pytest.mark.parametrize(
    ("wrong", "slug", "weight"),
    [
        ({"breaker": BREAKER}, "doctor-breaker", "wrong"),
        ({"unreachable": {"node-1": {"slug": "lost", "figures": {"step": "x"}}}}, "doctor-unreachable", "wrong"),
        ({"short": {"node-1": {"vcpu": [64, 32]}}}, "doctor-short", "warning"),
        ({"strangers": ["ten_x"]}, "doctor-strangers", "warning"),
        ({"looked_at": "2026-03-02T01:00:00+00:00"}, "doctor-unseen", "wrong"),
    ],
)
def test_what_reconciling_found_of_a_pool_is_found_here_too(
    settings: Settings, condition: Callable[..., None], wrong: dict[str, Any], slug: str, weight: str
) -> None:
    condition(**wrong)
    (finding,) = [one for one in doctor.examine(settings) if one.slug != "doctor-calendar-unknown"]
    assert (finding.slug, finding.weight) == (slug, weight)
    for language in ("zh", "en"):
        told = messages.render(finding.slug, finding.figures, language)
        assert "cloudctl " in told, "the next command to type"
        assert "local" in told


def test_another_revision_of_the_schema_is_found(urls: dict[str, str], found: Callable[[], list[str]]) -> None:
    with psycopg.connect(urls["owner"]) as owner:
        owner.execute("UPDATE alembic_version SET version_num = '0000'")
    assert found() == ["wrong-revision"]


def test_a_database_that_is_away_is_a_problem_of_its_own(settings: Settings) -> None:
    away = settings.model_copy(update={"database_url": "postgresql://nobody@127.0.0.1:1/none"})
    with pytest.raises(doctor.DatabaseAway):
        doctor.examine(away)

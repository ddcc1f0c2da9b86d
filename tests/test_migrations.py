"""Migrations: up, down and up again with data in the tables, and never another schema than the models'."""

from pathlib import Path

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from cloudctl import app, migrations
from cloudctl.kernel import database
from cloudctl.kernel.database import Base
from cloudctl.kernel.settings import Settings
from tests.world import World

OURS = set(Base.metadata.tables)


def test_the_models_are_what_the_migrations_make(urls: dict[str, str]) -> None:
    engine = database.connect(urls["owner"])
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"include_name": lambda name, kind, _: kind != "table" or name in OURS}
        )
        assert compare_metadata(context, Base.metadata) == []
    engine.dispose()


def test_down_and_up_again_with_data_in_every_room(
    urls: dict[str, str], engine: Engine, settings: Settings, tmp_path: Path
) -> None:
    world = World(engine, settings, tmp_path / "servers")
    world.add_pool()
    world.create({"vcpu": 1})
    engine.dispose()
    migrations.downgrade(urls["owner"], "base")
    with psycopg.connect(urls["owner"]) as connection:
        left = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        functions = connection.execute(
            "SELECT count(*) FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
        ).fetchone()
    assert left == [("alembic_version",)]
    assert functions == (0,)
    migrations.upgrade(urls["owner"])
    again = World(engine, settings, tmp_path / "again")
    again.add_pool()
    assert again.tenancy(again.create({"vcpu": 1})).state == "active"


def test_nothing_runs_on_another_revision(urls: dict[str, str], settings: Settings) -> None:
    migrations.downgrade(urls["owner"], "base")
    with pytest.raises(migrations.WrongRevision) as refused:
        app.prepare(settings)
    assert refused.value.figures == {"found": "none", "wanted": "0007"}


def test_upgrading_twice_changes_nothing(urls: dict[str, str]) -> None:
    migrations.upgrade(urls["owner"])


@pytest.mark.parametrize(
    ("table", "column"),
    [("audit_entries", "reason"), ("audit_links", "hash"), ("audit_seals", "head"), ("ledger_entries", "at")],
)
@pytest.mark.parametrize("change", ["UPDATE {0} SET {1} = {1}", "DELETE FROM {0}", "TRUNCATE {0}"])
def test_what_is_append_only_is_so_for_the_application(session: Session, table: str, column: str, change: str) -> None:
    with pytest.raises(Exception, match="permission denied"):
        session.execute(text(change.format(table, column)))

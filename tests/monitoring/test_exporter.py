"""What is exported: bounded in number, true to the books, for those who may read it, and never old."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from cloudctl.kernel import database
from cloudctl.kernel.settings import Settings
from monitoring import capacity, exporter, targets
from tenancy.callers import Caller, NotPermitted
from tenancy.ledger import Balance
from tests.monitoring.conftest import Watched, served
from tests.world import World

MONITOR = Caller(id="usr_m", name="prometheus", platform_role="monitor")


@pytest.fixture
def watched(engine: Engine, settings: Settings, urls: dict[str, str], tmp_path: Path) -> Iterator[Watched]:
    world = World(engine, settings.model_copy(update={"port": 0}), tmp_path / "servers")
    world.add_pool(reserve={"vcpu": 16})
    yield from served(world, urls["application"])


def read(watched: Watched) -> dict[tuple[str, ...], float]:
    """Every sample, by its name and the values of its labels."""
    told = watched.call("prometheus", "/metrics")
    assert told.status_code == 200, told.text
    families = text_string_to_metric_families(told.text)
    return {(one.name, *one.labels.values()): one.value for family in families for one in family.samples}


def test_a_pool_is_told_by_class_with_its_reserve_and_its_headroom(watched: Watched) -> None:
    before = read(watched)
    at = ("amd64", "local", "vcpu", "extranet")
    watched.world.create({"vcpu": 4, "memory_gib": 8, "storage_gib.ssd": 2})
    after = read(watched)
    told = {name: after[f"cloudctl_pool_{name}", *at] for name in ("total", "reserve", "held", "used", "free")}
    assert told == {"total": 400, "reserve": 16, "held": 0, "used": 4, "free": 380}
    room = ("cloudctl_pool_headroom_tenancies", "amd64", "local", "extranet")
    assert (before[room], after[room]) == (96, 95)
    assert after["cloudctl_tenancies", "active"] == 1


def test_a_tenancy_fits_on_one_server_or_not_at_all() -> None:
    standard = {"vcpu": 4, "memory_gib": 8}
    half = {"vcpu": Balance(7, 0, 0), "memory_gib": Balance(100, 0, 0)}
    whole = {"vcpu": Balance(14, 0, 0), "memory_gib": Balance(200, 0, 0)}
    assert capacity.headroom(standard, whole, None) == 3
    assert capacity.headroom(standard, whole, [half, half]) == 2
    assert capacity.headroom(standard, {"vcpu": Balance(9, 0, 0)}, None) == 0


def test_more_tenancies_make_no_more_series(watched: Watched) -> None:
    watched.world.create({"storage_gib.ssd": 1})
    read(watched)
    before = {name for name in read(watched) if not name[0].startswith(("cloudctl_api", "cloudctl_operation"))}
    for number in range(1):
        watched.world.create({"storage_gib.ssd": 1}, f"more-{number}")
    after = {name for name in read(watched) if not name[0].startswith(("cloudctl_api", "cloudctl_operation"))}
    assert before == after


def test_every_metric_is_documented(watched: Watched) -> None:
    watched.world.create({"storage_gib.ssd": 1})
    told = watched.call("prometheus", "/metrics").text
    names = {family.name for family in text_string_to_metric_families(told) if family.name.startswith("cloudctl_")}
    page = (Path(__file__).parents[2] / "docs" / "operations.md").read_text(encoding="utf-8")
    amounts = {"cloudctl_pool_reserve", "cloudctl_pool_held", "cloudctl_pool_used", "cloudctl_pool_free"}  # in short
    assert amounts < names
    assert {name for name in names - amounts if f"`{name}" not in page} == set()


def test_what_waits_is_told_by_its_age(watched: Watched) -> None:
    watched.world.submit({"kind": "create", "name": "slow", "size": {"storage_gib.ssd": 1}, "keys": []})
    told = read(watched)
    assert told["cloudctl_request_steps_open", "green"] == 1
    assert told["cloudctl_queue_age_seconds", "capacity"] == 0
    assert told[("cloudctl_audit_unsealed_age_seconds",)] > 0


def test_the_program_that_looks_sees_nothing_of_departments(watched: Watched) -> None:
    tenancy = watched.world.create({"storage_gib.ssd": 1})
    for path in ("/v1/tenancies", "/v1/departments", "/v1/requests", "/v1/projects"):
        told = watched.call("prometheus", path)
        assert told.status_code == 403 or told.json()["items"] == [], path
    assert watched.call("prometheus", f"/v1/tenancies/{tenancy}").status_code == 404
    assert watched.call("prometheus", "/v1/pools").status_code == 403
    assert watched.call("prometheus", "/v1/discovery").status_code == 200
    assert watched.call("clerk", "/metrics").status_code == 403


def test_a_read_that_fails_fails_the_scrape_and_the_list_of_targets(watched: Watched) -> None:
    with watched.world.engine.begin() as connection:
        connection.execute(text("SET LOCAL ROLE NONE"))
    owner = database.connect(watched.world.settings.database_owner_url or "")
    with owner.begin() as connection:
        connection.execute(text("ALTER TABLE pools RENAME TO away"))
    assert watched.call("prometheus", "/metrics").status_code >= 500
    assert watched.call("prometheus", "/v1/discovery?kind=servers").status_code >= 500
    with owner.begin() as connection:
        connection.execute(text("ALTER TABLE away RENAME TO pools"))
    owner.dispose()
    assert watched.call("prometheus", "/metrics").status_code == 200


def test_a_database_that_is_away_is_no_empty_list(watched: Watched, urls: dict[str, str]) -> None:
    watched.world.engine.dispose()
    owner = database.connect(
        urls["owner"].rpartition("?")[0].rpartition("/")[0] + "/postgres?" + urls["owner"].rpartition("?")[2]
    )
    name = watched.world.engine.url.database
    with owner.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false"))
        connection.execute(text(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"))
        assert watched.call("prometheus", "/v1/discovery").status_code in (500, 503)
        connection.execute(text(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true"))
    owner.dispose()
    assert watched.call("prometheus", "/v1/discovery").status_code == 200


def test_nobody_else_reads_metrics_or_targets(watched: Watched) -> None:
    with Session(watched.world.engine) as session:
        for read in (exporter.scrape, lambda *given: targets.groups(*given, "servers")):
            with pytest.raises(NotPermitted):
                read(session, watched.world.clerk, watched.world.settings)
            assert read(session, MONITOR, watched.world.settings)

"""A real Prometheus looks at a real run of the platform; what it finds comes back, and without it all works on."""

import json
import signal
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from sqlalchemy.orm import Session

from cloudctl.kernel import clock, events
from monitoring import alerts, silences, status, usage
from monitoring.instruments import Instruments
from tenancy import evidence
from tests import dashboards
from tests.beds.prometheus import programs
from tests.beds.prometheus.bed import Bed, eventually, free_port
from tests.monitoring.conftest import Watched, served, world_on

pytestmark = pytest.mark.xdist_group("watch")


@pytest.fixture(scope="module")
def node_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def instruments(watch_bed: Bed) -> Instruments:
    return watch_bed.instruments("http://127.0.0.1:1", "none")


@pytest.fixture(scope="module")
def watched(
    own_database: dict[str, str],
    instruments: Instruments,
    watch_bed: Bed,
    node_port: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Watched]:
    """Two servers with node exporters, a tenancy with one, and Prometheus, Alertmanager and a long store beside."""
    folder: Path = tmp_path_factory.mktemp("watched")
    about = {"port": free_port(), "node_exporter_port": node_port}
    world = world_on(own_database, folder, **instruments.urls, **about)
    pool = world.add_pool()
    for watched in served(world, own_database["application"]):
        watched.add_server(pool, "there", "127.0.0.2")
        for number in (1, 2):
            watch_bed.start_node_exporter(f"node-{number}", f"127.0.0.{number}", node_port)
        tenancy = world.create({"vcpu": 1, "memory_gib": 1, "storage_gib.ssd": 1})
        watched.add_endpoint(tenancy, "127.0.0.1", watch_bed.start_node_exporter("tenancy"))
        watched.tenancy = tenancy  # type: ignore[attr-defined]
        ours = Instruments(
            instruments.folder,
            watched.address,
            instruments.prometheus,
            instruments.alertmanager,
            instruments.pace,
            instruments.rules,
        )
        ours.configure(watched.secrets["prometheus"])
        config, long = instruments.folder / "prometheus.yml", watch_bed.start_long_store()
        config.write_text(f"{config.read_text()}\nremote_write: [{{url: {long}/api/v1/write}}]\n")
        watched.long = long  # type: ignore[attr-defined]
        watch_bed.start_instruments(ours)
        yield watched
        world.engine.dispose()


@pytest.fixture
def ask(watched: Watched, watch_bed: Bed, instruments: Instruments):
    return lambda query: watch_bed.query(instruments.urls["prometheus_url"], query)


def test_the_shipped_configuration_is_right(watched: Watched, instruments: Instruments) -> None:
    for program, *words in (
        ("promtool", "check", "config", f"{instruments.folder}/prometheus.yml"),
        ("amtool", "check-config", f"{instruments.folder}/alertmanager.yml"),
    ):
        done = subprocess.run([programs.path(program), *words], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_everything_that_is_to_be_looked_at_is_found_with_its_labels(watched, ask) -> None:
    eventually(lambda: ask('up{job="platform"} == 1') and len(ask('up{job="servers"} == 1')) == 2)
    (tenancy,) = eventually(lambda: ask('up{job="tenancies"} == 1'))
    labels = tenancy["metric"]
    assert (labels["tenancy"], labels["pool"], labels["arch"]) == (watched.tenancy, "local", "amd64")
    assert (labels["project"], labels["department"]) == (watched.world.project.code, watched.world.bureau.code)
    assert {one["metric"]["instance"] for one in ask('up{job="servers"}')} == {"here", "there"}


def test_what_the_books_say_is_what_prometheus_reads(watched, ask) -> None:
    (used,) = eventually(lambda: ask('cloudctl_pool_used{pool="local",resource="storage_gib.ssd"}'))
    assert used["value"][1] == "1"
    assert used["metric"]["arch"] == "amd64"
    states = {one["metric"]["state"]: one["value"][1] for one in ask("cloudctl_tenancies")}
    assert states["active"] == "1"
    assert float(ask("cloudctl_pool_headroom_tenancies")[0]["value"][1]) > 0


def test_a_clerk_asks_promql_about_her_tenancy_and_sees_no_other_series(watched, ask) -> None:
    eventually(lambda: ask('node_load1{job="servers"}') and ask('node_load1{job="tenancies"}'))
    path = f"/v1/tenancies/{watched.tenancy}/query"
    found = watched.call("clerk", path, params={"query": 'node_load1 or {__name__=~".+"}'}).json()["result"]
    assert found
    assert {one["metric"]["tenancy"] for one in found} == {watched.tenancy}
    assert watched.call("clerk", path, params={"query": 'up{job="servers"}'}).json()["result"] == []
    refused = watched.call("clerk", path, params={"query": 'label_replace(up, "tenancy", "x", "", "")'})
    assert (refused.status_code, refused.json()["slug"]) == (422, "query-refused")
    now = clock.now()
    times = {"start": (now - timedelta(minutes=1)).isoformat(), "end": now.isoformat(), "step": 1}
    ranged = watched.call("clerk", f"{path}_range", params={"query": "node_load1", **times}).json()
    assert ranged["resultType"] == "matrix"
    assert watched.call("prometheus", path, params={"query": "up"}).status_code == 404


def test_use_becomes_evidence_with_its_age(watched, ask) -> None:
    eventually(lambda: ask("tenancy:vcpu_used:cores") and ask("zone:memory_used:gib"))
    usage.measure(watched.world.engine, watched.world.settings)
    with Session(watched.world.engine) as session:
        profile = evidence.fresh(session, usage.PROFILE, watched.tenancy)
        assert set(profile.value["memory_gib"]) == {"mean", "p95", "peak"}
        found = evidence.fresh(session, usage.USAGE, watched.tenancy)
        assert found.value["memory_gib"] == profile.value["memory_gib"]["p95"] > 0
        assert found.source == "prometheus,driver:servers"
        assert clock.now() - usage.last_measured(session) < timedelta(minutes=1)
        assert usage.peaks(session)["extranet"]["memory_gib"] > 0
    told = watched.call("operator", "/v1/capacity").json()
    assert told["peaks"]["extranet"]["memory_gib"] > 0


@pytest.mark.parametrize("file", sorted(dashboards.FOLDER.glob("*.json")), ids=lambda file: file.stem)
def test_every_panel_of_the_dashboards_shows_something(watched, ask, file: Path) -> None:
    panels = json.loads(file.read_text())["panels"]
    queries = [target["expr"] for panel in panels for target in panel["targets"]]
    assert len(queries) == len(dashboards.BOARDS[file.stem])
    for query in queries:
        assert eventually(lambda query=query: ask(query)), query


def test_a_store_that_keeps_for_long_is_written_to(watched, watch_bed) -> None:
    eventually(lambda: watch_bed.query(watched.long, 'up{job="platform"}'))


def test_an_alert_becomes_an_event_and_a_line_of_the_status_and_a_silence_outlives_alertmanager(
    watched, watch_bed, instruments
) -> None:
    world = watched.world
    watch_bed.end("node-2")

    def told() -> list[str]:
        return [one["text"] for one in watched.call("operator", "/v1/status").json()["troubles"]]

    eventually(lambda: any("there does not answer" in one for one in told()))
    servers = watched.call("operator", "/v1/servers").json()["items"]
    there = next(one["id"] for one in servers if one["name"] == "there")
    with Session(world.engine) as session:
        assert [one.slug for one in events.after(session, [there])][-1] == "alert-firing"
    until = (clock.now() + timedelta(hours=1)).isoformat()
    wanted = {"matchers": {"alertname": "ServerUnwatched"}, "reason": "rebuilt", "until": until}
    made = watched.call("operator", "/v1/silences", "POST", json=wanted).json()

    def posted() -> list[str]:
        silences.post(world.engine, world.settings)
        there = httpx.get(f"{instruments.urls['alertmanager_url']}/api/v2/silences").json()
        return [one["comment"] for one in there if one["status"]["state"] == "active"]

    assert posted() == [f"[{made['id']}] rebuilt"]
    assert not any("there does not answer" in one for one in told())
    watch_bed.end("alertmanager", signal.SIGKILL)
    assert silences.post(world.engine, world.settings) is None
    watch_bed.start_instruments(instruments, "alertmanager")
    assert posted() == [f"[{made['id']}] rebuilt"]
    assert watched.call("operator", f"/v1/silences/{made['id']}", "DELETE").status_code == 204
    assert posted() == []
    watch_bed.start_node_exporter("node-2", "127.0.0.2", world.settings.node_exporter_port)
    ask = f"{instruments.urls['alertmanager_url']}/api/v2/alerts"
    eventually(lambda: httpx.get(ask, params={"filter": 'alertname="ServerUnwatched"'}).json() == [])
    alerts.settle(world.engine, world.settings)
    with clock.at(clock.now() + timedelta(minutes=6)):  # killed, it may have forgotten that it told of this one
        alerts.settle(world.engine, world.settings)
    assert not any("there does not answer" in one for one in told())
    with Session(world.engine) as session:
        assert [one.slug for one in events.after(session, [there])][-1] == "alert-resolved"


def test_without_prometheus_all_works_on_and_says_since_when_no_usage_is_known(watched, watch_bed) -> None:
    world = watched.world
    usage.measure(world.engine, world.settings)
    with Session(world.engine) as session:
        last = usage.last_measured(session)
    watch_bed.end("prometheus", signal.SIGKILL)
    usage.measure(world.engine, world.settings)
    asked = watched.call("clerk", f"/v1/tenancies/{watched.tenancy}/query", params={"query": "up"})
    assert (asked.status_code, asked.json()["slug"]) == (503, "prometheus-away")
    assert world.create({"storage_gib.ssd": 1}, "later")
    with Session(world.engine) as session, clock.at(last + timedelta(minutes=41)):
        found = {one.slug: one for one in status.troubles(session, world.operator, world.settings)}
        assert found["trouble-no-usage"].since == usage.last_measured(session) == last
        assert not found["trouble-no-usage"].wakes

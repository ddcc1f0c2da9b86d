"""Who shares the target's pool is watched: only what begins while load is out counts, and nobody waits for it."""

import time

import pytest

from cloudctl.kernel.settings import Settings
from loadtests import neighbours
from loadtests.neighbours import Neighbours
from monitoring.prometheus import PrometheusAway
from tests.beds.prometheus import programs
from tests.beds.prometheus.bed import Bed, eventually, free_port

pytestmark = [pytest.mark.xdist_group("watch"), pytest.mark.measures]


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "EVERY", 0.05)


def says(answers):
    """One that answers the query for the silent in turn so, and then always as the last time."""
    left = list(answers)

    def ask(query):
        if "up{" not in query:
            return []
        said = left.pop(0) if len(left) > 1 else left[0]
        if said is None:
            raise PrometheusAway(error="gone")
        return [({"instance": one}, 0.0) for one in said]

    return ask


@pytest.mark.parametrize(
    ("answers", "suffer"),
    [
        ([["old"]], None),
        ([["old"], ["old"], ["old", "new"]], {"how": "silent"}),
        ([None, None, ["old"]], None),
        ([["old"], None, ["new"]], {"how": "silent"}),
        ([["old"], []], None),
    ],
    ids=["was before", "begins", "seen late", "while Prometheus was away", "ends"],
)
def test_only_what_begins_while_load_is_out_counts(answers, suffer):
    with Neighbours(says(answers), "kunpeng-1", "ten_1") as around:
        time.sleep(0.5)
        assert around.suffer == suffer


def test_without_a_prometheus_nobody_is_known_to_suffer():
    with Neighbours(None, "kunpeng-1", "ten_1") as around:
        assert around.suffer is None


def test_a_real_prometheus_tells_of_a_neighbour_that_falls_silent(watch_bed: Bed, tmp_path):
    """The target's own tenancy may fall silent: that is what the guard is for."""
    prometheus, ours, theirs = free_port(), free_port(), free_port()
    for name, port in (("nb-ours", ours), ("nb-theirs", theirs)):
        watch_bed.start_node_exporter(name, "127.0.0.1", port)
    jobs = "".join(
        f"\n      - {{targets: ['127.0.0.1:{port}'], labels: {{pool: kunpeng-1, tenancy: {tenancy}}}}}"
        for port, tenancy in ((ours, "ten_1"), (theirs, "ten_2"))
    )
    config = tmp_path / "prometheus.yml"
    config.write_text(
        f"global: {{scrape_interval: 1s}}\nscrape_configs:\n  - job_name: tenancies\n    static_configs:{jobs}\n"
    )
    url = f"http://127.0.0.1:{prometheus}"
    words = (
        f"--config.file={config}",
        f"--storage.tsdb.path={tmp_path}/tsdb",
        f"--web.listen-address=127.0.0.1:{prometheus}",
    )
    watch_bed.start("nb-prometheus", [str(programs.path("prometheus")), *words], f"{url}/-/ready")
    eventually(lambda: len(watch_bed.query(url, "up == 1")) == 2)
    ask = neighbours.asking(Settings(prometheus_url=url))
    with Neighbours(ask, "kunpeng-1", "ten_1") as around:
        watch_bed.end("nb-ours")
        eventually(lambda: watch_bed.query(url, 'up{tenancy="ten_1"} == 0'))
        assert around.suffer is None
        watch_bed.end("nb-theirs")
        assert eventually(lambda: around.suffer) == {"how": "silent"}

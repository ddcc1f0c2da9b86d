"""The Grafana dashboards, written with Grafana's own builders: `make docs` writes them, a test compares."""

import json
from pathlib import Path

from grafana_foundation_sdk.builders import dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import DataSourceRef

FOLDER = Path(__file__).parent.parent / "monitoring" / "dashboards"
SOURCE = DataSourceRef(type_val="prometheus", uid="${source}")

# title: (query, legend, unit)
BOARDS = {
    "capacity": {
        "Room for standard tenancies": ("cloudctl_pool_headroom_tenancies", "{{pool}} {{arch}}", "short"),
        "Free": ("pool:free:ratio", "{{pool}} {{resource}}", "percentunit"),
        "Taken": ("pool:taken:sum", "{{pool}} {{resource}}", "short"),
        "Processors in use by zone": ("zone:vcpu_used:cores", "{{zone}}", "short"),
        "Memory in use by zone (GiB)": ("zone:memory_used:gib", "{{zone}}", "short"),
        "Places that do not answer": ("cloudctl_pool_places_unreachable", "{{pool}}", "short"),
    },
    "platform": {
        "Calls": ("sum by (route) (rate(cloudctl_api_latency_seconds_count[5m]))", "{{route}}", "reqps"),
        "95 of 100 calls are quicker than": ("api:latency_seconds:p95_5m", "p95", "s"),
        "Share of calls that fail": (
            '(sum(rate(cloudctl_api_latency_seconds_count{status=~"5.."}[5m])) or vector(0))'
            " / sum(rate(cloudctl_api_latency_seconds_count[5m]))",
            "failing",
            "percentunit",
        ),
        "Steps by outcome": ("sum by (outcome) (cloudctl_operation_steps_total)", "{{outcome}}", "short"),
        "Operations that ended": (
            "sum by (operation, outcome) (cloudctl_operations_ended_total)",
            "{{operation}}",
            "short",
        ),
        "Parked operations": ("cloudctl_operations_parked", "parked", "short"),
        "Age of what waits longest": ("cloudctl_queue_age_seconds", "{{queue}}", "s"),
        "Tenancies": ("cloudctl_tenancies", "{{state}}", "short"),
        "Decisions waited for": ("cloudctl_request_steps_open", "{{light}}", "short"),
        "Age of the oldest entry without a seal": ("cloudctl_audit_unsealed_age_seconds", "age", "s"),
    },
    "tenancies": {
        "Processors in use": ("tenancy:vcpu_used:cores", "{{tenancy}}", "short"),
        "Memory in use (GiB)": ("tenancy:memory_used:gib", "{{tenancy}}", "short"),
        "Endpoints that answer": ('up{job="tenancies"}', "{{tenancy}} {{instance}}", "short"),
        "Load of servers": ('node_load1{job="servers"}', "{{instance}}", "short"),
    },
}


def written(name: str) -> str:
    """The dashboard as Grafana reads it."""
    board = (
        dashboard.Dashboard(f"cloudctl: {name}").uid(f"cloudctl-{name}").time("now-24h", "now").refresh("1m").readonly()
    )
    board.with_variable(dashboard.DatasourceVariable("source").label("Prometheus").type("prometheus"))
    for title, (query, legend, unit) in BOARDS[name].items():
        kind = stat.Panel() if title.startswith("Room") else timeseries.Panel()
        asked = prometheus.Dataquery().expr(query).legend_format(legend)
        board.with_panel(kind.title(title).datasource(SOURCE).unit(unit).span(12).height(8).with_target(asked))
    return json.dumps(board.build(), cls=JSONEncoder, indent=1, sort_keys=True) + "\n"


def write() -> None:
    """Write all of them."""
    FOLDER.mkdir(exist_ok=True)
    for name in BOARDS:
        (FOLDER / f"{name}.json").write_text(written(name), encoding="utf-8")

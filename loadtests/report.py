"""The report of a run: one HTML page with its pictures, which needs no network and nothing beside it."""

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

from loadtests.orders import Result

WIDTH, HEIGHT, EDGE = 720, 220, 48
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 760px; margin: 2em auto; color: #1d2733; padding: 0 1em }
h1 { font-size: 1.4em } h2 { font-size: 1.1em; margin-top: 2em } table { border-collapse: collapse; width: 100% }
td, th { text-align: left; padding: .25em .6em; border-bottom: 1px solid #d8dee6 } .n { text-align: right }
.pass, .likely { color: #0a7d33 } .fail, .unlikely { color: #b3261e } .invalid, .aborted, .lost { color: #8a5a00 }
svg { width: 100%; height: auto } svg text { font-size: 11px; fill: #5a6573 }
"""

Say = Callable[..., str]
"""Renders a slug with its figures in the reader's language."""


def page(about: Mapping[str, Any], result: Result, say: Say, earlier: Result | None = None) -> str:
    """The page of a run.

    Args:
        about: what stands in its head: campaign, target, run, at, size.
        earlier: what it is compared with, where something is comparable.
    """
    title = f"{about['campaign']} · {about['target']}"
    reasons = "".join(f"<li>{escape(say(reason.slug, **reason.figures))}</li>" for reason in result.reasons)
    outcome = f'<p class="{result.outcome}"><b>{escape(say("outcome-" + result.outcome))}</b></p>'
    parts = [
        f"<h1>{escape(title)}</h1>",
        outcome,
        f"<ul>{reasons}</ul>",
        _table(say, _figures(result), _figures(earlier) if earlier else {}),
        f"<h2>{escape(say('report-rates'))}</h2>",
        _chart([("#2a6fdb", _points(result, "offered")), ("#0a7d33", _points(result, "goodput"))], "1/s"),
        f"<h2>{escape(say('report-latency'))}</h2>",
        _chart([("#2a6fdb", _points(result, "p50_ms")), ("#b3261e", _points(result, "p99_ms"))], "ms"),
        f"<h2>{escape(say('report-stages'))}</h2>",
        _stages(result, say),
        _table(say, {name: value for name, value in about.items() if name not in ("campaign", "target")}, {}),
    ]
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style>'
    return f"<!doctype html><html><head>{head}</head><body>{''.join(parts)}</body></html>"


def _figures(result: Result) -> dict[str, Any]:
    told = {
        "capacity": result.capacity and f"{result.capacity:.1f} /s",
        "planning": result.planning and f"{result.planning:.1f} /s",
        "offered": f"{result.offered:.1f} /s",
        "goodput": f"{result.goodput:.1f} /s",
        "bad": f"{result.bad:.2%} ({result.bad_low:.2%} … {result.bad_high:.2%})",
        "p50": f"{result.p50_ms:.1f} ms",
        "p95": f"{result.p95_ms:.1f} ms",
        "p99": f"{result.p99_ms:.1f} ms",
        "requests": result.requests,
        "recovery": None if result.recovery_seconds is None else f"{result.recovery_seconds:.1f} s",
        "bytes": f"{result.bytes_per_second / 1000:.1f} kB/s",
        "bandwidth": None if result.bandwidth is None else f"{result.bandwidth:.0%}",
        "generator": f"{result.generator_lag_ms:.1f} ms",
    }
    return {name: value for name, value in told.items() if value is not None}


def _table(say: Say, figures: Mapping[str, Any], earlier: Mapping[str, Any]) -> str:
    rows = []
    for name, value in figures.items():
        other = f'<td class="n">{escape(str(earlier[name]))}</td>' if name in earlier else ""
        rows.append(f'<tr><td>{escape(say(f"report-{name}"))}</td><td class="n">{escape(str(value))}</td>{other}</tr>')
    return f"<table>{''.join(rows)}</table>"


def _stages(result: Result, say: Say) -> str:
    head = "".join(f'<th class="n">{name}</th>' for name in ("s", "1/s", "1/s", "%", "ms p99"))
    rows = [
        f'<tr><td class="n">{stage.at:.0f}</td><td class="n">{stage.offered:.1f}</td>'
        f'<td class="n">{stage.goodput:.1f}</td><td class="n">{stage.bad:.2%}</td><td class="n">{stage.p99_ms:.1f}</td>'
        f'<td class="{stage.verdict}">{escape(say("outcome-" + stage.verdict))}</td></tr>'
        for stage in result.stages
    ]
    return f"<table><tr>{head}<th></th></tr>{''.join(rows)}</table>"


def _points(result: Result, name: str) -> list[tuple[float, float]]:
    return [(stage.at, float(getattr(stage, name))) for stage in result.stages]


def _chart(lines: Sequence[tuple[str, Sequence[tuple[float, float]]]], unit: str) -> str:
    points = [point for _, line in lines for point in line]
    if not points:
        return ""
    end, top = max(at for at, _ in points) or 1.0, max(value for _, value in points) or 1.0

    def place(at: float, value: float) -> str:
        x = EDGE + at / end * (WIDTH - 2 * EDGE)
        return f"{x:.1f},{HEIGHT - EDGE / 2 - value / top * (HEIGHT - EDGE):.1f}"

    drawn = "".join(
        f'<polyline fill="none" stroke="{colour}" stroke-width="2" '
        f'points="{" ".join(place(at, value) for at, value in line)}"/>'
        for colour, line in lines
    )
    words = (
        f'<text x="4" y="{EDGE / 2:.0f}">{top:.0f} {unit}</text><text x="4" y="{HEIGHT - EDGE / 2:.0f}">0</text>'
        f'<text x="{WIDTH - EDGE}" y="{HEIGHT - 4}">{end:.0f} s</text>'
    )
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">{drawn}{words}</svg>'

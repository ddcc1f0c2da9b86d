"""The capacity report: one page of HTML with its charts in it, which needs no network and can be mailed."""

from html import escape

from cloudctl.kernel import messages
from cloudctl.kernel.messages import Language
from monitoring.capacity import Capacity, ClassCapacity, PoolCapacity

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1c2430}
h1{font-size:1.4rem}h2{font-size:1.05rem;margin:2rem 0 .3rem}p{margin:.2rem 0;color:#56606e}
table{border-collapse:collapse;width:100%}td,th{padding:.25rem .6rem;text-align:right}
td:first-child,th:first-child{text-align:left}
th{font-weight:600;color:#56606e}svg{display:block}
"""
_COLOURS = {"used": "#2f6db5", "held": "#8fb6e3", "reserve": "#c9ced6", "free": "#e8f1e4"}
_WIDTH, _HEIGHT = 360, 14


def page(capacity: Capacity, language: Language) -> str:
    """The whole page."""
    figures = {"count": len(capacity.pools), "at": capacity.at.isoformat()}
    title = escape(messages.render("capacity-title", figures, language))
    since = {"since": capacity.usage_at.isoformat() if capacity.usage_at else None}
    measured = messages.render("capacity-usage", since, language)
    about = f"<p>{escape(measured)}</p>{_peaks(capacity, language)}{_legend(language)}"
    parts = [_pool(one, capacity, language) for one in capacity.pools]
    return (
        f'<!doctype html><html lang="{language}"><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
        f"<h1>{title}</h1>{about}{''.join(parts)}</html>\n"
    )


def _peaks(capacity: Capacity, language: Language) -> str:
    figures = [{"zone": zone, "size": dict(used)} for zone, used in sorted(capacity.peaks.items())]
    return "".join(f"<p>{escape(messages.render('capacity-peak', each, language))}</p>" for each in figures)


def _pool(pool: PoolCapacity, capacity: Capacity, language: Language) -> str:
    figures = {"count": pool.headroom, "size": dict(capacity.standard)}
    room = escape(messages.render("capacity-room", figures, language))
    heads = "".join(f"<th>{escape(_word(each, language))}</th>" for each in ("total", *_COLOURS))
    rows = "".join(_row(one, language) for one in pool.classes)
    name, arch, zone = map(escape, (pool.pool, pool.arch, pool.zone))
    return f"<h2>{name} · {arch} · {zone}</h2><p>{room}</p><table><tr><th></th>{heads}<th></th></tr>{rows}</table>"


def _row(one: ClassCapacity, language: Language) -> str:
    cells = "".join(f"<td>{getattr(one, each)}</td>" for each in ("total", *_COLOURS))
    name = escape(messages.render("resource-name", {"resource": one.resource}, language))
    return f"<tr><td>{name}</td>{cells}<td>{_bar(one)}</td></tr>"


def _bar(one: ClassCapacity) -> str:
    """What is used, promised, kept back and free, side by side."""
    total, x, parts = max(one.total, 1), 0.0, []
    for each, colour in _COLOURS.items():
        width = min(getattr(one, each) / total * _WIDTH, _WIDTH - x)
        parts.append(f'<rect x="{x:.1f}" width="{width:.1f}" height="{_HEIGHT}" fill="{colour}"/>')
        x += width
    return f'<svg width="{_WIDTH}" height="{_HEIGHT}" role="img">{"".join(parts)}</svg>'


def _legend(language: Language) -> str:
    marks = "".join(
        f'<span style="background:{colour};padding:0 .5rem;margin-right:.4rem"></span>{escape(_word(each, language))} '
        for each, colour in _COLOURS.items()
    )
    return f"<p>{marks}</p>"


def _word(name: str, language: Language) -> str:
    return messages.word(f"capacity.{name}", language)

"""Confines a tenant's PromQL query to its own series, or refuses it.

promql-parser reads, and never writes: its str() leaves label values unescaped (a value may close the quote and start a
selector of its own), and changes made to nodes do not reach prettify(). What is sent on is written here, from a table
of the kinds of node that are known; whatever is not known is refused.
"""

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import promql_parser as P  # noqa: N812

from cloudctl.kernel.errors import Invalid

# The parser recurses without a limit: about 4,200 levels ("1+1+1...", "((((") overflow an 8 MiB
# stack and end the whole process. So count what can nest before it sees the text.
MAX_CHARS = 4000
MAX_NESTING = 250
MAX_DEPTH = 100
NESTING = re.compile(r"[(\[+\-*/%^<>=]|\b(?:or|and|unless|atan2)\b", re.IGNORECASE)
MAX_RANGE = timedelta(days=400)
VALUE = re.compile(r"[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?")  # never empty: tenancy="" is every series without one
NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
OPERATORS = {"+", "-", "*", "/", "%", "^", "atan2", "==", "!=", ">", "<", ">=", "<=", "and", "or", "unless"}
AGGREGATIONS = {
    "sum",
    "avg",
    "min",
    "max",
    "count",
    "group",
    "stddev",
    "stdvar",
    "topk",
    "bottomk",
    "quantile",
    "count_values",
}
# fmt: off
FUNCTIONS = frozenset({
    "abs", "absent", "absent_over_time", "avg_over_time", "ceil", "changes", "clamp", "clamp_max", "clamp_min",
    "count_over_time", "day_of_month", "day_of_week", "day_of_year", "days_in_month", "delta", "deriv", "exp",
    "floor", "histogram_quantile", "hour", "idelta", "increase", "irate", "label_join", "label_replace",
    "last_over_time", "ln", "log10", "log2", "max_over_time", "min_over_time", "minute", "month",
    "predict_linear", "present_over_time", "quantile_over_time", "rate", "resets", "round", "scalar", "sgn",
    "sort", "sort_desc", "sqrt", "stddev_over_time", "stdvar_over_time", "sum_over_time", "time", "timestamp",
    "vector", "year", "acos", "acosh", "asin", "asinh", "atan", "atanh", "cos", "cosh", "sin", "sinh", "tan",
    "tanh", "deg", "rad", "pi",
})
# fmt: on
# The parser's enums compare but do not hash, hence pairs and not a dict.
MATCH = ((P.MatchOp.Equal, "="), (P.MatchOp.NotEqual, "!="), (P.MatchOp.Re, "=~"), (P.MatchOp.NotRe, "!~"))
SIDES = (
    (P.VectorMatchCardinality.OneToOne, ""),
    (P.VectorMatchCardinality.ManyToMany, ""),
    (P.VectorMatchCardinality.ManyToOne, "group_left"),
    (P.VectorMatchCardinality.OneToMany, "group_right"),
)


class QueryRefused(Invalid):
    """A query that may not be run for a tenancy; tells why."""

    def __init__(self, why: str) -> None:
        super().__init__(field="query", why=why)


def quote(text: str) -> str:
    """A double-quoted literal in pure ASCII, so that no reader can see its end elsewhere."""
    out = []
    for ch in text:
        code = ord(ch)
        if ch in '"\\':
            out.append("\\" + ch)
        elif 0x20 <= code < 0x7F:
            out.append(ch)
        else:
            out.append(f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")
    return '"' + "".join(out) + '"'


def enforced(label: str, tenancies: Sequence[str]) -> str:
    if not tenancies or any(not VALUE.fullmatch(t) for t in tenancies):
        raise QueryRefused("no valid tenancy")
    if len(tenancies) == 1:
        return f"{label}={quote(tenancies[0])}"
    return f"{label}=~{quote('|'.join(tenancies))}"  # VALUE leaves no regex signs to escape


def _pick(value: Any, pairs: Iterable[tuple[Any, str]]) -> str:
    for known, text in pairs:
        if value == known:
            return text
    raise QueryRefused(f"{value} is not allowed")


def _name(text: str) -> str:
    if not NAME.fullmatch(text):
        raise QueryRefused(f"label name {text!r} is not allowed")
    return text


def _names(labels: Iterable[str]) -> str:
    return "(" + ", ".join(map(_name, labels)) + ")"


def _span(span: timedelta) -> str:
    if abs(span) > MAX_RANGE:
        raise QueryRefused("range or offset too long")
    return f"{round(span / timedelta(milliseconds=1))}ms"


def _when(node: Any) -> str:
    """@ and offset, in the order both Prometheus generations accept."""
    out = ""
    if node.at is not None:
        kind = node.at.type
        if kind == P.AtModifierType.Start:
            out += " @ start()"
        elif kind == P.AtModifierType.End:
            out += " @ end()"
        else:
            out += f" @ {node.at.at.timestamp():.3f}"
    if node.offset is not None:
        out += " offset " + _span(node.offset)
    return out


def _selector(node: Any, extra: str) -> str:
    if node.matchers.or_matchers:
        raise QueryRefused("'or' inside a selector is not allowed")
    # The metric name becomes a matcher too: no name can then be taken for a keyword.
    parts = [f"__name__={quote(node.name)}"] if node.name is not None else []
    parts += [_name(m.name) + _pick(m.op, MATCH) + quote(m.value) for m in node.matchers.matchers]
    return "{" + ",".join([*parts, extra]) + "}"  # all must hold, so a contrary one gives nothing


def _number(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return repr(value)


def _operand(node: Any, write: Callable[[Any], str]) -> str:
    text = write(node)
    return f"({text})" if isinstance(node, P.BinaryExpr | P.UnaryExpr) else text


@dataclass(frozen=True)
class _Writer:
    """Writes a tree anew: one way for each kind of node that is allowed, and none for any other."""

    extra: str  # the enforced matcher
    label: str
    depth: int = 0

    def write(self, node: Any) -> str:
        if self.depth > MAX_DEPTH:
            raise QueryRefused("nested too deeply")
        way = _WAYS.get(type(node))
        if way is None:
            raise QueryRefused(f"{type(node).__name__} is not allowed")
        return way(_Writer(self.extra, self.label, self.depth + 1), node)

    def vector(self, node: Any) -> str:
        return _selector(node, self.extra) + _when(node)

    def matrix(self, node: Any) -> str:
        return f"{_selector(node.vector_selector, self.extra)}[{_span(node.range)}]" + _when(node.vector_selector)

    def subquery(self, node: Any) -> str:
        step = _span(node.step) if node.step is not None else ""
        return f"{_operand(node.expr, self.write)}[{_span(node.range)}:{step}]" + _when(node)

    def number(self, node: Any) -> str:
        return _number(node.val)

    def string(self, node: Any) -> str:
        return quote(node.val)

    def brackets(self, node: Any) -> str:
        return f"({self.write(node.expr)})"

    def negative(self, node: Any) -> str:
        return f"-{_operand(node.expr, self.write)}"

    def call(self, node: Any) -> str:
        name = node.func.name
        if name not in FUNCTIONS:
            raise QueryRefused(f"function {name} is not allowed")
        if name in ("label_replace", "label_join"):
            self._must_not_rewrite(node.args[1])
        return f"{name}({', '.join(map(self.write, node.args))})"

    def aggregate(self, node: Any) -> str:
        operator = str(node.op)
        if operator not in AGGREGATIONS:
            raise QueryRefused(f"{operator} is not allowed")
        if operator == "count_values":
            self._must_not_rewrite(node.param)
        grouping = ""
        if node.modifier is not None:
            word = "by" if node.modifier.type == P.AggModifierType.By else "without"
            grouping = f" {word} {_names(node.modifier.labels)} "
        arguments = [node.param, node.expr] if node.param is not None else [node.expr]
        return f"{operator}{grouping}({', '.join(map(self.write, arguments))})"

    def binary(self, node: Any) -> str:
        return f"{_operand(node.lhs, self.write)} {_operator(node)} {_operand(node.rhs, self.write)}"

    def _must_not_rewrite(self, argument: Any) -> None:
        """A label whose name is not written out counts as the enforced one."""
        if getattr(argument, "val", self.label) == self.label:
            raise QueryRefused(f"{self.label} may not be rewritten")


_WAYS: dict[type, Callable[[_Writer, Any], str]] = {
    P.VectorSelector: _Writer.vector,
    P.MatrixSelector: _Writer.matrix,
    P.SubqueryExpr: _Writer.subquery,
    P.NumberLiteral: _Writer.number,
    P.StringLiteral: _Writer.string,
    P.ParenExpr: _Writer.brackets,
    P.UnaryExpr: _Writer.negative,
    P.Call: _Writer.call,
    P.AggregateExpr: _Writer.aggregate,
    P.BinaryExpr: _Writer.binary,
}


def _operator(node: Any) -> str:
    op, mod = str(node.op), node.modifier
    if op not in OPERATORS:
        raise QueryRefused(f"operator {op} is not allowed")
    if mod is None:
        return op
    filled = mod.fill_values
    if filled is not None and (filled.lhs is not None or filled.rhs is not None):
        raise QueryRefused("fill is not allowed")
    out = op + (" bool" if mod.return_bool else "")
    if mod.matching is not None:
        word = "on" if mod.matching.type == P.LabelModifierType.Include else "ignoring"
        out += f" {word} {_names(mod.matching.labels)}"
    side = _pick(mod.card, SIDES)
    return out + (f" {side} {_names(mod.group_labels or [])}" if side else "")


def _selectors(node: Any) -> list[Any]:
    found: list[Any] = []
    P.walk(node, pre_visit=lambda n: found.append(n) if isinstance(n, P.VectorSelector) else None)
    return found


def _parse(query: str) -> Any:
    if len(query) > MAX_CHARS or len(NESTING.findall(query)) > MAX_NESTING:
        raise QueryRefused("query too long or too complex")
    try:
        return P.parse(query)
    except ValueError as error:
        raise QueryRefused(f"not understood: {error}") from None


def confine(query: str, tenancies: Sequence[str], label: str = "tenancy") -> str:
    """The same query with label=<tenancy> in every selector.

    Raises:
        QueryRefused: it may not be run; tells why.
    """
    extra = enforced(label, tenancies)
    tree = _parse(query)
    try:
        text = _Writer(extra, label).write(tree)
    except (RecursionError, OverflowError) as error:
        raise QueryRefused(f"not supported: {type(error).__name__}") from None
    _must_be_confined(text, extra, len(_selectors(tree)))
    return text


def _must_be_confined(text: str, extra: str, count: int) -> None:
    """A second look at what goes out: there are as many selectors, and each ends with the enforced matcher."""
    try:
        (enforcing,), written = _selectors(P.parse(f"{{{extra}}}")), _selectors(P.parse(text))
    except ValueError as error:
        raise QueryRefused(f"the rewritten query cannot be read: {error}") from None
    wanted = enforcing.matchers.matchers[0]
    ends = [one.matchers.matchers[-1] for one in written if one.matchers.matchers and not one.matchers.or_matchers]
    same = [one for one in ends if (one.name, one.op, one.value) == (wanted.name, wanted.op, wanted.value)]
    if not len(same) == len(written) == count:
        raise QueryRefused("the rewritten query failed its check")

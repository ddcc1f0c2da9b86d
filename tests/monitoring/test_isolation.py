"""A tenant's query sees the tenant's series and no others.

The proof is non-interference: two servers hold the same series of `x`; one of them also holds series of `y` and of
nobody. If any confined query could see the others, some answer would differ.
"""

# ruff: noqa: E501, C901, RUF005  (queries, and the grammar that makes them, are read better unbroken)
import json
import os
import random
import subprocess
import sys
from typing import Any

import httpx
import promql_parser
import pytest

from monitoring.promql import QueryRefused, confine, enforced, quote
from tests.beds.prometheus.bed import Bed

pytestmark = pytest.mark.xdist_group("promql")

NOW = 1_700_000_000 // 3600 * 3600 + 1800
COUNT = int(os.environ.get("FUZZ", "400"))
METRICS = ["req_total", "mem_bytes", "lat_bucket", "secret"]
NASTY = [
    'x"} or secret{a="y', "back\\slash", "new\nline", "ünïcode", "\u2028", "a'b`c", "#no comment", "$1", "{}[]()", '"',
    "\\", '\\"', "0x",
]  # fmt: skip


def history(*tenancies: str) -> str:
    """An hour of samples of each metric of each tenancy, in OpenMetrics."""
    lines = []
    for metric_number, metric in enumerate(METRICS):
        for tenancy in tenancies:
            seed = {"x": 3, "y": 1_000_003, "": 7_000_003}[tenancy]
            for i in range(4):
                odd = NASTY[(i + metric_number) % len(NASTY)]
                labels = {"pool": f"p{i % 2}", "srv": f"s{i}", "odd": odd, **({"tenancy": tenancy} if tenancy else {})}
                if metric == "lat_bucket":
                    labels["le"] = ["0.1", "1", "10", "+Inf"][i]
                told = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
                for k in range(241):
                    value = seed * (i + 1) + k * (i + 1 + metric_number)
                    lines.append(f"{metric}{{{told}}} {value} {NOW - 3600 + k * 15}")
    return "\n".join([*lines, "# EOF\n"])


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


@pytest.fixture(scope="module")
def beds(watch_bed: Bed) -> tuple[str, str]:
    """The address of the server with everybody's series, and of the one with those of `x` alone."""
    both = watch_bed.start_filled_prometheus("both", history("x", "y", ""))
    return both, watch_bed.start_filled_prometheus("own", history("x"))


HTTP = httpx.Client(timeout=20)


def ask(url: str, query: str, path: str = "query") -> tuple[int, Any]:
    about = {"time": NOW} if path == "query" else {"start": NOW - 1800, "end": NOW, "step": 300}
    answer = HTTP.get(f"{url}/api/v1/{path}", params={"query": query, **about})
    told = answer.json()
    for noise in ("warnings", "infos"):
        told.pop(noise, None)
    if "error" in told:  # which series it names as an example varies from run to run
        assert 'tenancy="y"' not in told["error"] or 'tenancy="y"' in query
        told["error"] = told["error"].split("[")[0].split("{")[0]
    if told["status"] == "success" and told["data"]["resultType"] != "scalar":
        told["data"]["result"].sort(key=lambda one: json.dumps(one, sort_keys=True))
    return answer.status_code, told


def agree(left: str, right: str, query: str, other: str | None = None) -> tuple[Any, Any]:
    """What both answer. topk() picks freely among equal values, so answers that differ get more chances; what leaks
    goes on differing."""
    for _ in range(25):
        answers = ask(left, query), ask(right, other or query)
        if answers[0] == answers[1]:
            break
    return answers


TRICKY = [
    "secret",
    '{__name__=~".+"}',
    '{__name__!=""}',
    '{tenancy="y"}',
    'secret{tenancy="y"}',
    'secret{tenancy!="x"}',
    'secret{tenancy=~"x|y"}',
    'secret{tenancy=""}',
    'secret{tenancy=~".*"}',
    '{tenancy=~".+"}',
    "secret or req_total",
    'secret unless secret{tenancy="x"}',
    "secret and on () req_total",
    'req_total + on (srv) group_left (tenancy) secret{tenancy="y"}',
    "vector(1) or secret",
    "max_over_time(secret[30m:1m])",
    "max_over_time(rate(req_total[5m])[30m:1m] offset 5m)",
    "avg_over_time((secret + req_total)[10m:])",
    "secret @ 1700000000",
    "secret @ start()",
    "rate(secret[5m] @ end())",
    "secret offset 10m",
    "secret offset -5m",
    "rate(req_total[5m] offset 5m @ end())",
    "topk(scalar(count(secret)), req_total)",
    "quantile(scalar(min(secret)) / 1e9, req_total)",
    'count_values("v", secret)',
    'quantile(scalar(max(secret{tenancy="y"})) / 1e9, req_total)',
    "topk(scalar(count(secret)) - 3, req_total)",
    "quantile(scalar(max(secret)) / 1e12, req_total)",
    'bottomk(100, {__name__=~"s.*"})',
    "absent(secret)",
    'absent(secret{tenancy="y"})',
    'count(count by (tenancy) ({__name__=~".+"}))',
    "sum without (tenancy) (secret)",
    'label_replace(secret, "a", "$1", "tenancy", "(.*)")',
    'label_join(secret, "a", "-", "tenancy", "srv")',
    "histogram_quantile(0.9, sum by (le) (rate(lat_bucket[5m])))",
    "scalar(sum(secret))",
    "time()",
    "timestamp(secret)",
    "-secret",
    "-secret ^ 2",
    "secret > bool 5",
    "clamp_max(secret, scalar(max(secret)))",
    'sum(secret) by (pool) #} or secret{tenancy="y"',
    "secret{odd='x'} or secret",
    "sort_desc(secret)",
    "ALERTS",
    "up",
    'group({__name__=~".+"})',
]
TRICKY += [f"secret{{odd={quote(v)}}}" for v in NASTY] + [f"secret{{odd!={quote(v)}}}" for v in NASTY]


@pytest.mark.parametrize("path", ["query", "query_range"])
def test_tricky_queries_see_only_their_own(beds: tuple[str, str], path: str) -> None:
    both, own = beds
    useful = differs = 0
    for query in TRICKY:
        safe = confine(query, ["x"])
        left, right = ask(both, safe, path), ask(own, safe, path)
        assert left == right, (query, safe)
        assert left[0] == 200 or path == "query_range", (query, safe, left)
        useful += bool(left[1].get("data", {}).get("result"))
        differs += ask(both, query, path) != ask(own, query, path)
    assert useful > len(TRICKY) / 2, "empty answers agree with each other"
    assert differs > len(TRICKY) / 2, "not confined, the two servers do answer differently"


class Maker:
    """Random PromQL, biased to selectors in odd places."""

    def __init__(self, seed: int) -> None:
        self.r = random.Random(seed)

    def literal(self) -> str:
        r = self.r
        if r.random() < 0.5:
            return quote(r.choice(NASTY + ["x", "y", "p0", "s1", ""]))
        return quote("".join(r.choice('xy"\\{}[]()=,~! or' + "secret\n\t$é") for _ in range(r.randint(0, 12))))

    def selector(self) -> str:
        r = self.r
        name = r.choice(METRICS + ["", ""])
        ms = [
            f"{r.choice(['tenancy', 'odd', 'pool', 'srv', 'nope'])}{r.choice(['=', '!='])}{self.literal()}"
            for _ in range(r.choice([0, 0, 1, 1, 2, 3]))
        ]
        ms += [
            r.choice(
                ['tenancy=~"y|.*"', 'tenancy=~".+"', 'tenancy!~"x"', '__name__=~"s.+"', 'tenancy="y"', 'srv=~"s[0-9]"']
            )
        ] * (r.random() < 0.4)
        if not name:
            ms.append('__name__=~".+"')
        return name + ("{" + ",".join(ms) + r.choice(["", ","]) + "}" if ms else r.choice(["", "{}"]))

    def when(self) -> str:
        r = self.r
        return r.choice(
            [
                "",
                "",
                "",
                f" offset {r.choice(['5m', '-1m', '90s', '1h'])}",
                f" @ {r.choice(['start()', 'end()', str(NOW - 600)])}",
                f" @ {NOW - 60} offset 1m",
                " offset 2m @ end()",
            ]
        )

    def vector(self, d: int) -> str:
        r = self.r
        if d <= 0 or r.random() < 0.25:
            return self.selector() + self.when()
        k = r.randrange(10)
        if k == 0:
            return f"({self.vector(d - 1)})"
        if k == 1:
            return f"{r.choice(['rate', 'increase', 'max_over_time', 'count_over_time', 'last_over_time', 'deriv', 'changes'])}({self.selector()}[{r.choice(['1m', '5m', '1h30m'])}]{self.when()})"
        if k == 2:
            return f"{r.choice(['sum_over_time', 'max_over_time', 'present_over_time'])}(({self.vector(d - 1)})[{r.choice(['5m', '10m'])}:{r.choice(['', '1m', '30s'])}]{self.when()})"
        if k == 3:
            by = r.choice(["", " by (pool)", " without (tenancy)", " by (tenancy, odd)", " by ()"])
            return f"{r.choice(['sum', 'count', 'max', 'group', 'stddev'])}{by} ({self.vector(d - 1)})"
        if k == 4:
            return f"{r.choice(['topk', 'bottomk'])}({self.scalar(d - 1)}, {self.vector(d - 1)})"
        if k == 5:
            match = r.choice(["", "", " on (srv)", " ignoring (odd, tenancy)", " on ()"])
            return f"({self.vector(d - 1)} {r.choice(['or', 'and', 'unless'])}{match} {self.vector(d - 1)})"
        if k == 6:
            return f"({self.vector(d - 1)} {r.choice(['+', '/', '>', '== bool', '^'])} {self.scalar(d - 1)})"
        if k == 7:
            return f"({self.vector(d - 1)} {r.choice(['+', '-', '*'])} {r.choice(['', 'on (srv, pool)', 'on (pool) group_left (tenancy)', 'ignoring (odd) group_right ()'])} {self.vector(d - 1)})"
        if k == 8:
            return f"{r.choice(['abs', 'absent', 'ceil', 'timestamp', 'sort', '-'])}({self.vector(d - 1)})"
        return f'label_replace({self.vector(d - 1)}, "to", "$1-{r.choice("ab")}", "tenancy", "(.*)")'

    def scalar(self, d: int) -> str:
        r = self.r
        return r.choice(
            [
                "1",
                "2.5",
                "1e3",
                "-3",
                "Inf",
                f"scalar({self.vector(d - 1)})",
                f"scalar(sum({self.selector()}))",
                "time()",
            ]
        )


def test_generated_queries_see_only_their_own(beds: tuple[str, str]) -> None:
    both, own = beds
    maker, useful = Maker(20260101), 0
    for _ in range(COUNT):
        query = maker.vector(4)
        try:
            safe = confine(query, ["x"])
        except QueryRefused:
            continue
        left, right = agree(both, own, safe)
        assert left == right, (query, safe)
        useful += bool(left[1].get("data", {}).get("result"))
    assert useful > COUNT / 4


def test_a_confined_query_means_what_it_meant(beds: tuple[str, str]) -> None:
    _, own = beds
    maker, same = Maker(7), 0
    for _ in range(COUNT // 2):
        query = maker.vector(4)
        try:
            safe = confine(query, ["x"])
        except QueryRefused:
            continue
        if "absent" not in query:  # it copies equality matchers into its answer
            left, right = agree(own, own, query, safe)
            assert left == right, (query, safe)
            same += 1
    assert same > COUNT / 4


def test_the_proof_catches_whoever_only_adds_a_matcher_and_prints(beds: tuple[str, str]) -> None:
    both, own = beds
    tree = promql_parser.parse(r'req_total{odd!="x\"} or secret{odd!=\"y"}')
    enforcing = promql_parser.Matcher(promql_parser.MatchOp.Equal, "tenancy", "x")
    tree.matchers = promql_parser.Matchers([*tree.matchers.matchers, enforcing])
    left, right = agree(both, own, str(tree))
    assert left != right


def test_the_parser_still_cannot_be_trusted_to_print() -> None:
    tree = promql_parser.parse(r'req_total{odd="x\"} or secret{odd=\"y"}')
    assert isinstance(tree, promql_parser.VectorSelector)
    assert isinstance(promql_parser.parse(str(tree)), promql_parser.BinaryExpr), "one selector became two"


@pytest.mark.parametrize(
    "query",
    [
        'secret{a="b" or tenancy="y"}',
        '{tenancy="y" or tenancy="x"}',
        "info(secret)",
        'label_replace(secret, "tenancy", "x", "", "")',
        'label_join(secret, "tenancy", "", "a")',
        'count_values("tenancy", secret)',
        'count_values without (a) ("tenancy", secret)',
        "limitk(2, secret)",
        "",
        " ",
        "{}",
        "secret{",
        'secret{a="b}',
        "(" * 1990 + "1" + ")" * 1990,
        "1" + "+1" * 1990,
        "secret" + " or secret" * 390,
        "-(" * 1300 + "1" + ")" * 1300,
        "x" * 4001,
        "secret[1000d]",
        'secret{"a.b"="c"}',
        "secret; secret",
        "secret + fill(0) req_total",
    ],
)
def test_what_could_reach_others_or_is_not_known_is_refused(query: str) -> None:
    with pytest.raises(QueryRefused):
        confine(query, ["x"])


NESTING = """
import threading
from monitoring.promql import QueryRefused, confine
pieces = [("(", "1", ")"), ("-(", "1", ")"), ("sum(", "a", ")"), ("abs(", "a", ")"), ("1+", "1", ""), ("a or ", "a", ""),
          ("a OR ", "a", ""), ("-", "1", ""), ("2^", "1", ""), ("a==bool ", "1", ""), ("+", "1", ""), ("(", "", ""),
          ("", "a", "[1h:1m]"), ("", "a", " offset 1m"), ("a unless on() ", "a", "")]
def run():
    for n in (90, 240, 1000, 3999, 100000):
        for left, mid, right in pieces:
            try:
                confine(left * n + mid + right * n, ["x"])
            except QueryRefused:
                pass
    print("alive")
threading.stack_size(1 << 20)
thread = threading.Thread(target=run)
thread.start()
thread.join()
"""


def test_no_query_ends_the_process() -> None:
    """The parser overflows the stack where nesting is deep; a thread with a small one is the hard case."""
    done = subprocess.run([sys.executable, "-c", NESTING], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, "alive"), done.stderr


@pytest.mark.parametrize("value", ["", "x|y", ".*", 'x"', "x\n", "X", "-x", "x" * 64, "x,y", "ü"])
def test_only_ids_are_enforced(value: str) -> None:
    for several in ([value], ["x", value]):
        with pytest.raises(QueryRefused):
            confine("secret", several)


def test_no_tenancy_is_refused_and_several_are_a_list() -> None:
    with pytest.raises(QueryRefused):
        confine("secret", [])
    assert enforced("tenancy", ["ten_a", "ten_b"]) == 'tenancy=~"ten_a|ten_b"'

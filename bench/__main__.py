"""Run the benchmarks, all or those whose names begin with the arguments, print them and write bench/latest.json."""

import json
import sys
from dataclasses import asdict
from pathlib import Path

from bench import admission, admission_http, api, cli, kubernetes, loadtests, placement, scrape, servers
from bench.figures import Figure

BENCHES = {
    "admission": admission.figures,
    "admission-http": admission_http.figures,
    "placement": placement.figures,
    "api": api.figures,
    "cli": cli.figures,
    "kubernetes": kubernetes.figures,
    "servers": servers.figures,
    "scrape": scrape.figures,
    "load": loadtests.figures,
}


def main(chosen: list[str]) -> int:
    """How many goals were missed."""
    print(f"{'name':<20}{'ours':>12}{'reference':>12} {'unit':<6}{'ratio':>8}  goal")
    found = []
    for name, figures in BENCHES.items():
        if chosen and not any(name.startswith(prefix) for prefix in chosen):
            continue
        for figure in figures():
            found.append(figure)
            print(_line(figure), flush=True)
    Path(__file__).with_name("latest.json").write_text(json.dumps([asdict(one) for one in found], indent=2) + "\n")
    return sum(figure.met is False for figure in found)


def _line(figure: Figure) -> str:
    reference, ratio = (f"{value:.2f}" if value is not None else "-" for value in (figure.reference, figure.ratio))
    goal = f"{figure.goal} {'met' if figure.met else 'MISSED'}" if figure.goal else ""
    return f"{figure.name:<20}{figure.ours:>12.2f}{reference:>12} {figure.unit:<6}{ratio:>8}  {goal}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Run the benchmarks, all or those whose names begin with the arguments, and print them.

`bench/latest.json` has the latest figures of each: those of benchmarks that were not run stay.
"""

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
    file, found = Path(__file__).with_name("latest.json"), []
    earlier = json.loads(file.read_text()) if chosen and file.exists() else []
    for name, figures in BENCHES.items():
        if chosen and not any(name.startswith(prefix) for prefix in chosen):
            continue
        for figure in figures():
            found.append(figure)
            print(_line(figure), flush=True)
    latest = {one["name"]: one for one in (*earlier, *map(asdict, found))}
    file.write_text(json.dumps([*latest.values()], indent=2) + "\n")
    return sum(figure.met is False for figure in found)


def _line(figure: Figure) -> str:
    reference, ratio = (f"{value:.2f}" if value is not None else "-" for value in (figure.reference, figure.ratio))
    goal = f"{figure.goal} {'met' if figure.met else 'MISSED'}" if figure.goal else ""
    return f"{figure.name:<20}{figure.ours:>12.2f}{reference:>12} {figure.unit:<6}{ratio:>8}  {goal}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

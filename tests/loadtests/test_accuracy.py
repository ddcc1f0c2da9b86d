"""How right the search is: 150 campaigns against servers whose capacity is known, in virtual time."""

from statistics import median

import pytest

from loadtests.search import Plan, search
from loadtests.slo import Slo
from tests.loadtests.shapes import SHAPES
from tests.loadtests.simulator import Simulated

SEEDS = range(1, 31)
SLO, PLAN = Slo(latency_ms=300, bad=0.01), Plan(ceiling=5000)


def campaigns(name):
    for seed in SEEDS:
        target = Simulated(SHAPES[name](seed), SLO, seed)
        yield target, search(target, SLO, PLAN)

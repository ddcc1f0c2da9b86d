"""The knee of a set of trials: the rate beyond which good answers do not become more. A check on what was searched."""

from collections.abc import Sequence

from loadtests.trials import Trial

_GRID = 600


def broken_stick(trials: Sequence[Trial]) -> float | None:
    """The rate C for which min(offered, C) is nearest to the good answers, in absolute errors; None without trials.

    Absolute errors, so that one wild trial does not move it.
    """
    points = [(trial.offered, trial.goodput) for trial in trials if trial.bins]
    if not points:
        return None
    least = max(min(good for _, good in points), 1e-9)
    most = max(max(offered, good) for offered, good in points) * 1.05
    grid = [least + (most - least) * number / (_GRID - 1) for number in range(_GRID)]
    return min(grid, key=lambda knee: sum(abs(min(offered, knee) - good) for offered, good in points))


def bends(trials: Sequence[Trial]) -> bool:
    """Whether any trial was beyond the knee, without which there is none to be seen."""
    return any(trial.goodput < 0.97 * trial.offered for trial in trials if trial.bins)

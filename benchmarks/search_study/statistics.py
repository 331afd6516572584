"""The statistics on simulated data, whose truth is known. Never imports torch."""

from typing import Any

import numpy as np

from sweeps.results.inference import ALPHA, interval, paired
from sweeps.results.runs import Objective
from sweeps.results.settings import NOT_BEST, Setting, judged

_OBJECTIVE = Objective("test_acc", "max", "last", "test")
MEAN, SPREAD = 0.9, 0.01


def coverage(n: int, tables: int, seed: int = 0) -> float:
    """The share of 95 % intervals over `n` normal values that hold the true mean."""
    rng = np.random.default_rng([seed, n])
    found = [interval(list(rng.normal(MEAN, SPREAD, n))) for _ in range(tables)]
    return sum(one.low <= MEAN <= one.high for one in found if one is not None) / tables


def plain_coverage(n: int, tables: int, seed: int = 0) -> float:
    """The same of the percentiles of resampled means, which most tools take: too narrow for few values."""
    rng = np.random.default_rng([seed, n, 2])
    held = 0
    for _ in range(tables):
        means = rng.choice(rng.normal(MEAN, SPREAD, n), (999, n)).mean(axis=1)
        low, high = np.percentile(means, (2.5, 97.5))
        held += int(low <= MEAN <= high)
    return held / tables


def collapsed_coverage(n: int, tables: int, seed: int = 0) -> float:
    """The share of 95 % intervals that hold the true mean where one seed in five has collapsed to 0.1."""
    rng = np.random.default_rng([seed, n, 3])
    held = 0
    for _ in range(tables):
        values = np.where(rng.random(n) < 0.2, 0.1, rng.normal(MEAN, SPREAD, n))
        found = interval(values.tolist())
        held += found is not None and found.low <= 0.8 * MEAN + 0.2 * 0.1 <= found.high
    return held / tables


def false_alarms(n: int, tables: int, seed: int = 0) -> float:
    """The share of comparisons of two equal settings over `n` matched seeds that end with p below 0.05."""
    rng = np.random.default_rng([seed, n, 1])
    alarms = 0
    for _ in range(tables):
        shared = rng.normal(MEAN, SPREAD, n)
        first, second = (dict(enumerate(map(float, shared + rng.normal(0, SPREAD, n)))) for _ in range(2))
        found = paired(first, second)
        alarms += found is not None and found.p is not None and found.p < ALPHA
    return alarms / tables


def best_lost(settings: int, n: int, tables: int, behind: float = 0.0, seed: int = 0) -> tuple[float, float]:
    """The share of tables in which the best setting is called "not best", and that of the others that are.

    The others are `behind` by so many standard deviations; none at all is the hardest case.
    """
    rng = np.random.default_rng([seed, n, settings])
    lost, found = 0, 0
    for _ in range(tables):
        values = rng.normal(MEAN, SPREAD, (settings, n))
        values[1:] -= behind * SPREAD
        table = [
            Setting(str(place), "", (), _OBJECTIVE, figures=tuple(of), by_seed=dict(enumerate(of)))
            for place, of in enumerate(values.tolist())
        ]
        out = [setting.standing == NOT_BEST for setting in judged(table)]
        lost, found = lost + out[0], found + sum(out[1:])
    return lost / tables, found / tables / (settings - 1)


def measure(tables: int) -> dict[str, Any]:
    """All of it."""
    return {
        "tables": tables,
        "coverage": {str(n): coverage(n, tables) for n in (3, 5, 10, 20)},
        "collapsed_coverage": {str(n): collapsed_coverage(n, tables) for n in (3, 5, 10, 20)},
        "plain_coverage": {str(n): plain_coverage(n, tables) for n in (3, 5, 10, 20)},
        "false_alarms": {str(n): false_alarms(n, tables) for n in (3, 5, 8, 10)},
        "best_of": {
            "n": 5,
            "settings": {
                str(count): {
                    "lost": best_lost(count, 5, tables)[0],
                    "found": {str(behind): best_lost(count, 5, tables, behind)[1] for behind in (2, 4)},
                }
                for count in (2, 7, 27)
            },
        },
    }

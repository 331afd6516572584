"""The simulated race is the one that sweeps run, and its error rate is that which the documentation promises."""

import numpy as np
import pytest

from benchmarks.search_study import races
from sweeps.results.inference import ALPHA
from sweeps.results.runs import Objective
from sweeps.results.settings import NOT_BEST, Setting, judged

OBJECTIVE = Objective("loss", "min", "last", "val")


def run_one(table, looks):
    """A race of one table by the functions of the package; see `sweeps.sweepers.race`."""
    left, before = set(range(len(table))), 0
    for seeds in looks:
        settings = [
            Setting(str(at), "", (), OBJECTIVE, figures=tuple(values), by_seed=dict(enumerate(values)))
            for at in sorted(left)
            for values in [(-table[at, :seeds]).tolist()]
        ]
        found = judged(settings, ALPHA * (seeds - before) / looks[-1])
        left -= {int(one.setting_id) for one in found if one.standing == NOT_BEST}
        before = seeds
        if len(left) == 1:
            break
    return left


@pytest.mark.parametrize("settings", [2, 3, 4, 9])
def test_the_simulated_race_is_that_of_the_package(settings):
    rng, looks = np.random.default_rng(settings), [4, 8, 10]
    tables = rng.normal(size=(25, settings, 10)) - np.linspace(0, 3, settings)[None, :, None]
    left, _ = races.race(tables, looks)
    for table, found in zip(tables, left, strict=True):
        assert run_one(table, looks) == set(np.flatnonzero(found).tolist())


@pytest.mark.parametrize("kind", [kind for kind in races.KINDS if kind != races.BEYOND])
def test_the_best_setting_is_lost_in_at_most_one_race_in_twenty(kind):
    rng, tables = np.random.default_rng(1), 1500
    left, _ = races.race(races._noise(kind, (tables, 7, 20), rng), [4, 8, 12, 16, 20])
    assert (~left[:, 0]).mean() < 0.05 + 3 * (0.05 * 0.95 / tables) ** 0.5


def test_runs_are_spent_on_those_that_are_left():
    table = np.zeros((1, 3, 20)) + np.random.default_rng(0).normal(0, 0.01, (1, 3, 20))
    table[0, 2] -= 1
    _, runs = races.race(table, [4, 8])
    assert runs[0] in (3 * 4, 3 * 4 + 2 * 4)

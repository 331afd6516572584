"""What others measured, from `published.csv`, which says where it comes from. Never imports torch."""

import csv
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple


class Range(NamedTuple):
    """The middle nine tenths of the published runs, with their median."""

    p5: float
    median: float
    p95: float

    def __contains__(self, value: object) -> bool:
        return isinstance(value, (int, float)) and self.p5 <= value <= self.p95

    def __str__(self) -> str:
        return f"{self.median:.4f} [{self.p5:.4f}, {self.p95:.4f}]"


class Published(NamedTuple):
    """The published runs of one network; `since` is empty for all of them, else the month that these begin in.

    `diverged` and `collapsed` count runs; the figures are those of the runs that did not diverge.
    `examples_per_second` is a median. `settings` are what these runs used, by the keys of our config.
    """

    since: str
    runs: int
    diverged: int
    collapsed: int
    train_loss: Range
    train_acc: Range
    test_acc: Range
    examples_per_second: float
    settings: Mapping[str, Any]


# What the published runs of all networks used, by the keys of our config.
SHARED_SETTINGS: Mapping[str, Any] = {
    "dataset.name": "fashion_mnist",
    "dataset.limit": None,
    "dataset.test_limit": None,
    "dataset.validation": 0,
    "augment": dict.fromkeys(("flip", "crop_padding", "brightness", "contrast", "saturation", "hue"), 0),
    "init": "xavier",
    "optim._target_": "torch.optim.SGD",
    "optim.momentum": 0,
    "optim.weight_decay": 0,
    "schedule._target_": "sweeps.vision.training.constant",
    "trainer.epochs": 10,
    "trainer.clip_norm": None,
}


@functools.cache
def published() -> Mapping[str, tuple[Published, ...]]:
    """For every network of the book all of its published runs, then the part of them that is most like ours."""
    lines = Path(__file__).with_name("published.csv").read_text(encoding="utf-8").splitlines()
    found: dict[str, tuple[Published, ...]] = {}
    for row in csv.DictReader(line for line in lines if not line.startswith("#")):
        own = {
            "optim.lr": float(row["lr"]),
            "trainer.batch_size": int(row["batch_size"]),
            "resize.size": int(row["image_size"]),
        }
        entry = Published(
            since=row["since"],
            runs=int(row["runs"]),
            diverged=int(row["diverged"]),
            collapsed=int(row["collapsed"]),
            train_loss=_range(row, "train_loss"),
            train_acc=_range(row, "train_acc"),
            test_acc=_range(row, "test_acc"),
            examples_per_second=float(row["examples_per_second"]),
            settings={**SHARED_SETTINGS, **own},
        )
        found[row["network"]] = (*found.get(row["network"], ()), entry)
    return found


def _range(row: Mapping[str, str], name: str) -> Range:
    return Range(*(float(row[f"{name}_{part}"]) for part in Range._fields))

"""Rounds of measurements of one network: who runs when, what is noted of each, and whether the work was done."""

import dataclasses
import gc
import math
import os
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from hydra import compose, initialize_config_dir

from benchmarks.bench.contenders import CONTENDERS, Contender, Task
from sweeps import Diverged, RunFailed
from sweeps.vision.build import build, facts, load
from sweeps.vision.checks import check_settings
from sweeps.vision.config import conf_dir, plain, register_schema
from sweeps.vision.data import Splits
from sweeps.vision.devices import choose_device, now

# Training images where no number is given, for inputs up to so many pixels: (pixels, images, images with --quick).
_DEFAULT_IMAGES = ((32, None, 640), (128, 1024, 64), (math.inf, 256, 64))
_TRAIN_PER_TEST = 6  # training images for every test image, as in the full set
_WARM_UP_BATCHES = 2

# How far the figures of `ours` may be from those of a contender that evaluates too. On a CPU they agree to the rounding
# of sums; with other kernels and precisions they drift apart, and BatchNorm's running statistics make much of little.
_TOLERANCES = {"train_loss": 0.05, "train_acc": 0.02, "train_eval_acc": 0.1, "test_acc": 0.1}
_ENOUGH_STEPS = 200  # after which a network must have learned something


@dataclasses.dataclass(frozen=True)
class Case:
    """One network with the images that it is measured on."""

    config: dict[str, Any]
    overrides: list[str]
    splits: Splits
    device: torch.device

    def task(self, contender: Contender) -> Task:
        """The epoch's work, from the first weights on, as `contender` needs it."""
        config = {**self.config, "trainer": {**self.config["trainer"], **contender.settings}}
        return Task(build(config, self.device), self.splits, config)

    def describe(self) -> dict[str, Any]:
        """What is measured, for the report."""
        training = self.task(CONTENDERS["ours"]).training
        known = facts(self.config, training)
        return {
            "dataset": self.config["dataset"]["name"],
            "train_images": len(self.splits.train),
            "test_images": len(self.splits.test),
            "image_size": self.config["resize"]["size"],
            "batch_size": self.config["trainer"]["batch_size"],
            "steps": training.data.train.steps,
            "lr": training.lr(1),
            "parameters": known["parameters"],
            "classes": training.classes,
            "forward_macs": known["forward_macs"],
            "engine": {
                "precision": known["precision"],
                "memory_format": known["memory_format"],
                "compile": training.engine.compile,
            },
            "overrides": self.overrides,
        }


def prepare(model: str, device: str, images: int | None, more: Sequence[str] = (), *, quick: bool = False) -> Case:
    """Compose the run of `model` with its own recipe and read its images.

    Args:
        images: how many training images; None takes what suits the network's input size.
        more: further overrides.
        quick: a few images of the set that comes with the package.

    Raises:
        ConfigError, DataError: such a run cannot work, or there are no images.
    """
    overrides = [f"model={model}", f"device={device}", "trainer.epochs=1"]
    if quick:
        overrides += ["dataset=fashion_mnist_mini", "trainer.batch_size=32"]
    size = _compose([*overrides, *more])["resize"]["size"]
    limit = images or next(few if quick else many for pixels, many, few in _DEFAULT_IMAGES if size <= pixels)
    if limit is not None:
        overrides += [f"dataset.limit={limit}", f"dataset.test_limit={max(limit // _TRAIN_PER_TEST, 10)}"]
    overrides += more
    return _case(_compose(overrides), overrides)


def warm_up(case: Case, names: Sequence[str]) -> None:
    """Let contenders take a few steps, uncounted: that is when kernels are chosen and memory pools are filled."""
    few = min(_WARM_UP_BATCHES * case.config["trainer"]["batch_size"], len(case.splits.train))
    small = {**case.config, "dataset": {**case.config["dataset"], "limit": few, "test_limit": few}}
    for name in names:
        CONTENDERS[name].run(_case(small, case.overrides).task(CONTENDERS[name]))


def measure_round(case: Case, number: int, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Each of the contenders once, another one first in every round (`number`, from 1); yields each one's measurement.

    Raises:
        RunFailed: a loss became NaN or infinite, so there is nothing to compare.
    """
    first = (number - 1) % len(names)
    for name in [*names[first:], *names[:first]]:
        contender = CONTENDERS[name]
        task = case.task(contender)
        gc.collect()  # not in the middle of a measurement
        before = _load_average()
        try:
            figures = dataclasses.asdict(contender.run(task))
        except Diverged as error:
            raise RunFailed(f"{name} diverged: {error}") from error
        if not all(math.isfinite(figure) for figure in figures.values() if figure is not None):
            raise RunFailed(f"{name} diverged: {figures}")
        yield {
            "round": number,
            "contender": name,
            **figures,
            "load_before": before,
            "load_after": _load_average(),
        }


def problems(case: Mapping[str, Any], measurements: Sequence[Mapping[str, Any]]) -> list[str]:
    """Why these measurements of `case` (as described) are no comparison of like with like; empty where they are."""
    found = []
    figures: dict[int, dict[str, Mapping[str, Any]]] = {}
    for done in measurements:
        figures.setdefault(done["round"], {})[done["contender"]] = done
        who = f"round {done['round']}, {done['contender']}"
        if done["steps"] != case["steps"]:
            found.append(f"{who}: {done['steps']} steps, {case['steps']} are an epoch")
        if done["steps"] >= _ENOUGH_STEPS and done["train_acc"] < 2 / case["classes"]:
            found.append(f"{who}: a training accuracy of {done['train_acc']:.3f} is little more than guessing")
    for number, by_name in figures.items():
        if (own := by_name.get("ours")) is None:
            continue
        for name, done in by_name.items():
            for key, tolerance in _TOLERANCES.items():
                if done["test_acc"] is None or done[key] is None:  # not all contenders measure everything
                    continue
                if not abs(done[key] - own[key]) <= tolerance:
                    found.append(f"round {number}: {key} is {done[key]:.4f} of {name} and {own[key]:.4f} of ours")
    return found


def peak_rate(device: torch.device) -> float | None:
    """Operations a second of a large bf16 matrix product, the most that a step could reach; None but on CUDA."""
    if device.type != "cuda":
        return None
    side, times = 8192, []
    a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    for _ in range(12):
        began = now(device)
        a @ b
        times.append(now(device) - began)
    return 2 * side**3 / statistics.median(times[2:])


def _case(config: dict[str, Any], overrides: list[str]) -> Case:
    check_settings(config)
    return Case(config, overrides, load(config), choose_device(config["device"]))


def _compose(overrides: list[str]) -> dict[str, Any]:
    register_schema()
    with initialize_config_dir(config_dir=str(conf_dir()), version_base="1.3"):
        return plain(compose("config", overrides=overrides))


def _load_average() -> float | None:
    """Processes that wanted to run during the last minute; None where the system does not say."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None

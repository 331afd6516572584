"""What a run will cost, for `sweep.plan=true`: from the time of one training batch and of one test batch."""

import contextlib
import json
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig

from sweeps.vision.build import build
from sweeps.vision.config import plain
from sweeps.vision.devices import choose_device, now
from sweeps.vision.task import epoch_function, evaluate
from sweeps.vision.training.cuda_graphs import RECORDED_AFTER
from sweeps.vision.training.metrics import Totals

BYTES = 4  # a parameter in single precision
_known: dict[str, dict[str, float]] = {}


def cost(cfg: DictConfig) -> dict[str, float]:
    """The hook `cost` of the engine: seconds of an epoch, peak memory and what stays on the disk, in bytes.

    Settings that differ in nothing that takes time, such as the learning rate, are timed once.
    """
    config = plain(cfg)
    kind = [config[key] for key in ("model", "resize", "augment", "trainer", "device")]
    key = json.dumps([kind, config["dataset"]["name"], config["dataset"]["limit"], config["dataset"]["test_limit"]])
    if key not in _known:
        _known[key] = _measured(config)
    return dict(_known[key])


def _measured(config: dict[str, Any]) -> dict[str, float]:
    device = choose_device(config["device"])
    _reset_peak_memory(device)
    training = build(config, device)
    data, train_epoch = training.data, epoch_function(training)
    warm_up = RECORDED_AFTER if device.type == "cuda" else 1
    train = _last_batch(warm_up + 1, device, lambda on_batch: train_epoch(training, 1, on_batch))
    test = _last_batch(max(warm_up, 2), device, lambda on_batch: evaluate(training, "test", 1, on_batch))
    passes = len(data.test) + (len(data.val) if data.val else 0)
    passes += len(data.train) if config["trainer"]["evaluate_train"] else 0
    parameters = sum(parameter.numel() for parameter in training.network.parameters())
    return {
        "seconds_per_step": train * data.train.steps + test * passes,
        "memory": _peak_memory(device),
        "disk": BYTES * parameters if config["trainer"]["save_weights"] else 0,
    }


class _Enough(Exception):
    """So many batches were timed."""


def _last_batch(number: int, device: torch.device, run_pass: Callable[[Any], object]) -> float:
    """Seconds that the last of `number` batches takes; passes are repeated until there are so many."""
    times: list[float] = []

    def on_batch(name: str, epoch: int, done: int, count: int, totals: Totals) -> None:
        times.append(now(device))
        if len(times) == number:
            raise _Enough

    with contextlib.suppress(_Enough):
        while True:
            run_pass(on_batch)
    return times[-1] - times[-2]


def _reset_peak_memory(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    with contextlib.suppress(OSError):  # Linux
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _peak_memory(device: torch.device) -> int:
    """The most memory held since then: of the device where that is CUDA, else of the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

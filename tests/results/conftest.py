"""Run directories as a sweep would leave them, without training anything."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sweeps.record.processes import this_process
from sweeps.record.records import Failure, Objective, RunDir, RunRecord, Status

TEST_ACC = ("test_acc", "max", "last", "test")


def _epoch_row(epoch: int, accuracy: float | None, split: str = "test", **more: Any) -> dict[str, Any]:
    """One line of metrics."""
    loss = None if accuracy is None else round(2 - 2 * accuracy, 6)
    return {
        "epoch": epoch,
        "lr": 0.1,
        "train_loss": loss,
        "train_acc": accuracy,
        f"{split}_loss": loss,
        f"{split}_acc": accuracy,
        "seconds": 2.5,
        "examples_per_second": 24000.0,
        **more,
    }


def _config_of(
    model: str = "alexnet",
    lr: float = 0.1,
    seed: int = 0,
    optim: str = "torch.optim.SGD",
    target: str = "",
    **more: Any,
) -> dict[str, Any]:
    """A resolved config; `more` replaces whole groups."""
    return {
        "model": {"_target_": target or f"sweeps.vision.models.{model}", "in_channels": 1},
        "dataset": {"name": "fashion_mnist", "limit": None, "validation": 0.0},
        "resize": {"size": 96, "channels": 1},
        "optim": {"_target_": optim, "lr": lr, "momentum": 0.0, "weight_decay": 0.0},
        "schedule": {"_target_": "sweeps.vision.training.constant"},
        "trainer": {"epochs": 10, "batch_size": 128},
        "seed": seed,
        **more,
    }


def _write_run(
    folder: Path,
    *,
    accuracies: tuple[float | None, ...] = (0.5, 0.6),
    status: Status = Status.COMPLETED,
    objective: tuple[str, str, str, str] = TEST_ACC,
    value: float | None = None,
    overrides: list[str] | None = None,
    config: dict[str, Any] | None = None,
    error: Failure | None = None,
    rows: list[dict[str, Any]] | None = None,
    parameters: int | None = 46_764_746,
    name: str = "",
    **config_keys: Any,
) -> RunDir:
    """One run below `folder`; its accuracies epoch by epoch make its metrics, and its objective if it is finished."""
    config = _config_of(**config_keys) if config is None else config
    if overrides is None:
        overrides = [f"{key}={value}" for key, value in _typed(config_keys).items()]
    run = RunDir(folder / (name or ",".join(overrides) or "default"))
    run.path.mkdir(parents=True)
    metric, direction, epoch, split = objective
    if rows is None:
        rows = [_epoch_row(at, accuracy, split) for at, accuracy in enumerate(accuracies, start=1)]
    figures = [row for row in rows if row.get(metric) is not None]
    best = max(figures, key=lambda row: row[metric] if direction == "max" else -row[metric], default={})
    last = rows[-1] if rows else {}
    if value is None and status in (Status.COMPLETED, Status.PRUNED):
        value = (best if epoch == "best" else last).get(metric)
    for row in rows:
        run.append_metrics(row)
    run.write(
        RunRecord(
            run_id="0" * 12,
            name=run.path.name,
            sweep=folder.name,
            status=status,
            objective=Objective(metric, direction, epoch, split, value),
            overrides=overrides,
            config=config,
            parameters=parameters,
            epochs=len(rows),
            metrics={"last": last, "best": best} if status.is_finished else {},
            seconds=2.5 * len(rows) if status.is_finished else 0.0,
            examples_per_second=24000.0 if status.is_finished else None,
            error=error,
            process=this_process() if status is Status.RUNNING else None,
        ),
        durable=False,
    )
    return run


def _typed(keys: dict[str, Any]) -> dict[str, Any]:
    names = {"model": "model", "lr": "optim.lr", "seed": "seed", "optim": "optim", "target": "model"}
    return {names[key]: str(value).rpartition(".")[2] if key == "optim" else value
            for key, value in keys.items() if key in names}  # fmt: skip


def _write_sweep(folder: Path) -> Path:
    """A partial sweep in which everything has happened that can."""
    for seed, final in enumerate((0.91, 0.92, 0.93)):
        _write_run(folder, model="alexnet", lr=0.01, seed=seed, accuracies=(0.7, final))
    _write_run(folder, model="alexnet", lr=0.1, seed=0, accuracies=(0.88, 0.87))
    _write_run(folder, model="vgg11", lr=0.01, seed=0, accuracies=(0.8, 0.901))
    _write_run(folder, model="vgg11", lr=0.1, seed=0, accuracies=(0.1, 0.1), status=Status.DIVERGED)
    _write_run(folder, model="nin", lr=0.01, seed=0, accuracies=(0.4, 0.55, 0.6), status=Status.RUNNING)
    _write_run(folder, model="lenet_bn", lr=0.1, seed=0, accuracies=(0.7,), status=Status.INTERRUPTED)
    out_of_memory = Failure(
        "oom", "CUDA out of memory: 2.1 GiB more were asked for", "Traceback ...", "use trainer.batch_size=64"
    )
    _write_run(folder, model="nin", lr=0.1, seed=0, accuracies=(), status=Status.FAILED, error=out_of_memory)
    damaged = _write_run(folder, model="googlenet", lr=0.01, seed=0)
    damaged.record.write_text("{ half a rec", encoding="utf-8")
    newer = _write_run(folder, model="googlenet", lr=0.1, seed=0)
    text = newer.record.read_text(encoding="utf-8")
    newer.record.write_text(text.replace('"schema_version": 1', '"schema_version": 99'), encoding="utf-8")
    return folder


@pytest.fixture
def made_up() -> SimpleNamespace:
    """The makers of this file: `epoch_row`, `config_of`, `write_run`."""
    return SimpleNamespace(epoch_row=_epoch_row, config_of=_config_of, write_run=_write_run)


@pytest.fixture
def run_in(tmp_path: Path) -> Callable[..., RunDir]:
    """Writes one run below tmp_path/study."""
    return lambda **settings: _write_run(tmp_path / "study", **settings)


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """The folder that `run_in` writes to."""
    return tmp_path / "study"


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """A partial sweep in which everything has happened that can; for reading only."""
    return _write_sweep(tmp_path / "lr_study")

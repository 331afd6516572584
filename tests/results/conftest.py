"""Run directories as a sweep would leave them, without training anything.

Two applications: `run_in` writes runs of one like the shipped classifiers, with config groups, epochs and facts;
`regression_in` those of a plain script that reports a loss alone, with no known number of steps.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sweeps.record import identity
from sweeps.record.processes import this_process
from sweeps.record.records import Failure, Objective, RunDir, RunRecord, Status

TEST_ACC = ("test_acc", "max", "last", "test")
NAMES = {"model": "model", "lr": "optim.lr", "seed": "seed", "optim": "optim", "batch": "trainer.batch_size"}


def _report(step: float, accuracy: float | None, split: str = "test", **more: Any) -> dict[str, Any]:
    """One line of metrics."""
    loss = None if accuracy is None else round(2 - 2 * accuracy, 6)
    return {
        "step": step,
        "elapsed": 2.5 * step,
        "train_loss": loss,
        f"{split}_loss": loss,
        f"{split}_acc": accuracy,
        **more,
    }


def _config_of(
    model: str = "alexnet", lr: float = 0.1, seed: int = 0, optim: str = "sgd", batch: int = 128, **more: Any
) -> dict[str, Any]:
    """A resolved config; `more` replaces whole groups."""
    momentum = {"momentum": 0.0} if optim == "sgd" else {"betas": [0.9, 0.999]}
    return {
        "model": {"_target_": f"vision.models.{model}", "in_channels": 1},
        "optim": {"_target_": f"torch.optim.{optim.upper()}", "lr": lr, "weight_decay": 0.0, **momentum},
        "trainer": {"epochs": 10, "batch_size": batch},
        "device": "cpu",
        "seed": seed,
        "sweep": {"name": "study"},
        **more,
    }


def _write(
    folder: Path,
    config: dict[str, Any],
    rows: list[dict[str, Any]],
    *,
    overrides: list[str],
    objective: tuple[str, str, str, str],
    status: Status = Status.COMPLETED,
    value: float | None = None,
    error: Failure | None = None,
    facts: Mapping[str, Any] | None = None,
    max_steps: float | None = None,
    steps: float | None = None,
    name: str = "",
) -> RunDir:
    ignore = ("sweep", "device")
    run = RunDir(folder / (name or ",".join(overrides) or "default"))
    run.path.mkdir(parents=True)
    metric, direction, report, split = objective
    valued = [row for row in rows if row.get(metric) is not None]
    best = max(valued, key=lambda row: row[metric] if direction == "max" else -row[metric], default={})
    last = rows[-1] if rows else {}
    if value is None and status in (Status.COMPLETED, Status.PRUNED):
        value = (best if report == "best" else last).get(metric)
    for row in rows:
        run.append_metrics(row)
    run.write(
        RunRecord(
            run_id=identity.run_id(config, ignore),
            setting_id=identity.setting_id(config, ignore, ("seed",)),
            name=run.path.name,
            sweep=folder.name,
            status=status,
            objective=Objective(metric, direction, split, report, value),
            seed=config.get("seed"),
            seed_keys=["seed"],
            overrides=overrides,
            config=config,
            ignore=list(ignore),
            facts=dict(facts or {}),
            steps=last.get("step") if steps is None else steps,
            max_steps=max_steps,
            metrics={"last": last, "best": best} if rows else {},
            seconds=last.get("elapsed", 0.0),
            error=error,
            process=this_process() if status is Status.RUNNING else None,
        ),
        durable=False,
    )
    return run


def _write_run(
    folder: Path,
    *,
    accuracies: tuple[float | None, ...] = (0.5, 0.6),
    objective: tuple[str, str, str, str] = TEST_ACC,
    overrides: list[str] | None = None,
    config: dict[str, Any] | None = None,
    rows: list[dict[str, Any]] | None = None,
    facts: Mapping[str, Any] | None = None,
    status: Status = Status.COMPLETED,
    value: float | None = None,
    error: Failure | None = None,
    steps: float | None = None,
    name: str = "",
    **keys: Any,
) -> RunDir:
    """One run below `folder`; its accuracies report by report make its metrics, and its objective if it is finished."""
    config = _config_of(**keys) if config is None else config
    if overrides is None:
        overrides = [f"{NAMES[key]}={value}" for key, value in keys.items() if key in NAMES]
    if rows is None:
        rows = [_report(at, accuracy, objective[3] or "test") for at, accuracy in enumerate(accuracies, start=1)]
    facts = {"parameters": 46_764_746, "examples_per_second": 24123.4} if facts is None else facts
    return _write(folder, config, rows, overrides=overrides, objective=objective, status=status, value=value,
                  error=error, facts=facts, max_steps=10, steps=steps, name=name)  # fmt: skip


def _write_regression(
    folder: Path,
    losses: tuple[float, ...] = (),
    *,
    direction: str = "min",
    value: float | None = None,
    status: Status = Status.COMPLETED,
    split: str = "val",
    name: str = "",
    **settings: Any,
) -> RunDir:
    """One run of a script whose config is flat, that reports `val_loss` alone, or only returns `value`."""
    config = {"lr": 0.1, "depth": 2, "seed": 0, "sweep": {"name": "fit"}, **settings}
    rows = [{"step": step, "elapsed": step / 4, "val_loss": loss} for step, loss in enumerate(losses, start=1)]
    metric = "val_loss" if losses else ""
    return _write(folder, config, rows, overrides=[f"{key}={setting}" for key, setting in settings.items()],
                  objective=(metric, direction, "last", split), status=status, value=value, name=name)  # fmt: skip


def _write_sweep(folder: Path) -> Path:
    """A partial sweep in which everything has happened that can."""
    for seed, final in enumerate((0.91, 0.92, 0.93)):
        _write_run(folder, model="alexnet", lr=0.01, seed=seed, accuracies=(0.7, final))
    _write_run(folder, model="alexnet", lr=0.1, seed=0, accuracies=(0.88, 0.87))
    _write_run(folder, model="vgg11", lr=0.01, seed=0, accuracies=(0.8, 0.901), facts={"parameters": 28_144_010})
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
    newer.record.write_text(text.replace('"schema_version": 2', '"schema_version": 99'), encoding="utf-8")
    return folder


@pytest.fixture
def made_up() -> SimpleNamespace:
    """The makers of this file: `report`, `config_of`, `write_run`, `write_regression`."""
    return SimpleNamespace(
        report=_report, config_of=_config_of, write_run=_write_run, write_regression=_write_regression
    )


@pytest.fixture
def run_in(tmp_path: Path) -> Callable[..., RunDir]:
    """Writes one run below tmp_path/study."""
    return lambda **settings: _write_run(tmp_path / "study", **settings)


@pytest.fixture
def regression_in(tmp_path: Path) -> Callable[..., RunDir]:
    """Writes one run of the plain regression below tmp_path/study."""
    return lambda *losses, **settings: _write_regression(tmp_path / "study", losses, **settings)


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """The folder that `run_in` and `regression_in` write to."""
    return tmp_path / "study"


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """A partial sweep in which everything has happened that can; for reading only."""
    return _write_sweep(tmp_path / "lr_study")

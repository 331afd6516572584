"""Run directories as a sweep would leave them, without training anything, and the report of a folder."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sweeps.record.identity import run_id, setting_id
from sweeps.record.processes import this_process
from sweeps.record.records import Failure, Objective, RunDir, RunRecord, Status

FULL_NAME = "<script>alert(1)</script>\"'&amp;" + "x" * 300
VAL_LOSS = ("val_loss", "min", "last", "val")
TEST_ACC = ("test_acc", "max", "last", "test")
VISION_PANELS = "sweeps.vision.panels.panels"


def write_run(
    folder: Path,
    *,
    values: tuple[float | None, ...] = (0.5, 0.4),
    objective: tuple[str, str, str, str] = VAL_LOSS,
    status: Status = Status.COMPLETED,
    seed: int = 0,
    overrides: list[str] | None = None,
    facts: dict[str, Any] | None = None,
    error: Failure | None = None,
    rows: list[dict[str, Any]] | None = None,
    value: float | None = None,
    seconds: float | None = None,
    max_steps: float | None = None,
    name: str = "",
    config: dict[str, Any] | None = None,
    panels: str | None = None,
    **settings: Any,
) -> RunDir:
    """One run of a plain training function; its `values` are the reports of its objective.

    `settings` are its config and, unless `overrides` are given, what was typed; `__` in a name means a dot.
    """
    keys = {key.replace("__", "."): value for key, value in settings.items()}
    if config is None:
        config = {"seed": seed}
        for key, setting in keys.items():
            node = config
            *groups, leaf = key.split(".")
            for group in groups:
                node = node.setdefault(group, {})
            node[leaf] = setting
    config["sweep"] = {"name": folder.name, "hooks": {"check": None, "cost": None, "panels": panels}}
    if overrides is None:
        overrides = [f"{key}={setting}" for key, setting in keys.items()] + ([f"seed={seed}"] if seed else [])
    metric, direction, report, split = objective
    if rows is None:
        rows = [
            {"step": step, "elapsed": 2.5 * step, "train_loss": 1.0 / step, metric: one}
            for step, one in enumerate(values, start=1)
        ]
    valued = [row for row in rows if row.get(metric) is not None]
    best = max(valued, key=lambda row: row[metric] if direction == "max" else -row[metric], default={})
    last = rows[-1] if rows else {}
    if value is None and status in (Status.COMPLETED, Status.PRUNED):
        value = (best if report == "best" else last).get(metric)
    run = RunDir(folder / (name or ",".join(overrides) or "default"))
    run.path.mkdir(parents=True)
    for row in rows:
        run.append_metrics(row)
    record = RunRecord(
        run_id=run_id(config, ["sweep"]),
        setting_id=setting_id(config, ["sweep"], ["seed"]),
        name=run.path.name,
        sweep=folder.name,
        status=status,
        objective=Objective(metric, direction, split, report, value),
        seed=seed,
        seed_keys=["seed"],
        overrides=overrides,
        config=config,
        ignore=["sweep"],
        facts=facts or {},
        steps=last.get("step"),
        max_steps=max_steps,
        metrics={"last": last, "best": best} if status.is_finished else {},
        seconds=seconds if seconds is not None else 2.5 * len(rows),
        error=error,
        process=this_process() if status is Status.RUNNING else None,
    )
    run.write(record, durable=False)
    return run


def write_sweep(folder: Path) -> Path:
    """A sweep of networks in which everything has happened that can."""

    def run(model: str, lr: float, seed: int, *accuracies: float, **more: Any) -> RunDir:
        config = {"model": {"_target_": f"sweeps.vision.models.{model}"}, "optim": {"lr": lr}, "seed": seed}
        overrides = [f"model={model}", f"optim.lr={lr}", f"seed={seed}"]
        return write_run(folder, config=config, overrides=overrides, seed=seed, values=accuracies, objective=TEST_ACC,
                         facts={"parameters": {"alexnet": 46_764_746, "vgg11": 128_806_154}.get(model, 61_706)},
                         panels=VISION_PANELS, **more)  # fmt: skip

    for seed, final in enumerate((0.91, 0.92, 0.93)):
        run("alexnet", 0.01, seed, 0.7, final)
    run("alexnet", 0.1, 0, 0.88, 0.87)
    run("vgg11", 0.01, 0, 0.8, 0.901)
    run("vgg11", 0.1, 0, 0.1, 0.1, status=Status.DIVERGED)
    run("nin", 0.01, 0, 0.4, 0.55, 0.6, status=Status.RUNNING)
    run("lenet_bn", 0.1, 0, 0.7, status=Status.INTERRUPTED)
    out_of_memory = Failure(
        "oom", "CUDA out of memory: 2.1 GiB more were asked for", "Traceback ...", "use trainer.batch_size=64"
    )
    run("nin", 0.1, 0, status=Status.FAILED, error=out_of_memory)
    run("googlenet", 0.01, 0, 0.5).record.write_text("{ half a rec", encoding="utf-8")
    newer = run("googlenet", 0.1, 0, 0.5)
    content = json.loads(newer.record.read_text(encoding="utf-8"))
    newer.record.write_text(json.dumps({**content, "schema_version": 99}), encoding="utf-8")
    return folder


@pytest.fixture
def run_in(study: Path) -> Callable[..., RunDir]:
    """Writes one run below `study`."""
    return lambda **settings: write_run(study, **settings)


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """The folder that `run_in` writes to."""
    return tmp_path / "study"


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """A partial sweep in which everything has happened that can; for reading only."""
    return write_sweep(tmp_path / "lr_study")


@pytest.fixture
def regression(study: Path) -> Path:
    """A sweep of a plain regression: a loss alone, floats as steps, two numbers and a text as settings."""
    for kernel, shift in (("rbf", 0.0), ("linear", 0.3)):
        for width in (8, 16, 64):
            for l2 in (0.0, 0.1):
                for seed in range(2):
                    end = shift + 1 / width + l2 + seed / 100
                    rows = [
                        {"step": step / 4, "elapsed": float(step), "val_loss": end + 1 / step, "lr": 0.1 / step}
                        for step in range(1, 5)
                    ]
                    facts = {"weights": width * 10, "solver": "sgd"}
                    write_run(study, rows=rows, facts=facts, seed=seed, kernel=kernel, net__width=width, l2=l2,
                              seconds=float(width))  # fmt: skip
    return study


@pytest.fixture
def report(capsys) -> Callable[..., SimpleNamespace]:
    """Call the command, for the page alone unless `figures`; `page` is what it wrote, `data` the JSON in it."""
    from sweeps.report.cli import main

    def call(*arguments: object, figures: bool = False) -> SimpleNamespace:
        code = main([*map(str, arguments), *([] if figures else ["--no-figures"])])
        said = capsys.readouterr()
        path = Path(said.out.split()[-1]) if code == 0 else None
        page = path.read_text(encoding="utf-8") if path else ""
        found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
        data = json.loads(found[1]) if found else None
        return SimpleNamespace(code=code, out=said.out, err=said.err, path=path, page=page, data=data)

    return call

"""Valid files for scripts/fuzz.py, which it then changes: they are made by the package's own classes."""

import gzip
import json
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from fuzz_input import Content, Example
from hypothesis import strategies as st

from sweeps import checkpoint
from sweeps.launchers.slurm.ledger import Submission
from sweeps.pruners.report_log import LOG_NAME, Report
from sweeps.record.files import to_json
from sweeps.record.lock import LOCK_NAME
from sweeps.record.processes import Process, this_process
from sweeps.record.recording import new_record
from sweeps.record.records import Failure, Objective, RunRecord, Status
from sweeps.record.resolved import Resolved, resolve
from sweeps.vision import confusion
from sweeps.vision.config import conf_dir, register_schema

SMALL = (
    *("model=lenet_bn", "dataset=fashion_mnist_mini", "dataset.limit=50", "dataset.test_limit=20"),
    *("trainer.batch_size=25", "trainer.epochs=2", "trainer.threads=1"),
    *("sweep/tracker=none", "device=cpu", "sweep.name=study"),
)


# a sweep's files


@cache
def composed() -> Any:
    """The config of a small run, Hydra's own node included."""
    import hydra

    register_schema()
    with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return hydra.compose("config", overrides=list(SMALL), return_hydra_config=True)


@cache
def resolved() -> Resolved:
    """The same as plain data, with its identity."""
    from sweeps.launchers.folders import hydra_config
    from sweeps.launchers.job import without_hydra

    whole = composed().copy()
    with hydra_config(whole, Path("/nowhere/run")):
        return resolve(without_hydra(whole), ())


def row(step: int) -> dict[str, Any]:
    """A line of metrics."""
    figures = {f"{split}_{kind}": 0.5 + step / 10 for split in ("train", "test") for kind in ("loss", "acc")}
    return {"step": step, "elapsed": 1.5 * step, "lr": 0.1, **figures, "examples_per_second": 1000.0}


def record(status: Status = Status.COMPLETED, seed: int = 0, **changes: Any) -> RunRecord:
    """The record of a run of two epochs."""
    of = replace(resolved(), config={**resolved().config, "seed": seed}, seed=seed, run_id=f"{seed:012}")
    made = new_record(of, name=f"model=lenet_bn,seed={seed}", sweep="study", overrides=[f"seed={seed}"])
    packages, git = {"torch": "2.10"}, {"commit": "1", "dirty": True}
    ended = replace(
        made,
        status=status,
        objective=Objective("test_acc", "max", "test", "last", 0.7 + seed / 100),
        steps=2,
        seconds=3.0,
        metrics={"last": row(2), "best": row(2)},
        facts={"parameters": 44_000, "forward_macs": 280_000, "optimizer": "sgd", "examples_per_second": 1000.0},
        started="2026-01-31T12:00:00+01:00",
        ended="2026-01-31T12:00:09+01:00",
        process=this_process() if status is Status.RUNNING else Process("elsewhere/0", 7, "123"),
        attempts=1,
        environment={"command": ["app.py", "-cd", "conf"], "packages": packages, "git": git},
        error=Failure("error", "ValueError: x", "Traceback", "try again") if status is Status.FAILED else None,
    )
    return replace(ended, **changes)


def first_record() -> bytes:
    """A record as release 0.1 wrote it."""
    of = json.loads(record().to_json())
    kept = ("run_id", "name", "sweep", "status", "overrides", "seconds", "started", "ended", "environment", "process")
    figures = {"epoch": 2, "test_acc": 0.7}
    old = {
        "schema_version": 1,
        "objective": {"metric": "test_acc", "direction": "max", "epoch": "last", "split": "test", "value": 0.7},
        "config": {**of["config"], "sweep": "study", "trainer": {"epochs": 2}},
        "epochs": 2,
        "metrics": {"last": figures, "best": figures},
        "parameters": 44_000,
        "examples_per_second": 10.0,
        "attempts": 1,
    }
    return json.dumps({key: of[key] for key in kept} | old).encode()


def lines(rows: Sequence[dict[str, Any]]) -> bytes:
    """Rows as a file."""
    return b"".join(to_json(one).encode() + b"\n" for one in rows)


@cache
def file(name: str) -> bytes:
    """What a run, or the application that ships with the package, leaves under this name."""
    import numpy as np
    from safetensors.numpy import save

    if name == "predictions.safetensors":
        return save({"test": np.arange(20, dtype=np.uint8) % 3, "test_labels": np.arange(20, dtype=np.uint8) % 4})
    if name == "sweep.json":
        machine = {"began": "2026", "folder": "/x", "platform": "p", "python": "3", "device": "d", "diff": "+x"}
        return json.dumps({"invocations": [{**machine, **record().environment}] * 2}).encode()
    pair = confusion.Pair(0, 1, 2, [confusion.PNG + b"rest"])
    counts = [[3, 2, 1], [0, 6, 0], [1, 1, 4]]
    with tempfile.TemporaryDirectory() as folder:
        confusion.write(Path(folder), confusion.Confusion("test", 2, ["a", "b", "c"], counts, [pair]))
        return (Path(folder) / confusion.NAME).read_bytes()


@cache
def sweep_files() -> dict[str, Content]:
    """A sweep of five runs."""
    files: dict[str, Content] = {"sweep.json": file("sweep.json")}
    for seed, status in enumerate((Status.COMPLETED, Status.COMPLETED, Status.RUNNING, Status.FAILED)):
        place = f"model=lenet_bn,seed={seed}"
        files[f"{place}/run.json"] = record(status, seed).to_json().encode()
        files[f"{place}/metrics.jsonl"] = lines([row(1), row(2)])
        for name in ("confusion.json", "predictions.safetensors"):
            files[f"{place}/{name}"] = file(name)
    config = {**resolved().config, "optim": {**resolved().config["optim"], "lr": 0.5}}
    other = record(Status.PRUNED, setting_id="b" * 12, config=config)
    files["optim.lr=0.5/run.json"] = other.to_json().encode()
    files["optim.lr=0.5/metrics.jsonl"] = lines([row(1)])
    return files


# examples


def one_file(name: str, content: bytes, *more: str) -> Example:
    """A file that may be changed, and others that may be there."""
    return Example({name: content}, (name, *more))


def sweep(words: st.SearchStrategy[list[str]] | None = None) -> Example:
    """The whole sweep; its files may be changed, and some added."""
    often = ("model=lenet_bn,seed=0/run.json", "model=lenet_bn,seed=2/run.json")
    added = ("pruning.jsonl", "report", "report.html", f"{LOCK_NAME}/0123", LOCK_NAME, ".slurm", "new/run.json")
    changed = (*sweep_files(), *often, *added, ".slurm/submission-1-a.json")
    return Example(dict(sweep_files()), changed, st.just([]) if words is None else words)


def ledger() -> Example:
    """What was submitted to Slurm."""
    content = json.dumps(vars(Submission("1-a", ["a", "b"], "12"))).encode()
    return one_file(".slurm/submission-1-a.json", content, ".slurm")


def report_log() -> Example:
    """The reports of four runs, two of a setting."""
    reports = [Report(setting, run, step, "train_loss", 0.5) for setting in "ab" for run in "cd" for step in (1.0, 2.0)]
    return one_file(LOG_NAME, lines([one._asdict() for one in reports]))


def model() -> Example:
    """A run that can be loaded."""
    from safetensors.torch import save

    from sweeps.vision.models import lenet_bn

    size = resolved().config["resize"]
    network = lenet_bn(in_channels=size["channels"], num_classes=10, image_size=size["size"])
    weights = save({name: value.contiguous() for name, value in network.state_dict().items()})
    files: dict[str, Content] = {"run.json": record().to_json().encode(), "weights.safetensors": weights}
    return Example(files, ("run.json", "run.json", "weights.safetensors"))


class State:
    """Something that a checkpoint is of."""

    def __init__(self) -> None:
        self.content: dict[str, Any] = {}

    def state_dict(self) -> dict[str, Any]:
        """All kinds of things that may be saved."""
        import numpy as np
        import torch

        return {"weight": torch.ones(2, 3), "array": np.arange(3), "list": [1, None, "x"], "best": 0.5, **self.content}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take it."""
        self.content = dict(state)


def saved(run_id: str) -> bytes:
    """A checkpoint, whole."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "checkpoint.pt"
        checkpoint.save(path, run_id, 1, {"model": State()}, verify=True)
        return path.read_bytes()


def a_checkpoint() -> Example:
    """A checkpoint, and another value for one of its keys."""
    values = ("null", "-5", "1e400", '"x"', "[]", "{}", "true", '{"a": 1}', '{"python": [3, [1, 2], null], "torch": 1}')
    arrays = '{"model": {"weight": {"__ndarray__": 1}}}'
    states = [f"{key}={value}" for key in ("step", "run_id", "states", "random") for value in (*values, arrays)]
    return Example({"checkpoint.pt": saved("0" * 12)}, (), st.lists(st.sampled_from(states), max_size=1))


def interrupted() -> Example:
    """A run that was cut off after its first step."""
    run_id = resolved().run_id
    files: dict[str, Content] = {
        "run/run.json": record(Status.INTERRUPTED, steps=1, run_id=run_id).to_json().encode(),
        "run/metrics.jsonl": lines([row(1)]),
        "run/checkpoint.pt": saved(run_id),
    }
    more = (".hydra", "tensorboard", "run.log", "confusion.json", ".x.tmp", "weights.safetensors")
    return Example(files, (*files, *(f"run/{name}" for name in more)))


def with_other_settings() -> Example:
    """The same with a record of other settings."""
    example = interrupted()
    text = record(config={**resolved().config, "seed": 5}, run_id="f" * 12).to_json().encode()
    return replace(example, files={**example.files, "run/run.json": text})


def odd_config() -> Example:
    """An application's config, as JSON with interpolations."""
    of = {
        "seed": 1,
        "a": "${seed}",
        "b": {"c": "${.d}", "d": "${a}"},
        "list": ["${seed}", {"x": "${now:%Y}"}],
        "missing": "???",
        "env": "${oc.env:HOME}",
        "nowhere": "${x.y}",
        "out": "${hydra:runtime.output_dir}",
        "number": 1e-3,
    }
    return one_file("config.json", json.dumps(of).encode())


def images() -> Example:
    """IDX files."""
    content = bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 3]) + bytes(range(18))
    return Example({"images": content, "images.gz": gzip.compress(content, mtime=0)})

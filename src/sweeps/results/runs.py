"""Run directories as rows: what every table, chart and export is made from."""

import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from sweeps.errors import RecordError
from sweeps.record.identity import cell_id
from sweeps.record.records import RunDir, RunRecord, Status, find_runs
from sweeps.results.format import clean, number, whole

UNREADABLE = "unreadable"
_UNFINISHED = frozenset({Status.PENDING, Status.RUNNING, Status.INTERRUPTED})


class Criterion(NamedTuple):
    """What a run is ranked by; figures of different criteria do not compare."""

    metric: str
    direction: str  # "max" or "min"
    epoch: str  # "last" or "best"
    split: str  # "test", "val" or "train"

    @property
    def prefix(self) -> str:
        """What the names of the same images' metrics begin with: `test`, `val`, `train` or `train_eval`."""
        for ending in ("_acc", "_loss"):
            if self.metric.endswith(ending):
                return self.metric.removesuffix(ending)
        return self.split

    @property
    def bounds(self) -> tuple[float, float]:
        """What the figure cannot leave: 0 and 1 for an accuracy."""
        return (0.0, 1.0) if self.metric.endswith("_acc") else (-math.inf, math.inf)

    def gain(self, value: float) -> float:
        """`value`, turned so that more is better."""
        return -value if self.direction == "min" else value


@dataclass(frozen=True)
class RunRow:
    """One run directory. Everything but `path`, `name` and `status` may be missing: not every record can be read.

    `status` is that of the record or "unreadable". `value` is the objective: final for a finished run, so far for
    any other, None for a diverged one. Accuracies and losses are those of the objective's images; `loss` and
    `test_acc` belong to the epoch that the objective looks at. `stopped_at` is how many epochs a pruned run had done,
    parts of one included. `setting` is the identity of the run's setting, its config without the seed; `settings` maps
    dotted keys of the resolved config, and the names chosen from config groups, to their values.
    """

    path: Path
    name: str
    status: str
    sweep: str = ""
    criterion: Criterion | None = None
    value: float | None = None
    model: str = ""
    lr: float | None = None
    resize: int | None = None
    batch: int | None = None
    seed: int | None = None
    epochs_done: int = 0
    epochs_asked: int | None = None
    stopped_at: float | None = None
    best_acc: float | None = None
    last_acc: float | None = None
    loss: float | None = None
    test_acc: float | None = None
    parameters: int | None = None
    seconds: float | None = None
    examples_per_second: float | None = None
    setting: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    overridden: frozenset[str] = frozenset()
    last: dict[str, Any] = field(default_factory=dict)
    problem_kind: str = ""
    problem: str = ""
    rank: int | None = None

    @property
    def is_finished(self) -> bool:
        """Whether the run has its result; divergence is one."""
        return self.status != UNREADABLE and Status(self.status).is_finished

    @property
    def is_unfinished(self) -> bool:
        """Whether the run is under way, waits or was interrupted: its figures are those so far."""
        return self.status in _UNFINISHED

    @property
    def is_troubled(self) -> bool:
        """Whether something went wrong that is not a result: a failure, a damaged file."""
        return bool(self.problem_kind) and self.status not in (Status.DIVERGED, Status.PRUNED)

    @property
    def has_result(self) -> bool:
        """Whether the run is finished and has a figure, were it that of a pruned training."""
        return self.is_finished and self.value is not None

    @property
    def has_full_figure(self) -> bool:
        """Whether the run was trained to its end and has a figure: means and comparisons use no other.

        What was pruned has the figure of a shorter training: among whole ones it would mislead either way.
        """
        return self.status == Status.COMPLETED and self.value is not None


def load(folders: Sequence[str | Path]) -> list[RunRow]:
    """One row per run directory at or below `folders`, in the order of their paths; none is dropped.

    Raises:
        RecordError: a folder does not exist, or holds no runs.
    """
    rows: dict[str, RunRow] = {}
    for folder in folders:
        runs = list(find_runs(folder))
        if not runs:
            raise RecordError(
                f"{clean(folder)} holds no runs; a sweep's folder holds one folder per run with a run.json in it: "
                "multirun/<sweep>/<run>/run.json"
            )
        for run in runs:
            rows.setdefault(os.path.abspath(run.path), _row(run))  # noqa: PTH100 - resolve() costs a call per part
    return list(rows.values())


def _row(run: RunDir) -> RunRow:
    try:
        record = run.read()
    except RecordError as error:
        return _unreadable(run, error)
    criterion = Criterion(*(clean(getattr(record.objective, part)) for part in Criterion._fields))
    last, best = _mapping(record.metrics, "last"), _mapping(record.metrics, "best")
    value = None if record.status is Status.DIVERGED else number(record.objective.value)
    seconds = number(record.seconds)
    kind, text = _failure(record)
    if not record.status.is_finished:
        try:
            epochs = run.read_metrics()
        except RecordError as error:
            kind, text = (f"{kind}, metrics".removeprefix(", "), f"{text} {clean(error)}".strip())
            epochs = []
        if epochs:
            last, best = epochs[-1], _best(epochs, criterion)
            value = number((best if criterion.epoch == "best" else last).get(criterion.metric))
            seconds = seconds or sum(number(row.get("seconds")) or 0.0 for row in epochs)
    chosen = best if criterion.epoch == "best" else last
    settings = dict(_settings(record))
    return RunRow(
        path=run.path,
        name=clean(record.name) or clean(run.path.name),
        status=record.status.value,
        sweep=clean(record.sweep),
        criterion=criterion,
        value=value,
        **_shown_settings(settings),
        epochs_done=whole(last.get("epoch")) or 0,
        stopped_at=number(record.stopped_at),
        best_acc=number(best.get(f"{criterion.prefix}_acc")),
        last_acc=number(last.get(f"{criterion.prefix}_acc")),
        loss=number(chosen.get(f"{criterion.prefix}_loss")),
        test_acc=number(chosen.get("test_acc")),
        parameters=whole(record.parameters),
        seconds=seconds,
        examples_per_second=number(record.examples_per_second) or number(last.get("examples_per_second")),
        setting=cell_id(record.config) if isinstance(record.config, dict) else "",
        settings=settings,
        overridden=frozenset(key for key, _ in _overrides(record.overrides)),
        last={clean(key): value for key, value in last.items()},
        problem_kind=kind,
        problem=text,
    )


def _unreadable(run: RunDir, error: RecordError) -> RunRow:
    """A row that says what the folder's name says: it is made of the overrides."""
    settings = dict(_overrides(run.path.name.split(",")))
    shown = _shown_settings(settings)
    shown["model"] = shown["model"] or clean(run.path.name)
    return RunRow(
        path=run.path,
        name=clean(run.path.name),
        status=UNREADABLE,
        settings=settings,
        problem_kind=UNREADABLE,
        problem=clean(error),
        **shown,
    )


def _failure(record: RunRecord) -> tuple[str, str]:
    if record.error is None:
        return ("error", "no reason was recorded; see run.log") if record.status is Status.FAILED else ("", "")
    text, advice = clean(record.error.text), clean(record.error.advice)
    return clean(record.error.kind) or "error", f"{text.rstrip('.')}; {advice}" if advice else text


def _best(epochs: Sequence[dict[str, Any]], criterion: Criterion) -> dict[str, Any]:
    """The first of the epochs with the best figure; the empty row where none has one."""
    with_figure = [row for row in epochs if number(row.get(criterion.metric)) is not None]
    return max(with_figure, key=lambda row: criterion.gain(row[criterion.metric]), default={})


def _shown_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "model": clean(settings.get("model") or ""),
        "lr": number(settings.get("optim.lr")),
        "resize": whole(settings.get("resize.size")),
        "batch": whole(settings.get("trainer.batch_size")),
        "seed": whole(settings.get("seed")),
        "epochs_asked": whole(settings.get("trainer.epochs")),
    }


def _settings(record: RunRecord) -> Iterator[tuple[str, Any]]:
    """Every leaf of the config, then the name of what each config group holds, then overrides that left no leaf."""
    leaves = dict(_leaves(record.config)) if isinstance(record.config, dict) else {}
    yield from leaves.items()
    named = {}
    for key, value in leaves.items():
        group, _, leaf = key.rpartition(".")
        if group and leaf == "_target_":
            named[group] = _short_target(str(value))
        elif group and leaf == "name":
            named.setdefault(group, value)
    yield from named.items()
    for key, value in _overrides(record.overrides):
        if key not in leaves and key not in named:
            yield key, value


def _leaves(node: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield clean(f"{prefix}{key}"), value


def _short_target(target: str) -> str:
    """`alexnet` for our own; `torchvision:resnet18` for others', so that namesakes stay apart."""
    root, _, rest = target.partition(".")
    name = rest.rpartition(".")[2] or root
    return name if root in ("sweeps", "torch") else f"{root}:{name}"


def _overrides(overrides: Iterable[str]) -> Iterator[tuple[str, Any]]:
    """(key, value) of each `key=value`, without Hydra's own; numbers as numbers."""
    for override in overrides if isinstance(overrides, (list, tuple)) else ():
        key, equals, value = str(override).partition("=")
        key = clean(key.lstrip("+~").partition("@")[0])
        if equals and key and key.partition(".")[0] != "hydra":
            yield key, _parsed(value)


def _parsed(value: str) -> Any:
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return value


def _mapping(parent: object, key: str) -> dict[str, Any]:
    child = parent.get(key) if isinstance(parent, dict) else None
    return child if isinstance(child, dict) else {}

"""Run directories as rows: what every table, chart and export is made from."""

import dataclasses
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from sweeps.errors import RecordError
from sweeps.record.identity import is_ignored
from sweeps.record.metrics import Reports
from sweeps.record.records import RunDir, RunRecord, Status, find_runs
from sweeps.results.format import clean, number
from sweeps.results.looks import Looks, sweeps_of

UNREADABLE = "unreadable"
_UNFINISHED = frozenset({Status.PENDING, Status.RUNNING, Status.INTERRUPTED})


class Objective(NamedTuple):
    """What a run is ranked by; values of different objectives do not compare."""

    metric: str  # empty: the value that the training function returned
    direction: str  # "max", "min", or empty: nothing is ranked
    report: str  # "last" or "best"
    split: str  # "test", "val", "train", or empty

    @property
    def name(self) -> str:
        """What to call it in a table."""
        return self.metric or "objective"

    @property
    def title(self) -> str:
        """The same with the report that it is taken from: `last val_loss`."""
        return f"{self.report} {self.name}"

    @property
    def is_ranked(self) -> bool:
        """Whether it is known which values are better."""
        return self.direction in ("max", "min")

    def gain(self, value: float) -> float:
        """`value`, turned so that more is better."""
        return -value if self.direction == "min" else value


@dataclass(frozen=True)
class RunRow:
    """One run directory. Everything but `path`, `name` and `status` may be missing: not every record can be read.

    `status` is that of the record or "unreadable". `value` is the objective: final for a finished run, so far for any
    other, None for a diverged one. `settings` maps the dotted keys of what identifies the run, without the seed, and
    the config groups that an override has chosen from, to their values; `overridden` are those that an override names,
    in its order. `last` and `best` are rows of its metrics; `facts` is what the application recorded.
    """

    path: Path
    name: str
    status: str
    record: RunRecord | None = None
    sweep: str = ""
    run_id: str = ""
    setting_id: str = ""
    seed: Any = None
    objective: Objective | None = None
    value: float | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    overridden: tuple[str, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)
    last: dict[str, Any] = field(default_factory=dict)
    best: dict[str, Any] = field(default_factory=dict)
    steps: float | None = None
    max_steps: float | None = None
    seconds: float | None = None
    problem_kind: str = ""
    problem: str = ""
    rank: int | None = None
    is_fresh: bool = False  # its seed confirms what others have chosen; filled in by `load`
    is_survivor: bool = False  # other runs of its setting were lost; filled in by `rank`

    @property
    def metric(self) -> str:
        """The name of the objective; empty where the record cannot be read."""
        return self.objective.name if self.objective else ""

    @property
    def process(self) -> str:
        """What does the run, or did it."""
        return f"pid {self.record.process.pid}" if self.record and self.record.process else ""

    @property
    def is_finished(self) -> bool:
        """Whether the run has its result; divergence is one."""
        return self.status != UNREADABLE and Status(self.status).is_finished

    @property
    def is_unfinished(self) -> bool:
        """Whether the run is pending, running or interrupted: its values are those so far."""
        return self.status in _UNFINISHED

    @property
    def is_troubled(self) -> bool:
        """Whether something went wrong that is not a result: a failure, a damaged file."""
        return bool(self.problem_kind) and self.status not in (Status.DIVERGED, Status.PRUNED)

    @property
    def has_result(self) -> bool:
        """Whether the run is finished and has a value, even if it was pruned."""
        return self.is_finished and self.value is not None

    @property
    def counts(self) -> bool:
        """Whether the run was completed and has a value: means and comparisons use no other.

        The value of a pruned run is that of a shorter training: among complete ones it would mislead either way.
        """
        return self.status == Status.COMPLETED and self.value is not None

    @property
    def is_lost(self) -> bool:
        """Whether the run ended without the value of a whole run: it diverged, failed or was pruned."""
        return self.status in (Status.DIVERGED, Status.FAILED, Status.PRUNED) and not self.is_fresh

    @property
    def is_best(self) -> bool:
        """Whether a ranked row is the best, or one of several equal ones, for its objective; a survivor never is."""
        return self.rank == 1 and self.counts and not self.is_survivor

    @property
    def chosen(self) -> dict[str, Any]:
        """The row of metrics that the objective was taken from."""
        return self.best if self.objective is not None and self.objective.report == "best" else self.last

    def reports(self, most: int | None = None) -> tuple[list[dict[str, Any]], str]:
        """The lines of its metrics.jsonl, at most so many, and a note: what is left out, or wrong with them."""
        try:
            found = RunDir(self.path).read_metrics(most)
            return found, found.note
        except RecordError as error:
            return [], str(error)


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
    for sweep in sweeps_of(row.path for row in rows.values()):
        if fresh := Looks(sweep).fresh:
            for path, row in rows.items():
                if row.seed in fresh and row.path.is_relative_to(sweep):
                    rows[path] = dataclasses.replace(row, is_fresh=True)
    return list(rows.values())


def _row(run: RunDir) -> RunRow:
    try:
        record = run.read()
    except RecordError as error:  # the folder's name is made of the overrides
        settings = dict(_overrides(run.path.name.split(",")))
        name = clean(run.path.name)
        return RunRow(
            run.path, name, UNREADABLE, settings=settings, problem_kind=UNREADABLE, problem=clean(error)
        )  # fmt: skip
    objective = Objective(*(clean(getattr(record.objective, part)) for part in Objective._fields))
    last, best = (found if isinstance(found := record.metrics.get(name), dict) else {} for name in ("last", "best"))
    value = None if record.status is Status.DIVERGED else number(record.objective.value)
    steps, seconds = number(record.steps), number(record.seconds)
    kind, text = _failure(record)
    if not record.status.is_finished:
        try:
            reports = run.read_metrics()
        except RecordError as error:
            kind, text = (f"{kind}, metrics".removeprefix(", "), f"{text} {clean(error)}".strip())
            reports, value = Reports(), None
        if reports:
            known = [best, *reports] if reports.note and best else reports  # the best one may not have been read
            valued = [row for row in known if number(row.get(objective.metric)) is not None]
            last, best = (valued or reports)[-1], _best(valued, objective)
            value = number((best if objective.report == "best" else last).get(objective.metric))
            steps = number(reports[-1]["step"])
            seconds = number(reports[-1].get("elapsed")) or seconds
    ignore = (*record.ignore, *record.seed_keys)
    settings = {clean(key): entry for key, entry in record.settings().items() if not is_ignored(key, ignore)}
    typed = {key: entry for key, entry in _overrides(record.overrides) if not is_ignored(key, ignore)}
    seed = number(record.seed)
    return RunRow(
        path=run.path,
        name=clean(record.name) or clean(run.path.name),
        status=record.status.value,
        record=record,
        sweep=clean(record.sweep),
        run_id=clean(record.run_id),
        setting_id=clean(record.setting_id),
        seed=_plain(seed) if seed is not None or record.seed is None else clean(record.seed),  # it has to sort
        objective=objective,
        value=value,
        settings=settings | {key: entry for key, entry in typed.items() if key not in settings},
        overridden=tuple(typed),
        facts={clean(key): fact for key, fact in record.facts.items()},
        last={clean(key): entry for key, entry in last.items()},
        best={clean(key): entry for key, entry in best.items()},
        steps=_plain(steps),
        max_steps=_plain(number(record.max_steps)),
        seconds=seconds,
        problem_kind=kind,
        problem=text,
    )


def _failure(record: RunRecord) -> tuple[str, str]:
    if record.error is None:
        return ("error", "no reason was recorded; see run.log") if record.status is Status.FAILED else ("", "")
    text, advice = clean(record.error.text), clean(record.error.advice)
    return clean(record.error.kind) or "error", f"{text.rstrip('.')}; {advice}" if advice else text


def _best(reports: Sequence[dict[str, Any]], objective: Objective) -> dict[str, Any]:
    """The first of the reports with the best value; empty where there is none, or no direction."""
    if not objective.is_ranked:
        return {}
    return max(reports, key=lambda row: objective.gain(row[objective.metric]), default={})


def _overrides(overrides: Iterable[str]) -> Iterator[tuple[str, Any]]:
    """(dotted key, value) of each `key=value`, without Hydra's own; numbers as numbers."""
    for override in overrides:
        key, equals, value = str(override).partition("=")
        key = clean(key.lstrip("+~").partition("@")[0].replace("/", "."))
        if equals and key and key.partition(".")[0] != "hydra":
            yield key, _parsed(value)


def _parsed(value: str) -> Any:
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return clean(value)


def _plain(value: float | None) -> float | None:
    """3 instead of 3.0."""
    return int(value) if value is not None and float(value).is_integer() else value

"""The runs of a sweep: what the parent process knows of each. Never imports torch."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus

from sweeps.errors import RecordError, RunFailed
from sweeps.record.identity import labels, run_name
from sweeps.record.records import RunDir, RunRecord


class NotDone(RunFailed):
    """A run that its sweep did not get to, because it stopped after a failure."""


@dataclass
class Preflight:
    """What was found out about one run before any of them starts.

    `error` says why it cannot work, `finished` that nothing is left to do, `record` is to be written where the folder
    says less, after what is there is deleted if it `replaces` another run. `facts` are what the application knows
    beforehand. `composed` is the config of a run with something left, for `JobSetup.run`.
    """

    run_id: str = ""
    setting_id: str = ""
    error: str = ""
    finished: bool = False
    record: RunRecord | None = None
    replaces: bool = False
    steps_left: float | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    composed: bytes = b""


@dataclass(frozen=True)
class Cost:
    """What the application's `cost` hook says of one run; None where it does not say. Memory and disk are in bytes."""

    seconds_per_step: float | None = None
    memory: float | None = None
    disk: float | None = None


@dataclass
class SweepRun:
    """One job of a sweep, and what has become of it.

    `label` is what tells it from the other runs: its name without what all of them have in common.
    The `folder` of a run of an application without the engine's node is empty: there is no record. `result` is there
    once the run is done with. `same_as` names an earlier run with the same settings, whose result counts for both.
    """

    number: int
    overrides: list[str]
    name: str
    label: str
    folder: RunDir
    composition: str = ""
    preflight: Preflight = field(default_factory=Preflight)
    tries: int = 0
    not_before: float = 0.0  # monotonic clock
    result: JobReturn | None = None
    same_as: "SweepRun | None" = None

    def read(self) -> RunRecord | None:
        """What the run says of itself now; None where it says nothing, or nothing readable."""
        try:
            return self.folder.read()
        except RecordError:
            return None

    def complete(self, record: RunRecord) -> None:
        """The run has its result, from now or from before."""
        value = record.objective.value
        self._set_result(JobStatus.COMPLETED, float("nan") if value is None else value)

    def fail(self, error: BaseException) -> None:
        """The run failed for good, or was not done."""
        self._set_result(JobStatus.FAILED, error)

    def _set_result(self, status: JobStatus, value: object) -> None:
        self.preflight.composed = b""
        self.result = JobReturn(overrides=list(self.overrides), status=status, _return_value=value)


def make_runs(
    jobs: Sequence[Sequence[str]],
    first: int,
    folder: Path,
    names: Sequence[str] | None = None,
    ignore: Sequence[str] = (),
) -> list[SweepRun]:
    """The runs of a sweep from the overrides of its jobs, numbered from `first`.

    They live in `folder`, under the `names` that `Folders` gives. Keys that are in `ignore` name no run.
    """
    named = names or [run_name(overrides, ignore) for overrides in jobs]
    return [
        SweepRun(number, list(overrides), name, label, RunDir(folder / name))
        for number, (overrides, name, label) in enumerate(zip(jobs, named, labels(jobs, ignore), strict=True), first)
    ]


def failures(runs: Sequence[SweepRun]) -> int:
    """How many of the runs have failed for good."""
    return sum(run.result is not None and run.result.status is JobStatus.FAILED for run in runs)


def settle(runs: Sequence[SweepRun], *, stopped: bool) -> None:
    """Give the runs their results that are left: of the one that counts for them, or that they were not done."""
    for run in runs:
        if run.same_as is not None:
            run.result = run.same_as.result
        elif run.result is None and not stopped:
            run.fail(NotDone(f"{run.name} was not done: the sweep stopped after a failure"))

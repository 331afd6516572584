"""The cells of a sweep: what the parent process knows of each run. Never imports torch."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hydra.core.utils import JobReturn, JobStatus

from sweeps.errors import RecordError, RunFailed
from sweeps.record.identity import labels, run_name
from sweeps.record.records import RunDir, RunRecord


class NotDone(RunFailed):
    """A cell that its sweep did not get to, because it stopped after a failure."""


@dataclass
class Report:
    """What an inspection found out about one cell.

    `error` tells why it cannot work, `finished` that nothing is left to do, `record` is to be written where the folder
    says less, after what is there is deleted if it `replaces` another run. Cells of equal `kind` cost the same per
    epoch. `forward_macs` are per image. `composed` is the config of a cell with something left, for `Setup.run`.
    """

    name: str
    run_id: str = ""
    error: str = ""
    finished: bool = False
    record: RunRecord | None = None
    replaces: bool = False
    kind: str = ""
    epochs_left: int = 0
    parameters: int = 0
    forward_macs: int = 0
    keeps_weights: bool = True
    composed: bytes = b""


@dataclass(frozen=True)
class Cost:
    """What a probe measured: seconds per epoch, and bytes at the peak."""

    epoch_seconds: float
    peak_memory: int


@dataclass
class Cell:
    """One job of a sweep, and what has become of it.

    `label` is what tells it from the other cells: its name without what all of them have in common.
    `folder` is None where the launcher serves another application, of whose runs it knows nothing. `result` is there
    once the cell is done with. `same_as` names an earlier cell with the same settings, whose result counts for both.
    """

    number: int
    overrides: list[str]
    name: str
    label: str
    folder: RunDir | None = None
    composition: str = ""
    report: Report = field(default_factory=lambda: Report(""))
    tries: int = 0
    not_before: float = 0.0  # monotonic clock
    result: JobReturn | None = None
    same_as: "Cell | None" = None

    def read(self) -> RunRecord | None:
        """What the run says of itself now; None where it says nothing, or nothing readable."""
        if self.folder is None:
            return None
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
        self.report.composed = b""
        self.result = JobReturn(overrides=list(self.overrides), status=status, _return_value=value)


def make_cells(
    jobs: Sequence[Sequence[str]], first: int, folder: Path | None, names: Sequence[str] | None = None
) -> list[Cell]:
    """The cells of a sweep from the overrides of its jobs, numbered from `first`.

    Their runs are in `folder`, if any, under the `names` that `Places` gives; None are the default ones.
    """
    cells = []
    for number, (overrides, label) in enumerate(zip(jobs, labels(jobs), strict=True), start=first):
        name = run_name(overrides) if names is None else names[number - first]
        cells.append(Cell(number, list(overrides), name, label, RunDir(folder / name) if folder is not None else None))
    return cells


def failures(cells: Sequence[Cell]) -> int:
    """How many of the cells have failed for good."""
    return sum(cell.result is not None and cell.result.status is JobStatus.FAILED for cell in cells)


def settle(cells: Sequence[Cell], *, stopped: bool) -> None:
    """Give the cells their results that are left: of the one that counts for them, or that they were not done."""
    for cell in cells:
        if cell.same_as is not None:
            cell.result = cell.same_as.result
        elif cell.result is None and not stopped:
            cell.fail(NotDone(f"{cell.name} was not done: the sweep stopped after a failure"))

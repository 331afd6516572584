"""Before the first epoch: recognise what is finished, check all the rest, say what is left."""

import contextlib
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from sweeps.errors import ConfigError, RecordError
from sweeps.launchers.fingerprint import Composition
from sweeps.launchers.local.pool import POLL_SECONDS, Pool
from sweeps.launchers.runs import Cell, Report, failures
from sweeps.launchers.signals import StopRequest
from sweeps.launchers.view import View
from sweeps.results.format import plural

CHUNK = 8  # cells that a worker inspects before it answers, at most


def prepare(
    cells: Sequence[Cell],
    composition: Composition,
    folder: Path,
    pool: Pool,
    view: View,
    stop: StopRequest,
    under_way: Collection[str] = (),
    *,
    here: bool = True,
    refuse: bool = True,
) -> list[Cell]:
    """Find out what each cell is and what is left of it; returns the cells that are left to do. Writes nothing.

    Args:
        under_way: the names of cells that somebody else is doing, or about to do. One that has other settings now than
            it was begun with is among those that are left; all others are not.
        here: whether the cells will run on this machine, which must then have what they ask for.
        refuse: whether a cell that cannot work refuses all; else it fails alone.

    Raises:
        ConfigError: some cell cannot work.
    """
    by_name: dict[str, Cell] = {}
    for cell in cells:
        if cell.result is not None:  # it failed in an earlier launch of the sweep
            continue
        cell.composition = composition.of(cell.overrides)
        cell.same_as = by_name.get(cell.name)
        by_name.setdefault(cell.name, cell)
    begun = {name for name, cell in by_name.items() if name in under_way and _is_as_begun(cell)}
    unknown = [cell for cell in by_name.values() if not _is_finished(cell) and cell.name not in begun]
    if unknown:
        view.note(
            f"{view.title}: starting workers and checking {plural(len(unknown), 'cell')} before the first run ..."
        )
    for cell, report in zip(unknown, _inspect(unknown, folder, pool, stop, here=here), strict=True):
        cell.report = report
    errors = [cell for cell in unknown if cell.report.error]
    if errors and not refuse:
        for cell in errors:
            view.note(f"{cell.label}: failed: {cell.report.error}")
            cell.fail(ConfigError(cell.report.error))
    elif errors:
        first = errors[0].report.error
        if all(cell.report.error == first for cell in by_name.values()):
            raise ConfigError(f"{first}. No run was started")  # it is no cell's own fault
        more = f" ({len(errors) - 1} more cells cannot work either)" if len(errors) > 1 else ""
        raise ConfigError(f"{errors[0].label}: {first}{more}. No run was started")
    sound = [cell for cell in by_name.values() if not cell.report.error]
    for cell in unknown:
        if cell.report.finished and cell.folder is not None:
            cell.complete(cell.folder.read())
    by_settings: dict[str, Cell] = {}
    for cell in sorted(
        sound, key=lambda cell: cell.result is None and cell.name not in begun
    ):  # what is finished, or under way, counts for the others
        cell.same_as = by_settings.get(cell.report.run_id)
        by_settings.setdefault(cell.report.run_id, cell)
    return [cell for cell in unknown if cell.result is None and cell.same_as is None]


def check_samples(
    samples: Sequence[Sequence[str]], folder: Path, pool: Pool, stop: StopRequest, *, here: bool = True
) -> None:
    """Compose and check cells that may come; the first that cannot work refuses the sweep.

    Raises:
        ConfigError: names its overrides and what is wrong.
    """
    cells = [Cell(number, list(overrides), f".sample-{number}", "") for number, overrides in enumerate(samples)]
    for cell, report in zip(cells, _inspect(cells, folder, pool, stop, here=here), strict=True):
        if report.error:
            raise ConfigError(f"{','.join(cell.overrides)}: {report.error}. No run was started")


def declare(cells: Sequence[Cell]) -> None:
    """Write a record for every cell whose folder says less than is known now: what has not begun is `pending`."""
    for cell in cells:
        done = cell.read() if cell.result is not None else None
        if cell.folder is not None and done is not None and done.status.is_final:
            cell.folder.checkpoint.unlink(missing_ok=True)  # killed after its last record, a run could not do so itself
        if cell.report.record is not None and cell.folder is not None and cell.same_as is None:
            with contextlib.suppress(OSError):  # a file in the way of one folder: that run will fail, and say so
                if cell.report.replaces:
                    cell.folder.clear()
                cell.folder.path.mkdir(parents=True, exist_ok=True)
                cell.folder.write(cell.report.record, durable=False)  # cheap to write again
        cell.report.record = None  # thousands of configs need not stay in memory


def say_what_is_left(cells: Sequence[Cell], todo: Sequence[Cell], view: View) -> None:
    """Name what is merged, and count what is skipped, gone on with and new."""
    for cell in cells:
        if cell.same_as is not None:
            other = "given twice" if cell.same_as.name == cell.name else f"with the settings of {cell.same_as.label}"
            view.note(f"{cell.label}: {other}, done once")
    failed = failures(cells)
    parts = [f"{len(cells)} cells"]
    if finished := sum(cell.result is not None for cell in cells) - failed:
        parts.append(f"{finished} finished before and skipped")
    if failed:
        parts.append(f"{failed} failed")
    view.note(f"{view.title}: {', '.join([*parts, f'{len(todo)} to do'])}")


def ask(pool: Pool, questions: Sequence[tuple[str, Any]], stop: StopRequest, workers: int | None = None) -> list[Any]:
    """The answers to `questions`, each a (kind, content), in their order, from at most so many `workers` at once.

    Raises:
        KeyboardInterrupt: somebody asked to stop.
        ConfigError: a worker died.
    """
    answers: dict[int, Any] = {}
    waiting = list(enumerate(questions))
    while waiting or pool.busy:
        if stop:
            raise KeyboardInterrupt("nothing was started")
        for worker in pool.idle[: len(waiting)][: (workers or len(waiting)) - len(pool.busy)]:
            number, (kind, content) = waiting.pop(0)
            worker.submit((number, kind), kind, content)
        for event in pool.poll(POLL_SECONDS):
            number, kind = event.worker.task
            event.worker.finish()
            if event.kind == "died":
                raise ConfigError(f"a worker ended with exit code {event.content} before the first run ({kind})")
            if isinstance(event.content, BaseException):
                raise event.content
            answers[number] = event.content
    return [answers[number] for number in range(len(questions))]


def _is_finished(cell: Cell) -> bool:
    """Whether a finished record of the same composition lies in the cell's folder; if so, that is its result."""
    if not cell.composition or cell.folder is None or not cell.folder.record.exists() or cell.folder.path.is_symlink():
        return False
    try:
        record = cell.folder.read()
    except RecordError:
        return False  # the inspection says what is wrong with it
    if not record.status.is_final or record.composition != cell.composition:
        return False
    cell.report.run_id = record.run_id
    cell.complete(record)
    return True


def _is_as_begun(cell: Cell) -> bool:
    """Whether the record in a cell's folder is of the same composition, finished or not; it tells the settings then."""
    record = cell.read()
    if record is None or record.composition != cell.composition:
        return False
    if not cell.composition and record.overrides != cell.overrides:
        return False  # nothing is known of the composition; the overrides have to do
    cell.report.run_id = record.run_id
    return True


def _inspect(cells: Sequence[Cell], folder: Path, pool: Pool, stop: StopRequest, *, here: bool) -> list[Report]:
    """Every cell's report, from all workers side by side."""
    questions = []
    size = min(CHUNK, max(1, len(cells) // len(pool.workers)))  # a small grid starts all workers as well
    for start in range(0, len(cells), size):
        chunk = [(cell.name, cell.number, cell.overrides, cell.composition) for cell in cells[start : start + size]]
        questions.append(("inspect", {"folder": folder, "cells": chunk, "here": here}))
    return [report for answer in ask(pool, questions, stop) for report in answer]

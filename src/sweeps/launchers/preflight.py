"""Before the first run: recognise what is complete, check all the rest, say what is left."""

import contextlib
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from sweeps.errors import ConfigError, RecordError
from sweeps.launchers.fingerprint import Fingerprint
from sweeps.launchers.job import NO_GUARD, UNGUARDED
from sweeps.launchers.local.pool import POLL_SECONDS, Pool
from sweeps.launchers.runs import Preflight, SweepRun, failures, make_runs
from sweeps.launchers.signals import StopRequest
from sweeps.launchers.view import View
from sweeps.record.records import RunDir, find_runs
from sweeps.results.format import plural

CHUNK = 8  # runs that a worker inspects before it answers, at most


def prepare(
    runs: Sequence[SweepRun],
    composition: Fingerprint,
    folder: Path,
    pool: Pool,
    view: View,
    stop: StopRequest,
    under_way: Collection[str] = (),
    *,
    refuse: bool = True,
) -> list[SweepRun]:
    """Find out what each run is and what is left of it; returns the runs that are left to do. Writes nothing.

    Args:
        under_way: the names of runs that are queued or running elsewhere. One whose settings have changed since is
            among those that are left; all others are not.
        refuse: whether a run that cannot work refuses all; else it fails alone.
    """
    by_name: dict[str, SweepRun] = {}
    for run in runs:
        if run.result is not None:  # it failed in an earlier launch of the sweep
            continue
        run.composition = composition.of(run.overrides)
        run.same_as = by_name.get(run.name)
        by_name.setdefault(run.name, run)
    known = {name for name, run in by_name.items() if name in under_way and _is_as_known(run)}
    unknown = [run for run in by_name.values() if not _is_finished(run) and run.name not in known]
    if unknown:
        view.note(f"{view.title}: starting workers and checking {plural(len(unknown), 'run')} ...")
    for run, preflight in zip(unknown, _inspect(unknown, folder, pool, stop), strict=True):
        run.preflight = preflight
    errors = [run for run in unknown if run.preflight.error]
    if errors and not refuse:
        for run in errors:
            view.note(f"{run.label}: failed: {run.preflight.error}")
            run.fail(ConfigError(run.preflight.error))
    elif errors:
        first = errors[0].preflight.error
        if all(run.preflight.error == first for run in by_name.values()):
            raise ConfigError(f"{first}. No run was started")  # it is no run's own fault
        more = f" ({plural(len(errors) - 1, 'more run')} cannot start)" if len(errors) > 1 else ""
        raise ConfigError(f"{errors[0].label}: {first}{more}. No run was started")
    sound = [run for run in by_name.values() if not run.preflight.error]
    _find_elsewhere([run for run in unknown if not run.preflight.error], folder, by_name)
    for run in unknown:
        if run.preflight.finished:
            run.complete(run.folder.read())
    by_settings: dict[str, SweepRun] = {}
    for run in sorted(
        sound, key=lambda run: run.result is None and run.name not in known
    ):  # what is finished, or under way, counts for the others
        run.same_as = by_settings.get(run.preflight.run_id)
        by_settings.setdefault(run.preflight.run_id, run)
    return [run for run in unknown if run.result is None and run.same_as is None]


def _find_elsewhere(runs: Sequence[SweepRun], folder: Path, names: Collection[str]) -> None:
    """Let runs that the sweep has under another name, `lr=0.1` instead of `lr=0.1,seed=0`, stay in their folders."""
    new = {run.preflight.run_id: run for run in runs if not run.folder.record.exists()}
    for found in find_runs(folder) if new and folder.is_dir() else ():
        if found.path.relative_to(folder).as_posix() in names:
            continue
        with contextlib.suppress(RecordError):
            record = found.read()
            if run := new.pop(record.run_id, None):
                run.folder, run.name = RunDir(found.path), record.name
                run.preflight.record, run.preflight.finished = None, record.status.is_final


def check_samples(samples: Sequence[Sequence[str]], folder: Path, pool: Pool, view: View, stop: StopRequest) -> None:
    """Compose and check runs that may come; the first that cannot work refuses the sweep."""
    names = [f".sample-{number}" for number in range(len(samples))]
    runs = make_runs(samples, 0, folder, names)
    for run, preflight in zip(runs, _inspect(runs, folder, pool, stop), strict=True):
        if preflight.error:
            raise ConfigError(f"{','.join(run.overrides)}: {preflight.error}. No run was started")
        run.preflight = preflight
    warn(runs, runs, pool, view, stop)


def declare(runs: Sequence[SweepRun]) -> None:
    """Write a record for every run whose folder says less than is known now: what has not started is `pending`."""
    for run in runs:
        done = run.read() if run.result is not None else None
        if done is not None and done.status.is_final:
            run.folder.checkpoint.unlink(missing_ok=True)  # killed after its last record, a run could not do so itself
        if run.preflight.record is not None and run.same_as is None:
            with contextlib.suppress(OSError):  # a file in the way of one folder: that run will fail, and say so
                if run.preflight.replaces:
                    run.folder.clear()
                run.folder.path.mkdir(parents=True, exist_ok=True)
                run.folder.write(run.preflight.record, durable=False)  # cheap to write again
        run.preflight.record = None  # thousands of configs need not stay in memory


def say_what_is_left(runs: Sequence[SweepRun], todo: Sequence[SweepRun], view: View) -> None:
    """Name the duplicates, and count what is skipped and what is left."""
    for run in runs:
        if run.same_as is not None:
            other = "duplicate" if run.same_as.name == run.name else f"duplicate of {run.same_as.label}"
            view.note(f"{run.label}: {other}, runs once")
    failed = failures(runs)
    parts = [plural(len(runs), "run")]
    if finished := sum(run.result is not None for run in runs) - failed:
        parts.append(f"{finished:,} already complete, skipped")
    if failed:
        parts.append(f"{failed:,} failed")
    view.note(f"{view.title}: {', '.join([*parts, f'{len(todo):,} to do'])}")


def warn(runs: Sequence[SweepRun], todo: Sequence[SweepRun], pool: Pool, view: View, stop: StopRequest) -> None:
    """Say what the application has against a sweep over these keys, by its hook `advise`."""
    common = set(runs[0].overrides).intersection(*(run.overrides for run in runs)) if runs else set()
    swept = {text.partition("=")[0].lstrip("+~") for run in runs for text in run.overrides if text not in common}
    for run in todo[:1] if swept else ():
        content = {"folder": run.folder.path, "composed": run.preflight.composed, "swept": sorted(swept)}
        for text in ask(pool, [("advise", content)], stop)[0]:
            view.note(f"warning: {text}")


def ask(pool: Pool, questions: Sequence[tuple[str, Any]], stop: StopRequest) -> list[Any]:
    """The answers of the workers to `questions`, each a (kind, content), in their order.

    Raises:
        KeyboardInterrupt: somebody asked to stop.
        ConfigError: a worker died.
    """
    answers: dict[int, Any] = {}
    waiting = list(enumerate(questions))
    while waiting or pool.busy:
        if stop:
            raise KeyboardInterrupt("nothing was started")
        for worker in pool.idle[: len(waiting)]:
            number, (kind, content) = waiting.pop(0)
            worker.submit((number, kind), kind, content)
        for event in pool.poll(POLL_SECONDS):
            number, kind = event.worker.task
            event.worker.finish()
            if event.kind == "died":
                what = NO_GUARD if event.content == UNGUARDED else f"a worker exited with code {event.content}"
                raise ConfigError(f"{what}. No run was started ({kind})")
            if isinstance(event.content, BaseException):
                raise event.content
            answers[number] = event.content
    return [answers[number] for number in range(len(questions))]


def _is_finished(run: SweepRun) -> bool:
    """Whether a finished record of the same composition lies in the run's folder; if so, that is its result."""
    if not run.composition or not run.folder.record.exists() or run.folder.path.is_symlink():
        return False
    try:
        record = run.folder.read()
    except RecordError:
        return False  # the inspection says what is wrong with it
    if not record.status.is_final or record.composition != run.composition:
        return False
    run.preflight.run_id = record.run_id
    run.complete(record)
    return True


def _is_as_known(run: SweepRun) -> bool:
    """Whether the record in a run's folder is of the same composition, finished or not; it tells the settings then."""
    record = run.read()
    if record is None or record.composition != run.composition:
        return False
    if not run.composition and record.overrides != run.overrides:
        return False  # nothing is known of the composition; the overrides have to do
    run.preflight.run_id = record.run_id
    return True


def _inspect(runs: Sequence[SweepRun], folder: Path, pool: Pool, stop: StopRequest) -> list[Preflight]:
    """Every run's preflight, from all workers side by side."""
    questions = []
    size = min(CHUNK, max(1, len(runs) // len(pool.workers)))  # a small grid starts all workers as well
    for start in range(0, len(runs), size):
        chunk = [(run.name, run.number, run.overrides, run.composition) for run in runs[start : start + size]]
        questions.append(("inspect", {"folder": folder, "runs": chunk}))
    return [preflight for answer in ask(pool, questions, stop) for preflight in answer]

"""The record of a run from its start to its end: it tells the truth whatever ends the run. Never imports torch."""

import contextlib
import logging
import math
import numbers
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sweeps.errors import ConfigError, RecordError, ReportError, RunFailed, SweepsError, in_a_line
from sweeps.record.files import remove_leftovers
from sweeps.record.identity import settings_of
from sweeps.record.masking import shown, shown_text, shown_words
from sweeps.record.processes import Heartbeat, peak_rss, this_process
from sweeps.record.records import Failure, Objective, RunDir, RunRecord, Status, now
from sweeps.record.resolved import Resolved

log = logging.getLogger(__name__)

TRACEBACK_LINES = 40  # of the end
RESERVED = ("step", "elapsed")  # names in a row that are no metrics
NOT_A_NUMBER: Any = object()
_LARGEST = 10**308  # a whole number beyond it is no float, and no reader takes it


class Diverged(Exception):
    """Training blew up: a result of the run, not an error of the program. A training function may raise it.

    Args:
        advice: what may help, such as an override.
    """

    def __init__(self, text: str = "", advice: str = "") -> None:
        super().__init__(text)
        self.advice = advice


class StopRun(BaseException):
    """Ends a run before its training function is through; raised by `report`, to be let through.

    No `Exception`, so that `except Exception` in a training function does not swallow it. `reason` is "pruned",
    "paused", "interrupted" or "diverged".
    """

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.text)
        self.failure = failure

    @property
    def reason(self) -> str:
        """Why the run ends."""
        return self.failure.kind


def new_record(resolved: Resolved, *, name: str, sweep: str, overrides: Sequence[str]) -> RunRecord:
    """The record of a run that has not started."""
    config = shown(resolved.config)
    plain = settings_of(config, resolved.ignore)
    return RunRecord(
        run_id=resolved.run_id,
        setting_id=resolved.setting_id,
        name=name,
        sweep=sweep,
        status=Status.PENDING,
        objective=_objective_of(resolved),
        seed=shown(resolved.seed),
        seed_keys=list(resolved.seed_keys),
        overrides=shown_words(overrides),
        config=config,
        ignore=list(resolved.ignore),
        placed={key: value for key, value in resolved.shown_settings().items() if plain.get(key) != value},
        max_steps=resolved.max_steps,
    )


def bring_up_to_date(record: RunRecord, resolved: Resolved, folder: RunDir) -> bool:
    """Let the record of a finished run say which seed and objective its settings name now; whether that changes it.

    Raises:
        ConfigError: the run has not reported the objective.
        RecordError: what it has reported cannot be read.
    """
    before = record.to_json()
    record.setting_id, record.seed = resolved.setting_id, shown(resolved.seed)
    record.seed_keys, record.ignore = list(resolved.seed_keys), list(resolved.ignore)
    old, new = record.objective, _objective_of(resolved)
    if replace(old, value=None) != new:
        rows = folder.metrics_until(math.inf)
        if rows.note:
            raise RecordError(rows.note)
        reported = _metrics_in(rows)
        if new.metric not in reported and new.metric != old.metric and reported:
            raise ConfigError(
                f"sweep.objective.metric={new.metric or 'null'} was never reported by {record.name}, which is "
                f"complete; reported were {', '.join(reported)}. Choose another sweep.name=NAME to do it again"
            )
        record.objective = replace(new, value=old.value)
        if new.metric in reported:
            summarize(record, rows)
        if record.status is Status.DIVERGED:
            record.objective.value = None
    return record.to_json() != before


def _objective_of(resolved: Resolved) -> Objective:
    asked = {key: str(value or "") for key, value in resolved.settings["objective"].items()}
    return Objective(asked["metric"], asked["direction"], asked["split"], asked["report"])


def _metrics_in(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(key for row in rows for key in row if key not in RESERVED))


@contextlib.contextmanager
def recording(
    folder: RunDir, record: RunRecord, config: Mapping[str, Any], on_end: Callable[[RunRecord], None]
) -> Iterator[None]:
    """Whatever ends the block, the record of the run of `config` tells the truth afterwards; `on_end` gets it."""
    record.status, record.error = Status.RUNNING, None
    record.process = this_process()
    record.started, record.ended = now(), ""
    record.attempts += 1
    folder.path.mkdir(parents=True, exist_ok=True)
    for place in (folder.path, folder.path / ".hydra"):
        remove_leftovers(place)
    folder.write(record)
    try:
        with Heartbeat(folder.record):
            yield
        record.status = Status.COMPLETED
    except BaseException as error:
        record.status = outcome_of(error)
        record.error = _failure_of(error, record, config)
        if isinstance(error, SystemExit):
            raise RunFailed(f"{record.name} failed: {record.error and record.error.text}") from error
        if record.status in (Status.FAILED, Status.INTERRUPTED):
            raise
    finally:
        if record.status is Status.DIVERGED:
            record.objective.value = None
        record.ended = now()
        record.peak_memory = record.peak_memory or peak_rss()
        folder.write(record)
        if record.status.is_final:
            folder.checkpoint.unlink(missing_ok=True)
        on_end(record)


def outcome_of(error: BaseException | None) -> Status:
    """The status of a run that ended with `error`; Ctrl-C, or the end of its process, interrupts it."""
    if error is None:
        return Status.COMPLETED
    if isinstance(error, StopRun):
        return {"diverged": Status.DIVERGED, "interrupted": Status.INTERRUPTED}.get(error.reason, Status.PRUNED)
    if isinstance(error, Diverged):
        return Status.DIVERGED
    return Status.FAILED if isinstance(error, (Exception, SystemExit)) else Status.INTERRUPTED


def _failure_of(error: BaseException, record: RunRecord, config: Mapping[str, Any]) -> Failure | None:
    """What the record keeps of what has ended its run; nothing where it was interrupted."""
    if isinstance(error, Diverged):
        return Failure("diverged", str(error), advice=error.advice)
    if isinstance(error, StopRun):
        return error.failure if record.status is not Status.INTERRUPTED else None
    if isinstance(error, SystemExit):
        of = "" if record.max_steps is None else f" after {record.steps or 0:g} of {record.max_steps:g} steps"
        return Failure("exit", f"the training function called sys.exit({error.code!r}){of}")
    return describe_failure(error, config) if isinstance(error, Exception) else None


def describe_failure(error: Exception, config: Mapping[str, Any]) -> Failure:
    """What a record keeps of `error`: kind, text, the end of the traceback, and advice."""
    if isinstance(error, SweepsError):
        return Failure(error.kind, shown_text(str(error), config))
    text = shown_text(in_a_line(error), config)
    lines = shown_text("".join(traceback.format_exception(error)), config).splitlines()
    trace = "\n".join(lines[-TRACEBACK_LINES:])
    if type(error).__name__ == "OutOfMemoryError" or isinstance(error, MemoryError):  # torch's own, by name
        return Failure("oom", text, trace, "a smaller batch or model")
    return Failure("error", text, trace)


def new_row(metrics: Mapping[str, Any], step: Any, last: float | None, elapsed: float) -> dict[str, Any]:
    """The row of `metrics` at `step`, None being the next one, after the row at `last`, if there is one.

    What is not finite becomes None.

    Raises:
        ReportError: a metric is no number, or the step does not increase.
    """
    at = (last or 0) + 1 if step is None else as_number(step)
    if at is NOT_A_NUMBER or not math.isfinite(at):
        raise ReportError(f"report(step={step!r}) is invalid: a step is a number, such as the epochs done")
    if last is not None and at <= last:
        raise ReportError(f"report(step={at:g}) is invalid: the last report was of step {last:g}, and steps increase")
    if not isinstance(metrics, Mapping):
        raise ReportError(f"report({metrics!r:.60}) is invalid: metrics are numbers by name, report({{'loss': 0.1}})")
    row: dict[str, Any] = {"step": at, "elapsed": round(elapsed, 6)}
    for name, value in metrics.items():
        number = as_number(value)
        if number is NOT_A_NUMBER or not isinstance(name, str) or name in RESERVED:
            rule = "metrics are numbers by name; convert it, float(...), or leave it out"
            if name in RESERVED:
                rule = f"{name} is the engine's own name; choose another one"
            elif number is not NOT_A_NUMBER:
                rule = "the name of a metric is a text"
            elif getattr(value, "shape", ()):
                rule = "metrics are single numbers by name; take one, such as its mean(), or leave it out"
            raise ReportError(f"report({{{name!r}: {value!r:.60}}}) is invalid: {rule}")
        row[name] = number if math.isfinite(number) else None
    return row


def as_fact(value: Any) -> Any:
    """`value` as a record keeps it of a run: a number, a text, a boolean or None; `NOT_A_NUMBER` where it is none."""
    return value if value is None or isinstance(value, (str, bool)) else as_number(value)


def as_number(value: Any) -> Any:
    """`value` as a Python number; `NOT_A_NUMBER` where it is none. Scalars of numpy and torch are numbers."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, (int, float)):
        return value if isinstance(value, float) or abs(value) < _LARGEST else NOT_A_NUMBER
    if isinstance(value, (str, bytes)) or value is None:
        return NOT_A_NUMBER
    item = getattr(value, "item", None)
    with contextlib.suppress(Exception):
        found = item() if callable(item) else float(value) if isinstance(value, numbers.Real) else NOT_A_NUMBER
        return found if isinstance(found, (int, float)) else NOT_A_NUMBER
    return NOT_A_NUMBER


def summarize(record: RunRecord, rows: Sequence[Mapping[str, Any]]) -> None:
    """Bring the figures of the record up to the rows of metrics.jsonl."""
    record.metrics, record.seconds, record.steps, record.objective.value = {}, 0.0, None, None
    for row in rows:
        add_row(record, row)


def add_row(record: RunRecord, row: Mapping[str, Any]) -> None:
    """Bring the figures of the record up to a further row; the objective is that of the last, or best, row with it."""
    objective = record.objective
    record.metrics["last"] = dict(row)
    record.steps, record.seconds = row["step"], row.get("elapsed") or 0.0
    if objective.metric not in row:
        return
    best = record.metrics.get("best")
    if objective.direction and (best is None or _is_better(row, best, objective)):
        best = record.metrics["best"] = dict(row)
    chosen = best if objective.report == "best" and best is not None else row
    objective.value = chosen[objective.metric]


def _is_better(row: Mapping[str, Any], best: Mapping[str, Any], objective: Objective) -> bool:
    """Whether the objective of `row` is better; of equal ones the first counts, and NaN, which is None, never."""
    new, old = row[objective.metric], best[objective.metric]
    if new is None or old is None:
        return new is not None
    return bool(new < old if objective.direction == "min" else new > old)


def settle_objective(record: RunRecord, rows: Sequence[Mapping[str, Any]], returned: Any) -> None:
    """Give the record its objective at the end of a run: what it reported, else what the training function returned.

    Raises:
        Diverged: the returned value is NaN or infinite.
        ConfigError: other metrics than the objective were reported; names them.
    """
    objective = record.objective
    reported = _metrics_in(rows)
    if objective.metric in reported:
        return
    if objective.metric and reported:
        raise ConfigError(
            f"sweep.objective.metric={objective.metric} was never reported; reported were {', '.join(reported)}. Set "
            "it to one of them and repeat the command: steps that have a checkpoint are not trained again"
        )
    value = as_number(returned[0] if isinstance(returned, (tuple, list)) and returned else returned)
    if value is NOT_A_NUMBER:
        if returned is not None:
            log.warning("the training function returned %.60r, which is no number: the run has no objective", returned)
        elif reported:
            log.warning("the run has no objective: set sweep.objective.metric to one of %s", ", ".join(reported))
        return
    if not math.isfinite(value):
        raise Diverged(f"the training function returned {value}")
    objective.value = value

"""The record of a run from its start to its end: it tells the truth whatever ends the run. Never imports torch."""

import logging
import math
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from sweeps.errors import ConfigError, RunFailed, SweepsError, in_a_line
from sweeps.record.files import remove_leftovers
from sweeps.record.masking import shown, shown_text, shown_words
from sweeps.record.processes import Heartbeat, peak_rss, this_process
from sweeps.record.records import Failure, Objective, RunDir, RunRecord, Status
from sweeps.record.resolved import Resolved
from sweeps.record.rows import NOT_A_NUMBER, RESERVED, as_number

log = logging.getLogger(__name__)

TRACEBACK_LINES = 40  # of the end


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
    asked = {key: str(value or "") for key, value in resolved.settings["objective"].items()}
    objective = Objective(asked["metric"], asked["direction"], asked["split"], asked["report"])
    return RunRecord(
        run_id=resolved.run_id,
        setting_id=resolved.setting_id,
        name=name,
        sweep=sweep,
        status=Status.PENDING,
        objective=objective,
        seed=shown(resolved.seed),
        seed_keys=list(resolved.seed_keys),
        overrides=shown_words(overrides),
        config=shown(resolved.config),
        ignore=list(resolved.ignore),
        max_steps=resolved.max_steps,
    )


@contextmanager
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
    except Diverged as error:
        record.status, record.error = Status.DIVERGED, Failure("diverged", str(error), advice=error.advice)
    except StopRun as stop:
        record.status = outcome_of(stop)
        record.error = stop.failure if record.status is not Status.INTERRUPTED else None
        if record.status is Status.INTERRUPTED:
            raise
    except SystemExit as error:
        of = "" if record.max_steps is None else f" after {record.steps or 0:g} of {record.max_steps:g} steps"
        record.status = Status.FAILED
        record.error = Failure("exit", f"the training function called sys.exit({error.code!r}){of}")
        raise RunFailed(f"{record.name} failed: {record.error.text}") from error
    except Exception as error:
        record.status = Status.FAILED
        record.error = describe_failure(error, config)
        raise
    except BaseException:  # Ctrl-C, or the end of the process
        record.status = Status.INTERRUPTED
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
    """The status of a run that ended with `error`."""
    if error is None:
        return Status.COMPLETED
    if isinstance(error, StopRun):
        return {"diverged": Status.DIVERGED, "interrupted": Status.INTERRUPTED}.get(error.reason, Status.PRUNED)
    if isinstance(error, Diverged):
        return Status.DIVERGED
    return Status.FAILED if isinstance(error, Exception) else Status.INTERRUPTED


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
    reported = list(dict.fromkeys(key for row in rows for key in row if key not in RESERVED))
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


def now() -> str:
    """The time as ISO 8601 with the offset to UTC."""
    return datetime.now().astimezone().isoformat(timespec="seconds")

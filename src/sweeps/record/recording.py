"""How a run's record comes to be, and how it tells the truth whatever ends the run. Never imports torch."""

import logging
import math
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from sweeps.errors import ConfigError, NewerRecordError, RecordError, SweepsError
from sweeps.progress import Progress
from sweeps.record.files import remove_leftovers
from sweeps.record.identity import differences, run_id
from sweeps.record.masking import shown, shown_text, shown_words
from sweeps.record.processes import Heartbeat, peak_rss, this_process
from sweeps.record.records import Failure, Objective, RunDir, RunRecord, Status
from sweeps.vision.config import objective_of

log = logging.getLogger(__name__)

TRACEBACK_LINES = 40  # the end of a traceback is what tells


class DivergedError(Exception):
    """A loss became NaN or infinite: a result of the run, not an error of the program."""


class PrunedError(Exception):
    """A run was told to stop after `at` epochs, before its end: a result of the sweep, not an error of the program."""

    def __init__(self, reason: Failure, at: float) -> None:
        super().__init__(reason.text)
        self.reason = reason
        self.at = at


def new_record(config: dict[str, Any], *, name: str, overrides: Sequence[str]) -> RunRecord:
    """The record of a run that has not begun."""
    metric, direction, split = objective_of(config)
    return RunRecord(
        run_id=run_id(config),
        name=name,
        sweep=config["sweep"],
        status=Status.PENDING,
        objective=Objective(metric, direction, config["objective"]["epoch"], split),
        overrides=shown_words(overrides),
        config=shown(config),
    )


def previous_record(folder: RunDir, config: Mapping[str, Any]) -> RunRecord | None:
    """What the folder holds, if it is to be gone on with or kept; None where the run starts from nothing.

    A damaged record counts as none: the run is done again, from its checkpoint where that is sound.

    Raises:
        ConfigError: it holds the work of a run with other settings, or somebody is at work there.
        NewerRecordError: a newer release wrote it.
        RecordError: something in it is a link.
    """
    folder.refuse_links()
    if not folder.record.exists():
        return None
    try:
        previous = folder.read()
    except NewerRecordError:
        raise
    except RecordError as error:
        log.warning("%s; the run is done again", error)
        return None
    if previous.status is Status.RUNNING and previous.process != this_process():
        raise ConfigError(f"{folder.path} is being run by {previous.process}; wait for it, or name another sweep=NAME")
    if previous.run_id == run_id(config):
        return previous
    if not previous.status.is_finished and previous.epochs == 0:
        return None  # nothing would be lost
    if config["on_mismatch"] == "keep":
        return previous
    if config["on_mismatch"] == "rerun":
        return None  # whoever starts the new run clears the folder
    differing = differences(previous.config, shown(config))
    raise ConfigError(
        f"{folder.path} holds a run with other settings ({differing}) and was left as it is. Name another sweep=NAME, "
        "or choose on_mismatch=rerun (the old run is deleted) or on_mismatch=keep"
    )


@contextmanager
def recording(folder: RunDir, record: RunRecord, progress: Progress, config: Mapping[str, Any]) -> Iterator[None]:
    """Whatever ends the block, the record of the run of `config` tells the truth afterwards."""
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
        record.status = outcome_of(None)
    except DivergedError as error:
        record.status = outcome_of(error)
        record.objective.value = None
        record.error = Failure("diverged", str(error), advice="a smaller optim.lr, or trainer.clip_norm=1")
    except PrunedError as error:
        record.status = Status.PRUNED
        record.error, record.stopped_at = error.reason, error.at
    except Exception as error:
        record.status = outcome_of(error)
        record.error = describe_failure(error, config)
        raise
    except BaseException as error:
        record.status = outcome_of(error)
        raise
    finally:
        record.ended = now()
        record.peak_memory = record.peak_memory or peak_rss()
        folder.write(record)
        if record.status.is_final:
            folder.checkpoint.unlink(missing_ok=True)
        progress.end(record)


def outcome_of(error: BaseException | None) -> Status:
    """The status of a run that ended with `error`."""
    if error is None:
        return Status.COMPLETED
    if isinstance(error, DivergedError):
        return Status.DIVERGED
    # Not an `Exception`: Ctrl-C, a request to stop, the end of the process.
    return Status.FAILED if isinstance(error, Exception) else Status.INTERRUPTED


def describe_failure(error: Exception, config: Mapping[str, Any]) -> Failure:
    """What a record keeps of `error`: kind, text, the end of the traceback, and an override that may help."""
    if isinstance(error, SweepsError):
        return Failure(error.kind, shown_text(str(error), config))
    text = shown_text(f"{type(error).__name__}: {error}", config)
    lines = shown_text("".join(traceback.format_exception(error)), config).splitlines()
    trace = "\n".join(lines[-TRACEBACK_LINES:])
    if type(error).__name__ == "OutOfMemoryError" or isinstance(error, MemoryError):  # torch's own, by name
        return Failure("oom", text, trace, smaller_batch(config))
    return Failure("error", text, trace)


def smaller_batch(config: Mapping[str, Any]) -> str:
    """The override that halves the memory of activations."""
    size = config["trainer"]["batch_size"] // 2
    return f"trainer.batch_size={size}" if size else "a smaller network or resize.size"


def summarize(record: RunRecord, rows: Sequence[Mapping[str, Any]]) -> None:
    """Bring the figures of the record up to the rows of metrics.jsonl."""
    objective, record.epochs = record.objective, len(rows)
    if not rows:
        record.metrics, record.seconds, record.examples_per_second, objective.value = {}, 0.0, None, None
        return
    sign = 1 if objective.direction == "max" else -1
    figures = [-math.inf if row[objective.metric] is None else sign * row[objective.metric] for row in rows]
    best = rows[figures.index(max(figures))]  # of equals the first
    record.metrics = {"last": dict(rows[-1]), "best": dict(best)}
    record.seconds = sum(row["seconds"] for row in rows)
    record.examples_per_second = sum(row["examples_per_second"] for row in rows) / len(rows)
    value = record.metrics[objective.epoch][objective.metric]
    objective.value = value if value is not None and math.isfinite(value) else None


def now() -> str:
    """The time as ISO 8601 with the offset to UTC."""
    return datetime.now().astimezone().isoformat(timespec="seconds")

"""One run from its composed config to its record: the only place that knows every room."""

import functools
import hashlib
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from sweeps.errors import RecordError
from sweeps.progress import Interrupted, Progress
from sweeps.pruners import PRUNED, Reporter, goes_on, pruning_metric, reporter_of
from sweeps.record.files import atomic_write
from sweeps.record.identity import run_id
from sweeps.record.provenance import environment
from sweeps.record.recording import PrunedError, new_record, previous_record, recording, summarize
from sweeps.record.records import RunDir, RunRecord, Status
from sweeps.trackers import NullTracker, followed
from sweeps.vision import confusion
from sweeps.vision.build import build, check_parts, inspect, load, make_trackers
from sweeps.vision.checks import check
from sweeps.vision.data import Batches
from sweeps.vision.devices import choose_device, describe_device, peak_memory
from sweeps.vision.training import BestWeights, Step, Totals, checkpoint, confusion_of, is_time, run_epochs

log = logging.getLogger(__name__)

_DEFAULT_THREADS = torch.get_num_threads()


def run(
    config: dict[str, Any],
    folder: RunDir,
    *,
    name: str,
    overrides: list[str],
    progress: Progress,
    sources: Mapping[str, str] | None = None,
    sweep: Path | None = None,
) -> RunRecord:
    """Do what is left of a run: nothing if it is finished, the rest if it left a checkpoint, else all of it.

    Args:
        config: the resolved config (`sweeps.vision.config.resolve`).
        folder: where the run leaves its files.
        sweep: the folder of its sweep; None is the one that `folder` lies in.
        sources: further texts to keep in the folder, by file name: what the config was composed from.

    Raises:
        ConfigError, DataError: the settings or the images cannot work; also in the record, as `failed`.
        ConfigError: the folder holds a run with other settings; it is left as it is.
        Exception: whatever else went wrong, after it was written into the record.
    """
    previous, sweep = previous_record(folder, config), sweep or folder.path.parent
    is_kept = previous is not None and previous.run_id != run_id(config)
    if previous is not None and (is_kept or (previous.status.is_finished and not goes_on(previous, config, sweep))):
        if not is_kept and previous.status.is_final:
            folder.checkpoint.unlink(missing_ok=True)  # killed after its last record, a run could not do so itself
        progress.end(previous, skipped=True)
        return previous
    if previous is None and config["on_mismatch"] == "rerun":
        folder.clear()
    record = new_record(config, name=name, overrides=overrides)
    record.attempts = previous.attempts if previous is not None else 0
    record.composition = previous.composition if previous is not None else ""
    record.weights_epoch = previous.weights_epoch if previous is not None else None
    with recording(folder, record, progress, config):
        for path, text in (sources or {}).items():
            (folder.path / path).parent.mkdir(exist_ok=True)
            atomic_write(folder.path / path, text.encode(), durable=False, private=True)
        check(config)
        check_parts(config)
        with followed(folder, record, make_trackers(config)) as tracker, _kept_best(config, folder, record) as best:
            _train(config, folder, record, previous, progress, tracker, sweep, best)
    return record


@contextmanager
def _kept_best(config: dict[str, Any], folder: RunDir, record: RunRecord) -> Iterator[BestWeights | None]:
    """The weights of the best epoch so far, which a run that patience stops leaves behind; None under other pruners."""
    if config["pruner"]["name"] != "patience" or not config["trainer"]["save_weights"]:
        yield None
        return
    best = BestWeights(pruning_metric(config))
    try:
        yield best
    except PrunedError as error:
        if error.reason.kind == PRUNED and best.epoch is not None:
            checkpoint.save_weights(folder, best.network)
            record.weights_epoch = best.epoch
        raise


def _train(
    config: dict[str, Any],
    folder: RunDir,
    record: RunRecord,
    previous: RunRecord | None,
    progress: Progress,
    tracker: NullTracker,
    sweep: Path,
    best: BestWeights | None,
) -> None:
    trainer = config["trainer"]
    device = choose_device(config["device"])
    torch.set_num_threads(trainer["threads"] or _DEFAULT_THREADS)
    record.environment = environment(describe_device(device))
    folder.write(record)
    step, data = build(config, device)
    record.environment |= step.engine.describe()
    record.data_order = _order_hash(data.train, trainer["epochs"])
    record.parameters = sum(parameter.numel() for parameter in step.network.parameters())
    record.forward_macs = inspect(config, data.train.num_images).forward_macs
    rows = _restore(folder, record, step, device, data.train.steps, best)
    reporter = reporter_of(config, sweep)
    summarize(record, rows)
    folder.write(record)
    progress.begin(record, epochs=trainer["epochs"], batches=data.train.steps)

    was_stopped = previous is not None and previous.status is Status.PRUNED
    stop = reporter.resume(_epochs_done(previous, len(rows)), was_stopped=was_stopped)
    if stop is not None:
        raise PrunedError(stop, reporter.reached or len(rows))
    tracker.open(folder, record, epochs_done=len(rows))
    if not rows:
        tracker.network(step.network, next(data.train.in_order())[0])
    epochs = run_epochs(
        step,
        data,
        epochs=range(len(rows) + 1, trainer["epochs"] + 1),
        seed=config["seed"],
        evaluate_train=trainer["evaluate_train"],
        bn_reestimate=trainer["bn_reestimate"],
        new_totals=lambda: Totals(config["dataset"]["classes"], device),
        progress=progress,
        after_batch=functools.partial(_report_batch, reporter),
    )
    for row, measured in epochs:
        rows.append(row)
        folder.append_metrics(row)
        tracker.epoch(row)
        if row["epoch"] == trainer["epochs"]:
            labels = config["dataset"]["labels"]
            found = confusion_of(measured["test"], load(config).test, labels, split="test", epoch=row["epoch"])
            confusion.write(folder, found)
            tracker.confusion(found)
            if trainer["save_predictions"]:
                checkpoint.save_predictions(folder, measured)
        stopping = row["epoch"] < trainer["epochs"] and progress.stop_requested()
        stop = reporter.epoch(row)
        if best is not None:
            best.offer(row["epoch"], reporter.gain, step.network)
        keeps = stop is not None and config["pruner"]["keep_checkpoint"]
        if stopping or keeps or is_time(row["epoch"], trainer["checkpoint_every"], trainer["epochs"]):
            checkpoint.save(folder, record.run_id, row["epoch"], step, best)
        summarize(record, rows)
        record.peak_memory = peak_memory(device)
        folder.write(record)
        progress.epoch(row)
        if stop is not None:
            raise PrunedError(stop, row["epoch"])
        if stopping:
            raise Interrupted
    if trainer["save_weights"]:
        checkpoint.save_weights(folder, step.network.state_dict())
        record.weights_epoch = trainer["epochs"]
    tracker.trained(step.network, next(data.train.in_order())[0])


def _epochs_done(previous: RunRecord | None, checkpointed: int) -> float:
    """Where a run resumes: a part of an epoch may have been trained, and judged, beyond its checkpoint."""
    stopped_at = previous.stopped_at if previous is not None else None
    return stopped_at if stopped_at is not None and 0 <= stopped_at - checkpointed < 1 else checkpointed


def _report_batch(reporter: Reporter, epoch: int, done: int, total: int, totals: Totals) -> None:
    stop = reporter.batch(epoch, done, total, totals)
    if stop is not None:
        raise PrunedError(stop, reporter.reached)


def _restore(
    folder: RunDir, record: RunRecord, step: Step, device: torch.device, batches: int, best: BestWeights | None
) -> list[dict[str, Any]]:
    """Put the run's checkpoint, if it left a sound one, into `step` and `best`; returns the metrics rows up to it."""
    try:
        rows = folder.read_metrics()
        if not all({record.objective.metric, "epoch", "seconds", "examples_per_second"} <= row.keys() for row in rows):
            raise RecordError(f"{folder.metrics} lacks figures of this run")
    except RecordError as error:
        log.warning("%s; the run starts again", error)
        rows = []
    epoch = checkpoint.restore(folder, record.run_id, step, device, most=len(rows), best=best)
    step.steps = epoch * batches
    folder.write_metrics(rows[:epoch])  # what came after the checkpoint is done, and written, again
    return rows[:epoch]


def _order_hash(batches: Batches, epochs: int) -> str:
    """A hash of which image comes when: equal ones prove that two runs saw the same batches."""
    digest = hashlib.sha256(f"{batches.num_images} images, {batches.steps} batches of {batches.batch_size}".encode())
    for epoch in range(1, epochs + 1):
        digest.update(batches.order(epoch)[: batches.num_trained].cpu().numpy().tobytes())
    return digest.hexdigest()[:12]

"""One run from its composed config to its record: the only place that knows every room."""

import logging
import math
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import torch
from hydra.utils import instantiate
from torch import nn

from sweeps import models
from sweeps.checks import check
from sweeps.config import objective_of
from sweeps.data import Augment, Batches, ImageSet, Splits, load_splits
from sweeps.devices import choose_device, describe_device
from sweeps.errors import ConfigError, NewerRecordError, RecordError, SweepsError
from sweeps.identity import differences, run_id
from sweeps.provenance import environment
from sweeps.records import Failure, Objective, RunDir, RunRecord, Status
from sweeps.tracking import NullTracker
from sweeps.training import Diverged, Loaders, Progress, Step, Totals, checkpoint, run_epochs

log = logging.getLogger(__name__)

_DEFAULT_THREADS = torch.get_num_threads()


def run(config: dict[str, Any], folder: RunDir, *, name: str, overrides: list[str], progress: Progress) -> RunRecord:
    """Do what is left of a run: nothing if it is finished, the rest if it left a checkpoint, else all of it.

    Args:
        config: the resolved config (`sweeps.config.resolve`).
        folder: where the run leaves its files.

    Raises:
        ConfigError, DataError: the settings or the images cannot work; also in the record, as `failed`.
        ConfigError: the folder holds a run with other settings; it is left as it is.
        Exception: whatever else went wrong, after it was written into the record.
    """
    identity = run_id(config)
    previous = _previous(folder, identity, config)
    if previous is not None and previous.status.is_finished:
        progress.end(previous, skipped=True)
        return previous
    metric, direction, split = objective_of(config)
    record = RunRecord(
        run_id=identity,
        name=name,
        sweep=config["sweep"],
        status=Status.RUNNING,
        objective=Objective(metric, direction, config["objective"]["epoch"], split),
        overrides=overrides,
        config=config,
        started=_now(),
    )
    with _recording(folder, record, progress):
        check(config)
        _train(config, folder, record, progress)
    return record


def _train(config: dict[str, Any], folder: RunDir, record: RunRecord, progress: Progress) -> None:
    trainer = config["trainer"]
    device = choose_device(config["device"])
    torch.set_num_threads(trainer["threads"] or _DEFAULT_THREADS)
    record.environment = environment(describe_device(device))
    folder.write(record)
    step, data = _build(config, device)
    record.parameters = sum(parameter.numel() for parameter in step.network.parameters())
    rows = _restore(folder, record, step, device, len(data.train))
    _summarize(record, rows)
    folder.write(record)
    progress.begin(record, epochs=trainer["epochs"], batches=len(data.train))

    tracker: NullTracker = instantiate(config["tracker"])
    tracker.open(folder, epochs_done=len(rows))
    try:
        if not rows:
            tracker.network(step.network, next(data.train.in_order())[0])
        epochs = run_epochs(
            step,
            data,
            epochs=range(len(rows) + 1, trainer["epochs"] + 1),
            seed=config["seed"],
            evaluate_train=trainer["evaluate_train"],
            new_totals=lambda: Totals(config["dataset"]["classes"], device),
            progress=progress,
        )
        for row, tested in epochs:
            rows.append(row)
            folder.append_metrics(row)
            tracker.epoch(row)
            if row["epoch"] == trainer["epochs"]:
                tracker.confusion(tested.confusion(), config["dataset"]["labels"])
            elif trainer["checkpoint_every"] and row["epoch"] % trainer["checkpoint_every"] == 0:
                checkpoint.save(folder, record.run_id, row["epoch"], step)
            _summarize(record, rows)
            folder.write(record)
            progress.epoch(row)
    finally:
        tracker.close()
    if trainer["save_weights"]:
        checkpoint.save_weights(folder, step.network)


def _build(config: Mapping[str, Any], device: torch.device) -> tuple[Step, Loaders]:
    """The network with its optimizer, and the images it trains on, as the seed makes them."""
    splits = _load(config)
    inspect(config, len(splits.train))
    data = _loaders(config, splits, device)
    torch.manual_seed(config["seed"])
    network: nn.Module = instantiate(config["model"])
    models.initialize(network, config["init"])
    network.to(device)
    step = Step(
        network,
        instantiate(config["optim"])(network.parameters()),
        schedule=instantiate(config["schedule"]),
        total_steps=config["trainer"]["epochs"] * len(data.train),
        clip_norm=config["trainer"]["clip_norm"],
    )
    return step, data


def _restore(folder: RunDir, record: RunRecord, step: Step, device: torch.device, batches: int) -> list[dict[str, Any]]:
    """Put the run's checkpoint, if it left a sound one, into `step`; returns the metrics rows up to it."""
    found = checkpoint.load(folder, record.run_id, device)
    rows = folder.keep_metrics(found.epoch if found else 0)
    if found is None or len(rows) < found.epoch:  # a checkpoint without its metrics is no place to go on from
        return folder.keep_metrics(0)
    step.network.load_state_dict(found.network)
    step.optimizer.load_state_dict(found.optimizer)
    step.steps = found.epoch * batches
    return rows


def inspect(config: Mapping[str, Any], num_images: int | None = None) -> models.NetworkProfile:
    """Build the network without memory and see that it takes these images in batches of this size.

    Args:
        num_images: how many training images there are, for the size of the last batch; None leaves it out.

    Raises:
        ConfigError: it does not; names the layer and the way out.
    """
    size, batch_size = config["resize"]["size"], config["trainer"]["batch_size"]
    node = config["model"]

    def build(image_size: int) -> nn.Module:
        sized = {**node, "image_size": image_size} if "image_size" in node else node
        network: nn.Module = instantiate(sized)
        return network

    return models.inspect_network(
        build,
        name=str(node["_target_"]).rpartition(".")[2],
        channels=config["resize"]["channels"],
        image_size=size,
        classes=config["dataset"]["classes"],
        batch_size=batch_size,
        smallest_batch=batch_size if num_images is None else (num_images % batch_size or batch_size),
    )


def _load(config: Mapping[str, Any]) -> Splits:
    dataset = config["dataset"]
    keys = ("root", "name", "classes", "channels", "size", "limit", "test_limit", "validation")
    splits = load_splits(instantiate(dataset["source"]), **{key: dataset[key] for key in keys})
    log.info("images from %s", splits.origin)
    return splits


def _loaders(config: Mapping[str, Any], splits: Splits, device: torch.device) -> Loaders:
    augment = Augment(**config["augment"])

    def batches(images: ImageSet, augment: Augment | None = None) -> Batches:
        return Batches(
            images.to(device),
            batch_size=config["trainer"]["batch_size"],
            size=config["resize"]["size"],
            channels=config["resize"]["channels"],
            seed=config["seed"],
            augment=augment,
        )

    val = None if splits.val is None else batches(splits.val)
    return Loaders(batches(splits.train, augment), val, batches(splits.test))


def _previous(folder: RunDir, identity: str, config: Mapping[str, Any]) -> RunRecord | None:
    """The record that the folder holds, if it is one of this very run.

    A damaged record counts as none: the run is done again, from its checkpoint where that is sound.
    """
    if not folder.record.exists():
        return None
    try:
        previous = folder.read()
    except NewerRecordError:
        raise
    except RecordError as error:
        log.warning("%s", error)
        return None
    if previous.run_id != identity:
        raise ConfigError(
            f"{folder.path} holds a run with other settings: {differences(previous.config, config)}. "
            "Nothing was changed; name another sweep (sweep=NAME) or move that folder away"
        )
    return previous


@contextmanager
def _recording(folder: RunDir, record: RunRecord, progress: Progress) -> Iterator[None]:
    """Whatever ends the run, its record tells the truth afterwards."""
    try:
        folder.path.mkdir(parents=True, exist_ok=True)
        yield
        record.status = Status.COMPLETED
    except Diverged as error:
        record.status = Status.DIVERGED
        record.objective.value = None
        advice = "a smaller optim.lr, or trainer.clip_norm=1"
        record.error = Failure("diverged", str(error), advice=advice)
    except Exception as error:
        record.status = Status.FAILED
        record.error = describe_failure(error)
        raise
    except BaseException:  # Ctrl-C, or the end of the process
        record.status = Status.INTERRUPTED
        raise
    finally:
        record.ended = _now()
        folder.write(record)
        if record.status.is_finished:
            folder.checkpoint.unlink(missing_ok=True)
        progress.end(record)


def describe_failure(error: Exception) -> Failure:
    """The kind, text, traceback and advice that a record keeps of `error`."""
    if isinstance(error, SweepsError):
        return Failure(error.kind, str(error))
    text = f"{type(error).__name__}: {error}"
    trace = "".join(traceback.format_exception(error))
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return Failure("oom", text, trace, "a smaller batch: trainer.batch_size=64")
    return Failure("error", text, trace)


def _summarize(record: RunRecord, rows: list[dict[str, Any]]) -> None:
    """Bring the figures of the record up to the rows of metrics.jsonl."""
    objective, record.epochs = record.objective, len(rows)
    if not rows:
        record.metrics, record.seconds, objective.value = {}, 0.0, None
        return
    sign = 1 if objective.direction == "max" else -1
    best = max(rows, key=lambda row: (sign * row[objective.metric], -row["epoch"]))
    record.metrics = {"last": rows[-1], "best": best}
    record.seconds = sum(row["seconds"] for row in rows)
    record.examples_per_second = sum(row["examples_per_second"] for row in rows) / len(rows)
    value = record.metrics[objective.epoch][objective.metric]
    objective.value = value if math.isfinite(value) else None


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")

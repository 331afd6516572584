"""One run from its composed config to its record: the only place that knows every room."""

import functools
import hashlib
import json
import logging
from collections.abc import Iterable, Mapping
from inspect import signature as inspect_signature
from typing import Any

import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from torch import nn

from sweeps import confusion, models
from sweeps.checks import check
from sweeps.data import Augment, Batches, ImageSet, Splits, load_splits
from sweeps.devices import choose_device, describe_device, peak_memory, release_memory
from sweeps.errors import ConfigError, RecordError, SweepsError
from sweeps.files import atomic_write
from sweeps.identity import run_id
from sweeps.lifecycle import PrunedError, new_record, previous_record, recording, summarize
from sweeps.progress import Interrupted, Progress
from sweeps.provenance import environment
from sweeps.pruning import Reporter, goes_on, reporter_of
from sweeps.records import RunDir, RunRecord
from sweeps.tracking import NullTracker, followed
from sweeps.training import Engine, Loaders, Step, Totals, checkpoint, confusion_of, is_time, run_epochs

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
) -> RunRecord:
    """Do what is left of a run: nothing if it is finished, the rest if it left a checkpoint, else all of it.

    Args:
        config: the resolved config (`sweeps.config.resolve`).
        folder: where the run leaves its files.
        sources: further texts to keep in the folder, by file name: what the config was composed from.

    Raises:
        ConfigError, DataError: the settings or the images cannot work; also in the record, as `failed`.
        ConfigError: the folder holds a run with other settings; it is left as it is.
        Exception: whatever else went wrong, after it was written into the record.
    """
    previous = previous_record(folder, config)
    is_kept = previous is not None and previous.run_id != run_id(config)
    if previous is not None and (is_kept or (previous.status.is_finished and not goes_on(previous, config))):
        if not is_kept and previous.status.is_final:
            folder.checkpoint.unlink(missing_ok=True)  # killed after its last record, a run could not do so itself
        progress.end(previous, skipped=True)
        return previous
    if previous is None and config["on_mismatch"] == "rerun":
        folder.clear()
    record = new_record(config, name=name, overrides=overrides)
    record.attempts = previous.attempts if previous is not None else 0
    record.composition = previous.composition if previous is not None else ""
    with recording(folder, record, progress):
        for path, text in (sources or {}).items():
            (folder.path / path).parent.mkdir(exist_ok=True)
            atomic_write(folder.path / path, text.encode(), durable=False)
        check(config)
        check_parts(config)
        with followed(folder, record, make_trackers(config)) as tracker:
            _train(config, folder, record, progress, tracker)
    return record


def _train(config: dict[str, Any], folder: RunDir, record: RunRecord, progress: Progress, tracker: NullTracker) -> None:
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
    rows = _restore(folder, record, step, device, len(data.train))
    reporter = reporter_of(config, folder.path.parent)
    summarize(record, rows)
    folder.write(record)
    progress.begin(record, epochs=trainer["epochs"], batches=len(data.train))

    stop = reporter.resume()
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
        keeps = stop is not None and config["pruner"]["keep_checkpoint"]
        if stopping or keeps or is_time(row["epoch"], trainer["checkpoint_every"], trainer["epochs"]):
            checkpoint.save(folder, record.run_id, row["epoch"], step)
        summarize(record, rows)
        record.peak_memory = peak_memory(device)
        folder.write(record)
        progress.epoch(row)
        if stop is not None:
            raise PrunedError(stop, row["epoch"])
        if stopping:
            raise Interrupted
    if trainer["save_weights"]:
        checkpoint.save_weights(folder, step.network)
    tracker.trained(step.network, next(data.train.in_order())[0])


def _report_batch(reporter: Reporter, epoch: int, done: int, total: int, totals: Totals) -> None:
    stop = reporter.batch(epoch, done, total, totals)
    if stop is not None:
        raise PrunedError(stop, reporter.reached)


def choose_engine(config: Mapping[str, Any], device: torch.device) -> Engine:
    """How the run computes on `device`.

    Raises:
        ConfigError: the device cannot do what is asked for.
    """
    choices = {key: config["trainer"][key] for key in ("precision", "memory_format", "compile", "capture")}
    return Engine.choose(device, size=config["resize"]["size"], **choices)


def build(config: Mapping[str, Any], device: torch.device) -> tuple[Step, Loaders]:
    """The network with its optimizer, and the images it trains on, as the seed makes them."""
    release_memory(device)
    trainer = config["trainer"]
    engine = choose_engine(config, device)
    engine.configure()
    splits = load(config)
    inspect(config, len(splits.train))
    data = _loaders(config, splits, device)
    torch.manual_seed(config["seed"])
    network: nn.Module = make(config["model"])
    models.initialize(network, config["init"])
    network = engine.place(network)
    step = Step(
        network,
        _optimizer(config, network.parameters(), device),
        engine=engine,
        schedule=make(config["schedule"]),
        total_steps=trainer["epochs"] * len(data.train),
        clip_norm=trainer["clip_norm"],
    )
    return step, data


def _restore(folder: RunDir, record: RunRecord, step: Step, device: torch.device, batches: int) -> list[dict[str, Any]]:
    """Put the run's checkpoint, if it left a sound one, into `step`; returns the metrics rows up to it."""
    try:
        rows = folder.read_metrics()
    except RecordError as error:
        log.warning("%s; the run starts again", error)
        rows = []
    epoch = checkpoint.restore(folder, record.run_id, step, device, most=len(rows))
    step.steps = epoch * batches
    folder.write_metrics(rows[:epoch])  # what came after the checkpoint is done, and written, again
    return rows[:epoch]


def inspect(config: Mapping[str, Any], num_images: int | None = None) -> models.NetworkProfile:
    """Build the network without memory and see that it takes these images in batches of this size.

    Args:
        num_images: how many training images there are, for the size of the last batch; None leaves it out.

    Raises:
        ConfigError: it does not; names the layer and the way out.
    """
    keys = ("size", "channels")
    shape = {key: config["resize"][key] for key in keys} | {"classes": config["dataset"]["classes"]}
    shape["batch_size"] = config["trainer"]["batch_size"]
    return _inspect(json.dumps(config["model"], sort_keys=True), num_images=num_images, **shape)


@functools.lru_cache(maxsize=16)
def _inspect(
    model_json: str, *, size: int, channels: int, classes: int, batch_size: int, num_images: int | None
) -> models.NetworkProfile:
    node = json.loads(model_json)

    def build(image_size: int) -> nn.Module:
        sized = {**node, "image_size": image_size} if "image_size" in node else node
        network: nn.Module = make(sized)
        return network

    return models.inspect_network(
        build,
        name=str(node["_target_"]).rpartition(".")[2],
        channels=channels,
        image_size=size,
        classes=classes,
        batch_size=batch_size,
        smallest_batch=batch_size if num_images is None else (num_images % batch_size or batch_size),
    )


def make(node: Mapping[str, Any]) -> Any:
    """What `node` describes by its `_target_`.

    Raises:
        ConfigError: it cannot be made with these arguments.
    """
    try:
        return instantiate(node)
    except InstantiationException as error:
        cause = error.__cause__
        if isinstance(cause, SweepsError):
            raise cause from error
        if isinstance(cause, (TypeError, ValueError)):
            raise ConfigError(f"_target_={node['_target_']} cannot be made: {cause}") from error
        raise


def check_parts(config: Mapping[str, Any]) -> None:
    """Make everything but the network and the images, and forget it.

    Raises:
        ConfigError: some part does not take its arguments.
    """
    make(config["schedule"])
    make_trackers(config)
    make(config["dataset"]["source"])
    Augment(**config["augment"])
    _optimizer(config, [nn.Parameter(torch.zeros(1))], torch.device("cpu"))


def make_trackers(config: Mapping[str, Any]) -> list[NullTracker]:
    """The trackers of a config: one node, or several by name."""
    chosen = config["tracker"]
    nodes = [chosen] if "_target_" in chosen else chosen.values()
    return [make(node) for node in nodes]


def _optimizer(
    config: Mapping[str, Any], parameters: Iterable[nn.Parameter], device: torch.device
) -> torch.optim.Optimizer:
    """The optimizer, with its fused form on CUDA: one kernel for all parameters."""
    try:
        partial = make(config["optim"])
        fused = device.type == "cuda" and "fused" in inspect_signature(partial).parameters
        optimizer: torch.optim.Optimizer = partial(parameters, fused=True) if fused else partial(parameters)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"optim: {config['optim']['_target_']} refuses its arguments: {error}") from error
    return optimizer


def load(config: Mapping[str, Any]) -> Splits:
    """The images of a run. A process keeps those of its last one, since the next run most often wants the same."""
    return _load(json.dumps(config["dataset"], sort_keys=True))


@functools.lru_cache(maxsize=1)
def _load(dataset_json: str) -> Splits:
    dataset = json.loads(dataset_json)
    keys = ("root", "name", "classes", "channels", "size", "limit", "test_limit", "validation")
    splits = load_splits(make(dataset["source"]), **{key: dataset[key] for key in keys})
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


def _order_hash(batches: Batches, epochs: int) -> str:
    """A hash of which image comes when: equal ones prove that two runs saw the same batches."""
    digest = hashlib.sha256(f"{batches.num_images} images, {len(batches)} batches".encode())
    for epoch in range(1, epochs + 1):
        digest.update(batches.order(epoch).cpu().numpy().tobytes())
    return digest.hexdigest()[:12]

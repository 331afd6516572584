"""The parts of a run, made from the nodes of its config: network, optimizer, images."""

import functools
import hashlib
import json
import logging
from collections.abc import Iterable, Mapping
from inspect import signature
from typing import Any

import torch
from torch import nn

from sweeps import ConfigError
from sweeps.targets import make, target_of
from sweeps.vision import models
from sweeps.vision.config import is_own_network
from sweeps.vision.data import Augment, Batches, ImageSet, Splits, load_splits
from sweeps.vision.devices import describe_device
from sweeps.vision.training.engine import Engine, Loaders, Training

log = logging.getLogger(__name__)


def build(config: Mapping[str, Any], device: torch.device) -> Training:
    """The network with its optimizer, and the images it trains on, as the seed makes them.

    Raises:
        ConfigError, DataError: the device cannot do what is asked for, or the images do not suit.
    """
    trainer = config["trainer"]
    choices = {key: trainer[key] for key in ("precision", "memory_format", "compile", "capture")}
    engine = Engine.choose(device, size=config["resize"]["size"], **choices)
    engine.configure()
    splits = load(config)
    inspect(config, len(splits.train))
    data = _loaders(config, splits, device)
    torch.manual_seed(config["seed"])
    network = make_network(config["model"])
    if config["init"] != "default" and not is_own_network(config):
        log.info("init=%s draws new weights for %s", config["init"], config["model"]["_target_"])
    models.initialize(network, config["init"])
    network = engine.place(network)
    return Training(
        network,
        _optimizer(config, network.parameters(), device),
        data,
        engine,
        schedule=make(config["schedule"], "schedule"),
        epochs=trainer["epochs"],
        classes=config["dataset"]["classes"],
        clip_norm=trainer["clip_norm"],
    )


def facts(config: Mapping[str, Any], training: Training) -> dict[str, Any]:
    """What the record of a run says of it beside its settings."""
    train, engine = training.data.train, training.engine
    return {
        **inspect(config, train.num_images),
        "px": config["resize"]["size"],
        "device": describe_device(engine.device),
        "precision": engine.precision,
        "memory_format": str(engine.memory_format).removeprefix("torch."),
        "data_order": _order_hash(train, training.epochs),
    }


def _order_hash(batches: Batches, epochs: int) -> str:
    """A hash of which image is used when: equal ones prove that two runs saw the same batches."""
    digest = hashlib.sha256(f"{batches.num_images} images, {batches.steps} batches of {batches.batch_size}".encode())
    for epoch in range(1, epochs + 1):
        digest.update(batches.order(epoch)[: batches.num_trained].cpu().numpy().tobytes())
    return digest.hexdigest()[:12]


def inspect(config: Mapping[str, Any], num_images: int | None = None) -> dict[str, int]:
    """Build the network without memory and see that it takes these images in batches of this size; returns its facts.

    Args:
        num_images: how many training images there are, for the size of the last batch; None leaves it out.

    Raises:
        ConfigError: it does not; names the layer and the way out.
    """
    trainer, batch_size = config["trainer"], config["trainer"]["batch_size"]
    smallest = batch_size if num_images is None or trainer["drop_last"] else num_images % batch_size or batch_size
    known = _inspect(
        json.dumps(config["model"], sort_keys=True),
        channels=config["resize"]["channels"],
        image_size=config["resize"]["size"],
        classes=config["dataset"]["classes"],
        batch_size=batch_size,
        smallest_batch=smallest,
    )
    return dict(known)  # the cache keeps its own


@functools.lru_cache(maxsize=16)
def _inspect(model_json: str, *, image_size: int, **shapes: int) -> dict[str, int]:
    node = json.loads(model_json)

    def build(image_size: int) -> nn.Module:
        sized = {**node, "image_size": image_size} if "image_size" in node else node
        return make_network(sized)

    name = target_of(node).rpartition(".")[2]
    return models.inspect_network(build, name=name, image_size=image_size, **shapes)


def make_network(node: Any) -> nn.Module:
    """The network that `node` describes.

    Raises:
        ConfigError: it cannot be made, or is something else.
    """
    network = make(node, "network")
    if not isinstance(network, nn.Module):
        raise ConfigError(f"_target_={node['_target_']} makes a {type(network).__name__}, where a network is needed")
    return network


def check_parts(config: Mapping[str, Any]) -> None:
    """Make what a config describes by `_target_`, but for the network, and forget it.

    Raises:
        ConfigError: some part does not take its arguments.
    """
    make(config["schedule"], "schedule")
    make(config["dataset"]["source"], "data source")
    _optimizer(config, [nn.Parameter(torch.zeros(1))], torch.device("cpu"))


def _optimizer(
    config: Mapping[str, Any], parameters: Iterable[nn.Parameter], device: torch.device
) -> torch.optim.Optimizer:
    """The optimizer, with its fused form on CUDA: one kernel for all parameters."""
    try:
        partial = make(config["optim"], "optimizer")
        fused = device.type == "cuda" and "fused" in signature(partial).parameters
        optimizer: torch.optim.Optimizer = partial(parameters, fused=True) if fused else partial(parameters)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"optim: {config['optim']['_target_']} does not take its arguments: {error}") from error
    return optimizer


def load(config: Mapping[str, Any]) -> Splits:
    """The images of a run. A process keeps those of its last one, since the next run most often wants the same."""
    return _load(json.dumps(config["dataset"], sort_keys=True))


@functools.lru_cache(maxsize=1)
def _load(dataset_json: str) -> Splits:
    dataset = json.loads(dataset_json)
    keys = ("root", "name", "classes", "channels", "size", "limit", "test_limit", "validation")
    splits = load_splits(make(dataset["source"], "data source"), **{key: dataset[key] for key in keys})
    log.info("images from %s", splits.origin)
    return splits


def _loaders(config: Mapping[str, Any], splits: Splits, device: torch.device) -> Loaders:
    augment = Augment(**config["augment"])

    def batches(images: ImageSet, augment: Augment | None = None, *, drop_last: bool = False) -> Batches:
        return Batches(
            images.to(device),
            batch_size=config["trainer"]["batch_size"],
            size=config["resize"]["size"],
            channels=config["resize"]["channels"],
            seed=config["seed"],
            augment=augment,
            drop_last=drop_last,
        )

    val = None if splits.val is None else batches(splits.val)
    return Loaders(batches(splits.train, augment, drop_last=config["trainer"]["drop_last"]), val, batches(splits.test))

"""What a config may say: values that can work. This module never imports torch."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from sweeps.errors import ConfigError
from sweeps.targets import check_targets
from sweeps.vision.config import INITS, lookup


def check(config: Mapping[str, Any]) -> None:
    """Refuse a resolved config whose values cannot work, before anything is instantiated.

    Raises:
        ConfigError: names the key with its value, the rule and the way out.
    """
    check_targets(config)
    for key, rule, holds in _RULES:
        value = lookup(config, key)
        if value is not None and not holds(value):
            raise ConfigError(f"{key}={value} is refused: {rule}{_as_number(value, holds)}")
    if lookup(config, "optim.lr") is None:
        raise ConfigError("optim.lr is missing: every optimizer's YAML needs a learning rate, such as lr: 0.1")
    metric = config["objective"]["metric"]
    _check_measured(config, "objective.metric", metric)
    _check_pruner(config)
    limit, batch_size = config["dataset"]["limit"], config["trainer"]["batch_size"]
    if config["trainer"]["drop_last"] and limit is not None and limit < batch_size:
        raise ConfigError(
            f"trainer.batch_size={batch_size} is refused with trainer.drop_last=true: dataset.limit={limit} images "
            f"fill no batch; use trainer.batch_size={limit} or less"
        )
    if len(config["dataset"]["labels"]) != config["dataset"]["classes"]:
        raise ConfigError(
            f"dataset.labels has {len(config['dataset']['labels'])} names for "
            f"dataset.classes={config['dataset']['classes']}: name every class once"
        )


def _check_pruner(config: Mapping[str, Any]) -> None:
    pruner = config["pruner"]
    every, metric = pruner["report_every"], pruner["metric"]
    if every > 1 and every != int(every):
        raise ConfigError(f"pruner.report_every={every} is refused: whole epochs, or a fraction of one such as 0.25")
    if every < 1 and abs(1 / every - round(1 / every)) > 1e-6:
        raise ConfigError(f"pruner.report_every={every} is refused: a whole number of reports an epoch, such as 0.25")
    if metric.startswith("test_"):
        raise ConfigError(
            f"pruner.metric={metric} is refused: a run that the test set stops is chosen by it; use train_loss, or "
            "val_acc with dataset.validation=0.1"
        )
    if pruner["first"] < every:
        raise ConfigError(
            f"pruner.first={pruner['first']} is refused: nothing is known before the first report, after "
            f"pruner.report_every={every} epochs; report more often, such as pruner.report_every=0.25"
        )
    if abs(pruner["first"] / every - round(pruner["first"] / every)) > 1e-6:
        raise ConfigError(
            f"pruner.first={pruner['first']} is refused: nothing is reported then; use a multiple of "
            f"pruner.report_every={every}"
        )
    if every < 1 and metric not in ("auto", "train_loss", "train_acc"):
        raise ConfigError(
            f"pruner.metric={metric} is refused with pruner.report_every={every}: within an epoch only train_loss and "
            "train_acc are known"
        )
    if metric != "auto":
        _check_measured(config, "pruner.metric", metric)


def _check_measured(config: Mapping[str, Any], key: str, metric: str) -> None:
    """Refuse a metric that this run does not measure."""
    if metric.startswith("val_") and not config["dataset"]["validation"]:
        raise ConfigError(f"{key}={metric} needs images held out: dataset.validation=0.1, or use test_acc")
    if "_bn_" in metric and not config["trainer"]["bn_reestimate"]:
        raise ConfigError(f"{key}={metric} needs statistics estimated anew: trainer.bn_reestimate=50")
    if metric.startswith("train_eval_") and not config["trainer"]["evaluate_train"]:
        raise ConfigError(f"{key}={metric} needs that pass: trainer.evaluate_train=true")


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _as_number(value: Any, holds: Callable[[Any], bool]) -> str:
    """What to do about text that would do as a number: the environment knows nothing but text."""
    try:
        is_right = isinstance(value, str) and holds(float(value))
    except ValueError:
        is_right = False
    return f"; {value!r} is text, which oc.decode makes a number: '\"${{oc.decode:${{oc.env:NAME}}}}\"'" * is_right


def _positive(value: Any) -> bool:
    return _number(value) and value > 0


def _not_negative(value: Any) -> bool:
    return _number(value) and value >= 0


def _fraction(value: Any) -> bool:
    return _number(value) and 0 <= value <= 1


_SPLITS = ("test", "val", "train", "train_eval", "test_bn", "val_bn")
_METRICS = ("auto", *(f"{split}_{figure}" for split in _SPLITS for figure in ("acc", "loss")))


def _one_of(*known: str) -> tuple[str, Callable[[Any], bool]]:
    return f"known are {', '.join(known)}", lambda value: value in known


_RULES: tuple[tuple[str, str, Callable[[Any], bool]], ...] = (
    ("optim.lr", "a learning rate is a number above 0, such as optim.lr=0.1", _positive),
    ("optim.weight_decay", "a weight decay is a number of at least 0", _not_negative),
    ("optim.momentum", "a momentum is a number from 0 to below 1", lambda v: _fraction(v) and v < 1),
    ("trainer.epochs", "train for at least one epoch: trainer.epochs=1", _positive),
    ("trainer.batch_size", "a batch holds at least one image: trainer.batch_size=128", _positive),
    ("trainer.clip_norm", "a gradient norm to clip at is above 0; null is off", _positive),
    ("trainer.threads", "at least one thread; null leaves the choice to torch", _positive),
    ("trainer.bn_reestimate", "a number of training batches; 0 is off", _not_negative),
    ("trainer.precision", *_one_of("auto", "fp32", "tf32", "bf16")),
    ("trainer.memory_format", *_one_of("auto", "contiguous", "channels_last")),
    ("trainer.compile", *_one_of("none", "default", "reduce-overhead", "max-autotune")),
    ("trainer.capture", *_one_of("auto", "always", "never")),
    ("trainer.checkpoint_every", "a number of epochs; 0 never writes a checkpoint", _not_negative),
    ("dataset.limit", "at least one image; null takes all", _positive),
    ("dataset.test_limit", "at least one image; null takes all", _positive),
    (
        "dataset.validation",
        "a share of the training images from 0 to below 1",
        lambda v: _fraction(v) and v < 1,
    ),
    ("resize.size", "images have at least one pixel: resize.size=96", _positive),
    ("resize.channels", "1 is grey and 3 is colour", lambda v: v in (1, 3)),
    ("augment.flip", "a probability from 0 to 1", _fraction),
    ("augment.crop_padding", "a share of the image's side from 0 to 0.5", lambda v: _fraction(v) and v <= 0.5),
    ("augment.brightness", "a relative change from 0 to 1", _fraction),
    ("augment.contrast", "a relative change from 0 to 1", _fraction),
    ("augment.saturation", "a relative change from 0 to 1", _fraction),
    ("augment.hue", "a share of the colour circle from 0 to 0.5", lambda v: _fraction(v) and v <= 0.5),
    ("pruner.name", *_one_of("none", "median", "asha", "hyperband", "halving", "patience")),
    ("pruner.metric", *_one_of(*_METRICS)),
    ("pruner.report_every", "a number of epochs above 0, such as 1 or 0.25", _positive),
    ("pruner.first", "a number of epochs above 0, such as 1", _positive),
    ("pruner.factor", "one in how many goes on: at least 2", lambda v: _number(v) and v >= 2),
    ("pruner.least", "at least one other run", _positive),
    ("pruner.patience", "a number of epochs above 0", _positive),
    ("pruner.min_delta", "a number of at least 0", _not_negative),
    ("pruner.budget", "a number of epochs above 0; null is no limit", _positive),
    ("repeats", "at least one seed: repeats=5 is seed=0,1,2,3,4; null is the one of seed=", _positive),
    ("seed", "a seed is a whole number from 0 to below 2^63", lambda v: _not_negative(v) and v < 2**63),
    ("init", *_one_of("auto", *INITS)),
    ("objective.metric", *_one_of(*_METRICS)),
    ("objective.epoch", *_one_of("last", "best")),
    ("on_failure", *_one_of("continue", "stop")),
    ("stop_after", "at least one failure; null never stops", _positive),
    ("retries", "a number of further tries, at least 0", _not_negative),
    ("timeout", "a number of seconds above 0; null is no limit", _positive),
    ("on_mismatch", *_one_of("refuse", "rerun", "keep")),
)

"""What a config may say: values that can work. Nothing here imports torch before a network is built."""

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from omegaconf import DictConfig

from sweeps import ConfigError
from sweeps.config import lookup
from sweeps.targets import check_targets
from sweeps.vision.config import INITS, RECENT, VisionConfig, plain

REGULARIZING = ("augment", "optim.weight_decay", "model.dropout")  # worse on the images trained on, better on others
PATIENCE = "sweeps.pruners.PatientPruner"  # compares no settings


def check(cfg: DictConfig) -> dict[str, int]:
    """The hook `check` of the engine: see that the settings of `cfg` can work; returns what is known of its network.

    Raises:
        ConfigError: they cannot; names the key with its value, the rule and the way out.
    """
    from sweeps.vision.build import check_parts, inspect

    config = plain(cfg)
    check_settings(config)
    check_parts(config)
    return inspect(config)


def advise(cfg: DictConfig, swept: Sequence[str]) -> list[str]:
    """The hook `advise` of the engine: what is wrong with pruning a sweep over these keys by the training images."""
    pruner = cfg.sweep.pruner
    if pruner.get("_target_") in (None, PATIENCE) or not pruner.metric.startswith("train_"):
        return []
    keys = [key for key in swept if key in REGULARIZING or key.partition(".")[0] in REGULARIZING]
    return [
        f"{' and '.join(keys)} {'regularise' if len(keys) > 1 else 'regularises'}, which raises "
        f"sweep.pruner.metric={pruner.metric}: the pruner may stop the better settings. Compare by held-out images: "
        "dataset.validation=0.1"
    ] * bool(keys)


def check_settings(config: Mapping[str, Any]) -> None:
    """Reject a resolved config whose values cannot work, before anything is made of it.

    Raises:
        ConfigError: names the key with its value, the rule and the way out.
    """
    for key in _missing(VisionConfig, config):
        raise ConfigError(f"{key} is missing: every run needs it, so ~{key} is invalid; set it to what you want")
    check_targets({key: node for key, node in config.items() if key != "sweep"})  # the engine looks at its own
    for key, rule, holds in _RULES:
        value = lookup(config, key)
        if value is not None and not holds(value):
            raise ConfigError(f"{key}={value} is invalid: {rule}{_as_number(value, holds)}")
    if lookup(config, "optim.lr") is None:
        raise ConfigError("optim.lr is missing: every optimizer's YAML needs a learning rate, such as lr: 0.1")
    _check_measured(config, "sweep.objective.metric", config["sweep"]["objective"]["metric"])
    _check_pruner(config)
    limit, batch_size = config["dataset"]["limit"], config["trainer"]["batch_size"]
    if config["trainer"]["drop_last"] and limit is not None and limit < batch_size:
        raise ConfigError(
            f"trainer.batch_size={batch_size} is invalid with trainer.drop_last=true: dataset.limit={limit} images "
            f"fill no batch; use trainer.batch_size={limit} or less"
        )
    if len(config["dataset"]["labels"]) != config["dataset"]["classes"]:
        raise ConfigError(
            f"dataset.labels has {len(config['dataset']['labels'])} names for "
            f"dataset.classes={config['dataset']['classes']}: name every class once"
        )


def _missing(schema: type, config: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """The keys of the schema that were deleted from `config`."""
    for field in dataclasses.fields(schema):
        key = f"{prefix}{field.name}"
        if field.name not in config:
            yield key
        elif isinstance(field.type, type) and dataclasses.is_dataclass(field.type):
            yield from _missing(field.type, config[field.name], f"{key}.")


def _check_pruner(config: Mapping[str, Any]) -> None:
    pruner, every = config["sweep"]["pruner"], config["trainer"]["report_every"]
    metric = lookup(config, "sweep.pruner.metric")
    if not isinstance(metric, str):
        raise ConfigError("sweep.pruner is invalid: it has no metric; choose one by name, such as sweep/pruner=halving")
    if abs(1 / every - round(1 / every)) > 1e-6:
        raise ConfigError(f"trainer.report_every={every} is invalid: a whole number of reports an epoch, such as 0.25")
    if metric.startswith("test_"):
        raise ConfigError(
            f"sweep.pruner.metric={metric} is invalid: a run that the test set stops is chosen by it; use "
            f"{RECENT[0]}, or val_acc with dataset.validation=0.1"
        )
    for key in ("min_resource", "n_warmup_steps"):
        steps = pruner.get(key) or every
        if abs(steps / every - round(steps / every)) > 1e-6:
            raise ConfigError(
                f"sweep.pruner.{key}={steps} is invalid: nothing is reported then; use a multiple of "
                f"trainer.report_every={every}, or report more often, such as trainer.report_every=0.25"
            )
    if every < 1 and metric not in RECENT:
        raise ConfigError(
            f"sweep.pruner.metric={metric} is invalid with trainer.report_every={every}: within an epoch only "
            f"{' and '.join(RECENT)} are known"
        )
    _check_measured(config, "sweep.pruner.metric", metric)


def _check_measured(config: Mapping[str, Any], key: str, metric: str) -> None:
    """Reject a metric that this run does not measure."""
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
_METRICS = tuple(f"{split}_{figure}" for split in _SPLITS for figure in ("acc", "loss"))


def _one_of(*known: str) -> tuple[str, Callable[[Any], bool]]:
    return f"one of {', '.join(known)}", lambda value: value in known


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
    ("trainer.report_every", "an epoch, 1, or a fraction of one such as 0.25", lambda v: _positive(v) and v <= 1),
    ("dataset.limit", "at least one image; null takes all", _positive),
    ("dataset.test_limit", "at least one image; null takes all", _positive),
    ("dataset.validation", "a share of the training images from 0 to below 1", lambda v: _fraction(v) and v < 1),
    ("resize.size", "images have at least one pixel: resize.size=96", _positive),
    ("resize.channels", "1 is grey and 3 is colour", lambda v: v in (1, 3)),
    ("augment.flip", "a probability from 0 to 1", _fraction),
    ("augment.crop_padding", "a share of the image's side from 0 to 0.5", lambda v: _fraction(v) and v <= 0.5),
    ("augment.brightness", "a relative change from 0 to 1", _fraction),
    ("augment.contrast", "a relative change from 0 to 1", _fraction),
    ("augment.saturation", "a relative change from 0 to 1", _fraction),
    ("augment.hue", "a share of the colour circle from 0 to 0.5", lambda v: _fraction(v) and v <= 0.5),
    ("seed", "a seed is a whole number from 0 to below 2^63", lambda v: _not_negative(v) and v < 2**63),
    ("init", *_one_of(*INITS)),
    ("sweep.objective.metric", *_one_of(*_METRICS)),
    ("sweep.pruner.metric", *_one_of(*_METRICS, *RECENT)),
)

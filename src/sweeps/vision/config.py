"""The typed schema of a run: Hydra refuses unknown keys and wrong types with it.

A model's and an optimizer's own arguments are free, because adding one must cost no more than a YAML. What each key
means stands where it is set, in `conf/`. This module never imports torch.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import MISSING, DictConfig, ListConfig, OmegaConf

from sweeps.record.identity import has_effect, run_name, sweep_folder
from sweeps.record.masking import marked, without_secrets

INITS = ("xavier", "kaiming", "default")  # what `init=auto` becomes one of

# As `conf/config.yaml` has them: the name of a sweep that nobody named, and the folder of a run that nobody placed.
SWEEP_NAME = "${now:%Y-%m-%d}/${now:%H-%M-%S}"
RUN_SUBDIR = "${sweeps.run_name:${hydra.overrides.task}}"


@dataclass
class DatasetConfig:
    """What the images are (see `conf/dataset/`)."""

    name: str = MISSING
    channels: int = MISSING
    classes: int = MISSING
    size: int = MISSING
    labels: list[str] = MISSING
    source: dict[str, Any] = MISSING
    root: str | None = None
    limit: int | None = None
    test_limit: int | None = None
    validation: float = 0.0


@dataclass
class ResizeConfig:
    """What the network sees: square images of `size` pixels with `channels` channels."""

    size: int = MISSING
    channels: int = MISSING


@dataclass
class AugmentConfig:
    """Random changes of the training images."""

    flip: float = 0.0
    crop_padding: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0


@dataclass
class TrainerConfig:
    """How long and how a network is trained."""

    epochs: int = 10
    batch_size: int = 128
    drop_last: bool = False
    clip_norm: float | None = None
    evaluate_train: bool = False
    bn_reestimate: int = 0
    precision: str = "auto"
    memory_format: str = "auto"
    compile: str = "none"
    capture: str = "auto"
    threads: int | None = None
    checkpoint_every: int = 1
    save_weights: bool = True
    save_predictions: bool = True


@dataclass
class ObjectiveConfig:
    """The figure that runs are ranked by."""

    metric: str = "auto"
    epoch: str = "last"


@dataclass
class PrunerConfig:
    """Which runs are stopped before their end (see `conf/pruner/none.yaml`)."""

    name: str = "none"
    metric: str = "auto"
    report_every: float = 1.0
    first: float = 1.0
    factor: int = 3
    least: int = 4
    patience: float = 3.0
    min_delta: float = 0.0
    budget: float | None = None
    extend: bool = False
    keep_checkpoint: bool = True


@dataclass
class SweepsConfig:
    """One run, composed."""

    model: dict[str, Any] = MISSING
    dataset: DatasetConfig = field(default_factory=DatasetConfig)
    resize: ResizeConfig = field(default_factory=ResizeConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    optim: dict[str, Any] = MISSING
    schedule: dict[str, Any] = MISSING
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    tracker: dict[str, Any] = MISSING
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    pruner: PrunerConfig = field(default_factory=PrunerConfig)
    init: str = "auto"
    seed: int = 0
    device: str = "auto"
    sweep: str = MISSING
    output: str = "multirun"
    plan: bool = False
    repeats: int | None = None
    zip: list[Any] = field(default_factory=list)
    exclude: list[Any] = field(default_factory=list)
    on_failure: str = "continue"
    stop_after: int | None = None
    retries: int = 0
    timeout: float | None = None
    on_mismatch: str = "refuse"


def register_schema() -> None:
    """Make the schema known to Hydra (as `sweeps_schema`) and the resolvers that name a run's folder."""
    ConfigStore.instance().store(name="sweeps_schema", node=SweepsConfig)
    OmegaConf.register_new_resolver("sweeps.folder", sweep_folder, replace=True)
    OmegaConf.register_new_resolver("sweeps.run_name", _name_as_typed, replace=True)


def _name_as_typed(overrides: ListConfig) -> str:
    """The folder of a run from Hydra's list of its overrides: one name however they are spelled, `1e-1` or `0.1`.

    Interpolations stay as they were written, since a name depends on the overrides alone. A sweep spells its overrides
    this way already.
    """
    typed = cast(list[str], OmegaConf.to_container(overrides, resolve=False))
    return run_name(spelled(typed))


def spelled(overrides: Sequence[str]) -> list[str]:
    """Overrides in Hydra's own spelling, as a sweep gives them to its runs."""
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    return [f"{one.get_key_element()}={one.get_value_element_as_str()}" for one in parsed]


def conf_dir() -> Path:
    """The folder of the config groups: the checkout's own `conf/`, else the copy inside the installed package."""
    checkout = Path(__file__).resolve().parents[2]
    if (checkout / "pyproject.toml").is_file() and (checkout / "conf" / "config.yaml").is_file():
        return checkout / "conf"
    return Path(__file__).resolve().parent / "conf"


def resolve(cfg: DictConfig) -> dict[str, Any]:
    """The composed config as plain data, every interpolation and `init=auto` replaced by their values.

    Text from the environment knows how a record shows it (see `sweeps.record.masking`).
    """
    resolved = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    config = cast(dict[str, Any], marked(resolved, OmegaConf.to_container(cfg), os.environ, has_effect))
    if config.get("init") == "auto":  # here, not where weights are drawn: what it means is part of a run's identity
        config["init"] = "xavier" if is_own_network(config) else "default"
    return config


def is_own_network(config: Mapping[str, Any]) -> bool:
    """Whether the network is one of `sweeps.vision.models`; any other may bring trained weights along."""
    return str(lookup(config, "model._target_")).startswith("sweeps.vision.models.")


def shown_yaml(config: Any) -> str:
    """A composed config, or a list, as YAML: not resolved, and without secrets."""
    config = OmegaConf.to_container(config) if OmegaConf.is_config(config) else config
    return OmegaConf.to_yaml(OmegaConf.create(without_secrets(config)))


def objective_of(config: Mapping[str, Any]) -> tuple[str, str, str]:
    """(metric, direction, split) that runs are ranked by; `auto` is accuracy on the split that is for choosing."""
    metric = config["objective"]["metric"]
    if metric == "auto":
        metric = "val_acc" if config["dataset"]["validation"] else "test_acc"
    return metric, "min" if metric.endswith("loss") else "max", metric.partition("_")[0]


def lookup(config: Mapping[str, Any], key: str) -> Any:
    """The value at a dotted key, or None where there is none."""
    node: Any = config
    for part in key.split("."):
        if not isinstance(node, Mapping) or part not in node:
            return None
        node = node[part]
    return node

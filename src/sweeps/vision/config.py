"""The typed schema of the application: Hydra rejects unknown keys and wrong types with it.

A model's and an optimizer's own arguments are free, because adding one must cost no more than a YAML. What each key
means is documented where it is set, in `conf/`. This module never imports torch.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import MISSING, DictConfig, ListConfig, OmegaConf, open_dict

from sweeps.config import lookup
from sweeps.record.identity import run_name, sweep_folder

INITS = ("xavier", "kaiming", "default")
OWN_NETWORKS = "sweeps.vision.models."
RECENT = ("train_loss_recent", "train_acc_recent")  # means over the last part of an epoch, see `training.watch`


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
    report_every: float = 1.0
    save_weights: bool = True
    save_predictions: bool = True


@dataclass
class VisionConfig:
    """One run, composed; what is below `sweep` belongs to the engine."""

    model: dict[str, Any] = MISSING
    dataset: DatasetConfig = field(default_factory=DatasetConfig)
    resize: ResizeConfig = field(default_factory=ResizeConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    optim: dict[str, Any] = MISSING
    schedule: dict[str, Any] = MISSING
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    init: str = MISSING
    seed: int = 0
    device: str = "auto"
    sweep: Any = MISSING


@dataclass
class TensorBoardConfig:
    """`sweep/tracker=tensorboard`: a directory per run; `tensorboard --logdir multirun/SWEEP` compares them by name."""

    _target_: str = "sweeps.vision.trackers.TensorBoardTracker"
    images: int = 32  # training images shown in a grid, as the network sees them; 0 shows none
    graph: bool = True  # draw the network
    confusion: bool = True  # confusion matrix of the test images after the last epoch, and images that are mistaken


@dataclass
class MlflowConfig:
    """`sweep/tracker=mlflow`, needs `pip install 'hydra-sweeps[mlflow]'`. A sweep is a parent run of its runs.

    `mlflow ui --backend-store-uri sqlite:///multirun/SWEEP/mlflow/mlflow.db` shows them.
    """

    _target_: str = "sweeps.vision.trackers.MlflowTracker"
    # A store: sqlite:///FILE, a folder, or a server's http(s) address; null is SQLite in the sweep's folder.
    uri: str | None = None
    experiment: str = "sweeps"  # the experiment's name in the store
    model: bool = True  # keep the trained network in the store, with its signature; costs its size again


@dataclass
class WandbConfig:
    """`sweep/tracker=wandb`, needs `pip install 'hydra-sweeps[wandb]'`. The sweep's name is the group."""

    _target_: str = "sweeps.vision.trackers.WandbTracker"
    # offline writes into the run's folder and needs no account: `wandb sync FOLDER` sends it; online sends at once.
    mode: str = "offline"
    project: str = "sweeps"  # the project's name


TRACKERS = {"tensorboard": TensorBoardConfig, "mlflow": MlflowConfig, "wandb": WandbConfig}


def register_schema() -> None:
    """Make the schema known to Hydra (as `vision_schema`), the trackers, and the resolvers of `conf/config.yaml`."""
    store = ConfigStore.instance().store
    store(name="vision_schema", node=VisionConfig)
    for name, tracker in TRACKERS.items():  # in place of the engine's; files of `conf/` would be merged with those
        store(group="sweep/tracker", name=name, node={name: tracker}, provider="sweeps.vision")
    for name, resolver in _RESOLVERS.items():
        OmegaConf.register_new_resolver(f"vision.{name}", resolver, replace=True)
    OmegaConf.register_new_resolver("sweeps.run_name", _run_name, replace=True)


def conf_dir() -> Path:
    """The folder of the config groups: the checkout's own `conf/`, else the copy inside the installed package."""
    checkout = Path(__file__).resolve().parents[3]
    if (checkout / "pyproject.toml").is_file() and (checkout / "conf" / "config.yaml").is_file():
        return checkout / "conf"
    return Path(__file__).resolve().parents[1] / "conf"


def plain(cfg: DictConfig | Mapping[str, Any]) -> dict[str, Any]:
    """The composed config, or one that was resolved before, as plain data without interpolations."""
    if not isinstance(cfg, DictConfig):
        return dict(cfg)
    own = cfg.copy()
    with open_dict(own):
        own.pop("hydra", None)
    return cast(dict[str, Any], OmegaConf.to_container(own, resolve=True, throw_on_missing=True))


def is_own_network(config: Mapping[str, Any]) -> bool:
    """Whether the network is one of `sweeps.vision.models`; any other may bring trained weights along."""
    return str(lookup(config, "model._target_")).startswith(OWN_NETWORKS)


def direction_of(metric: str) -> str:
    """Whether smaller or larger values of one of our metrics are better: min or max."""
    return "min" if "loss" in str(metric) else "max"


def _init_of(target: object) -> str:
    return "xavier" if str(target).startswith(OWN_NETWORKS) else "default"


def _pruning_metric(validation: float, report_every: float, bn_reestimate: int) -> str:
    """Accuracy on held-out images, or the recent train loss without any: it is steady where accuracies swing.

    Never the test set: a run that is stopped by it would be chosen by it. Within epochs nothing but the train loss and
    accuracy is known.
    """
    if not validation or report_every < 1:
        return RECENT[0]
    return "val_bn_acc" if bn_reestimate else "val_acc"


def _run_name(overrides: ListConfig, ignore: Iterable[Any]) -> str:
    """The folder of a single run: one name however its overrides are spelled, `1e-1` or `0.1`.

    Interpolations stay as they were written, since a name depends on the overrides alone.
    """
    typed = cast(list[str], OmegaConf.to_container(overrides, resolve=False))
    parsed = OverridesParser.create().parse_overrides(typed)
    spelled = [f"{one.get_key_element()}={one.get_value_element_as_str()}" for one in parsed]
    return run_name(spelled, ("sweep", *map(str, ignore)))


_RESOLVERS: Mapping[str, Any] = {
    "init": _init_of,
    "metric": lambda validation: "val_acc" if validation else "test_acc",
    "direction": direction_of,
    "split": lambda metric: str(metric).partition("_")[0],
    "pruning_metric": _pruning_metric,
    "folder": lambda output, name, default: sweep_folder(output, default if name is None else name),
    # A single run writes it itself, once it is sure that the folder is its own.
    "output_subdir": lambda mode: ".hydra" if str(mode).endswith("MULTIRUN") else None,
}

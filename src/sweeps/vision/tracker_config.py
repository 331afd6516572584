"""The trackers of the image application: the names of the engine, with pictures. Never imports torch."""

from dataclasses import dataclass

from hydra.core.config_store import ConfigStore


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


def register_trackers() -> None:
    """Store them in place of the engine's; files of `conf/` of the same names would be merged with those."""
    for name, tracker in TRACKERS.items():
        ConfigStore.instance().store(group="sweep/tracker", name=name, node={name: tracker}, provider="sweeps.vision")

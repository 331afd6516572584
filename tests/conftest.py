"""What the tests share. Nothing here imports torch before a test asks for a run, so the light rooms stay fast."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hydra
import hypothesis
import pytest
from hydra import initialize_config_dir
from omegaconf import DictConfig, OmegaConf, open_dict

from sweeps.progress import Progress
from sweeps.record.records import RunDir, RunRecord
from sweeps.record.resolved import Resolved, resolve
from sweeps.vision.config import conf_dir, register_schema

hypothesis.settings.register_profile("untimed", deadline=None)  # a timing decides nothing
hypothesis.settings.load_profile("untimed")

# A run of four steps an epoch, without curves; a test names what it wants otherwise.
SMALL_RUN = (
    "dataset=fashion_mnist_mini",
    "dataset.limit=100",
    "dataset.test_limit=50",
    "trainer.batch_size=25",
    "trainer.epochs=2",
    "trainer.threads=1",
    "sweep/tracker=none",
    "device=cpu",
    "sweep.name=test",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow tests come last."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is not None)


def without_hydra(config: DictConfig) -> DictConfig:
    """An application's own part of a composed config."""
    own = config.copy()
    with open_dict(own):
        del own["hydra"]
    return own


@pytest.fixture(scope="session")
def compose_all() -> Callable[..., DictConfig]:
    """Compose overrides as the command line does, Hydra's own node included; do not change what it returns."""
    register_schema()

    @functools.cache
    def compose(*overrides: str) -> DictConfig:
        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            return hydra.compose("config", overrides=list(overrides), return_hydra_config=True)

    return compose


@pytest.fixture(scope="session")
def resolved(compose_all: Callable[..., DictConfig]) -> Callable[..., Resolved]:
    """Compose overrides and resolve them, with what identifies the run."""

    def of(*overrides: str) -> Resolved:
        return resolve(without_hydra(compose_all(*overrides)), ())

    return of


@pytest.fixture(scope="session")
def compose(resolved: Callable[..., Resolved]) -> Callable[..., dict[str, Any]]:
    """Compose overrides and resolve them: the plain config of one run, a new one each time."""
    return lambda *overrides: resolved(*overrides).config


@pytest.fixture(scope="session")
def run_into(compose_all):
    """Do a small run with these overrides into a folder, in this process; returns its record."""
    from sweeps import task
    from sweeps.launchers.folders import hydra_config
    from sweeps.vision.task import train

    def do(folder: RunDir, *overrides: str, progress: Progress | None = None) -> RunRecord:
        given = {override.partition("=")[0] for override in overrides}
        small = [override for override in SMALL_RUN if override.partition("=")[0] not in given]
        whole = compose_all(*small, *overrides).copy()
        own, sweep, silent = without_hydra(whole), folder.path.parent, progress or Progress()
        with hydra_config(whole, folder.path):
            found = resolve(own, (folder.path, sweep))
            return task.do_run(train, own, folder, found, sweep, None, silent)

    return do


@pytest.fixture
def folder(tmp_path: Path) -> RunDir:
    """Where `do_run` leaves its files."""
    return RunDir(tmp_path / "run")


@pytest.fixture
def do_run(run_into, folder):
    """Do a small run with these overrides into `folder`; returns its record."""
    return functools.partial(run_into, folder)


@pytest.fixture(scope="session")
def mini():
    """The images that come with the package, as `Splits`."""
    from sweeps.vision.data import IdxFiles, load_splits

    file = OmegaConf.load(conf_dir() / "dataset" / "fashion_mnist_mini.yaml")
    source = {key: value for key, value in file.source.items() if key != "_target_"}
    return load_splits(IdxFiles(**source), root=None, name="fashion_mnist_mini", classes=10, channels=1, size=28)

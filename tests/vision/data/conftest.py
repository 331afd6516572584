"""What the tests of the data room share: real images that come with the package, and small sets of files."""

from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from sweeps.vision.data import ImageSet
from sweeps.vision.data.idx import write_idx

CONF = Path(__file__).resolve().parents[3] / "conf" / "dataset"
FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def source_arguments(name):
    """What the YAML of a data set says about its source, without the target."""
    source = OmegaConf.to_container(OmegaConf.load(CONF / f"{name}.yaml"), resolve=True)["source"]
    return {key: value for key, value in source.items() if key != "_target_"}


@pytest.fixture
def write_set():
    """Write four small IDX files into a folder; `value` is the grey level of all training pixels."""

    def write(folder: Path, value: int = 1, suffix: str = "") -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        labels = np.arange(20, dtype=np.uint8) % 10
        for stem, count in (("train", 20), ("t10k", 10)):
            images = np.full((count, 4, 4), value, np.uint8)
            write_idx(folder / f"{stem}-images-idx3-ubyte{suffix}", images)
            write_idx(folder / f"{stem}-labels-idx1-ubyte{suffix}", labels[:count])
        return folder

    return write


@pytest.fixture
def no_network(monkeypatch, tmp_path):
    """An empty cache, and a download that fails as it does without network; gives the cache."""
    cache = tmp_path / "cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))

    def fail(name, folder):
        raise OSError("no network here")

    monkeypatch.setattr("sweeps.vision.data.sources.download", fail)
    return cache


def image_set(labels, channels=1, size=2):
    """A set whose image at position i has the value i in every pixel."""
    values = torch.arange(len(labels), dtype=torch.uint8).view(-1, 1, 1, 1)
    return ImageSet(values.expand(-1, channels, size, size).contiguous(), torch.as_tensor(labels))

"""Files are looked for in the promised order, verified, and a damaged or missing set is explained."""

import os
import pickle
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf

from sweeps.errors import ConfigError, DataError
from sweeps.vision.data import IdxFiles, TorchvisionSet, load_splits
from sweeps.vision.data.idx import write_idx
from sweeps.vision.data.sources import cache_folder, download

from .conftest import CONF, FILES, source_arguments


def grey_level(source, root=None):
    """Which of the sets that `write_set` wrote was read."""
    return int(source.load(root)[0].images[0, 0, 0, 0])


# --- The sets that come with the configuration


def test_the_mini_set_is_the_head_of_the_real_one_and_balanced(mini):
    assert mini.train.images.shape == (5000, 1, 28, 28)
    assert mini.test.images.shape == (1000, 1, 28, 28)
    assert mini.train.labels.bincount().tolist() == [500] * 10
    assert mini.test.labels.bincount().tolist() == [100] * 10
    # Known of the real files: their first labels, and so an ankle boot comes first.
    assert mini.train.labels[:10].tolist() == [9, 0, 0, 3, 0, 2, 7, 2, 5, 5]
    assert mini.test.labels[:10].tolist() == [9, 2, 1, 1, 6, 1, 4, 6, 5, 7]
    # Real pictures: no two the same, dark above and bright in the middle.
    assert len(mini.train.images.flatten(1).unique(dim=0)) == 5000
    assert mini.train.images[:, :, 0].float().mean() < 30 < 90 < mini.train.images[:, :, 14].float().mean()


def test_the_mini_set_is_small_and_names_no_wrong_sum():
    folder = CONF.parents[1] / "src" / "sweeps" / "vision" / "data" / "mini"
    assert sorted(path.name for path in folder.iterdir()) == sorted(f"{name}.gz" for name in FILES)
    assert sum(path.stat().st_size for path in folder.iterdir()) < 3e6
    arguments = source_arguments("fashion_mnist_mini")
    for key in arguments["sha256"]:
        wrong = arguments["sha256"] | {key: "0" * 64}
        with pytest.raises(DataError, match="SHA-256"):
            IdxFiles(**arguments | {"sha256": wrong}).load(None)


def test_the_real_set_from_the_system_package_verifies(mini):
    arguments = source_arguments("fashion_mnist")
    (folder,) = arguments["folders"]
    try:
        train, test, origin = IdxFiles(**arguments | {"torchvision": None}).load(None)
    except DataError as error:
        if "was not found" not in str(error):
            raise
        pytest.skip(f"{folder} is not there: apt-get install dataset-fashion-mnist")
    assert train.images.shape == (60000, 1, 28, 28)
    assert test.labels.bincount().tolist() == [1000] * 10
    assert origin
    limited = load_splits(
        IdxFiles(**arguments), root=origin, name="", classes=10, channels=1, size=28, limit=5000, test_limit=1000
    )
    assert limited.train.images.equal(mini.train.images)
    assert limited.test.labels.equal(mini.test.labels)


@pytest.mark.parametrize("path", sorted(CONF.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_data_set_of_the_configuration_makes_a_source(path):
    dataset = OmegaConf.to_container(OmegaConf.load(path), resolve=True)
    keys = {"name", "channels", "classes", "size", "labels", "source", "root", "limit", "test_limit", "validation"}
    assert set(dataset) == keys
    assert dataset["name"] == dataset["source"]["name"] == path.stem
    assert len(set(dataset["labels"])) == dataset["classes"]
    assert all(isinstance(label, str) for label in dataset["labels"])
    source = {"sweeps.vision.data.IdxFiles": IdxFiles, "sweeps.vision.data.TorchvisionSet": TorchvisionSet}
    source[dataset["source"].pop("_target_")](**dataset["source"])


# --- Places


def test_places_are_looked_at_in_order(tmp_path, write_set, no_network):
    folders = [tmp_path / "first", tmp_path / "second"]
    source = IdxFiles("given", folders=[str(folder) for folder in folders], torchvision="MNIST")
    places = [tmp_path / "own", *folders, no_network / "sweeps" / "given"]
    for value in range(len(places), 0, -1):  # from the last place to the first: the new one always wins
        write_set(places[value - 1], value)
        assert grey_level(source, str(tmp_path / "own")) == value
        assert source.load(str(tmp_path / "own"))[2] == str(places[value - 1])
    assert grey_level(source) == 2  # without a root


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("layout", ["", "FashionMNIST/raw"])
@pytest.mark.parametrize("place", ["own", "folder", "cache/sweeps/given"])
def test_plain_and_gzipped_files_are_read_in_every_place_and_layout(
    tmp_path, write_set, no_network, place, layout, suffix
):
    write_set(tmp_path / place / layout, 7, suffix)
    source = IdxFiles("given", folders=[str(tmp_path / "folder")], torchvision="FashionMNIST")
    train, test, origin = source.load(str(tmp_path / "own"))
    assert train.images.shape == (20, 1, 4, 4)
    assert train.images.eq(7).all()
    assert train.labels.tolist() == [*range(10)] * 2
    assert test.labels.tolist() == [*range(10)]
    assert origin == str(tmp_path / place / layout)


def test_the_home_folder_may_be_abbreviated(tmp_path, write_set, no_network, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write_set(tmp_path / "data", 5)
    assert grey_level(IdxFiles("given"), "~/data") == 5


def test_the_cache_is_below_home_unless_it_is_set(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_folder("given") == tmp_path / ".cache" / "sweeps" / "given"


# --- Missing and damaged


def test_a_missing_set_names_every_place_and_what_helps(tmp_path, no_network, monkeypatch):
    arguments = source_arguments("fashion_mnist") | {"folders": [str(tmp_path / "system")]}
    with pytest.raises(DataError) as caught:
        IdxFiles(**arguments).load(str(tmp_path / "own"))
    message = str(caught.value)
    for base in (tmp_path / "own", tmp_path / "system", no_network / "sweeps" / "fashion_mnist"):
        assert f"{base}\n" in message
        assert f"{base}/FashionMNIST/raw\n" in message
    for said in (
        "no network here",
        "apt-get install dataset-fashion-mnist",
        "dataset=fashion_mnist_mini",
        "dataset.root=FOLDER",
    ):
        assert said in message


def test_without_a_torchvision_class_nothing_is_downloaded(no_network):
    with pytest.raises(DataError, match="no download for this data set"):
        IdxFiles("given").load(None)


def test_a_damaged_file_is_not_passed_over(tmp_path, write_set, no_network):
    write_set(tmp_path / "good", 1)
    damaged = write_set(tmp_path / "damaged", 2) / FILES[0]
    damaged.write_bytes(damaged.read_bytes()[:-1])
    source = IdxFiles("given", folders=[str(tmp_path / "good")])
    assert grey_level(source) == 1
    with pytest.raises(DataError, match=str(damaged)):
        source.load(str(tmp_path / "damaged"))


@pytest.mark.parametrize("name", FILES)
def test_an_incomplete_folder_is_not_passed_over(tmp_path, write_set, no_network, name):
    write_set(tmp_path / "good", 1)
    (write_set(tmp_path / "own", 2) / name).unlink()
    with pytest.raises(DataError, match=rf"{tmp_path}/own: holds a part of given but not {name}"):
        IdxFiles("given", folders=[str(tmp_path / "good")]).load(str(tmp_path / "own"))


def test_images_and_labels_must_be_equally_many(tmp_path, write_set, no_network):
    folder = write_set(tmp_path)
    write_idx(folder / FILES[1], np.zeros(19, np.uint8))
    with pytest.raises(DataError, match=rf"{FILES[0]}: holds 20 images, but .*{FILES[1]} holds 19 labels"):
        IdxFiles("given").load(str(folder))


def test_keys_of_files_and_sums_are_checked():
    with pytest.raises(ConfigError, match=r"dataset\.source\.files has the keys train.*it needs train_images"):
        IdxFiles("given", files={"train": "a"})
    with pytest.raises(ConfigError, match=r"dataset\.source\.sha256 has the keys train_images;"):
        IdxFiles("given", sha256={"train_images": "0"})


def test_other_file_names_are_read_under_their_keys(tmp_path, write_set, no_network):
    write_set(tmp_path, 3)
    names = {key: f"{key}.idx" for key in ("train_images", "train_labels", "test_images", "test_labels")}
    for old, new in zip(FILES, names.values(), strict=True):
        (tmp_path / old).rename(tmp_path / new)
    assert grey_level(IdxFiles("given", files=names), str(tmp_path)) == 3


# --- Download


@pytest.fixture
def faked_torchvision(monkeypatch, tmp_path, write_set):
    """A torchvision whose download writes small files; gives the cache and the list of the folders asked for."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    asked = []

    def dataset(root, train, download):
        assert download
        asked.append(root)
        write_set(tmp_path / root / "MNIST" / "raw", 9)

    monkeypatch.setattr("sweeps.vision.data.sources.torchvision_class", lambda name: dataset)
    return types.SimpleNamespace(cache=tmp_path / "cache" / "sweeps" / "given", asked=asked)


def test_a_download_goes_into_the_cache_and_is_used_from_there(faked_torchvision):
    source = IdxFiles("given", torchvision="MNIST")
    train, _, origin = source.load(None)
    assert train.images.eq(9).all()
    assert origin == str(faked_torchvision.cache / "MNIST" / "raw")
    downloads = len(faked_torchvision.asked)
    source.load(None)
    assert len(faked_torchvision.asked) == downloads
    assert [path.name for path in faked_torchvision.cache.parent.iterdir()] == ["given"]  # nothing is left behind


def test_the_cache_appears_whole_or_not_at_all(monkeypatch, tmp_path):
    def breaks(root, train, download):
        (tmp_path / root / "half").write_text("")
        raise EOFError("the connection broke")

    monkeypatch.setattr("sweeps.vision.data.sources.torchvision_class", lambda name: breaks)
    with pytest.raises(RuntimeError, match="connection broke"):
        download("MNIST", tmp_path / "cache" / "given")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_faster_process_wins_and_both_go_on(monkeypatch, tmp_path, write_set):
    folder = tmp_path / "given"

    def overtaken(root, train, download):
        write_set(tmp_path / root, 1)
        write_set(folder, 2)  # meanwhile, the other process finishes

    monkeypatch.setattr("sweeps.vision.data.sources.torchvision_class", lambda name: overtaken)
    download("MNIST", folder)
    assert grey_level(IdxFiles("given"), str(folder)) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["given"]


def test_an_unknown_torchvision_class_is_answered_with_the_known_ones(tmp_path):
    with pytest.raises(ConfigError, match=r"torchvision=MNlST is not known; use one of .*FashionMNIST"):
        download("MNlST", tmp_path / "given")


def test_torchvision_is_imported_only_where_it_is_needed():
    code = (
        "import sys; from sweeps.vision.data import IdxFiles;"
        "IdxFiles('given', packaged='mini').load(None);"
        "assert 'torchvision' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# --- Sets in torchvision's own formats


class Cifar:
    """Like torchvision.datasets.CIFAR10: [N, H, W, C] bytes and a list of labels."""

    def __init__(self, root, train, download):
        if download:
            raise OSError("no network here")
        count = 6 if train else 3
        self.data = np.random.default_rng(count).integers(0, 256, (count, 4, 4, 3), np.uint8)
        self.targets = [0, 1, 2] * (count // 3)


@pytest.fixture
def cifar(monkeypatch, no_network):
    monkeypatch.setattr("sweeps.vision.data.sources.torchvision_class", lambda name: Cifar)
    return TorchvisionSet(**source_arguments("cifar10"))


def test_a_torchvision_set_becomes_channels_first_bytes(cifar, tmp_path):
    (tmp_path / "cifar-10-batches-py").mkdir()
    train, test, origin = cifar.load(str(tmp_path))
    assert origin == str(tmp_path)
    assert np.array_equal(train.images.numpy(), Cifar("", True, False).data.transpose(0, 3, 1, 2))
    assert train.images.is_contiguous()
    assert train.labels.tolist() == [0, 1, 2] * 2
    assert len(test) == 3


def test_a_missing_torchvision_set_names_every_place(cifar, tmp_path, no_network):
    with pytest.raises(DataError) as caught:
        cifar.load(str(tmp_path))
    for said in (f"{tmp_path}\n", f"{no_network}/sweeps/cifar10\n", "no network here", "cifar-10-batches-py"):
        assert said in str(caught.value)


@pytest.mark.parametrize(
    "damage",
    [
        lambda self: self.targets.pop(),
        lambda self: setattr(self, "data", self.data.astype(np.float32)),
        lambda self: setattr(self, "data", self.data[0, 0]),
        lambda self: (_ for _ in ()).throw(RuntimeError("Dataset not found or corrupted.")),
    ],
    ids=["labels", "dtype", "shape", "sums"],
)
def test_a_damaged_torchvision_set_is_a_data_error(cifar, monkeypatch, tmp_path, damage):
    class Damaged(Cifar):
        def __init__(self, root, train, download):
            super().__init__(root, train, download)
            damage(self)

    monkeypatch.setattr("sweeps.vision.data.sources.torchvision_class", lambda name: Damaged)
    (tmp_path / "cifar-10-batches-py").mkdir()
    with pytest.raises(DataError, match=r"cifar-10-batches-py: torchvision cannot read CIFAR10"):
        cifar.load(str(tmp_path))


def test_files_of_an_old_torchvision_are_a_data_error(tmp_path, no_network):
    """Pickles of earlier releases, which it still looks for."""
    folder = tmp_path / "MNIST" / "processed"
    folder.mkdir(parents=True)
    for name in ("training.pt", "test.pt"):
        (folder / name).write_bytes(pickle.dumps(Path(tmp_path)))
    source = TorchvisionSet("mnist", torchvision="MNIST", contents="MNIST")
    with pytest.raises(DataError, match="MNIST: torchvision cannot read MNIST there"):
        source.load(str(tmp_path))


def test_a_pipe_in_a_torchvision_set_is_not_waited_for(cifar, tmp_path):
    (tmp_path / "cifar-10-batches-py").mkdir()
    os.mkfifo(tmp_path / "cifar-10-batches-py" / "test_batch")
    with pytest.raises(DataError, match="test_batch is not a regular file"):
        cifar.load(str(tmp_path))


@pytest.mark.parametrize("folder", ["/etc", "..", "../models", "mini/../../..", "/"])
def test_what_comes_with_the_package_lies_in_it(folder):
    with pytest.raises(ConfigError, match=rf"packaged={folder} is invalid: it lies outside of the package"):
        IdxFiles("given", packaged=folder)


def test_a_file_is_named_without_a_folder():
    names = dict(zip(("train_images", "train_labels", "test_images", "test_labels"), FILES, strict=True))
    for name in ("/etc/passwd", "../images", "a/b"):
        with pytest.raises(ConfigError, match="is invalid: a file's name, without a folder"):
            IdxFiles("given", files={**names, "test_labels": name})

"""What a notebook uses: a trained network that predicts what it predicted in its run."""

import re
import shutil
from pathlib import Path

import pytest
import torch

import sweeps
from sweeps.errors import ConfigError, DataError, RecordError
from sweeps.record.records import RunDir

DOCS = Path(__file__).resolve().parents[2] / "docs" / "vision.md"


@pytest.fixture(scope="module")
def study(run_into, tmp_path_factory):
    """Two runs that are trained, and one that diverged."""
    folder = tmp_path_factory.mktemp("sweep") / "lr_study"
    for name, lr in (("a", "0.1"), ("b", "0.5"), ("wild", "1e38")):
        run_into(RunDir(folder / name), "trainer.epochs=2", "dataset.validation=0.2", f"optim.lr={lr}")
    return folder


def test_a_trained_network_predicts_what_it_predicted_in_its_run(study):
    model = sweeps.load_model(study / "a")
    from sweeps.vision.build import load

    test = load(model.record.config).test
    right = (model.predict(test.images) == test.labels).float().mean().item()
    assert right == pytest.approx(model.record.metrics["last"]["test_acc"], abs=1e-6)
    assert not model.training
    assert model.labels[0] == "T-shirt/top"
    assert model(torch.rand(3, 1, 28, 28)).shape == (3, 10)


def test_images_are_prepared_as_in_training(study):
    model = sweeps.load_model(study / "a")
    images = torch.randint(0, 256, (2, 1, 28, 28), dtype=torch.uint8)
    assert torch.equal(model.prepare(images), images / 255)
    assert model.prepare(torch.zeros(2, 1, 64, 64, dtype=torch.uint8)).shape == (2, 1, 28, 28)


@pytest.mark.parametrize(
    ("images", "says"),
    [
        (torch.zeros(1, 28, 28, dtype=torch.uint8), r"shape \(1, 28, 28\).*one image is images\[None\]"),
        (torch.zeros(2, 3, 28, 28, dtype=torch.uint8), "images of 3 channels cannot be used: the network takes 1"),
        (torch.zeros(2, 1, 28, 28, dtype=torch.int64), "type torch.int64 cannot be used"),
    ],
)
def test_images_that_are_none_are_refused(study, images, says):
    with pytest.raises(DataError, match=says):
        sweeps.load_model(study / "a").predict(images)


def test_a_device_that_is_not_there_is_refused(study):
    with pytest.raises(ConfigError, match="device=nonsense cannot be used"):
        sweeps.load_model(study / "a", device="nonsense")


def test_a_run_without_weights_is_refused_with_the_reason(study):
    with pytest.raises(RecordError, match=r"the run is diverged, or was trained with trainer\.save_weights=false"):
        sweeps.load_model(study / "wild")


def test_a_record_cannot_build_what_a_config_may_not(study, tmp_path):
    folder = tmp_path / "evil"
    folder.mkdir()
    text = (study / "a" / "run.json").read_text().replace("sweeps.vision.models.lenet_bn", "os.system")
    (folder / "run.json").write_text(text)
    (folder / "weights.safetensors").write_bytes((study / "a" / "weights.safetensors").read_bytes())
    with pytest.raises(ConfigError, match=r"os\.system is not allowed"):
        sweeps.load_model(folder)


def test_weights_of_another_network_are_refused(study, tmp_path):
    folder = tmp_path / "torn"
    folder.mkdir()
    (folder / "run.json").write_bytes((study / "a" / "run.json").read_bytes())
    (folder / "weights.safetensors").write_bytes((study / "a" / "weights.safetensors").read_bytes()[:1000])
    with pytest.raises(RecordError, match="does not fit"):
        sweeps.load_model(folder)


def test_the_example_in_the_docs_works(study, monkeypatch, tmp_path):
    """As printed, with the sweep's name as it is printed there."""
    (tmp_path / "multirun" / "study").mkdir(parents=True)
    shutil.copytree(study / "a", tmp_path / "multirun" / "study" / "optim.lr=0.1")
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    (example,) = [block for block in blocks if "load_model" in block]
    names: dict[str, object] = {}
    exec(example, names)
    assert names["classes"].shape == (100,)

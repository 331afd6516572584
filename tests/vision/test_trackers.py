"""What trackers show of a network besides curves: images, its graph, its confusions and the network itself."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from PIL import Image
from tensorboard.plugins.custom_scalar import layout_pb2
from torch import nn

from sweeps.config import register
from sweeps.record.records import RunDir, Status
from sweeps.trackers import make_trackers
from sweeps.vision.config import register_schema
from sweeps.vision.confusion import Confusion, Pair
from sweeps.vision.trackers import MlflowTracker, PictureTracker, TensorBoardTracker, WandbTracker, draw_confusion, show

from ..trackers.conftest import new_record, points, read, rows_of


@pytest.fixture
def run(tmp_path):
    """Where a run leaves its files, in the folder of its sweep."""
    return RunDir(tmp_path / "study" / "lr=0.1")


def small():
    return nn.Sequential(nn.Conv2d(1, 4, 5), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 24 * 24, 10))


def png():
    file = io.BytesIO()
    Image.fromarray(np.full((28, 28), 200, np.uint8)).save(file, "PNG")
    return file.getvalue()


CONFUSION = Confusion("test", 2, ["a", "bee", "a long name"], [[90, 10, 0], [50, 50, 0], [0, 0, 0]], [])
MISTAKEN = Confusion("test", 2, CONFUSION.labels, CONFUSION.counts, [Pair(1, 0, 50, [png()] * 2)])
IMAGES = torch.rand(25, 1, 28, 28, generator=torch.Generator().manual_seed(0))


def show_run(tracker, run, *, done=0, confusion=MISTAKEN, network=None):
    """A whole run, as the vision task shows it."""
    network = network or small()
    rows = [{**row, "train_acc": 0.5, "lr": 0.1} for row in rows_of(2)]
    run.path.mkdir(parents=True, exist_ok=True)
    run.write_metrics(rows)
    tracker.open(run, new_record("optim.lr=0.1"), rows[:done])
    show([tracker], "network", network, IMAGES)
    for row in rows[done:]:
        tracker.report(row)
    show([tracker], "confusion", confusion)
    show([tracker], "trained_network", network, IMAGES)
    tracker.close(Status.COMPLETED)


def decoded(event):
    return np.asarray(Image.open(io.BytesIO(event.encoded_image_string)))


@pytest.mark.parametrize("name", ["tensorboard", "mlflow", "wandb", "csv", "none"])
def test_the_application_has_trackers_with_pictures_under_the_names_of_the_engine(name):
    register_schema()
    register()  # as Hydra does at every start
    conf = Path(__file__).parents[2] / "conf"
    with initialize_config_dir(str(conf), version_base="1.3"):
        config = compose(overrides=["+sweep=default", f"sweep/tracker={name}"])
    (tracker,) = make_trackers(config.sweep.tracker)
    assert isinstance(tracker, PictureTracker) == (name not in ("csv", "none"))


def test_curves_of_one_figure_stand_together_and_have_a_chart(run):
    show_run(TensorBoardTracker(), run)
    events = read(run.tensorboard)
    assert set(events.Tags()["scalars"]) == {"loss/train", "loss/val", "accuracy/train", "run/lr"}
    (event,) = events.Tensors("custom_scalars__config__")
    layout = layout_pb2.Layout.FromString(event.tensor_proto.string_val[0])
    assert [chart.title for category in layout.category for chart in category.chart] == ["loss", "accuracy"]


@pytest.mark.parametrize("count", [1, 7, 100])
def test_the_first_images_are_shown_as_the_network_sees_them(run, count):
    show_run(TensorBoardTracker(images=count), run)
    (event,) = read(run.tensorboard).Images("images/train")
    picture = decoded(event)
    assert (picture.shape[0] % 28, picture.shape[1] % 28) == (0, 0)
    assert picture.shape[0] * picture.shape[1] >= min(count, 25) * 28 * 28
    assert picture.std() > 20


def test_the_confusion_matrix_and_what_is_mistaken_are_shown(run):
    show_run(TensorBoardTracker(), run)
    events = read(run.tensorboard)
    (event,) = events.Images("confusion/test")
    assert event.step == 2
    assert decoded(event).shape == (event.height, event.width, 3)
    assert events.Images("mistakes/test")


def test_pictures_that_are_not_wanted_are_not_there(run):
    show_run(TensorBoardTracker(images=0, graph=False, confusion=False), run)
    tags = read(run.tensorboard).Tags()
    assert tags["images"] == []
    assert not tags["graph"]
    assert tags["scalars"]


def test_a_resumed_run_shows_everything_once(run):
    show_run(TensorBoardTracker(), run)
    show_run(TensorBoardTracker(), run, done=1)
    events = read(run.tensorboard)
    assert points(events, "loss/train").keys() == {1, 2}
    assert len(events.Images("images/train")) == len(events.Images("confusion/test")) == 1
    assert events.Graph().node


def test_a_network_that_cannot_be_drawn_is_trained_all_the_same(run, caplog):
    class Branching(nn.Module):
        def forward(self, images):
            return images if images.sum() > 0 else -images

    show_run(TensorBoardTracker(), run, network=Branching())
    assert "the network graph is left out" in caplog.text
    tags = read(run.tensorboard).Tags()
    assert "images/train" in tags["images"]
    assert not tags["graph"]


def test_a_picture_that_fails_hurts_nobody(run, caplog):
    class Broken(PictureTracker):
        def show_confusion(self, confusion):
            raise OSError("the disk is full")

    show_run(Broken(), run)
    assert "Broken: the confusion is left out: the disk is full" in caplog.text


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of packages that are not ours
@pytest.mark.parametrize("model", [True, False])
def test_an_mlflow_store_holds_the_confusion_and_the_model(run, model):
    mlflow = pytest.importorskip("mlflow")
    pytest.importorskip("sqlalchemy")
    show_run(MlflowTracker(model=model), run)
    uri = f"sqlite:///{run.path.parent / 'mlflow' / 'mlflow.db'}"
    client = mlflow.MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("sweeps").experiment_id
    (one,) = [one for one in client.search_runs([experiment]) if "sweeps.folder" in one.data.tags]
    assert "confusion.json" in {file.path for file in client.list_artifacts(one.info.run_id)}
    mlflow.set_tracking_uri(uri)
    models = mlflow.search_logged_models([experiment], output_format="list")
    assert len(models) == model
    if model:
        signature = mlflow.models.get_model_info(models[0].model_uri).signature
        assert signature.inputs.inputs[0].shape == (-1, 1, 28, 28)
        assert signature.outputs.inputs[0].shape == (-1, 10)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_wandb_keeps_the_confusion(run, monkeypatch, caplog):
    pytest.importorskip("wandb")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    show_run(WandbTracker(), run)
    assert list(run.path.glob("wandb/offline-run-*/run-*.wandb"))
    assert "left out" not in caplog.text


def shade(picture, row, column, classes):
    """The colour of a square, away from its border and its number."""
    side, margin = 46, picture.shape[0] - 8 - classes * 46
    return picture[margin + row * side + 6, margin + column * side + 6].astype(int)


def test_the_picture_of_a_confusion_is_darker_where_more_images_are():
    picture = draw_confusion(np.array(CONFUSION.counts), CONFUSION.labels)
    assert picture.dtype == np.uint8
    brightness = np.array([[shade(picture, row, column, 3).sum() for column in range(3)] for row in range(3)])
    assert brightness[0, 0] < brightness[1, 0] == brightness[1, 1] < brightness[0, 1] < brightness[0, 2] == 3 * 255
    assert (brightness[2] == 3 * 255).all()  # a class without images

"""What TensorBoard shows of a run is what its records say."""

import io
import re

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.plugins.custom_scalar import layout_pb2

from sweeps.progress import Progress
from sweeps.record.recording import new_record
from sweeps.record.records import RunDir, Status
from sweeps.trackers.tensorboard import TensorBoardTracker
from sweeps.vision.pictures import draw_confusion

from .conftest import points, read

TENSORBOARD = ("tracker=tensorboard", "trainer.save_weights=false")
TAGS = {
    "train_loss": "loss/train",
    "train_acc": "accuracy/train",
    "train_eval_loss": "loss/train_eval",
    "train_eval_acc": "accuracy/train_eval",
    "val_loss": "loss/val",
    "val_acc": "accuracy/val",
    "test_loss": "loss/test",
    "test_acc": "accuracy/test",
    "lr": "run/lr",
    "examples_per_second": "run/examples_per_second",
    "seconds": "run/seconds",
}


class StopAfter(Progress):
    def __init__(self, epoch):
        self._epoch = epoch

    def epoch(self, row):
        if row["epoch"] == self._epoch:
            raise KeyboardInterrupt


def decoded(event):
    return np.asarray(Image.open(io.BytesIO(event.encoded_image_string)))


def test_curves_are_the_lines_of_the_metrics(do_run, folder):
    do_run(*TENSORBOARD, "trainer.epochs=3", "dataset.validation=0.2", "trainer.evaluate_train=true")
    rows = folder.read_metrics()
    assert rows[0].keys() == TAGS.keys() | {"epoch"}
    events = read(folder.tensorboard)
    assert set(events.Tags()["scalars"]) == set(TAGS.values())
    for key, tag in TAGS.items():
        assert points(events, tag) == pytest.approx({row["epoch"]: row[key] for row in rows}, rel=1e-6)


def test_curves_of_what_is_not_measured_are_not_there(do_run, folder):
    do_run(*TENSORBOARD)
    tags = set(read(folder.tensorboard).Tags()["scalars"])
    assert tags == {tag for key, tag in TAGS.items() if not key.startswith(("val", "train_eval"))}


def test_one_chart_compares_train_and_test(do_run, folder):
    do_run(*TENSORBOARD, "dataset.validation=0.2", "trainer.evaluate_train=true")
    events = read(folder.tensorboard)
    (event,) = events.Tensors("custom_scalars__config__")
    layout = layout_pb2.Layout.FromString(event.tensor_proto.string_val[0])
    charts = {chart.title: list(chart.multiline.tag) for category in layout.category for chart in category.chart}
    assert charts.keys() == {"loss", "accuracy"}
    for figure, patterns in charts.items():
        shown = {tag for tag in TAGS.values() if any(re.match(pattern, tag) for pattern in patterns)}
        assert shown == {f"{figure}/{split}" for split in ("train", "train_eval", "val", "test")}


@pytest.mark.parametrize("count", [1, 7, 100])
def test_the_first_images_are_shown_as_the_network_sees_them(do_run, folder, count, compose):
    do_run(*TENSORBOARD, f"tracker.tensorboard.images={count}", "trainer.epochs=1")
    (event,) = read(folder.tensorboard).Images("images/train")
    assert event.step == 0
    picture = decoded(event)
    assert (picture.shape[0] % 28, picture.shape[1] % 28) == (0, 0)
    assert picture.shape[0] * picture.shape[1] >= min(count, 25) * 28 * 28  # a batch has 25 images
    assert picture.std() > 20


def test_the_confusion_matrix_is_shown_once_after_the_last_epoch(do_run, folder):
    do_run(*TENSORBOARD)
    (event,) = read(folder.tensorboard).Images("confusion/test")
    assert event.step == 2
    picture = decoded(event)
    assert picture.shape == (event.height, event.width, 3)
    assert min(picture.shape[:2]) > 400  # readable


def test_pictures_that_are_not_wanted_are_not_there(do_run, folder):
    do_run(
        *TENSORBOARD,
        "tracker.tensorboard.images=0",
        "tracker.tensorboard.graph=false",
        "tracker.tensorboard.confusion=false",
    )
    tags = read(folder.tensorboard).Tags()
    assert tags["images"] == []
    assert not tags["graph"]
    assert tags["scalars"]


def test_a_run_has_one_directory_of_its_own_without_others_below(do_run, folder):
    do_run(*TENSORBOARD)
    files = [path.relative_to(folder.tensorboard).as_posix() for path in folder.tensorboard.rglob("*")]
    assert len(files) == 1
    assert files[0].startswith("events.out.tfevents.")


def test_no_tracker_writes_nothing(do_run, folder):
    assert do_run("tracker=none").status is Status.COMPLETED
    assert not folder.tensorboard.exists()


@pytest.mark.parametrize("every", [1, 2, 0], ids="checkpoint_every={}".format)
def test_a_resumed_run_shows_every_epoch_once(do_run, folder, seconds_apart, every):
    overrides = (*TENSORBOARD, "trainer.epochs=4", f"trainer.checkpoint_every={every}")
    with pytest.raises(KeyboardInterrupt):
        do_run(*overrides, progress=StopAfter(3))
    do_run(*overrides)
    assert len(list(folder.tensorboard.iterdir())) == 2
    rows = folder.read_metrics()
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4]
    events = read(folder.tensorboard)
    for key in ("train_loss", "test_acc", "seconds"):
        assert points(events, TAGS[key]) == pytest.approx({row["epoch"]: row[key] for row in rows}, rel=1e-6)
    assert len(events.Images("images/train")) == 1
    assert events.Graph().node


def test_a_run_that_goes_on_within_a_second_keeps_its_first_epochs(do_run, folder, same_second):
    overrides = (*TENSORBOARD, "trainer.epochs=3")
    with pytest.raises(KeyboardInterrupt):
        do_run(*overrides, progress=StopAfter(2))
    do_run(*overrides)
    assert points(read(folder.tensorboard), "loss/train").keys() == {1, 2, 3}


def test_a_run_that_diverges_keeps_its_curves(do_run, folder):
    explode = ("schedule=step", "schedule.milestones=[0.5]", "schedule.gamma=1e38")
    assert do_run(*TENSORBOARD, *explode, "trainer.epochs=4").status is Status.DIVERGED
    assert points(read(folder.tensorboard), "loss/train").keys() == {1, 2}


def test_a_network_that_cannot_be_drawn_is_trained_all_the_same(tmp_path, caplog, compose):
    class Branching(torch.nn.Module):
        def forward(self, images):
            return images if images.sum() > 0 else -images

    tracker = TensorBoardTracker()
    tracker.open(RunDir(tmp_path), new_record(compose(), name="cell", overrides=[]), epochs_done=0)
    tracker.network(Branching(), torch.ones(2, 1, 8, 8))
    tracker.close(Status.COMPLETED)
    assert "the network graph is left out" in caplog.text
    events = read(tmp_path / "tensorboard")
    assert events.Tags()["images"] == ["images/train"]
    assert not events.Tags()["graph"]


def shade(picture, row, column, classes):
    """The colour of a cell, away from its border and its number."""
    cell, margin = 46, picture.shape[0] - 8 - classes * 46
    return picture[margin + row * cell + 6, margin + column * cell + 6].astype(int)


def test_the_picture_of_a_confusion_is_darker_where_more_images_are():
    picture = draw_confusion(np.array([[90, 10, 0], [50, 50, 0], [0, 0, 0]]), ["a", "bee", "a long name"])
    assert picture.dtype == np.uint8
    brightness = np.array([[shade(picture, row, column, 3).sum() for column in range(3)] for row in range(3)])
    assert brightness[0, 0] < brightness[1, 0] == brightness[1, 1] < brightness[0, 1] < brightness[0, 2] == 3 * 255
    assert (brightness[2] == 3 * 255).all()  # a class without images

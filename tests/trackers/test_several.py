"""Several trackers at once, and the promise that none of them can make a run fail."""

import csv
import importlib.util

import pytest

from sweeps.record.records import Status
from sweeps.trackers import NullTracker, absent, followed
from sweeps.trackers.composite import Several
from sweeps.trackers.wandb import WandbTracker
from sweeps.vision.build import make_trackers

QUICK = ("trainer.epochs=1", "trainer.save_weights=false")


class Heard(NullTracker):
    def __init__(self):
        self.heard = []

    def open(self, run, record, *, epochs_done):
        self.heard.append("open")

    def epoch(self, row):
        self.heard.append(f"epoch {row['epoch']}")

    def close(self, outcome):
        self.heard.append(str(outcome))


class Broken(Heard):
    def epoch(self, row):
        raise ConnectionError("the server is away")


def test_both_trackers_of_a_list_hear_of_the_run(do_run, folder):
    do_run("tracker=[tensorboard,csv]", *QUICK)
    assert list(folder.tensorboard.glob("events.*"))
    (line,) = csv.DictReader((folder.path / "metrics.csv").read_text().splitlines())
    (row,) = folder.read_metrics()
    assert {key: float(value) for key, value in line.items()} == row


def test_a_tracker_that_raises_is_told_nothing_more_and_the_others_are(caplog, tmp_path):
    broken, sound = Broken(), Heard()
    tracker = Several([broken, sound])
    tracker.open(None, None, epochs_done=0)
    tracker.epoch({"epoch": 1})
    tracker.epoch({"epoch": 2})
    tracker.close(Status.COMPLETED)
    assert broken.heard == ["open", "failed"]  # closed at once
    assert sound.heard == ["open", "epoch 1", "epoch 2", "completed"]
    assert "Broken is left out from here on (epoch): the server is away" in caplog.text


def test_a_run_with_a_broken_tracker_completes(do_run, monkeypatch):
    monkeypatch.setattr("sweeps.vision.task.make_trackers", lambda config: [Broken()])
    assert do_run(*QUICK).status is Status.COMPLETED


def test_a_run_that_fails_before_it_trains_is_heard_of(do_run, monkeypatch):
    tracker = Heard()
    monkeypatch.setattr("sweeps.vision.task.make_trackers", lambda config: [tracker])
    with pytest.raises(Exception, match="limit"):
        do_run("dataset.limit=1000000", *QUICK)
    assert tracker.heard == ["open", "failed"]


@pytest.mark.parametrize(
    ("error", "outcome"), [(None, "completed"), (KeyboardInterrupt, "interrupted"), (ValueError, "failed")]
)
def test_trackers_hear_how_a_run_ends(tmp_path, error, outcome):
    tracker = Heard()
    try:
        with followed(None, None, [tracker]) as several:
            several.open(None, None, epochs_done=0)
            if error is not None:
                raise error
    except (KeyboardInterrupt, ValueError):
        pass
    assert tracker.heard == ["open", outcome]


def test_a_tracker_whose_package_is_absent_says_how_to_get_it_and_records_nothing(monkeypatch, capsys, tmp_path):
    absent._tell.cache_clear()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    tracker = WandbTracker()
    tracker.open(None, None, epochs_done=0)
    tracker.epoch({"epoch": 1})
    tracker.close(Status.COMPLETED)
    WandbTracker()
    assert capsys.readouterr().err == (
        "warning: tracker=wandb records nothing: wandb is not installed; pip install 'hydra-sweeps[wandb]'\n"
    )


def test_a_config_of_one_node_is_one_tracker():
    (tracker,) = make_trackers({"tracker": {"_target_": "sweeps.trackers.NullTracker"}})
    assert isinstance(tracker, NullTracker)


def test_csv_of_a_resumed_run_has_every_epoch_once(do_run, folder):
    from .test_tensorboard import StopAfter

    with pytest.raises(KeyboardInterrupt):
        do_run("tracker=csv", "trainer.epochs=3", progress=StopAfter(2))
    do_run("tracker=csv", "trainer.epochs=3")
    lines = list(csv.DictReader((folder.path / "metrics.csv").read_text().splitlines()))
    assert [line["epoch"] for line in lines] == ["1", "2", "3"]

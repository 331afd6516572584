"""Several trackers at once, and the promise that none of them can make a run fail."""

import importlib.util

import pytest

from sweeps.errors import ConfigError
from sweeps.record.records import Status
from sweeps.trackers import Tracker, Trackers, make_trackers, tracker
from sweeps.trackers.wandb import WandbTracker

from .conftest import follow, new_record, rows_of


class Heard(Tracker):
    def __init__(self):
        self.heard = []

    def open(self, run, record, rows):
        self.heard.append(f"open after {len(rows)}")

    def report(self, row):
        self.heard.append(f"step {row['step']}")

    def close(self, status):
        self.heard.append(str(status))


class Broken(Heard):
    def report(self, row):
        raise ConnectionError("the server is away")


def test_a_tracker_that_raises_is_left_out_and_the_others_are_not(caplog, run):
    broken, sound = Broken(), Heard()
    trackers = Trackers([broken, sound], run, new_record())
    assert list(trackers) == [broken, sound]
    follow(trackers, run, new_record(), rows_of(2))
    assert broken.heard == ["open after 0", "failed"]  # closed at once
    assert sound.heard == ["open after 0", "step 1", "step 2", "completed"]
    assert list(trackers) == [sound]
    assert "Broken is left out from here on (report): the server is away" in caplog.text


def test_a_tracker_that_cannot_even_be_closed_hurts_nobody(caplog, run):
    class Stuck(Broken):
        def close(self, status):
            raise OSError("no")

    follow(Trackers([Stuck()], run, new_record()), run, new_record(), rows_of(1))
    assert "Stuck cannot be closed: no" in caplog.text


def test_a_run_that_fails_before_it_trains_is_shown_as_failed(run):
    tracker = Heard()
    run.path.mkdir(parents=True)
    run.write_metrics(rows_of(2))
    Trackers([tracker], run, new_record()).close(Status.FAILED)
    assert tracker.heard == ["open after 2", "failed"]


def test_a_tracker_whose_package_is_absent_says_how_to_get_it_and_records_nothing(monkeypatch, capsys, run):
    tracker._warn.cache_clear()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    follow(WandbTracker(), run, new_record(), rows_of(1))
    WandbTracker()
    assert capsys.readouterr().err == (
        "warning: sweep/tracker=wandb records nothing: wandb is not installed; pip install 'hydra-sweeps[wandb]'\n"
    )


SILENT = {"_target_": "sweeps.trackers.Tracker"}


@pytest.mark.parametrize(
    ("node", "count"), [(None, 0), ({}, 0), (SILENT, 1), ({"a": SILENT, "b": SILENT}, 2), ({"a": SILENT, "b": None}, 1)]
)
def test_a_config_may_name_any_number_of_trackers(node, count):
    assert [type(tracker) for tracker in make_trackers(node)] == [Tracker] * count


def test_a_tracker_that_takes_no_such_argument_is_a_mistake_of_the_config():
    with pytest.raises(ConfigError, match="CsvTracker cannot be made"):
        make_trackers({"csv": {"_target_": "sweeps.trackers.csv.CsvTracker", "separator": ";"}})

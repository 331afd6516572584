"""metrics.csv holds what metrics.jsonl does, for a spreadsheet."""

import csv

import pytest

from sweeps.trackers.csv import CsvTracker

from .conftest import follow, new_record, rows_of


def lines(run):
    return list(csv.DictReader((run.path / "metrics.csv").read_text().splitlines()))


def test_each_report_is_a_line(run):
    follow(CsvTracker(), run, new_record(), rows_of(3))
    assert [{key: float(value) for key, value in line.items()} for line in lines(run)] == rows_of(3)


def test_a_resumed_run_has_every_report_once(run):
    follow(CsvTracker(), run, new_record(), rows_of(3), end=None)
    follow(CsvTracker(), run, new_record(), rows_of(5), done=2)
    assert [line["step"] for line in lines(run)] == ["1", "2", "3", "4", "5"]


def test_a_new_metric_gets_a_column(run):
    rows = [{"step": 0.5, "train_loss": 1.0}, {"step": 1, "train_loss": 0.5, "val_loss": None}, {"step": 1.5, "x": 2}]
    follow(CsvTracker(), run, new_record(), rows)
    assert lines(run) == [
        {"step": "0.5", "train_loss": "1.0", "val_loss": "", "x": ""},
        {"step": "1", "train_loss": "0.5", "val_loss": "", "x": ""},
        {"step": "1.5", "train_loss": "", "val_loss": "", "x": "2"},
    ]


@pytest.mark.parametrize("done", [0, 1])
def test_no_field_is_a_formula(run, done):
    rows = [{"step": 1, "=cmd()": 1}, {"step": 2, "=cmd()": 2, "note": "@sum", "loss": -1}, {"step": 3, "+x": 1}]
    follow(CsvTracker(), run, new_record(), rows, done=done)
    assert lines(run)[1] == {"step": "2", "'=cmd()": "2", "note": "'@sum", "loss": "-1", "'+x": ""}


def test_a_link_in_the_place_of_the_file_is_not_written_through(run, tmp_path):
    (tmp_path / "precious").write_text("precious")
    run.path.mkdir(parents=True)
    (run.path / "metrics.csv").symlink_to(tmp_path / "precious")
    follow(CsvTracker(), run, new_record(), rows_of(2))
    assert (tmp_path / "precious").read_text() == "precious"
    assert len(lines(run)) == 2

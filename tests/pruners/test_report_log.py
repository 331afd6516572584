"""The shared file: many writers, torn lines, reports that are repeated."""

import json
import multiprocessing
import os

import pytest

from sweeps.errors import RecordError
from sweeps.pruners import LOG_NAME, Report, ReportLog, report_log


def write(folder, run, count):
    log = ReportLog(folder)
    for step in range(1, count + 1):
        log.add(Report(run.upper(), run, float(step), "train_loss", step / 10))


def test_what_is_reported_can_be_read_by_run_and_metric(tmp_path):
    log = ReportLog(tmp_path)
    assert log.read("train_loss") == {}
    write(tmp_path, "a", 2)
    log.add(Report("A", "a", 1.0, "val_acc", 0.5))
    log.add(Report("B", "b", 0.25, "train_loss", 3.0))
    assert log.read("train_loss") == {"A": {"a": {1.0: 0.1, 2.0: 0.2}}, "B": {"b": {0.25: 3.0}}}


def test_values_can_be_turned_so_that_more_is_better(tmp_path):
    log = ReportLog(tmp_path)
    write(tmp_path, "a", 2)
    assert log.read("train_loss")["A"]["a"] == {1.0: 0.1, 2.0: 0.2}
    assert log.read("train_loss", -1.0)["A"]["a"] == {1.0: -0.1, 2.0: -0.2}
    write(tmp_path, "b", 1)
    assert log.read("train_loss", -1.0)["B"] == {"b": {1.0: -0.1}}
    assert log.read("train_loss")["B"] == {"b": {1.0: 0.1}}
    assert log.read("other") == {}


def test_of_a_large_log_the_last_reports_are_known(tmp_path, monkeypatch, caplog):
    write(tmp_path, "a", 20)
    monkeypatch.setattr(report_log, "LINES_LIMIT", 1000)
    log = ReportLog(tmp_path)
    found = log.read("train_loss")["A"]["a"]
    assert 20.0 in found
    assert 1.0 not in found
    assert "the last 1,000 bytes" in caplog.text
    write(tmp_path, "a", 40)
    assert {38.0, 39.0, 40.0} < log.read("train_loss")["A"]["a"].keys()


def test_a_run_that_repeats_itself_counts_once(tmp_path):
    log = ReportLog(tmp_path)
    for value in (0.5, 0.6):
        log.add(Report("A", "a", 1.0, "train_loss", value))
    assert log.read("train_loss") == {"A": {"a": {1.0: 0.6}}}


@pytest.mark.parametrize(
    "torn",
    [
        '{"run": "b", "at": 1.0, "met',
        "\x00\x00\x00",
        "[1, 2]",
        '{"run": "b"}',
        '{"setting": "b", "run": "b", "step": 1.0, "metric": "train_loss", "value": "1.0"}',
        '{"cell": "b", "run": "b", "metric": "train_loss", "value": 1.0}',
        '{"setting": "b", "run": "b", "step": 1' + "0" * 400 + ', "metric": "train_loss", "value": 1.0}\n',
    ],
)
def test_what_a_killed_process_left_costs_no_other_report(tmp_path, torn):
    write(tmp_path, "a", 1)
    with (tmp_path / LOG_NAME).open("a") as file:
        file.write(torn)  # and no end of the line
    write(tmp_path, "c", 1)
    assert ReportLog(tmp_path).read("train_loss") == {"A": {"a": {1.0: 0.1}}, "C": {"c": {1.0: 0.1}}}


def test_a_value_that_is_not_a_number_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        ReportLog(tmp_path).add(Report("A", "a", 1.0, "train_loss", float("nan")))
    (tmp_path / LOG_NAME).write_text(json.dumps(Report("A", "a", 1.0, "train_loss", 1e999)._asdict()))
    assert ReportLog(tmp_path).read("train_loss") == {}


def test_what_is_appended_later_is_found_and_half_a_line_waits_for_its_end(tmp_path):
    log = ReportLog(tmp_path)
    write(tmp_path, "a", 1)
    assert log.read("train_loss") == {"A": {"a": {1.0: 0.1}}}
    whole = json.dumps(Report("B", "b", 1.0, "train_loss", 0.5)._asdict())
    with (tmp_path / LOG_NAME).open("a") as file:
        file.write(whole[:20])
    assert "B" not in log.read("train_loss")
    with (tmp_path / LOG_NAME).open("a") as file:
        file.write(whole[20:] + "\n")
    assert log.read("train_loss") == {"A": {"a": {1.0: 0.1}}, "B": {"b": {1.0: 0.5}}}
    (tmp_path / LOG_NAME).unlink()
    assert log.read("train_loss") == {}
    write(tmp_path, "c", 9)
    assert list(log.read("train_loss")) == ["C"], "another file, though a longer one"


def test_several_processes_write_at_once(tmp_path):
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=write, args=(tmp_path, str(run), 100)) for run in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    found = ReportLog(tmp_path).read("train_loss")
    assert {run: len(runs[run]) for run, runs in found.items()} == {str(run): 100 for run in range(4)}


def test_a_log_that_is_not_an_ordinary_file_is_an_error_with_the_way_out(tmp_path):
    os.mkfifo(tmp_path / LOG_NAME)
    with pytest.raises(RecordError, match=f"cannot read .*{LOG_NAME}: .*; move it away"):
        ReportLog(tmp_path).read("train_loss")


def test_reports_of_release_0_1_are_read(tmp_path):
    line = '{"cell": "A", "run": "a", "at": 0.25, "metric": "train_loss", "value": 3}'
    (tmp_path / LOG_NAME).write_text(f"\n{line}\n")
    ReportLog(tmp_path).add(Report("A", "a", 1.0, "train_loss", 2.0))
    assert ReportLog(tmp_path).read("train_loss") == {"A": {"a": {0.25: 3.0, 1.0: 2.0}}}

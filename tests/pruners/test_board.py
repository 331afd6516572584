"""The shared file: many writers, torn lines, reports that come twice."""

import json
import multiprocessing
import os

import pytest

from sweeps.errors import RecordError
from sweeps.pruners import BOARD_NAME, Board, Report


def write(folder, run, count):
    board = Board(folder)
    for at in range(1, count + 1):
        board.add(Report(run.upper(), run, float(at), "train_loss", at / 10))


def test_what_is_reported_can_be_read_by_run_and_metric(tmp_path):
    board = Board(tmp_path)
    assert board.read("train_loss") == {}
    write(tmp_path, "a", 2)
    board.add(Report("A", "a", 1.0, "val_acc", 0.5))
    board.add(Report("B", "b", 0.25, "train_loss", 3.0))
    assert board.read("train_loss") == {"A": {"a": {1.0: 0.1, 2.0: 0.2}}, "B": {"b": {0.25: 3.0}}}


def test_a_run_that_repeats_itself_counts_once(tmp_path):
    board = Board(tmp_path)
    for value in (0.5, 0.6):
        board.add(Report("A", "a", 1.0, "train_loss", value))
    assert board.read("train_loss") == {"A": {"a": {1.0: 0.6}}}


@pytest.mark.parametrize(
    "torn",
    [
        '{"run": "b", "at": 1.0, "met',
        "\x00\x00\x00",
        "[1, 2]",
        '{"run": "b"}',
        '{"cell": "b", "run": "b", "at": 1' + "0" * 400 + ', "metric": "train_loss", "value": 1.0}\n',
    ],
)
def test_what_a_killed_process_left_costs_no_other_report(tmp_path, torn):
    write(tmp_path, "a", 1)
    with (tmp_path / BOARD_NAME).open("a") as file:
        file.write(torn)  # and no end of the line
    write(tmp_path, "c", 1)
    assert Board(tmp_path).read("train_loss") == {"A": {"a": {1.0: 0.1}}, "C": {"c": {1.0: 0.1}}}


def test_a_figure_that_is_no_number_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        Board(tmp_path).add(Report("A", "a", 1.0, "train_loss", float("nan")))
    (tmp_path / BOARD_NAME).write_text(json.dumps(Report("A", "a", 1.0, "train_loss", 1e999)._asdict()))
    assert Board(tmp_path).read("train_loss") == {}


def test_what_is_appended_meanwhile_is_found_and_half_a_line_waits_for_its_end(tmp_path):
    board = Board(tmp_path)
    write(tmp_path, "a", 1)
    assert board.read("train_loss") == {"A": {"a": {1.0: 0.1}}}
    whole = json.dumps(Report("B", "b", 1.0, "train_loss", 0.5)._asdict())
    with (tmp_path / BOARD_NAME).open("a") as file:
        file.write(whole[:20])
    assert "B" not in board.read("train_loss")
    with (tmp_path / BOARD_NAME).open("a") as file:
        file.write(whole[20:] + "\n")
    assert board.read("train_loss") == {"A": {"a": {1.0: 0.1}}, "B": {"b": {1.0: 0.5}}}
    (tmp_path / BOARD_NAME).unlink()
    assert board.read("train_loss") == {}
    write(tmp_path, "c", 9)
    assert list(board.read("train_loss")) == ["C"], "another file, though a longer one"


def test_several_processes_write_at_once(tmp_path):
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=write, args=(tmp_path, str(run), 100)) for run in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    found = Board(tmp_path).read("train_loss")
    assert {run: len(runs[run]) for run, runs in found.items()} == {str(run): 100 for run in range(4)}


def test_a_board_that_is_no_ordinary_file_is_an_error_with_the_way_out(tmp_path):
    os.mkfifo(tmp_path / BOARD_NAME)
    with pytest.raises(RecordError, match=f"cannot read .*{BOARD_NAME}: .*; move it away"):
        Board(tmp_path).read("train_loss")

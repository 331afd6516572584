"""Sparklines say what the curves say, on one scale for all runs."""

import csv
import io
import json

from sweeps.record.records import Status
from sweeps.results.format import BLOCKS, CURVE_WIDTH, sparkline
from sweeps.summarize import main


def test_a_sparkline_goes_from_the_lowest_block_to_the_highest():
    assert sparkline([0.0, 0.5, 1.0], 0.0, 1.0) == "▁▅█"
    assert sparkline([3.0, 3.0], 3.0, 3.0) == "▅▅"


def test_a_long_curve_keeps_its_ends():
    line = sparkline([1.0, *[0.5] * 500, 0.0], 0.0, 1.0)
    assert len(line) == CURVE_WIDTH
    assert (line[0], line[-1]) == (BLOCKS[-1], BLOCKS[0])


def test_the_table_has_a_curve_for_each_run_on_one_scale(run_in, study, capsys):
    run_in(lr=0.1, accuracies=(0.2, 0.65, 1.0))
    run_in(lr=0.2, accuracies=(0.2, 0.2))
    run_in(lr=0.3, accuracies=(), status=Status.FAILED)
    assert main([str(study), "--curves"]) == 0
    words = [line.split() for line in capsys.readouterr().out.splitlines()]
    ranking = words[: next(place for place, line in enumerate(words) if "Ranked" in line)]
    assert any("test_acc" in line for line in ranking)
    assert [word for line in ranking for word in line if set(word) <= set(BLOCKS)] == ["▁▅█", "▁▁"]


def test_exports_hold_the_figures(run_in, study, capsys):
    run_in(accuracies=(0.25, 0.5))
    main([str(study), "--curves", "--format", "json"])
    assert json.loads(capsys.readouterr().out)["runs"][0]["curve"] == [0.25, 0.5]
    main([str(study), "--curves", "--format", "csv"])
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert json.loads(row["curve"]) == [0.25, 0.5]


def test_latex_names_what_makes_figures(run_in, study, capsys):
    run_in()
    assert main([str(study), "--curves", "--format", "latex"]) == 2
    assert "python -m sweeps.report makes figures" in capsys.readouterr().err

"""Sparklines say what the curves say, on one scale for all runs."""

import csv
import io
import json

import pytest

from sweeps.record.records import Status
from sweeps.results.curves import BLOCKS, WIDTH, sparkline
from sweeps.results.palette import look_of
from sweeps.summarize import main


def test_a_sparkline_goes_from_the_lowest_block_to_the_highest():
    assert sparkline([0.0, 0.5, 1.0], 0.0, 1.0) == "▁▅█"
    assert sparkline([3.0, 3.0], 3.0, 3.0) == "▅▅"


def test_a_long_curve_keeps_its_ends():
    line = sparkline([1.0, *[0.5] * 500, 0.0], 0.0, 1.0)
    assert len(line) == WIDTH
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


def test_latex_is_told_where_figures_are(run_in, study, capsys):
    run_in()
    assert main([str(study), "--curves", "--format", "latex"]) == 2
    assert "python -m sweeps.report makes figures" in capsys.readouterr().err


def test_the_seven_networks_look_different_in_colour_and_in_form():
    names = ("alexnet", "vgg11", "nin", "googlenet", "lenet_bn", "resnet18", "densenet")
    looks = [look_of(name) for name in names]
    assert len({look.colour for look in looks}) == len({look.shape for look in looks}) == 7
    assert look_of("torchvision:resnet50") == look_of("torchvision:resnet50")


@pytest.mark.parametrize("background", ["#ffffff", "#14171b"])
def test_every_network_is_seen_on_white_and_on_black(background):
    def luminance(colour):
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for name in ("alexnet", "vgg11", "nin", "googlenet", "lenet_bn", "resnet18", "densenet"):
        high, low = sorted((luminance(look_of(name).colour), luminance(background)), reverse=True)
        assert (high + 0.05) / (low + 0.05) > 2, name

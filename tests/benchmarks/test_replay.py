"""Pruners replayed on curves: what they cost, and that the page says what was measured and what was not."""

import json
import random
from pathlib import Path

import pytest

from benchmarks.search_study.cli import main
from benchmarks.search_study.page import page
from benchmarks.search_study.replay import replay
from sweeps.pruners import HalvingPruner, Pruner, SuccessiveHalvingPruner


def flat_curves(count, every=1.0, epochs=10, seed=0):
    """Runs of one figure each, which does not change: nothing misleads."""
    rng = random.Random(seed)
    gains = {f"run{number}": rng.random() for number in range(count)}
    steps = [every * step for step in range(1, round(epochs / every) + 1)]
    return {run: dict.fromkeys(steps, gain) for run, gain in gains.items()}


@pytest.mark.parametrize(("first", "every", "fewer"), [(1.0, 1.0, 4.0), (0.25, 0.25, 8.0)])
def test_halving_27_settings_takes_a_quarter_of_the_epochs_and_an_eighth_with_quarter_rungs(first, every, fewer):
    curves = flat_curves(27, every)
    reached, spent, *_ = replay(HalvingPruner(min_resource=first), curves, list(curves), max_steps=10)
    best = max(curves, key=lambda run: curves[run][10.0])
    ended = [run for run, at in reached.items() if at == 10]
    assert best in ended
    assert len(ended) <= 3
    assert 270 / spent >= fewer


def test_halving_by_hand():
    curves = flat_curves(9, epochs=9)
    reached, spent, *_ = replay(HalvingPruner(), curves, list(curves), max_steps=9)
    assert sorted(reached.values()) == [1] * 6 + [3] * 2 + [9]
    assert spent == 6 * 1 + 2 * 3 + 9


def test_asha_finds_the_best_in_any_order_and_never_waits():
    for seed in range(20):
        curves = flat_curves(27, seed=seed)
        order = list(curves)
        random.Random(seed).shuffle(order)
        reached, spent, *_ = replay(SuccessiveHalvingPruner(), curves, order, max_steps=10)
        assert reached[max(curves, key=lambda run: curves[run][10.0])] == 10
        assert len(reached) == 27
        assert spent < 270 / 2


def test_without_a_pruner_everything_is_trained():
    curves = flat_curves(5)
    assert replay(Pruner(), curves, list(curves), max_steps=10).spent == 50


def test_the_committed_page_is_that_of_the_committed_figures():
    docs = Path(__file__).parents[2] / "docs"
    assert page(json.loads((docs / "search.json").read_text())) == (docs / "search.md").read_text()


def test_the_page_tells_what_was_measured_and_how_to_measure_the_rest(tmp_path):
    assert main(["page", "--docs", str(tmp_path)]) == 0
    text = (tmp_path / "search.md").read_text()
    assert text.count("Not measured yet: `python scripts/search_study.py") == 8
    found = {
        "grid": {
            "values": {"a": [0.90, 0.80], "b": [0.80, 0.86], "c": [0.897, 0.70]},
            "rules": {
                "asha": [{"epochs": 90, "of": 270, "found": "c"}, {"epochs": 60, "of": 270, "found": "a"}],
                "halving": [{"epochs": 66, "of": 270, "found": "a"}, {"epochs": 66, "of": 270, "found": "b"}],
            },
            "real": {"epochs": 66, "found": "a"},
        },
        "samplers": {"tpe": [[0.1] * 5, [0.2] * 5], "random": [[0.1] * 5, [0.1] * 5]},
        "busy": {"trials": 20, "share": 0.97},
        "statistics": {"tables": 10, "coverage": {"5": 0.95}, "plain_coverage": {"5": 0.84},
                       "false_alarms": {"5": 0.05}, "collapsed_coverage": {"5": 0.69},
                       "best_of": {"n": 5, "settings": {"7": {"lost": 0.03, "found": {"2": 0.5, "4": 0.9}}}}},
    }  # fmt: skip
    text = page(found)
    assert "Not measured yet" not in text
    # the grid chose a, which has .80 on the other seed, and b, which has .80; asha c (.70) and a (.90)
    assert "| none: the whole grid | 100% | 1 | | | 0.8000 |" in text
    assert "| asha | 28% | 3.8 [3.0, 4.5] | 1 of 2 seeds | 0.0315, 0.0600 | 0.8000 |" in text
    assert "Run for real, halving trained 66 epochs of the first seed and chose a: as in the replay." in text
    assert "The best setting over all seeds is a: 0.8500." in text
    assert "at work 97.0% of the time" in text
    assert "| tpe, 2 seeds | 0.0500 (0.0707) |" in text

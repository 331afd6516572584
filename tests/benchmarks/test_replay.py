"""Pruners replayed on curves: what they cost, and that the page says what was measured and what was not."""

import json
import pickle
import random
from pathlib import Path

import numpy as np
import optuna
import pytest

from benchmarks.search_study import curves as public
from benchmarks.search_study import methods
from benchmarks.search_study.cli import main
from benchmarks.search_study.page import page
from benchmarks.search_study.replay import Promoting, replay
from sweeps.errors import ConfigError
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


def test_time_is_that_of_the_workers_and_spent_is_that_of_all_runs():
    curves = flat_curves(4)
    done = replay(Pruner(), curves, list(curves), max_steps=10, workers=2)
    assert (done.time, done.spent) == (20, 40)
    slow = replay(Pruner(), curves, list(curves), max_steps=10, workers=2, pace=dict.fromkeys(curves, 1) | {"run0": 2})
    assert (slow.time, slow.spent) == (30, 40), "run0 takes twice as long, beside run1 and run2"
    assert slow.completed[0] == (15, "run1"), "when run0 was half way"
    halving = replay(HalvingPruner(), curves, list(curves), max_steps=10, workers=4)
    assert (halving.time, halving.spent) == (10, 13)


def test_asha_as_published_pauses_and_promotes():
    curves = {str(number): {step: float(number) for step in (1.0, 2.0, 3.0, 9.0)} for number in range(8, -1, -1)}
    done = replay(Promoting(), curves, list(curves), max_steps=9, workers=1)
    # the best third of those at rung 1 so far, whenever a worker is free: 8, 7 and 6; of those at rung 3 the first
    assert done.reached == {**dict.fromkeys(curves, 1.0), "8": 9, "7": 3, "6": 3}
    assert done.spent == 9 + 3 * 2 + 6
    assert [run for _, run in done.completed] == ["8"]
    pasha = replay(Promoting(progressive=True), curves, list(curves), max_steps=9, workers=1)
    assert pasha.reached == done.reached, "both rungs rank them alike, so no other opens, and the best is completed"
    assert pasha.completed[0][0] == 21


def test_optuna_is_asked_as_it_asks_itself():
    """Its successive halving is our asha where both have the same rungs; its median waits for completed trials."""
    curves = flat_curves(27, epochs=9)
    rungs = {"min_resource": 100, "reduction_factor": 3}
    theirs = methods.OptunaPruner(optuna.pruners.SuccessiveHalvingPruner(**rungs))
    ours = replay(SuccessiveHalvingPruner(), curves, list(curves), max_steps=9)
    assert replay(theirs, curves, list(curves), max_steps=9).reached == ours.reached
    median = methods.OptunaPruner(optuna.pruners.MedianPruner(n_startup_trials=2))
    reached = replay(median, curves, list(curves), max_steps=9, workers=1).reached
    assert list(reached.values())[:2] == [9, 9]
    assert min(reached.values()) == 1


def task(settings=6, seeds=2):
    values = np.random.default_rng(0).random((settings, seeds))
    return public.Task("a", (1.0, 2.0, 3.0), np.repeat(values[..., None], 3, axis=2), values, values)


@pytest.mark.filterwarnings("ignore:WilcoxonPruner is experimental")
def test_every_method_is_measured_on_every_task_and_the_page_shows_it():
    found = methods.measure([task(), task()], settings=5, repeats=2)
    assert found["settings"] == 5
    assert set(found["methods"]["none"]) == {"1", "2", "8"}
    whole = found["methods"]["none"]["2"]
    assert (whole["spent"], whole["near"], whole["regret"]) == (1, 1, 0)
    halving, random = (found["methods"][name]["2"] for name in ("halving", "random, steps of halving"))
    assert halving["regret"] == 0, "nothing misleads"
    assert random["regret"] > 0
    text = page({"taskset": found | {"versions": {"optuna": "5"}, "date": "2026-01-01"}})
    assert "| none | 100.0% |" in text
    assert text.count("Measured on 2026-01-01 with optuna 5.") == 1


def test_a_choice_is_judged_on_the_seeds_it_was_not_made_by():
    one = task()
    assert one.elsewhere(0) == pytest.approx(one.worth[:, 1])
    assert task(seeds=1).elsewhere(0) == pytest.approx(task(seeds=1).worth[:, 0])
    noise = np.random.default_rng(0).random((100, 4))
    regrets = methods.seeds([("luck a", noise)], draws=200, settings=10)["regrets"]["luck"]
    assert regrets["10 settings, one seed: lead"] > regrets["5 settings, two seeds: lead"] > 0.1, "all of it is luck"


def test_tables_of_others_are_read_as_plain_data(tmp_path, monkeypatch):
    folder = tmp_path / "datasets" / "some"
    folder.mkdir(parents=True)
    monkeypatch.setattr(public, "_package", lambda name: tmp_path)
    path = folder / "a.pkl"
    path.write_bytes(pickle.dumps({"1": {"val_acc": [90.0, 80.0]}, "2": {"val_acc": [70.0]}, "3": {"val_loss": [1.0]}}))
    ((name, values),) = public.tables()
    assert (name, values.tolist()) == ("some a", [[0.9, 0.8]])
    path.write_bytes(pickle.dumps({"1": {"val_acc": [Path("a")]}}))
    with pytest.raises(pickle.UnpicklingError, match="is no plain data"):
        list(public.tables())


def test_curves_of_taskset_and_lcdb(tmp_path, monkeypatch):
    losses = {"loss": [0.7, 0.5, float("nan")]}
    (tmp_path / "FixedTextRNNClassification_a.json").write_text(json.dumps([{"valid": losses, "test": losses}]))
    (found,) = public.taskset(tmp_path)
    assert (found.name, found.curves.tolist(), found.steps) == ("a", [[[-0.7, -0.5, -10.0]]], (1.0, 2.0, 3.0))
    lines = ["openmlid,learner,size_train,size_test,outer_seed,inner_seed,traintime,score_train,score_valid,score_test"]
    for learner in range(17):
        for seed in (0, 1):
            sizes = (32, 64, 1920) if learner else (32, 64)  # the first one was never trained on all of it
            lines += [f"3,l{learner:02},{size},9,{seed},0,1,1,{learner / 100},{seed}" for size in sizes]
    (tmp_path / "database-accuracy.csv").write_text("\n".join(lines))
    monkeypatch.setattr(public, "_package", lambda name: tmp_path)
    (found,) = public.lcdb(tasks=1, seeds=2)
    assert (found.curves.shape, found.steps) == ((16, 2, 2), (1.0, 30.0))
    assert found.curves[0].tolist() == [[0.01, 0.01], [0.01, 0.01]]
    assert found.worth[0].tolist() == [0.0, 1.0]


def test_without_the_curves_of_our_own_grid_the_way_to_them_is_said(tmp_path, capsys):
    assert main(["own", "--docs", str(tmp_path)]) == 2
    assert "python scripts/search_study.py grid" in capsys.readouterr().err
    grid = {"values": {"a": [0.9], "b": [0.8]}, "curves": {"a": [[0.1, 0.2]], "b": [[0.1, 0.3]]}}
    (found,) = public.own(grid)
    assert found.curves.shape == (2, 1, 2)
    with pytest.raises(ConfigError, match="is not installed: pip install"):
        public._package("no_such_package_as_this")


def test_the_committed_page_is_that_of_the_committed_figures():
    docs = Path(__file__).parents[2] / "docs"
    assert page(json.loads((docs / "search.json").read_text())) == (docs / "search.md").read_text()


def measured(settings=100):
    figures = {
        "spent": 0.1,
        "near": 0.5,
        "until_near": None,
        "time": 2,
        "regret": 0.01,
        "elsewhere": 0.02,
        "error": 0.001,
    }
    of = {"tasks": ["a"], "settings": settings, "repeats": 2, "date": "2026-01-01", "versions": {"numpy": "2"}}
    return of | {"methods": {"asha": {"2": figures, "8": figures}}}


def test_the_page_tells_what_was_measured_and_how_to_measure_the_rest(tmp_path):
    assert main(["page", "--docs", str(tmp_path)]) == 0
    text = (tmp_path / "search.md").read_text()
    assert text.count("Not measured yet: `python scripts/search_study.py") == 9
    found = {
        "own": measured(),
        "taskset": measured(),
        "lcdb": measured([16, 20]),
        "seeds": {"draws": 5, "regrets": {"nas": {"27 settings, one seed": 0.01, "27 settings, one seed: lead": 0.02}}},
        "grid": {
            "values": {"a": [0.90, 0.80], "b": [0.80, 0.86], "c": [0.897, 0.70]},
            "rules": {
                "asha": [{"epochs": 90, "of": 270, "found": "c"}, {"epochs": 60, "of": 270, "found": "a"}],
                "halving": [{"epochs": 66, "of": 270, "found": "a"}, {"epochs": 66, "of": 270, "found": "b"}],
            },
            "real": {"epochs": 66, "found": "a"},
        },
        "race": {
            "tables": 10, "seeds": 20, "errors": {"normal": {"2": 0.01, "7": 0.02}},
            "power": [{"spread": 4.0, "runs": 99.0, "left": 6.1, "kept_best": 0.99, "fixed_runs": 270.0,
                       "fixed_left": 7.3}],
            "grids": {"Our own grid": {"grids": 1, "settings": [27, 27], "seeds": 10,
                                       "race": {"runs": 135.0, "left": 4.0, "kept_best": 1.0},
                                       "all": {"runs": 270.0, "left": 4.0, "kept_best": 1.0}}},
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
    assert text.count("| asha | 10.0% | -, - | 50%, 50% | 2.0 | 0.0100 | 0.0200 ± 0.0010 |") == 3
    assert "| 27 settings, one seed | 0.0100, 0.0200 |" in text
    assert "at work 97.0% of the time" in text
    assert "| normal | 1.0% | 2.0% |" in text
    assert "270 runs leave 4.0: 50% fewer." in text
    assert "| tpe, 2 seeds | 0.0500 (0.0707) |" in text

"""What the results suggest to do next."""

import random

from sweeps import results
from sweeps.record.records import Failure, Status
from sweeps.results.advice import advice
from sweeps.results.settings import judged, settings_of


def rows_of(*folders):
    return results.rank(results.load(folders))


def five_seeds(run_in, model, mean, spread=0.002, **more):
    rng = random.Random(f"{model} {more}")
    for seed in range(5):
        run_in(model=model, seed=seed, accuracies=(0.5, mean + spread * (seed - 2) + rng.gauss(0, spread / 10)), **more)


def advised(folder):
    rows = rows_of(folder)
    return advice(rows, judged(settings_of(rows)))


def test_values_that_tie_or_were_drawn_have_no_edge(run_in, study):
    for lr in (0.1, 0.2, 0.4):
        run_in(lr=lr, accuracies=(0.5,))
    assert not any("edge" in sentence for sentence in advised(study))
    run_in(lr=0.8, accuracies=(0.6,))
    assert any("edge" in sentence for sentence in advised(study))
    (study / "study.journal").touch()
    assert not any("edge" in sentence for sentence in advised(study)), "a search is no grid"


def test_advice_to_extend_the_grid_where_the_best_value_is_its_edge(run_in, study):
    for lr, final in ((0.025, 0.5), (0.05, 0.6), (0.1, 0.7)):
        run_in(model="a", lr=lr, accuracies=(final,))
        run_in(model="b", lr=lr, accuracies=(1 - final,))
    found = advised(study)
    assert "model=a: the best lr is at the edge of its grid; extend it: optim.lr=0.2,0.4." in found
    assert "model=b: the best lr is at the edge of its grid; extend it: optim.lr=0.013,0.0063." in found


def test_any_numeric_setting_may_be_at_its_edge(regression_in, study):
    for depth, momentum in ((2, 0.5), (3, 0.9), (4, 0.99)):
        regression_in(1 / depth, depth=depth, momentum=0)
        regression_in(1 - momentum, depth=2, momentum=momentum)
    edges = [sentence for sentence in advised(study) if "edge" in sentence]
    assert edges == [
        "momentum=0: the best depth is at the edge of its grid; extend it: depth=5,6.",
        "depth=2: the best momentum is at the edge of its grid; try values beyond it.",
    ]


def test_two_values_have_no_inside(run_in, study):
    for lr, final in ((0.05, 0.6), (0.1, 0.7)):
        run_in(lr=lr, accuracies=(final,))
    assert not any("edge" in sentence for sentence in advised(study))


def test_with_repeats_only_a_value_that_is_shown_to_be_the_best_is_at_the_edge(run_in, study):
    for lr, mean in ((0.1, 0.5), (0.2, 0.6), (0.4, 0.7)):
        five_seeds(run_in, "clear", mean, lr=lr)
        five_seeds(run_in, "ties", min(mean, 0.6), spread=0.05, lr=lr)
    run_in(model="ties", lr=0.8, seed=0, accuracies=(0.99,))
    edges = [sentence for sentence in advised(study) if "edge" in sentence]
    assert edges == ["model=clear: the best lr is at the edge of its grid; extend it: optim.lr=0.8,1.6."]


def test_no_advice_to_extend_past_values_that_diverge_or_from_inside(run_in, study):
    for lr, final in ((0.01, 0.5), (0.1, 0.6)):
        run_in(lr=lr, accuracies=(final,))
    for lr in (1.0, 10.0):
        run_in(lr=lr, status=Status.DIVERGED, error=Failure("diverged", "nan"))
    found = advised(study)
    assert not any("extend" in sentence for sentence in found)
    assert "Every run from optim.lr=1 on diverged: leave those values out." in found


def test_advice_on_seeds_that_disagree(run_in, study):
    for seed, final in enumerate((0.9, 0.8, 0.7)):
        run_in(model="swings", seed=seed, accuracies=(final,))
        run_in(model="near", seed=seed, accuracies=(0.7 + seed / 100,))
        run_in(model="low", seed=seed, accuracies=(0.1 + final / 1000,))
    assert any(one.startswith("model=swings: its seeds disagree (0.7000 to 0.9000)") for one in advised(study))


def test_seeds_that_disagree_where_the_setting_is_worse_anyway_are_no_matter(run_in, study):
    five_seeds(run_in, "good", 0.9)
    five_seeds(run_in, "bad", 0.3, spread=0.05)
    assert [one.standing for one in judged(settings_of(rows_of(study)))] == ["best", "not best"]
    assert not advised(study)


def test_advice_to_repeat_single_runs(run_in, study):
    for lr in (0.1, 0.2, 0.15):
        run_in(lr=lr, accuracies=(1 - abs(lr - 0.15),))
    (sentence,) = advised(study)
    assert sentence.startswith("Every setting has a single run (n = 1), which is not evidence")
    assert "sweep.repeats=5" in sentence


def test_nothing_is_advised_where_nothing_is_ranked(regression_in, study):
    for lr in (0.1, 0.2):
        regression_in(lr, lr=lr, direction="")
    assert advised(study) == []

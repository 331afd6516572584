"""Settings over their seeds: what stands in the table, which may be the best, and how often that is wrong."""

import random

import numpy as np
import pytest

from sweeps import results
from sweeps.record.records import RunDir, Status
from sweeps.results.columns import swept_columns
from sweeps.results.compare import compare
from sweeps.results.runs import Objective
from sweeps.results.settings import Setting, judged, settings_of
from sweeps.results.tables import ranking_table, settings_table, summary

TEST_ACC = Objective("test_acc", "max", "last", "test")


def rows_of(*folders):
    return results.rank(results.load(folders))


def settings(*folders):
    return {one.label: one for one in judged(settings_of(rows_of(*folders)))}


def five_seeds(run_in, model, mean, spread=0.002, **more):
    rng = random.Random(f"{model} {more}")
    for seed in range(5):
        run_in(model=model, seed=seed, accuracies=(0.5, mean + spread * (seed - 2) + rng.gauss(0, spread / 10)), **more)


def test_a_setting_is_everything_but_the_seed(run_in, study):
    for lr in (0.1, 0.2):
        for seed, final in enumerate((0.5, 0.6, 0.7)):
            run_in(lr=lr, seed=seed, accuracies=(final + lr,))
    found = settings(study)
    assert list(found) == ["lr=0.2", "lr=0.1"]
    best = found["lr=0.2"]
    assert (best.n, best.mean, best.std) == (3, pytest.approx(0.8), pytest.approx(0.1))
    assert best.interval.low < best.mean < best.interval.high
    assert best.by_seed == pytest.approx({0: 0.7, 1: 0.8, 2: 0.9})
    assert best.values == {"optim.lr": 0.2}
    assert {RunDir(row.path).read().setting_id for row in best.runs} == {best.setting_id}


def test_a_regression_with_a_loss_alone(regression_in, study):
    for lr, losses in ((0.1, (0.5, 0.6)), (0.2, (0.2, 0.3)), (0.3, (0.9,))):
        for seed, loss in enumerate(losses):
            regression_in(1.0, loss, lr=lr, seed=seed)
    found = settings(study)
    assert list(found) == ["lr=0.2", "lr=0.1", "lr=0.3"], "lower is better, single runs last"
    assert (found["lr=0.2"].mean, found["lr=0.2"].best) == (pytest.approx(0.25), 0.2)


def test_values_without_a_seed_and_without_a_report(regression_in, study):
    for x in (1, 2):
        regression_in(value=x * x, x=x, split="")
    assert [(one.label, one.mean) for one in settings(study).values()] == [("x=1", 1), ("x=2", 4)]


def test_without_a_direction_nothing_is_judged(regression_in, study):
    for lr in (0.1, 0.2):
        for seed in (0, 1):
            regression_in(lr + seed, lr=lr, seed=seed, direction="")
    assert [one.standing for one in settings(study).values()] == ["not evidence"] * 2
    table = settings_table(rows_of(study))
    assert [line.cells[:3] for line in table.lines] == [["0.1", "2", "0.6000"], ["0.2", "2", "0.7000"]]
    assert [head.text for head in table.heads] == ["lr", "n", "mean", "std", "95 % interval"]
    assert table.notes[0] == "no ranking: sweep.objective.direction is not set"


def on_two_devices(run_in, made_up, **more):
    """Four runs of one setting: two seeds on the CPU, two on a GPU."""
    for seed, device in enumerate(("cpu", "cpu", "cuda:1", "cuda:1")):
        config = made_up.config_of(seed=seed, device=device, **more)
        run_in(config=config, accuracies=(0.8 + seed / 100,), overrides=[f"seed={seed}", f"device={device}"],
               name=f"{more},seed={seed}")  # fmt: skip


def test_what_cannot_change_a_result_splits_no_setting(run_in, study, made_up):
    on_two_devices(run_in, made_up)
    (one,) = settings(study).values()
    assert (one.n, sorted(one.by_seed)) == (4, [0, 1, 2, 3])


def test_what_cannot_change_a_result_is_no_column_of_a_setting(run_in, study, made_up):
    on_two_devices(run_in, made_up, batch=128)
    on_two_devices(run_in, made_up, batch=64)
    rows = rows_of(study)
    assert [column.key for column in swept_columns(rows)] == ["trainer.batch_size"]
    found = sorted((label, one.n) for label, one in settings(study).items())
    assert found == [("batch_size=128", 4), ("batch_size=64", 4)]
    assert compare(rows, "trainer.batch_size=64", "batch_size=128").first.n == 4


def test_the_same_run_in_two_sweeps_counts_for_each(tmp_path, made_up):
    for sweep in ("a", "b"):
        for seed in (0, 1):
            made_up.write_run(tmp_path / sweep, seed=seed)
    assert [(label, one.n) for label, one in settings(tmp_path).items()] == [("sweep=a", 2), ("sweep=b", 2)]
    assert [line.cells[0] for line in settings_table(rows_of(tmp_path)).lines] == ["sweep=a", "sweep=b"]


def test_seeds_of_two_sweeps_are_one_setting(tmp_path, made_up):
    for sweep, seeds in (("a", (0, 1)), ("b", (2, 3))):
        for seed in seeds:
            overrides = [f"sweep.name={sweep}", f"seed={seed}"]
            config = made_up.config_of(seed=seed, sweep={"name": sweep})
            made_up.write_run(tmp_path / sweep, config=config, overrides=overrides)
    assert [one.n for one in settings(tmp_path / "a", tmp_path / "b").values()] == [4]


def test_one_setting_by_two_spellings_is_one(run_in, study, made_up):
    run_in(config=made_up.config_of(seed=0), overrides=["model=alexnet"])
    run_in(config=made_up.config_of(seed=1), overrides=["optim.lr=1e-1", "seed=1"])
    run_in(config=made_up.config_of(model="nin", seed=1), overrides=["model=nin", "seed=1"])
    assert sorted((label, one.n) for label, one in settings(study).items()) == [("model=alexnet", 2), ("model=nin", 1)]


def test_the_best_those_that_tie_with_it_and_those_that_do_not(run_in, study):
    five_seeds(run_in, "a", 0.92)
    five_seeds(run_in, "b", 0.9198)
    five_seeds(run_in, "c", 0.80)
    run_in(model="d", seed=0, accuracies=(0.99,))
    standing = {one.values["model"]: one.standing for one in settings(study).values()}
    assert standing == {"a": "best", "b": "may be best", "c": "not best", "d": "not evidence"}
    table = settings_table(rows_of(study))
    assert [(line.cells[0], line.cells[1], line.cells[2][0]) for line in table.lines] == [
        ("a", "5", "*"), ("b", "5", "="), ("c", "5", "0"), ("d", "1", "0"),
    ]  # fmt: skip
    assert table.lines[3].cells[-1] == "not evidence"
    assert any("n = 1 is not evidence" in note for note in table.notes)


def test_lower_is_better_where_the_objective_says_so(run_in, study):
    loss = ("test_loss", "min", "last", "test")
    for model, mean in (("a", 0.9), ("b", 0.8)):
        five_seeds(run_in, model, mean, objective=loss)
    standing = [(label, one.standing) for label, one in settings(study).items()]
    assert standing == [("model=a", "best"), ("model=b", "not best")]


def test_lost_seeds_stand_beside_the_mean(run_in, study):
    run_in(seed=0, accuracies=(0.9,))
    run_in(seed=1, accuracies=(0.8,))
    run_in(seed=2, accuracies=(0.2,), status=Status.PRUNED)
    run_in(seed=3, accuracies=(0.2,), status=Status.DIVERGED)
    rows = rows_of(study)
    (one,) = settings_of(rows)
    assert (one.n, one.mean, one.lost) == (2, pytest.approx(0.85), 2)
    assert one.apart == {"pruned": 1, "diverged": 1}
    table = settings_table(rows)
    assert "1 pruned, 1 diverged" in table.lines[0].cells
    assert "Means are over completed runs alone, and leave out: 1 pruned, 1 diverged." in table.notes


def test_a_mean_is_never_outside_of_its_values():
    assert Setting("", "", (), TEST_ACC, figures=(0.1, 0.1, 0.1)).mean == 0.1


def _table(values):
    return [
        Setting(str(at), str(at), (), TEST_ACC, figures=tuple(of), by_seed=dict(enumerate(of)))
        for at, of in enumerate(values)
    ]


def test_of_settings_without_a_difference_the_best_is_hardly_ever_left_out():
    """The choice of the best included: each of 21 equal ones is the truly best, and is left out in at most 5 %."""
    rng, out, tables = np.random.default_rng(0), 0, 150
    for _ in range(tables):
        out += sum(one.standing == "not best" for one in judged(_table(rng.normal(0.9, 0.01, (21, 5)))))
    assert out / tables / 21 < 0.05


def test_of_seven_settings_those_that_are_far_behind_are_left_out():
    """Six are four standard deviations behind the best: it stays, and nine in ten of them go."""
    rng, out, tables = np.random.default_rng(1), np.zeros(7), 100
    for _ in range(tables):
        values = rng.normal(0.9, 0.01, (7, 5))
        values[1:] -= 0.04
        out += [one.standing == "not best" for one in judged(_table(values))]
    assert out[0] / tables <= 0.05
    assert out[1:].mean() / tables > 0.9


def test_of_two_settings_the_table_says_what_compare_says(run_in, study):
    for seed, (a, b) in enumerate(((0.90, 0.87), (0.92, 0.90), (0.91, 0.905), (0.93, 0.91))):
        run_in(model="a", seed=seed, accuracies=(a,))
        run_in(model="b", seed=seed, accuracies=(b,))
    rows = rows_of(study)
    found = compare(rows, "a", "b")
    assert settings(study)["model=b"].p == pytest.approx(found.p) == found.paired.p


def test_the_direction_is_that_of_the_matched_seeds(run_in, study):
    """b has the better mean, thanks to a seed that a lacks; on all seeds that both have, a is better."""
    for seed, (a, b) in enumerate(((0.80, 0.79), (0.81, 0.799), (0.82, 0.811), (0.79, 0.78), (None, 0.99))):
        if a is not None:
            run_in(model="a", seed=seed, accuracies=(a,))
        run_in(model="b", seed=seed, accuracies=(b,))
    found = settings(study)
    assert (found["model=b"].standing, found["model=a"].standing) == ("best", "may be best")
    assert found["model=a"].p > 0.95
    assert compare(rows_of(study), "b", "a").verdict == "not shown"


@pytest.mark.parametrize("status", [Status.DIVERGED, Status.FAILED, Status.PRUNED])
def test_survivors_never_win(run_in, study, status):
    """Three of five survive with .915, .93 and .92; five steady ones have .90."""
    for seed in range(5):
        run_in(lr=0.03, seed=seed, accuracies=(0.85 + seed**2 / 1000,))
        run_in(lr=0.1, seed=seed, accuracies=(0.9 + seed / 1000,))
        run_in(lr=0.3, seed=seed, accuracies=(0.915 + seed / 200,), status=status if seed > 2 else Status.COMPLETED)
    rows = rows_of(study)
    found = settings(study)
    assert {label: one.standing for label, one in found.items()} == {
        "lr=0.1": "best", "lr=0.03": "not best", "lr=0.3": "unstable",
    }  # fmt: skip
    assert [row.settings["optim.lr"] for row in rows if row.is_best] == [0.1]
    ranking, over_seeds, *others = summary(rows)
    assert [line.cells[-1] for line in over_seeds.lines][-1] == "unstable, 3 of 5"
    assert "lr=0.3 at least 8%; the best at most 45%." in " ".join(over_seeds.notes)
    assert "Runs whose setting lost other seeds rank after those whose setting lost none." in ranking.notes
    assert not any("extend" in cell for table in others for line in table.lines for cell in line.cells)
    answer = compare(rows, "lr=0.3", "lr=0.1")
    assert answer.verdict == "unstable"
    assert answer.sentence.startswith("Unstable: lr=0.3 seems better, test_acc 0.9200 against 0.9010 over 3 matched")
    assert compare(rows, "lr=0.03", "lr=0.3").verdict == "unstable"


def test_a_setting_that_is_worse_even_by_its_survivors_is_worse(run_in, study):
    five_seeds(run_in, "steady", 0.9)
    for seed in range(5):
        run_in(
            model="lost",
            seed=seed,
            accuracies=(0.8 + seed / 1000,),
            status=Status.DIVERGED if seed == 4 else Status.COMPLETED,
        )
    assert compare(rows_of(study), "steady", "lost").verdict == "yes"


def test_where_every_setting_lost_seeds_none_is_the_best(run_in, study):
    for lr in (0.1, 0.2):
        for seed in (0, 1):
            run_in(lr=lr, seed=seed, status=Status.DIVERGED if seed else Status.COMPLETED)
    assert {one.standing for one in settings(study).values()} == {"unstable"}
    rows = rows_of(study)
    assert not any(row.is_best for row in rows)
    table = settings_table(rows)
    assert [line.cells[-1] for line in table.lines] == ["unstable, 1 of 2"] * 2
    assert "No setting is called the best: none has several seeds and lost none." in table.notes


def test_what_was_chosen_on_held_out_data_is_tested_once(run_in, study, made_up):
    for lr in (0.1, 0.2):
        for seed in (0, 1):
            rows = [made_up.report(1, 0.7 + lr + seed / 100, "val", test_acc=0.6 + lr + seed / 100)]
            run_in(lr=lr, seed=seed, rows=rows, objective=("val_acc", "max", "last", "val"))
    ranking, over_seeds, *_ = summary(rows_of(study))
    assert [head.text for head in ranking.heads] == ["#", "lr", "seed", "val_acc", "status", "seconds"]
    assert [note for note in over_seeds.notes if "took no part" in note] == [
        "Chosen: lr=0.2. On the test set, which took no part in the choice, its test_acc is 0.8050 ± 0.0071 "
        "(std, n = 2)."
    ]
    assert sum("0.8" in note for note in ranking.notes) == 1, "the best run's own test value, and no other"
    assert any("not on the test set" in note for note in ranking.notes)


def test_the_test_value_of_the_chosen_setting_is_over_completed_runs_alone(run_in, study, made_up):
    for seed, status in enumerate((Status.COMPLETED, Status.COMPLETED, Status.RUNNING)):
        rows = [made_up.report(1, 0.7, "val", test_acc=0.1 if status is Status.RUNNING else 0.6)]
        run_in(seed=seed, rows=rows, status=status, objective=("val_acc", "max", "last", "val"))
    assert any("its test_acc is 0.6000 ± 0.0000 (std, n = 2)" in note for note in settings_table(rows_of(study)).notes)


def test_the_test_value_is_that_of_the_report_that_was_chosen(run_in, study, made_up):
    rows = [made_up.report(1, 0.7, "val", test_acc=0.65), made_up.report(2, 0.6, "val", test_acc=0.66)]
    run_in(rows=rows, objective=("val_acc", "max", "best", "val"))
    (row,) = loaded = rows_of(study)
    assert (row.value, row.chosen["test_acc"]) == (0.7, 0.65)
    assert (
        "The best run has a test_acc of 0.6500; the test set took no part in the choice." in ranking_table(loaded).notes
    )

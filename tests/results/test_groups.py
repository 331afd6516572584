"""Groups of runs: means and spreads, against figures worked out by hand."""

import pytest

from sweeps import results
from sweeps.record.records import Status
from sweeps.results.columns import columns_of, find_column
from sweeps.results.settings import group_by
from sweeps.results.tables import settings_table


def keys_of(rows, *keys):
    return [find_column(key, "--group-by", rows, columns_of(rows)) for key in keys]


def rows_of(folder):
    return results.rank(results.load([folder]))


def grouped(folder, *keys):
    rows = rows_of(folder)
    return group_by(rows, keys_of(rows, *keys))


def table_of(folder, *keys):
    rows = rows_of(folder)
    keys = keys_of(rows, *keys)
    return settings_table(rows, group_by(rows, keys), keys)


def test_mean_std_and_n_by_hand(run_in, study):
    for seed, final in enumerate((0.5, 0.6, 0.7, 0.8)):
        run_in(model="nin", seed=seed, accuracies=(final,))
    (group,) = grouped(study, "model")
    # mean 2.6 / 4; deviations .15 .05 .05 .15, so the variance is .05 / 3
    assert group.mean == pytest.approx(0.65)
    assert group.std == pytest.approx((0.05 / 3) ** 0.5)
    assert (group.n, group.best, group.shown, group.setting_id) == (4, 0.8, ("nin",), "")


def test_runs_without_a_result_stand_apart_from_the_mean(run_in, study):
    run_in(seed=0, accuracies=(0.5,))
    run_in(seed=1, accuracies=(0.7,))
    run_in(seed=2, accuracies=(0.1,), status=Status.DIVERGED)
    run_in(seed=3, accuracies=(0.1,), status=Status.FAILED)
    run_in(seed=4, accuracies=(0.9,), status=Status.RUNNING)
    (group,) = grouped(study, "model")
    assert (group.n, group.mean) == (2, pytest.approx(0.6))
    assert group.apart == {"diverged": 1, "failed": 1, "running": 1}
    assert "1 diverged, 1 running, 1 failed" in table_of(study, "model").lines[0].cells


def test_an_interval_stands_where_runs_differ_in_their_seeds_alone(run_in, study):
    for seed, final in enumerate((0.5, 0.6, 0.7)):
        run_in(lr=0.1, seed=seed, accuracies=(final,))
    run_in(lr=0.2, seed=0, accuracies=(0.4,))
    table = table_of(study, "model", "lr")
    at = [head.text for head in table.heads].index("95 % interval")
    # Student's t with 2 degrees of freedom: 4.3027 * 0.1 / sqrt(3) on both sides of 0.6
    assert [line.cells[at] for line in table.lines] == ["[0.3516, 0.8484]", "-"]
    assert "95 % interval" not in [head.text for head in table_of(study, "model").heads]


def test_a_pruned_run_stands_apart_for_its_value_is_of_a_shorter_training(run_in, study):
    run_in(seed=0, accuracies=(0.5,))
    run_in(seed=1, accuracies=(0.1,), status=Status.PRUNED)
    (group,) = grouped(study, "model")
    assert (group.n, group.mean, group.apart) == (1, 0.5, {"pruned": 1})


def test_a_single_run_is_no_evidence_however_high(run_in, study):
    run_in(model="lucky", seed=0, accuracies=(0.99,))
    run_in(model="sound", seed=0, accuracies=(0.6,))
    run_in(model="sound", seed=1, accuracies=(0.7,))
    run_in(model="lost", seed=0, status=Status.DIVERGED)
    groups = grouped(study, "model")
    assert [(group.shown[0], group.is_evidence) for group in groups] == [
        ("sound", True),
        ("lucky", False),
        ("lost", False),
    ]
    table = table_of(study, "model")
    assert [line.cells[2] for line in table.lines] == ["*0.6500", "0.9900", "-"]
    assert any("not evidence" in note for note in table.notes)


def test_lower_is_better_in_groups_too(run_in, study):
    for model, finals in (("a", (0.5, 0.6)), ("b", (0.8, 0.9))):
        for seed, final in enumerate(finals):
            run_in(model=model, seed=seed, accuracies=(final,), objective=("test_loss", "min", "last", "test"))
    first, second = grouped(study, "model")
    assert (first.shown, first.mean, first.best) == (("b",), pytest.approx(0.3), pytest.approx(0.2))
    assert second.shown == ("a",)


def test_the_table_says_what_its_means_run_over(run_in, study):
    for lr in (0.1, 0.2):
        for seed in (0, 1):
            run_in(lr=lr, seed=seed)
    assert "Runs of one group differ in: optim.lr, seed." in table_of(study, "model").notes
    assert "Runs of one group differ in: seed." in table_of(study, "model", "lr").notes


def test_objectives_are_never_averaged_together(run_in, study):
    run_in(seed=0, accuracies=(0.5,))
    run_in(seed=1, accuracies=(0.5,), objective=("test_loss", "min", "last", "test"))
    assert [group.mean for group in grouped(study, "model")] == [0.5, 1.0]
    assert "ranked by" in [head.text for head in table_of(study, "model").heads]


def test_the_list_of_what_differs_looks_within_one_group(run_in, study, made_up):
    for epochs in (2, 12):
        for seed in (0, 1):
            config = made_up.config_of(seed=seed, trainer={"epochs": epochs, "batch_size": 128})
            run_in(config=config, name=f"{epochs} {seed}")
    loss = ("test_loss", "min", "last", "test")
    run_in(config=made_up.config_of(seed=7, trainer={"epochs": 3, "batch_size": 64}), objective=loss)
    table = table_of(study, "model")
    assert "Runs of one group differ in: trainer.epochs, seed." in table.notes
    assert any(
        "Means that run over trainer.epochs, and not over seeds alone, are no evidence" in n for n in table.notes
    )
    assert [group.is_evidence for group in grouped(study, "model")] == [False, False]
    assert [group.is_evidence for group in grouped(study, "model", "trainer.epochs")] == [True, True, False]
    assert "95 % interval" not in [head.text for head in table.heads]


def test_any_setting_can_group(run_in, study):
    run_in(lr=0.1)
    run_in(lr=0.2)
    assert [group.shown for group in grouped(study, "momentum", "trainer.epochs")] == [("0", "10")]


def test_without_a_direction_no_group_is_the_best(regression_in, study):
    for lr in (0.1, 0.2):
        for seed in (0, 1):
            regression_in(lr + seed, lr=lr, seed=seed, direction="")
    table = table_of(study, "lr")
    assert [line.cells[:3] for line in table.lines] == [["0.1", "2", "0.6000"], ["0.2", "2", "0.7000"]]
    assert table.notes[0] == "no ranking: sweep.objective.direction is not set"
    assert "best" not in [head.text for head in table.heads]

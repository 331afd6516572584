"""Means, spreads and the matrix, against figures worked out by hand."""

import pytest

from sweeps import results
from sweeps.record.records import Status
from sweeps.results.columns import columns_of, find_column
from sweeps.results.groups import Place, group_by, matrix_of
from sweeps.results.settings import cells_of, judged
from sweeps.results.tables import group_table


def keys_of(rows, *keys):
    return [find_column(key, "--group-by", rows, columns_of(rows)) for key in keys]


def rows_of(folder):
    return results.rank(results.load([folder]))


def grouped(folder, *keys):
    rows = rows_of(folder)
    return group_by(rows, keys_of(rows, *keys))


def sheet_of(folder, *keys):
    rows = rows_of(folder)
    return group_table(rows, keys_of(rows, *keys))


def test_mean_std_and_n_by_hand(run_in, study):
    for seed, final in enumerate((0.5, 0.6, 0.7, 0.8)):
        run_in(model="nin", seed=seed, accuracies=(final,))
    (group,) = grouped(study, "model")
    # mean 2.6 / 4; deviations .15 .05 .05 .15, so the variance is .05 / 3
    assert group.mean == pytest.approx(0.65)
    assert group.std == pytest.approx((0.05 / 3) ** 0.5)
    assert (group.n, group.best, group.keys) == (4, 0.8, ("nin",))


def test_runs_without_a_result_stand_apart_from_the_mean(run_in, study):
    run_in(seed=0, accuracies=(0.5,))
    run_in(seed=1, accuracies=(0.7,))
    run_in(seed=2, accuracies=(0.1,), status=Status.DIVERGED)
    run_in(seed=3, accuracies=(0.1,), status=Status.FAILED)
    run_in(seed=4, accuracies=(0.9,), status=Status.RUNNING)
    (group,) = grouped(study, "model")
    assert (group.n, group.mean) == (2, pytest.approx(0.6))
    assert group.apart == {"diverged": 1, "failed": 1, "running": 1}
    assert "1 diverged" in sheet_of(study, "model").lines[0].cells[-1]


def test_an_interval_stands_where_runs_differ_in_their_seeds_alone(run_in, study):
    for seed, final in enumerate((0.5, 0.6, 0.7)):
        run_in(lr=0.1, seed=seed, accuracies=(final,))
    run_in(lr=0.2, seed=0, accuracies=(0.4,))
    sheet = sheet_of(study, "model", "lr")
    at = [head.text for head in sheet.heads].index("95 % interval")
    # Student's t with 2 degrees of freedom: 4.3027 * 0.1 / sqrt(3) on both sides of 0.6
    assert [line.cells[at] for line in sheet.lines] == ["[0.3516, 0.8484]", "-"]
    assert "95 % interval" not in [head.text for head in sheet_of(study, "model").heads]


def test_a_pruned_run_stands_apart_for_its_figure_is_of_a_shorter_training(run_in, study):
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
    assert [(group.keys[0], group.is_evidence) for group in groups] == [
        ("sound", True),
        ("lucky", False),
        ("lost", False),
    ]
    sheet = sheet_of(study, "model")
    assert [line.cells[2] for line in sheet.lines] == ["*0.6500", "0.9900", "-"]
    assert sheet.lines[1].cells[3] == "single run"
    assert any("not evidence" in note for note in sheet.notes)


def test_lower_is_better_in_groups_too(run_in, study):
    for model, finals in (("a", (0.5, 0.6)), ("b", (0.8, 0.9))):
        for seed, final in enumerate(finals):
            run_in(model=model, seed=seed, accuracies=(final,), objective=("test_loss", "min", "last", "test"))
    first, second = grouped(study, "model")
    assert (first.keys, first.mean, first.best) == (("b",), pytest.approx(0.3), pytest.approx(0.2))
    assert second.keys == ("a",)


def test_the_table_says_what_its_means_run_over(run_in, study):
    for lr in (0.1, 0.2):
        for seed in (0, 1):
            run_in(lr=lr, seed=seed)
    assert "Runs of one group differ in: lr, seed." in sheet_of(study, "model").notes
    assert "Runs of one group differ in: seed." in sheet_of(study, "model", "lr").notes


def test_objectives_are_never_averaged_together(run_in, study):
    run_in(seed=0, accuracies=(0.5,))
    run_in(seed=1, accuracies=(0.5,), objective=("test_loss", "min", "last", "test"))
    assert [group.mean for group in grouped(study, "model")] == [0.5, 1.0]
    assert "ranked by" in [head.text for head in sheet_of(study, "model").heads]


def test_the_list_of_what_differs_knows_the_epochs_and_looks_within_one_group(run_in, study, made_up):
    for epochs in (2, 12):
        for seed in (0, 1):
            more = {"trainer": {"epochs": epochs, "batch_size": 128}, "tracker": {"name": f"t{epochs}"}}
            run_in(config=made_up.config_of(seed=seed, **more), name=f"{epochs} {seed}")
    loss = ("test_loss", "min", "last", "test")
    run_in(config=made_up.config_of(seed=7, sweep="other", trainer={"epochs": 3, "batch_size": 64}), objective=loss)
    sheet = sheet_of(study, "model")
    assert "Runs of one group differ in: seed, trainer.epochs." in sheet.notes
    assert any(
        "means that run over trainer.epochs, and not over seeds alone, are no evidence" in n for n in sheet.notes
    )
    assert [group.is_evidence for group in grouped(study, "model")] == [False, False]
    assert [group.is_evidence for group in grouped(study, "model", "trainer.epochs")] == [True, True, False]
    assert "95 % interval" not in [head.text for head in sheet.heads]


def test_no_interval_leaves_what_an_accuracy_can_be(run_in, study):
    for model, finals in (("a", (0.1, 0.9)), ("b", (0.2, 0.3))):
        for seed, final in enumerate(finals):
            run_in(model=model, seed=seed, accuracies=(final,))
    first, second = grouped(study, "model")
    assert (first.interval.low, first.interval.high) == (0.0, 1.0)
    assert (second.interval.low, second.interval.high) == (0.0, pytest.approx(0.25 + 12.706 * 0.05, abs=1e-3))
    assert "[0.0000, 1.0000]" in sheet_of(study, "model").lines[0].cells
    assert [cell.interval for cell in judged(cells_of(rows_of(study)))] == [first.interval, second.interval]


def test_a_loss_has_no_bounds(run_in, study):
    for seed, final in enumerate((0.1, 0.9)):
        run_in(seed=seed, accuracies=(final,), objective=("test_loss", "min", "last", "test"))
    (group,) = grouped(study, "model")
    assert group.interval.low < 0 < 2 < group.interval.high


def test_where_anything_was_repeated_single_runs_do_not_compete_in_the_matrix(run_in, study):
    run_in(lr=0.1, seed=0, accuracies=(0.99,))
    run_in(lr=0.2, seed=0, optim="torch.optim.Adam", accuracies=(0.95,))
    for seed in (0, 1):
        run_in(lr=0.2, seed=seed, accuracies=(0.8,))
        run_in(lr=0.3, seed=seed, accuracies=(0.7,))
    rows = rows_of(study)
    assert matrix_of(rows).best == {Place("alexnet", 0.2)}
    assert matrix_of(rows).cells[Place("alexnet", 0.2)].n == 2, "of one place, too"
    assert [cell.rows[0].lr for cell in judged(cells_of(rows)) if cell.standing == "best"] == [0.2]


def test_any_setting_can_group(run_in, study):
    run_in(lr=0.1)
    run_in(lr=0.2)
    assert [group.keys for group in grouped(study, "optim.momentum", "dataset")] == [("0", "fashion_mnist")]


def test_the_matrix_marks_the_best_cell(sweep):
    rows = results.rank(results.load([sweep]))
    matrix = matrix_of(rows)
    assert matrix.best == {Place("alexnet", 0.01)}
    assert matrix.rates == [0.01, 0.1]
    assert matrix.models == ["alexnet", "vgg11", "lenet_bn", "nin", "googlenet"]
    cells = {line.cells[0]: line.cells[1:] for line in results.matrix_table(rows).lines}
    assert cells == {
        "alexnet": ["*0.9200\n±0.0100 n=3", "0.8700"],
        "vgg11": ["0.9010", "diverged"],
        "lenet_bn": ["-", "interrupted"],
        "nin": ["running", "failed"],
        "googlenet": ["unreadable", "unreadable"],
    }


def test_the_matrix_follows_the_direction(run_in, study):
    run_in(model="a", accuracies=(0.9,), objective=("test_loss", "min", "last", "test"))
    run_in(model="b", accuracies=(0.5,), objective=("test_loss", "min", "last", "test"))
    assert matrix_of(results.load([study])).best == {Place("a", 0.1)}


def test_cells_that_are_equally_good_are_all_marked(run_in, study):
    for model, accuracy in (("a", 0.9), ("b", 0.9), ("c", 0.8)):
        run_in(model=model, accuracies=(accuracy,))
    table = results.matrix_table(results.load([study]))
    assert {line.cells[0]: line.cells[1] for line in table.lines} == {"a": "*0.9000", "b": "*0.9000", "c": "0.8000"}
    assert table.notes[0].endswith("Equal ones are marked *.")


def test_a_cell_with_several_configurations_shows_the_best_and_says_so(run_in, study):
    for seed, (sgd, adam) in enumerate(((0.5, 0.8), (0.6, 0.9))):
        run_in(seed=seed, optim="torch.optim.SGD", accuracies=(sgd,))
        run_in(seed=seed, optim="torch.optim.Adam", accuracies=(adam,))
    table = results.matrix_table(results.load([study]))
    assert table.lines[0].cells[1] == "*0.8500\n±0.0707 n=2"
    assert any("also differ in optim:" in note for note in table.notes)


def test_a_cell_tells_the_runs_that_it_leaves_out(run_in, study):
    run_in(seed=0, accuracies=(0.5,))
    run_in(seed=1, status=Status.DIVERGED)
    assert results.matrix_table(results.load([study])).lines[0].cells[1] == "*0.5000\n+1 diverged"


def test_no_matrix_without_a_readable_record(run_in, study):
    run_in().record.write_text("", encoding="utf-8")
    assert results.matrix_table(results.load([study])) is None

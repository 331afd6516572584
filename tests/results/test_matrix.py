"""Two swept settings against each other."""

import io

from rich.console import Console

from sweeps import results
from sweeps.record.records import Status
from sweeps.results.matrix import matrix_of, matrix_table


def rows_of(folder):
    return results.rank(results.load([folder]))


def test_the_matrix_marks_the_best_place(sweep):
    rows = rows_of(sweep)
    matrix = matrix_of(rows)
    assert (matrix.down.key, matrix.across.key) == ("model", "optim.lr")
    assert matrix.best == {("alexnet", "0.01")}
    assert matrix.heads() == ["0.01", "0.1"]
    assert matrix.rows == ["alexnet", "vgg11", "lenet_bn", "nin", "googlenet"]
    assert {line.cells[0]: line.cells[1:] for line in matrix_table(rows).lines} == {
        "alexnet": ["*0.9200\n±0.0100 n=3", "0.8700"],
        "vgg11": ["0.9010", "diverged"],
        "lenet_bn": ["-", "interrupted"],
        "nin": ["running", "failed"],
        "googlenet": ["unreadable", "unreadable"],
    }


def test_any_two_settings_make_a_matrix(regression_in, study):
    for lr in (0.1, 0.2, 1.0):
        for depth in (2, 10):
            regression_in(lr / depth, lr=lr, depth=depth)
    matrix = matrix_of(rows_of(study))
    assert (matrix.down.key, matrix.across.key, matrix.heads()) == ("depth", "lr", ["0.1", "0.2", "1"])
    assert matrix.best == {("10", "0.1")}, "lower is better"


def test_one_setting_makes_none_nor_do_runs_without_a_direction(run_in, regression_in, study, tmp_path):
    for lr in (0.1, 0.2):
        run_in(lr=lr)
        assert matrix_of(rows_of(study)) is None
    for lr in (0.1, 0.2):
        for depth in (2, 3):
            regression_in(0.1, lr=lr, depth=depth, direction="")
            run_in(model=f"m{depth}", lr=lr, objective=("", "", "last", ""), value=1.0)
    assert matrix_of(rows_of(study)) is None


def test_the_matrix_shows_no_value_of_a_pruned_run(run_in, study):
    for model in ("a", "b"):
        run_in(model=model, lr=0.1, accuracies=(0.5 if model == "a" else 0.4,))
        run_in(model=model, lr=0.2, accuracies=(0.9,), status=Status.PRUNED)
    assert matrix_table(rows_of(study)).lines[0].cells == ["a", "*0.5000", "pruned"]


def test_where_anything_was_repeated_single_runs_do_not_compete(run_in, study):
    run_in(model="a", lr=0.1, seed=0, accuracies=(0.99,))
    run_in(model="a", lr=0.2, seed=0, batch=64, accuracies=(0.95,))
    for seed in (0, 1):
        run_in(model="a", lr=0.2, seed=seed, batch=128, accuracies=(0.8,))
        run_in(model="b", lr=0.2, seed=seed, batch=128, accuracies=(0.7,))
    matrix = matrix_of(rows_of(study))
    assert (matrix.down.key, matrix.across.key) == ("model", "optim.lr")
    assert matrix.best == {("a", "0.2")}
    assert matrix.places["a", "0.2"].n == 2, "of one place, too"
    assert matrix.also_differ == ["trainer.batch_size"]


def test_places_that_are_equally_good_are_all_marked(run_in, study):
    for model, accuracy in (("a", 0.9), ("b", 0.9), ("c", 0.8)):
        for lr in (0.1, 0.2):
            run_in(model=model, lr=lr, accuracies=(accuracy - lr,))
    table = matrix_table(rows_of(study))
    assert {line.cells[0]: line.cells[1] for line in table.lines} == {"a": "*0.8000", "b": "*0.8000", "c": "0.7000"}
    assert table.notes[0].endswith("Equal ones are marked *.")


def test_a_place_counts_the_runs_that_it_leaves_out(run_in, study):
    for model in ("a", "b"):
        for lr in (0.1, 0.2):
            run_in(model=model, lr=lr, seed=0, accuracies=(0.5,))
            run_in(model=model, lr=lr, seed=1, status=Status.DIVERGED)
    assert matrix_table(rows_of(study)).lines[0].cells[1] == "0.5000\n+1 diverged", "and survivors get no mark"


def test_a_matrix_of_many_values_has_them_below_each_other(run_in, study):
    for place in range(12):
        for model in ("a", "b"):
            run_in(model=model, lr=round(0.1 + place / 1000, 3), accuracies=(0.2145 + place / 1000,))
    console = Console(file=io.StringIO(), width=80)
    console.print(matrix_table(rows_of(study)))
    lines = [line.split() for line in console.file.getvalue().splitlines()]
    assert ["lr", "\\", "model", "a", "b"] in lines
    assert ["0.111", "*0.2255", "*0.2255"] in lines


def test_no_matrix_without_a_readable_record(run_in, study):
    run_in().record.write_text("", encoding="utf-8")
    assert matrix_table(results.load([study])) is None


def test_sweeps_of_two_applications_have_the_matrix_of_the_larger_one(sweep, regression_in, study):
    regression_in(0.5, lr=0.1)
    regression_in(0.5, lr=0.2, depth=7)
    rows = results.rank(results.load([sweep, study]))
    assert matrix_of(rows).rows[0] == "alexnet"
    assert "Runs with other objectives are left out." in matrix_table(rows).notes

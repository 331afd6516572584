"""No two different cells look the same."""

import pytest

from sweeps import results as analysis
from sweeps.errors import ConfigError
from sweeps.record.records import Status
from sweeps.results import format as text
from sweeps.results.columns import columns_of, find_column, sort_rows, varying


def added(study):
    return [(column.key, column.header) for column in varying(analysis.load([study]))]


def optim(name="SGD", **more):
    return {"_target_": f"torch.optim.{name}", "lr": 0.1, "momentum": 0.0, "weight_decay": 0.0} | more


def test_fixed_columns_need_no_other(run_in, study):
    for model in ("nin", "vgg11"):
        for lr in (0.1, 0.2):
            for seed in (0, 1):
                run_in(model=model, lr=lr, seed=seed)
    assert added(study) == []


def test_a_typed_setting_has_a_column(run_in, study, made_up):
    for decay in (0.0, 5e-4):
        run_in(config=made_up.config_of(optim=optim(weight_decay=decay)) | {"optim": optim(weight_decay=decay)},
               overrides=[f"optim.weight_decay={decay}"])  # fmt: skip
    assert added(study) == [("optim.weight_decay", "weight_decay")]


def test_a_typed_setting_has_a_column_even_where_the_rate_tells_the_runs_apart(run_in, study):
    run_in(lr=0.1, optim="torch.optim.SGD")
    run_in(lr=0.001, optim="torch.optim.Adam")
    assert added(study) == [("optim", "optim")]


def test_what_merely_follows_has_none(run_in, study, made_up):
    adam = {"_target_": "torch.optim.Adam", "lr": 0.1, "betas": [0.9, 0.999]}
    run_in(config=made_up.config_of(), overrides=["optim=sgd"])
    run_in(config=made_up.config_of() | {"optim": adam}, overrides=["optim=adam"])
    assert added(study) == [("optim", "optim")]


def test_a_setting_that_nobody_typed_has_one_where_runs_would_look_alike(run_in, study, made_up):
    for limit in (None, 1000):
        dataset = {"name": "fashion_mnist", "limit": limit, "validation": 0.0}
        run_in(config=made_up.config_of(dataset=dataset), overrides=[f"experiment={limit}"], name=str(limit))
    keys = [key for key, _ in added(study)]
    assert keys == ["experiment"]  # typed, and it tells them apart
    for run in study.iterdir():
        record = run / "run.json"
        record.write_text(record.read_text(encoding="utf-8").replace("experiment=", "hydra.x="), encoding="utf-8")
    assert added(study) == [("dataset.limit", "limit")]


def test_one_name_in_two_groups_is_written_in_full(run_in, study, made_up):
    for size in (1, 2):
        groups = {"schedule": {"warmup": size}, "augment": {"warmup": size}}
        run_in(config=made_up.config_of() | groups, overrides=[f"schedule.warmup={size}", f"augment.warmup={size}"])
    assert added(study) == [("schedule.warmup", "schedule.warmup"), ("augment.warmup", "augment.warmup")]


def test_a_column_does_not_borrow_the_name_of_a_fixed_one(run_in, study, made_up):
    for lr in (1, 2):
        run_in(config=made_up.config_of() | {"schedule": {"lr": lr}}, overrides=[f"schedule.lr={lr}"])
    assert added(study) == [("schedule.lr", "schedule.lr")]


def test_one_cell_in_two_sweeps_is_told_apart(tmp_path, made_up):
    for folder in ("a", "b"):
        made_up.write_run(tmp_path / folder, model="nin")
    assert added(tmp_path) == [("sweep", "sweep")]


def test_a_typed_sweep_has_one_column(tmp_path, made_up):
    for folder in ("a", "b"):
        config = made_up.config_of() | {"sweep": folder}
        made_up.write_run(tmp_path / folder, config=config, overrides=[f"sweep={folder}"])
    assert added(tmp_path) == [("sweep", "sweep")]


def test_different_lengths_always_show(run_in, study, made_up):
    for epochs in (5, 50):
        run_in(config=made_up.config_of(trainer={"epochs": epochs, "batch_size": 128}), name=str(epochs))
    columns = {column.key: column for column in columns_of(analysis.load([study]))}
    assert columns["epochs"].gives_way == 0


def test_a_chosen_run_of_a_validation_split_also_reports_the_test_set(run_in, study, made_up):
    rows = [made_up.epoch_row(1, 0.7, "val", test_acc=0.65), made_up.epoch_row(2, 0.6, "val", test_acc=0.66)]
    run_in(rows=rows, objective=("val_acc", "max", "best", "val"))
    (row,) = loaded = analysis.load([study])
    assert (row.value, row.test_acc, row.best_acc, row.last_acc) == (0.7, 0.65, 0.7, 0.6)
    assert "test_acc" not in [column.key for column in columns_of(loaded)], "all of them would be an invitation"
    notes = analysis.ranking_table(analysis.rank(loaded)).notes
    assert "The best run has a test accuracy of 0.6500; the test set took no part in the choice." in notes


def test_all_metrics(run_in, study):
    run_in()
    keys = [column.key for column in columns_of(analysis.load([study]), all_metrics=True)]
    assert {"last.train_loss", "last.train_acc", "last.test_loss", "last.lr", "last.seconds"} <= set(keys)


def test_sorting_puts_the_best_figure_or_the_smallest_setting_first(run_in, study):
    run_in(model="b", lr=0.1, accuracies=(0.5,))
    run_in(model="a", lr=1.0, accuracies=(0.7,))
    run_in(model="c", lr=0.01, accuracies=(), status=Status.FAILED)
    rows = analysis.rank(analysis.load([study]))
    columns = columns_of(rows)

    def order(key):
        return "".join(row.model for row in sort_rows(rows, find_column(key, "--sort", rows, columns)))

    assert [order(key) for key in ("lr", "model", "last_acc", "loss", "optim.lr", "name")] == [
        "cba", "abc", "abc", "abc", "cba", "abc",
    ]  # fmt: skip


def test_an_unknown_key_is_answered_with_the_known_ones(run_in, study):
    run_in()
    rows = analysis.load([study])
    with pytest.raises(ConfigError, match=r"--sort=modle .*mean model.*known: model, lr, resize.*full key"):
        find_column("modle", "--sort", rows, columns_of(rows))


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (1e-05, "1e-05"),
        (1e9, "1e+09"),
        (0.0123456789, "0.0123456789"),
        (1.0, "1"),
        (True, "true"),
        (None, "-"),
        ([1, 2], "[1, 2]"),
    ],
)
def test_settings_are_never_rounded(value, shown):
    assert text.setting(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("a\x1b[31mb", "a[31mb"),
        ("a\nb\tc", "a b c"),
        ("a\u202eb\u200bc\x00", "abc"),
        ("caf\u00e9 \u6f22", "caf\u00e9 \u6f22"),
        ("\udc80", "?"),
    ],
)
def test_nothing_from_a_file_controls_the_terminal(value, shown):
    assert text.clean(value) == shown


def test_figures_are_short():
    assert [text.quantity(n) for n in (61_706, 46_764_746, None)] == ["61,706", "46.8M", "-"]
    assert [text.duration(s) for s in (2.54, 3723.4, None)] == ["2.5", "3,723", "-"]
    assert [text.fraction(f) for f in (0.91, 123456.0, None)] == ["0.9100", "1.235e+05", "-"]

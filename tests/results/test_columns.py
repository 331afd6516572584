"""No two different settings look the same, and a table holds what differs and nothing else."""

import pytest

from sweeps import results
from sweeps.errors import ConfigError
from sweeps.record.records import Status
from sweeps.results import format as text
from sweeps.results.columns import columns_of, find_column, in_all_runs, setting_columns, sort_rows
from sweeps.results.tables import ranking_table


def columns(*folders):
    return [(column.key, column.header) for column in setting_columns(results.load(folders))]


def shown(folder, key):
    rows = results.load([folder])
    column = find_column(key, "--sort", rows, columns_of(rows))
    return [column.show(row) for row in rows]


def test_what_was_swept_has_a_column_and_what_was_not_has_none(run_in, study):
    for model in ("nin", "vgg11"):
        for lr in (0.1, 0.2):
            for seed in (0, 1):
                run_in(model=model, lr=lr, seed=seed, batch=64)
    assert columns(study) == [("model", "model"), ("optim.lr", "lr"), ("seed", "seed")]
    assert in_all_runs(results.load([study]))[1] == ["trainer.batch_size=64"]


def test_a_flat_config_needs_no_groups(regression_in, study):
    for lr in (0.1, 0.2):
        regression_in(0.5, lr=lr)
    assert columns(study) == [("lr", "lr")]


def test_a_group_is_one_column_with_the_choice(run_in, study):
    run_in(optim="sgd")
    run_in(optim="adam")
    assert columns(study) == [("optim", "optim")]
    assert shown(study, "optim") == ["adam", "sgd"]


def test_a_choice_that_nobody_typed_is_that_of_a_run_like_it(run_in, study, made_up):
    run_in(name="a", config=made_up.config_of(optim="adam"), overrides=["optim=adamw_of_my_own"])
    run_in(name="b", config=made_up.config_of(optim="adam", lr=0.2), overrides=["optim.lr=0.2"])
    run_in(name="c", config=made_up.config_of(optim="sgd"), overrides=[])
    assert shown(study, "optim") == ["adamw_of_my_own", "adamw_of_my_own", "SGD"]


def test_a_group_in_another_package_is_found_by_its_name(run_in, study, made_up):
    for name in ("a", "b"):
        config = made_up.config_of(net={"_target_": name})
        run_in(config=config, overrides=[f"+models/net@net={name}"])
    assert columns(study) == [("models.net", "net")]


def test_two_names_of_one_setting_are_no_column(run_in, study, made_up):
    for place, extra in enumerate(([], ["+experiment=quick"])):
        for lr in (0.1, 0.2):
            config = made_up.config_of(lr=lr, seed=place)
            run_in(config=config, overrides=[f"optim.lr={lr}", f"seed={place}", *extra])
    assert columns(study) == [("optim.lr", "lr"), ("seed", "seed")]


def test_drawn_values_are_shown_with_as_many_digits_as_tell_them_apart(regression_in, study):
    for lr, decay in ((0.0123456789, 0.123456789), (0.0234567891, 0.123451111), (0.1, 1e-5)):
        regression_in(0.5, lr=lr, decay=decay)
    assert sorted(shown(study, "lr")) == ["0.01235", "0.02346", "0.1"]
    assert sorted(shown(study, "decay")) == ["0.12345", "0.12346", "1e-05"]


def test_one_setting_nobody_swept_follows_and_has_no_column(run_in, study, made_up):
    run_in(config=made_up.config_of(lr=0.1), overrides=["optim.lr=0.1"])
    run_in(config=made_up.config_of(lr=0.2, trainer={"epochs": 12}), overrides=["optim.lr=0.2"])
    assert columns(study) == [("optim.lr", "lr")]


def test_a_setting_that_nobody_typed_has_one_where_settings_would_look_alike(run_in, study, made_up):
    for epochs in (5, 50):
        run_in(
            config=made_up.config_of(trainer={"epochs": epochs, "batch_size": epochs}), overrides=[], name=str(epochs)
        )
    assert columns(study) == [("trainer.epochs", "epochs")]


def test_settings_that_an_old_release_told_apart_by_more_show_their_identity(run_in, study, made_up):
    run_in(name="a")
    record = run_in(name="b").record
    record.write_text(record.read_text().replace('"setting_id": "', '"setting_id": "f'), encoding="utf-8")
    assert columns(study) == [("setting_id", "setting")]


def test_one_name_in_two_groups_is_written_in_full(run_in, study, made_up):
    for size in (1, 2):
        groups = {"schedule": {"warmup": size}, "augment": {"warmup": size}}
        run_in(config=made_up.config_of(**groups), overrides=[f"schedule.warmup={size}", f"augment.warmup={size}"])
    assert columns(study) == [("schedule.warmup", "schedule.warmup"), ("augment.warmup", "augment.warmup")]


def test_a_setting_does_not_borrow_the_name_of_another_column(run_in, study, made_up):
    for steps in (1, 2):
        run_in(config=made_up.config_of(schedule={"steps": steps}), overrides=[f"schedule.steps={steps}"])
    assert columns(study) == [("schedule.steps", "schedule.steps")]


def test_one_run_in_two_sweeps_is_told_apart(tmp_path, made_up):
    for folder in ("a", "b"):
        made_up.write_run(tmp_path / folder, model="nin", overrides=["model=nin", f"sweep.name={folder}"])
    assert columns(tmp_path) == [("sweep", "sweep")]


def test_one_run_twice_in_a_sweep_is_told_apart_by_its_name(run_in, study):
    for name in ("a", "b"):
        run_in(name=name)
    assert columns(study) == [("name", "name")]


def test_the_objective_facts_and_how_a_run_ended(run_in, study):
    run_in(lr=0.1)
    run_in(lr=0.2, facts={"parameters": 61_706, "note": "small", "wait_seconds": 12.345, "train_flops": 1.23456e12})
    table = ranking_table(results.rank(results.load([study])))
    heads = [head.text for head in table.heads]
    assert heads == ["#", "lr", "test_acc", "parameters", "status", "seconds"], "what all runs share is a note"
    assert table.lines[1].cells[3] == "61,706"
    said = "In all runs: examples_per_second=24,123, note=small, wait_seconds=12.3, train_flops=1.235e+12, steps=2/10."
    assert said in table.notes


def test_the_best_report_is_said_in_the_header(run_in, study):
    run_in(objective=("test_acc", "max", "best", "test"))
    assert "best\ntest_acc" in [column.header for column in columns_of(results.load([study]))]


def test_a_returned_value_is_the_objective(regression_in, study):
    regression_in(value=1.5)
    regression_in(value=2.5, lr=0.2)
    assert "objective" in [column.header for column in columns_of(results.load([study]))]


def test_all_metrics(run_in, study):
    run_in()
    keys = [column.key for column in columns_of(results.load([study]), all_metrics=True)]
    assert {"last.train_loss", "last.test_acc", "last.test_loss"} <= set(keys)
    assert not {"last.step", "last.elapsed"} & set(keys)
    rows = results.load([study])
    heads = [head.text for head in ranking_table(rows, columns_of(rows, all_metrics=True)).heads]
    assert "last\ntest_acc" not in heads, "the objective has a column already"


def test_a_best_objective_stands_beside_the_last_value(run_in, study):
    run_in(objective=("test_acc", "max", "best", "test"))
    assert "last.test_acc" in [column.key for column in columns_of(results.load([study]), all_metrics=True)]


def test_sorting_puts_the_best_value_or_the_smallest_setting_first(run_in, study):
    run_in(model="b", lr=0.1, accuracies=(0.5,))
    run_in(model="a", lr=1.0, accuracies=(0.7,))
    run_in(model="c", lr=0.01, accuracies=(), status=Status.FAILED)
    rows = results.rank(results.load([study]))

    def order(key):
        column = find_column(key, "--sort", rows, columns_of(rows))
        return "".join(row.settings["model"] for row in sort_rows(rows, column))

    found = [
        order(key) for key in ("lr", "model", "value", "test_acc", "optim.lr", "name", "facts.parameters", "steps")
    ]
    assert found == ["cba", "abc", "abc", "abc", "cba", "abc", "abc", "abc"]


def test_an_unknown_key_is_answered_with_the_known_ones(run_in, study, made_up):
    run_in(model="nin")
    run_in(model="vgg11")
    rows = results.load([study])
    with pytest.raises(ConfigError, match=r"--sort=modle .*did you mean model\?.*known: model, value"):
        find_column("modle", "--sort", rows, columns_of(rows))


def test_a_last_part_that_two_settings_share_is_answered_with_both(run_in, study, made_up):
    run_in(config=made_up.config_of(a={"size": 1}, b={"size": 2}))
    rows = results.load([study])
    with pytest.raises(ConfigError, match=r"did you mean a\.size or b\.size\?"):
        find_column("size", "--sort", rows, columns_of(rows))


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (1e-05, "1e-05"),
        (1e9, "1e+09"),
        (0.0123456789, "0.0123456789"),
        (1.0, "1"),
        (True, "true"),
        (None, "null"),
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


def test_numbers_are_short():
    assert [text.fact(n) for n in (61_706, 2024, 0.123456, 24123.4, True, "a\x1b", None)] == [
        "61,706", "2024", "0.1235", "24,123", "true", "a", "-",
    ]  # fmt: skip
    assert [text.duration(s) for s in (2.54, 3723.4, None)] == ["2.5", "3,723", "-"]
    assert [text.figure(f) for f in (0.91, 0.00001234, 1234.56, 1e9, 0, None)] == [
        "0.9100", "1.234e-05", "1,234.6", "1e+09", "0.0000", "-",
    ]  # fmt: skip
    assert [text.steps(n) for n in (3, 0.25, 12_000.0)] == ["3", "0.25", "12,000"]

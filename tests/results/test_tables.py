"""What the tables look like on a terminal, narrow or wide, and on none."""

import dataclasses
import io

import pytest
from rich.cells import cell_len
from rich.console import Console

from sweeps import results
from sweeps.record.records import Failure, Status
from sweeps.results.columns import columns_of
from sweeps.results.tables import cells_table


def shown(renderable, width, **options):
    console = Console(file=io.StringIO(), width=width, **options)
    console.print(renderable, crop=False)
    return console.file.getvalue()


def ranking(folder):
    return results.ranking_table(results.rank(results.load([folder])))


@pytest.mark.parametrize("width", [40, 60, 80, 100, 160])
def test_no_line_is_wider_than_the_terminal(sweep, width):
    rows = results.rank(results.load([sweep]))
    for table in (results.ranking_table(rows), results.matrix_table(rows), results.failures_table(rows)):
        assert max(cell_len(line.rstrip()) for line in shown(table, width).splitlines()) <= width


@pytest.mark.parametrize("width", [80, 100, 160])
def test_every_run_its_rank_its_figure_and_its_state_fit(sweep, width):
    text = shown(ranking(sweep), width)
    lines = [line.split() for line in text.splitlines()]
    assert ["*1", "alexnet", "0.01"] in [line[:3] for line in lines]
    for state in ("diverged", "interrupted", "running", "failed: oom", "unreadable"):
        assert state in text
    for figure in ("0.9300", "0.9200", "0.9100", "0.9010", "0.8700"):
        assert figure in text


def test_a_narrow_terminal_states_what_is_the_same_and_what_is_left_out(sweep):
    text = shown(ranking(sweep), 80)
    assert "In all runs: px 96, batch 128." in text
    assert "Too narrow for: params, ex/s" in text
    wide = shown(ranking(sweep), 160)
    assert "In all runs" not in wide
    assert "Too narrow" not in wide


def test_the_choice_is_told_at_every_width(sweep):
    for width in (40, 80, 160):
        text = " ".join(shown(ranking(sweep), width).split())
        assert "the best run was chosen on the test set." in text


def test_colour_is_never_the_only_sign(sweep):
    rows = results.rank(results.load([sweep]))
    coloured = shown(results.ranking_table(rows), 160, force_terminal=True, color_system="standard")
    best, failed = (next(line for line in coloured.splitlines() if word in line) for word in ("*1", "failed: oom"))
    assert best.startswith("\x1b[1;32m")
    assert "\x1b[31m" in failed


def test_failures_are_told_with_kind_reason_and_way_out(sweep):
    text = " ".join(shown(results.failures_table(results.load([sweep])), 400).split())
    assert "oom CUDA out of memory: 2.1 GiB more were asked for; use trainer.batch_size=64" in text
    assert "schema version 99" in text
    assert "pip install --upgrade" in text
    assert "is not a run record" in text


def test_no_failures_table_where_nothing_failed(run_in, study):
    run_in(lr=0.1)
    run_in(lr=9.0, status=Status.DIVERGED, error=Failure("diverged", "the train loss became nan in epoch 1"))
    assert results.failures_table(results.load([study])) is None


def test_names_and_reasons_are_text_and_not_markup(run_in, study):
    run_in(name="[red]x[-red]", accuracies=(), status=Status.FAILED, error=Failure("[b]", "[/nonsense] \x1b[2Jgone"))
    text = shown(results.failures_table(results.load([study])), 200)
    assert "[red]x[-red]  [b]   [/nonsense] [2Jgone" in text
    assert "\x1b" not in text


def test_wide_characters_keep_the_columns(run_in, study):
    run_in(target="sweeps.vision.models.\u6f22\u5b57")
    run_in(target="sweeps.vision.models.abcd", lr=0.5)
    lines = [line for line in shown(ranking(study), 160).splitlines() if "completed" in line][1:]
    starts = {cell_len(line[: line.index("completed")]) for line in lines}
    assert len(starts) == 1


def test_a_terminal_without_unicode_gets_ascii(run_in, study):
    run_in()
    console = Console(file=io.TextIOWrapper(io.BytesIO(), encoding="ascii"), width=100)
    results.print_summary(console, study)
    console.file.flush()


def test_a_summary_leaves_out_what_there_is_not(run_in, study):
    run_in()
    console = Console(file=io.StringIO(), width=100)
    results.print_summary(console, study)
    assert "by model and learning rate" not in console.file.getvalue()
    assert "problem" not in console.file.getvalue()


def test_a_summary_has_all_three_tables(sweep):
    console = Console(file=io.StringIO(), width=100)
    results.print_summary(console, sweep)
    for part in ("11 runs", "test_acc by model and learning rate", "cells over their seeds", "3 runs with a problem"):
        assert part in console.file.getvalue()


def lines_of(text):
    return [line.split() for line in text.splitlines()]


def test_a_matrix_of_many_rates_stands_on_its_side_before_a_number_is_broken(run_in, study):
    for place in range(12):
        run_in(lr=round(0.1 + place / 1000, 3), accuracies=(0.2145 + place / 1000,))
    matrix = results.matrix_table(results.load([study]))
    narrow = shown(matrix, 80)
    assert ["lr", "\\", "model", "alexnet"] in lines_of(narrow)
    assert ["0.111", "*0.2255"] in lines_of(narrow)
    assert ["0.1", "0.2145"] in lines_of(narrow)
    assert ["model", "\\", "lr", "0.1"] in [line[:4] for line in lines_of(shown(matrix, 200))]
    coloured = shown(matrix, 80, force_terminal=True, color_system="standard")
    assert "\x1b[1;32m    *0.2255" in coloured or "\x1b[1;32m*0.2255" in coloured


def test_a_matrix_that_fits_neither_way_is_left_out_with_a_word(run_in, study):
    for model in range(10):
        for place in range(10):
            run_in(model=f"a_network_{model}", lr=0.1 + place)
    text = shown(results.matrix_table(results.load([study])), 80)
    assert " ".join(text.split()) == (
        "test_acc by model and learning rate 10 x 10 cells are too wide for 80 columns: the ranking has every run; "
        "a wider terminal or --format md shows the table."
    )


def test_long_names_are_folded_between_their_settings(run_in, study):
    name = ",".join(f"optim.setting_{place}=0.{place}" for place in range(5))
    run_in(name=name, accuracies=(), status=Status.FAILED, error=Failure("error", "no reason at all, or " * 5))
    text = shown(results.failures_table(results.load([study])), 80)
    assert [line.split()[0] for line in text.splitlines()[3:6]] == [
        "optim.setting_0=0.0,", "optim.setting_1=0.1,", "optim.setting_2=0.2,"
    ]  # fmt: skip


def test_of_two_sweeps_what_matters_stays_and_is_not_folded(tmp_path, made_up):
    for sweep, metric in (("a_sweep_with_a_name", "test_acc"), ("another_one", "test_bn_acc")):
        for model in ("lenet_bn", "mylab_network"):
            trainer = {"epochs": 10, "batch_size": 128, "bn_reestimate": len(sweep)}
            config = made_up.config_of(model=model, lr=0.003, trainer=trainer, tracker={"name": sweep})
            config |= {"sweep": sweep, "objective": {"metric": metric}}
            typed = [f"{key}=x" for key in ("tracker", "sweep", "trainer.bn_reestimate", "objective.metric")]
            rows = [made_up.report(1, 0.6, test_bn_acc=0.7)]
            objective = (metric, "max", "last", "test")
            made_up.write_run(
                tmp_path / sweep, config=config, overrides=typed, rows=rows, objective=objective, name=model
            )
    text = shown(ranking(tmp_path), 80)
    assert max(map(cell_len, text.splitlines())) <= 80
    for line in (["lenet_bn", "0.003"], ["mylab_network", "0.003"]):
        assert line in [found[1:3] for found in lines_of(text)]
    assert text.count("completed") == 1 + 4
    assert text.count("0.6000") >= 2
    assert text.count("0.7000") >= 2
    assert "Too narrow for: " in text


def test_metrics_that_were_asked_for_win_over_figures_that_were_not(run_in, study):
    run_in()
    rows = results.load([study])
    text = shown(results.ranking_table(rows, columns_of(rows, all_metrics=True)), 80)
    assert "train_loss" in text.splitlines()[2]
    left_out = " ".join(text.split()).partition("Too narrow for: ")[2]
    for name in ("params", "ex/s", "s"):
        assert name in left_out.replace(";", ",").split(", ")


def test_notes_tell_of_what_is_there_and_of_nothing_else(run_in, study):
    run_in(lr=0.1, accuracies=(0.5, 0.6))
    run_in(lr=0.2, accuracies=(), status=Status.PRUNED)
    notes = " ".join(ranking(study).notes)
    assert "Diverged" not in notes
    assert "rank after the completed ones. Pruning: 2 of 20 epochs trained." in notes
    run_in(lr=0.3, status=Status.DIVERGED)
    assert "Diverged runs are results without a figure" in " ".join(ranking(study).notes)


def test_the_epochs_that_pruning_saved_count_parts_of_one(run_in, study):
    run = run_in(accuracies=(0.5,), status=Status.PRUNED)
    run.write(dataclasses.replace(run.read(), stopped_at=1.5), durable=False)
    assert "Pruning: 1.5 of 10 epochs trained." in " ".join(ranking(study).notes)


def test_a_sweep_with_figures_so_far_does_not_say_that_there_are_none(run_in, study):
    run_in(status=Status.INTERRUPTED)
    assert ranking(study).notes[0] == "Nothing is ranked yet: no run is finished."


def test_the_cells_footnote_speaks_of_ties_and_tests_only_where_there_are_any(run_in, study):
    for seed in (0, 1):
        run_in(seed=seed, lr=0.1, accuracies=(0.5 + seed / 10,))
    run_in(seed=0, lr=0.2, accuracies=(0.4,))
    table = cells_table(results.rank(results.load([study])))
    notes = " ".join(table.notes)
    assert "It is marked *." in notes
    assert "paired t tests" not in notes
    assert "tie" not in notes


def test_the_public_names():
    assert sorted(results.__all__) == results.__all__
    assert all(hasattr(analysis, name) for name in results.__all__)

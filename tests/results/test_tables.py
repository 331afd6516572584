"""What the tables look like on a terminal, narrow or wide, and on none."""

import io

import pytest
from rich.cells import cell_len
from rich.console import Console

from sweeps import results
from sweeps.record.records import Failure, Status
from sweeps.results.columns import columns_of
from sweeps.results.matrix import matrix_table
from sweeps.results.tables import failures_table, print_summary, ranking_table, settings_table


def shown(renderable, width, **options):
    console = Console(file=io.StringIO(), width=width, **options)
    console.print(renderable, crop=False)
    return console.file.getvalue()


def ranking(folder):
    return ranking_table(results.rank(results.load([folder])))


@pytest.mark.parametrize("width", [40, 60, 80, 100, 160])
def test_no_line_is_wider_than_the_terminal(sweep, width):
    rows = results.rank(results.load([sweep]))
    for table in (ranking_table(rows), matrix_table(rows), failures_table(rows)):
        assert max(cell_len(line.rstrip()) for line in shown(table, width).splitlines()) <= width


@pytest.mark.parametrize("width", [80, 100, 160])
def test_every_run_its_rank_its_value_and_its_state_fit(sweep, width):
    text = shown(ranking(sweep), width)
    lines = [line.split() for line in text.splitlines()]
    assert ["*1", "alexnet", "0.01"] in [line[:3] for line in lines]
    for state in ("diverged", "interrupted", "running", "failed: oom", "unreadable"):
        assert state in text
    for figure in ("0.9300", "0.9200", "0.9100", "0.9010", "0.8700"):
        assert figure in text


def test_a_narrow_terminal_names_the_columns_that_it_hides(sweep):
    text = " ".join(shown(ranking(sweep), 60).split())
    assert "hidden columns: parameters, seconds; a wider terminal or --format csv has them" in text
    assert "hidden" not in shown(ranking(sweep), 160)


def test_what_is_the_same_in_all_runs_is_a_note(sweep):
    assert "In all runs: examples_per_second=24,123." in ranking(sweep).notes


def test_a_swept_column_is_never_hidden_at_80_columns(regression_in, study):
    for place in range(6):
        more = {f"a_setting_with_a_long_name_{at}": place / 7 for at in "abcd"}
        regression_in(0.5, 0.4, lr=0.1 + place, depth=place, momentum=0.9 - place / 10, seed=place, **more)
    text = shown(ranking(study), 80)
    assert max(map(cell_len, text.splitlines())) <= 80
    header = text[: text.index("───")].split()
    for name in ("lr", "depth", "seed"):
        assert name in header
    assert "momentum" in "".join(header)
    assert sum(word.startswith("a_") for word in header) == 4, "long headers are folded"
    assert text.count("0.1429") == 4
    assert "status" not in header
    assert "hidden columns: " in text


@pytest.mark.parametrize("width", [60, 80])
def test_a_group_that_some_runs_leave_to_its_default_is_not_in_all_runs(run_in, study, made_up, width):
    for flip, typed in ((0.0, []), (0.5, ["augment=flip_crop"]), (0.0, ["augment=none"])):
        for seed in range(2):
            config = made_up.config_of(
                augment={"flip": flip, "crop_padding": flip / 4}, seed=seed, model=f"m{len(typed)}"
            )
            run_in(config=config, overrides=[f"seed={seed}", *typed, "px=28"], name=f"{flip}{typed}{seed}")
    text = shown(ranking(study), width)
    assert "augment" in text.split("─")[0]
    assert "In all runs: px=28, " in text
    assert len({tuple(line.split()[1:3]) for line in text.splitlines() if "completed" in line}) >= 3


def test_what_the_best_was_chosen_on_is_said_at_every_width(sweep):
    for width in (40, 80, 160):
        text = " ".join(shown(ranking(sweep), width).split())
        assert "the best run was chosen on the test set." in text


def test_colour_is_never_the_only_sign(sweep):
    rows = results.rank(results.load([sweep]))
    coloured = shown(ranking_table(rows), 160, force_terminal=True, color_system="standard")
    best, failed = (next(line for line in coloured.splitlines() if word in line) for word in ("*1", "failed: oom"))
    assert best.startswith("\x1b[1;32m")
    assert "\x1b[31m" in failed


def test_failures_have_a_kind_reason_and_way_out(sweep):
    text = " ".join(shown(failures_table(results.load([sweep])), 400).split())
    assert "oom CUDA out of memory: 2.1 GiB more were asked for; use trainer.batch_size=64" in text
    assert "schema version 99" in text
    assert "pip install --upgrade" in text
    assert "is not a run record" in text


def test_no_failures_table_where_nothing_failed(run_in, study):
    run_in(lr=0.1)
    run_in(lr=9.0, status=Status.DIVERGED, error=Failure("diverged", "the train loss became nan in epoch 1"))
    assert failures_table(results.load([study])) is None


def test_names_and_reasons_are_text_and_not_markup(run_in, study):
    run_in(name="[red]x[-red]", accuracies=(), status=Status.FAILED, error=Failure("[b]", "[/nonsense] \x1b[2Jgone"))
    text = shown(failures_table(results.load([study])), 200)
    assert "[red]x[-red]  [b]   [/nonsense] [2Jgone" in text
    assert "\x1b" not in text


def test_wide_characters_keep_the_columns(run_in, study):
    run_in(model="\u6f22\u5b57")
    run_in(model="abcd", lr=0.5)
    lines = [line for line in shown(ranking(study), 160).splitlines() if "completed" in line][1:]
    starts = {cell_len(line[: line.index("completed")]) for line in lines}
    assert len(starts) == 1


def test_a_terminal_without_unicode_gets_ascii(run_in, study):
    run_in()
    console = Console(file=io.TextIOWrapper(io.BytesIO(), encoding="ascii"), width=100)
    print_summary(console, study)
    console.file.flush()


def test_a_summary_leaves_out_what_there_is_not(run_in, study):
    run_in()
    console = Console(file=io.StringIO(), width=100)
    print_summary(console, study)
    assert console.file.getvalue().count("─\n") == 1, "one table"
    assert "problem" not in console.file.getvalue()


def test_a_summary_has_all_tables(sweep):
    console = Console(file=io.StringIO(), width=100)
    print_summary(console, sweep)
    for part in ("11 runs", "test_acc by model and lr", "settings over their seeds", "3 runs with a problem", "Advice"):
        assert part in console.file.getvalue()


def test_a_regression_without_a_direction_has_a_line_instead_of_a_ranking(regression_in, study):
    for lr in (0.1, 0.2):
        regression_in(0.5, lr / 2, lr=lr, direction="")
    text = shown(ranking(study), 80)
    assert "*" not in text
    assert [line[:3] for line in lines_of(text)[3:5]] == [["-", "0.1", "0.0500"], ["-", "0.2", "0.1000"]]
    assert lines_of(text)[5] == ["no", "ranking:", "sweep.objective.direction", "is", "not", "set"]


def lines_of(text):
    return [line.split() for line in text.splitlines()]


def test_long_names_are_folded_between_their_settings(run_in, study):
    name = ",".join(f"optim.setting_{place}=0.{place}" for place in range(5))
    run_in(name=name, accuracies=(), status=Status.FAILED, error=Failure("error", "no reason at all, or " * 5))
    text = shown(failures_table(results.load([study])), 80)
    assert [line.split()[0] for line in text.splitlines()[3:6]] == [
        "optim.setting_0=0.0,", "optim.setting_1=0.1,", "optim.setting_2=0.2,"
    ]  # fmt: skip


def test_of_two_sweeps_what_matters_stays_and_is_not_folded(tmp_path, made_up):
    for sweep, metric in (("a_sweep_with_a_name", "test_acc"), ("another_one", "test_bn_acc")):
        for model in ("lenet_bn", "mylab_network"):
            rows = [made_up.report(1, 0.6, test_bn_acc=0.7)]
            objective = (metric, "max", "last", "test")
            made_up.write_run(tmp_path / sweep, model=model, lr=0.003, rows=rows, objective=objective, seed=len(sweep))
    text = shown(ranking(tmp_path), 80)
    assert max(map(cell_len, text.splitlines())) <= 80
    for model in ("lenet_bn", "mylab_network"):
        assert [found[1] for found in lines_of(text) if len(found) > 1].count(model) == 2
    assert text.count("0.6000") == 2
    assert text.count("0.7000") == 2
    assert "In all runs: optim.lr=0.003" in text
    assert "hidden columns: sweep" in text


def test_metrics_that_were_asked_for_win_over_facts_that_were_not(run_in, study):
    run_in()
    run_in(facts={"parameters": 1, "examples_per_second": 2}, lr=0.2)
    rows = results.load([study])
    text = shown(ranking_table(rows, columns_of(rows, all_metrics=True)), 60)
    assert "loss" in "".join(text.splitlines()[1:4]), "it may be folded"
    hidden = " ".join(text.split()).partition("hidden columns: ")[2]
    for name in ("parameters", "examples_per_second"):
        assert name in hidden.replace(";", ",").split(", ")


def test_notes_tell_of_what_is_there_and_of_nothing_else(run_in, study):
    run_in(lr=0.1, accuracies=(0.5, 0.6))
    run_in(lr=0.2, accuracies=(), status=Status.PRUNED)
    notes = " ".join(ranking(study).notes)
    assert "Diverged" not in notes
    assert "rank after the completed ones. 2 of 20 steps were done." in notes
    run_in(lr=0.3, status=Status.DIVERGED)
    assert "Diverged runs are results without a value" in " ".join(ranking(study).notes)


def test_a_sweep_with_values_so_far_does_not_say_that_there_are_none(run_in, study):
    run_in(status=Status.INTERRUPTED)
    assert ranking(study).notes[0] == "Nothing is ranked yet: no run is finished."


def test_the_footnote_of_settings_speaks_of_ties_and_tests_only_where_there_are_any(run_in, study):
    for seed in (0, 1):
        run_in(seed=seed, lr=0.1, accuracies=(0.5 + seed / 10,))
    run_in(seed=0, lr=0.2, accuracies=(0.4,))
    table = settings_table(results.rank(results.load([study])))
    notes = " ".join(table.notes)
    assert "is marked *." in notes
    assert "paired t tests" not in notes
    assert "may be" not in notes


def test_the_public_names():
    assert sorted(results.__all__) == results.__all__
    assert all(hasattr(results, name) for name in results.__all__)

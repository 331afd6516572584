"""Cells over their seeds: what stands in the table, who ties with the best, and how often that is wrong."""

import json
import random

import numpy as np
import pytest
from safetensors.numpy import save_file

from sweeps import results as analysis
from sweeps.errors import ConfigError
from sweeps.record.identity import cell_id
from sweeps.record.records import Failure, RunDir, Status
from sweeps.report.content import read
from sweeps.results.advice import advice
from sweeps.results.compare import compare
from sweeps.results.runs import Criterion
from sweeps.results.selection import chosen_figure
from sweeps.results.settings import Cell, cell_columns, cells_of, judged
from sweeps.results.tables import cells_table, summary
from sweeps.summarize import main


def rows_of(folder):
    return analysis.rank(analysis.load([folder]))


def cells(folder):
    return {cell.label: cell for cell in judged(cells_of(rows_of(folder)))}


def five_seeds(run_in, model, mean, spread=0.002, **more):
    rng = random.Random(f"{model} {more}")
    for seed in range(5):
        run_in(model=model, seed=seed, accuracies=(0.5, mean + spread * (seed - 2) + rng.gauss(0, spread / 10)), **more)


def test_a_cell_is_everything_but_the_seed(run_in, study):
    for lr in (0.1, 0.2):
        for seed, final in enumerate((0.5, 0.6, 0.7)):
            run_in(lr=lr, seed=seed, accuracies=(final + lr,))
    found = cells(study)
    assert list(found) == ["lr 0.2", "lr 0.1"]
    best = found["lr 0.2"]
    assert (best.n, best.mean, best.std) == (3, pytest.approx(0.8), pytest.approx(0.1))
    assert best.interval.low < best.mean < best.interval.high
    assert best.by_seed == pytest.approx({0: 0.7, 1: 0.8, 2: 0.9})


def on_two_devices(run_in, made_up, **more):
    """Four runs of one setting: two seeds on the CPU, two on a GPU."""
    for seed, device in enumerate(("cpu", "cpu", "cuda:1", "cuda:1")):
        config = made_up.config_of(seed=seed, device=device, **more)
        run_in(config=config, accuracies=(0.8 + seed / 100,), overrides=[f"seed={seed}", f"device={device}"],
               name=f"{more},seed={seed}")  # fmt: skip


def test_what_cannot_change_a_result_splits_no_setting(run_in, study, made_up):
    on_two_devices(run_in, made_up)
    (cell,) = cells(study).values()
    assert (cell.n, sorted(cell.by_seed)) == (4, [0, 1, 2, 3])
    configs = [RunDir(row.path).read().config for row in cell.rows]
    assert {cell_id(config) for config in configs} == {row.setting for row in cell.rows}, "as pruning pools them"
    (one,) = read([study]).configurations
    assert one.n == 4


def test_what_cannot_change_a_result_is_no_column_of_a_setting(run_in, study, made_up):
    on_two_devices(run_in, made_up, trainer={"epochs": 10, "batch_size": 128})
    on_two_devices(run_in, made_up, trainer={"epochs": 10, "batch_size": 64})
    rows = rows_of(study)
    assert "device" not in [column.key for column in cell_columns(rows)]
    assert sorted((label, cell.n) for label, cell in cells(study).items()) == [("batch 128", 4), ("batch 64", 4)]
    assert compare(rows, "device=cpu,trainer.batch_size=64", "trainer.batch_size=128").first.n == 4


def test_a_setting_that_has_an_effect_tells_cells_apart_before_one_that_has_none(run_in, study, made_up):
    for seed in (0, 1):
        for device, limit in (("cpu", 100), ("cuda", 200)):
            dataset = {"name": "fashion_mnist", "limit": limit}
            run_in(config=made_up.config_of(seed=seed, device=device, dataset=dataset),
                   overrides=[f"device={device}"], name=f"{limit},{seed}")  # fmt: skip
    assert sorted(cells(study)) == ["limit 100", "limit 200"]


def test_the_same_run_in_two_sweeps_counts_for_each(tmp_path, made_up):
    for sweep in ("a", "b"):
        for seed in (0, 1):
            made_up.write_run(tmp_path / sweep, seed=seed)
    assert [(label, cell.n) for label, cell in cells(tmp_path).items()] == [("sweep a", 2), ("sweep b", 2)]


def test_seeds_of_two_sweeps_are_one_setting(tmp_path, made_up):
    for sweep, seeds in (("a", (0, 1)), ("b", (2, 3))):
        for seed in seeds:
            overrides = [f"sweep={sweep}", f"seed={seed}"]
            made_up.write_run(tmp_path / sweep, config=made_up.config_of(seed=seed, sweep=sweep), overrides=overrides)
    assert [cell.n for cell in cells(tmp_path).values()] == [4]


def test_the_best_those_that_tie_with_it_and_those_that_do_not(run_in, study):
    five_seeds(run_in, "a", 0.92)
    five_seeds(run_in, "b", 0.9198)
    five_seeds(run_in, "c", 0.80)
    run_in(model="d", seed=0, accuracies=(0.99,))
    standing = {label: cell.standing for label, cell in cells(study).items()}
    assert standing == {"a": "best", "b": "tied", "c": "worse", "d": "not evidence"}
    lines = [line.cells for line in cells_table(rows_of(study)).lines]
    assert [(line[0], line[1], line[2][0]) for line in lines] == [
        ("a", "5", "*"), ("b", "5", "="), ("c", "5", "0"), ("d", "1", "0"),
    ]  # fmt: skip
    assert lines[3][-1] == "not evidence"
    assert any("n = 1 is not evidence" in note for note in cells_table(rows_of(study)).notes)


def test_lower_is_better_where_the_objective_says_so(run_in, study):
    loss = ("test_loss", "min", "last", "test")
    for model, mean in (("a", 0.9), ("b", 0.8)):
        five_seeds(run_in, model, mean, objective=loss)
    assert [(label, cell.standing) for label, cell in cells(study).items()] == [("a", "best"), ("b", "worse")]


def test_collapse_is_counted_and_stays_in_the_mean_where_it_has_a_figure(run_in, study, made_up):
    dataset = {"name": "fashion_mnist", "classes": 10}
    for seed, final in enumerate((0.85, 0.1, 0.86)):
        run_in(config=made_up.config_of(model="nin", seed=seed, dataset=dataset), accuracies=(final,), name=str(seed))
    run_in(config=made_up.config_of(model="nin", seed=3, dataset=dataset), accuracies=(0.2,), name="3",
           status=Status.DIVERGED, error=Failure("diverged", "nan"))  # fmt: skip
    (cell,) = judged(cells_of(rows_of(study)))
    assert (cell.n, cell.collapsed, cell.mean) == (3, 2, pytest.approx(0.6033, abs=1e-4))
    assert cell.apart == {"diverged": 1}
    assert "2/4" in cells_table(rows_of(study)).lines[0].cells


def test_a_pruned_run_is_no_figure_of_the_full_training(run_in, study):
    run_in(seed=0, accuracies=(0.9,))
    run_in(seed=1, accuracies=(0.8,))
    run_in(seed=2, accuracies=(0.2,), status=Status.PRUNED)
    (cell,) = cells_of(rows_of(study))
    assert (cell.n, cell.mean, cell.apart) == (2, pytest.approx(0.85), {"pruned": 1})


def test_the_matrix_shows_no_figure_of_a_pruned_run(run_in, study):
    run_in(lr=0.1, accuracies=(0.5,))
    run_in(lr=0.2, accuracies=(0.9,), status=Status.PRUNED)
    assert analysis.matrix_table(rows_of(study)).lines[0].cells == ["alexnet", "*0.5000", "pruned"]


def test_of_21_cells_without_a_difference_hardly_ever_one_is_called_worse():
    """The whole table, the choice of the best included: at most 5 % false alarms (200 tables; 3 points of chance)."""
    rng, criterion = np.random.default_rng(0), Criterion("test_acc", "max", "last", "test")
    alarms = 0
    for _ in range(200):
        values = rng.normal(0.9, 0.01, (21, 5))
        table = [Cell(str(at), (), (), criterion, dict(enumerate(of)), 0) for at, of in enumerate(values)]
        alarms += any(cell.standing == "worse" for cell in judged(table, with_intervals=False))
    assert alarms / 200 < 0.08


def test_of_21_cells_the_one_that_is_far_worse_is_found():
    rng, criterion = np.random.default_rng(0), Criterion("test_acc", "max", "last", "test")
    values = rng.normal(0.9, 0.003, (21, 5))
    values[7] -= 0.2
    table = [Cell(str(at), (), (), criterion, dict(enumerate(of)), 0) for at, of in enumerate(values)]
    assert [cell.label for cell in judged(table, with_intervals=False) if cell.standing == "worse"] == ["7"]


def test_what_was_chosen_on_held_out_images_is_tested_once(run_in, study, made_up):
    for lr in (0.1, 0.2):
        for seed in (0, 1):
            rows = [made_up.epoch_row(1, 0.7 + lr + seed / 100, "val", test_acc=0.6 + lr + seed / 100)]
            run_in(lr=lr, seed=seed, rows=rows, objective=("val_acc", "max", "last", "val"))
    ranking, _, over_seeds, *_ = summary(rows_of(study))
    assert "test\nacc" not in [head.text for head in ranking.heads]
    assert [note for note in over_seeds.notes if "took no part" in note] == [
        "Chosen: lr 0.2. On the test set, which took no part in the choice, it has an accuracy of 0.8050 ± 0.0071 "
        "(std, n = 2)."
    ]
    assert sum("0.8" in note for note in ranking.notes) == 1, "the best run's own test figure, and no other"
    assert any("not on the test set" in note for note in ranking.notes)


def test_the_test_figure_of_the_chosen_cell_is_over_whole_runs_alone(run_in, study, made_up):
    for seed, status in enumerate((Status.COMPLETED, Status.COMPLETED, Status.PRUNED)):
        rows = [made_up.epoch_row(1, 0.7, "val", test_acc=0.1 if status is Status.PRUNED else 0.6)]
        run_in(seed=seed, rows=rows, status=status, objective=("val_acc", "max", "last", "val"))
    (note,) = chosen_figure(judged(cells_of(rows_of(study))))
    assert "an accuracy of 0.6000 ± 0.0000 (std, n = 2)" in note


def answers(run, predicted, labels):
    save_file({"test": np.asarray(predicted, np.uint8), "test_labels": np.asarray(labels, np.uint8)}, run.predictions)


def test_compare_answers_in_one_sentence(run_in, study, capsys):
    five_seeds(run_in, "a", 0.92)
    five_seeds(run_in, "b", 0.85)
    assert main([str(study), "--compare", "model=a", "b"]) == 0
    said = " ".join(capsys.readouterr().out.split())  # it wraps
    assert said.startswith("Yes: a is better than b: test_acc 0.9200 against 0.8501, +0.0699 [+0.0")
    assert "(95 %, bootstrap-t) over 5 matched seeds, paired t test, p < 0.0001" in said
    assert said.endswith("test_acc of the last epoch is measured on the test set.")
    assert main([str(study), "--compare", "b", "a"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert said.startswith("No: a is better than b: test_acc 0.8501 against 0.9200, -0.0699 [-0.0")


def test_compare_says_when_nothing_is_shown_and_what_would(run_in, study):
    for seed, (a, b) in enumerate(((0.90, 0.91), (0.92, 0.90), (0.91, 0.905))):
        run_in(model="a", seed=seed, accuracies=(a,))
        run_in(model="b", seed=seed, accuracies=(b,))
    found = compare(rows_of(study), "a", "b")
    assert found.verdict == "not shown"
    assert found.sentence.startswith("Not shown: a and b may be equally good")
    assert any(note.startswith("About ") and note.endswith("seeds would show a difference of this size.")
               for note in found.notes)  # fmt: skip


def test_compare_of_single_runs_is_no_evidence_but_mcnemar_speaks_of_the_networks(run_in, study):
    labels = [0] * 100
    answers(run_in(model="a", seed=0, accuracies=(0.9,)), [0] * 90 + [1] * 10, labels)
    answers(run_in(model="b", seed=0, accuracies=(0.7,)), [0] * 70 + [1] * 30, labels)
    found = compare(rows_of(study), "a", "b")
    assert found.verdict == "not evidence"
    assert found.sentence.startswith("Not evidence: a and b share one seed (test_acc 0.9000 against 0.7000)")
    assert found.by_image[0][:2] == (20, 0)
    assert found.by_image[0].p < 0.001
    assert any("these two trained networks alone" in note for note in found.notes)
    assert any(note.startswith("Seed 0, image by image of the test set: 20 only the first") for note in found.notes)


def test_the_fields_of_a_comparison_tell_a_corrected_p_from_one_that_is_not(run_in, study):
    for seed in (0, 1):
        answers(run_in(model="a", seed=seed, accuracies=(0.9,)), [0] * 90 + [1] * 10, [0] * 100)
        answers(run_in(model="b", seed=seed, accuracies=(0.7,)), [0] * (82 + seed) + [1] * (18 - seed), [0] * 100)
    found = compare(rows_of(study), "a", "b")
    first, second = found.fields()["mcnemar"].values()
    assert (first["p_uncorrected"], first["p_holm"]) == (0.0078125, 0.015625)
    assert second["p_holm"] == second["p_uncorrected"] == 0.015625


def test_no_interval_of_a_difference_leaves_what_two_accuracies_can_differ_by(run_in, study):
    for seed, (a, b) in enumerate(((0.9, 0.1), (0.5, 0.4))):
        run_in(model="a", seed=seed, accuracies=(a,))
        run_in(model="b", seed=seed, accuracies=(b,))
    found = compare(rows_of(study), "a", "b").paired.interval
    assert (found.low, found.high) == (-1.0, 1.0)


def test_compare_as_json_holds_every_figure(run_in, study, capsys):
    five_seeds(run_in, "a", 0.92)
    five_seeds(run_in, "b", 0.85)
    assert main([str(study), "--compare", "a", "b", "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["verdict"], found["n"], found["objective"]) == ("yes", 5, "test_acc")
    assert found["low"] < found["difference"] < found["high"]


def test_compare_refuses_what_it_cannot_answer(run_in, study):
    for seed in (0, 1):
        run_in(model="a", lr=0.1, seed=seed)
        run_in(model="a", lr=0.2, seed=seed)
        run_in(model="b", lr=0.1, seed=seed + 2)
    rows = rows_of(study)
    for a, b, says in (
        ("c", "b", "--compare c fits no run; .* There are: a, lr 0.1; a, lr 0.2; b, lr 0.1"),
        ("a", "b", "--compare a fits 2 cells, which differ in lr: name one of them, such as a,optim.lr=..."),
        ("model=a,optim.lr=0.1", "b", "there is no common seed with a result.*repeats=5"),
        ("model=a,lr=0.1", "model=a,optim.lr=1e-1", "are the same cell"),
        ("model=a,lr=0.1,seed=0", "model=a,lr=0.2,seed=1", "names a seed: cells are compared over all seeds"),
        ("a,optim.lr=0.1", "", "fits no run"),
    ):
        with pytest.raises(ConfigError, match=says.replace("...", r"\.\.\.")):
            compare(rows, a, b)


def test_equal_differences_have_a_test_and_no_interval(run_in, study):
    for seed in range(5):
        run_in(model="a", seed=seed, accuracies=(0.5 + seed / 100,))
        run_in(model="b", seed=seed, accuracies=(0.4 + seed / 100,))
    found = compare(rows_of(study), "a", "b")
    assert "+0.1000 without any spread over 5 matched seeds, sign test, p = 0.062" in found.sentence


def test_damaged_predictions_are_no_evidence(run_in, study):
    run = run_in(model="a")
    run.predictions.write_bytes(b"half a fi")
    run_in(model="b")
    assert compare(rows_of(study), "a", "b").by_image == {}


def advised(folder):
    rows = rows_of(folder)
    return advice(rows, judged(cells_of(rows)))


def test_rates_that_tie_or_were_drawn_have_no_edge(run_in, study):
    for lr in (0.1, 0.2, 0.4):
        run_in(lr=lr, accuracies=(0.5,))
    assert not any("edge" in sentence for sentence in advised(study))
    run_in(lr=0.8, accuracies=(0.6,))
    assert any("edge" in sentence for sentence in advised(study))
    (study / "study.journal").touch()
    assert not any("edge" in sentence for sentence in advised(study)), "a search is no grid"


def test_advice_to_extend_the_grid_where_the_best_rate_is_its_edge(run_in, study):
    for lr, final in ((0.025, 0.5), (0.05, 0.6), (0.1, 0.7)):
        run_in(model="a", lr=lr, accuracies=(final,))
        run_in(model="b", lr=lr, accuracies=(1 - final,))
    found = advised(study)
    assert "a: the best rate lies at the grid's edge; extend: optim.lr=0.2,0.4" in found
    assert "b: the best rate lies at the grid's edge; extend: optim.lr=0.013,0.0063" in found


def test_with_repeats_only_a_rate_that_is_shown_to_be_the_best_lies_at_the_edge(run_in, study):
    for lr, mean in ((0.1, 0.5), (0.2, 0.6), (0.4, 0.7)):
        five_seeds(run_in, "clear", mean, lr=lr)
        five_seeds(run_in, "ties", min(mean, 0.6), spread=0.05, lr=lr)
    run_in(model="ties", lr=0.8, seed=0, accuracies=(0.99,))
    edges = [sentence for sentence in advised(study) if "edge" in sentence]
    assert edges == ["clear: the best rate lies at the grid's edge; extend: optim.lr=0.8,1.6"]


def test_no_advice_to_extend_past_rates_that_diverge_or_from_inside(run_in, study):
    for lr, final in ((0.01, 0.5), (0.1, 0.6)):
        run_in(lr=lr, accuracies=(final,))
    for lr in (1.0, 10.0):
        run_in(lr=lr, status=Status.DIVERGED, error=Failure("diverged", "nan"))
    found = advised(study)
    assert not any("extend" in sentence for sentence in found)
    assert "every run from optim.lr=1 on diverged: leave those rates out" in found


def test_advice_on_seeds_that_disagree_or_collapse(run_in, study, made_up):
    dataset = {"name": "fashion_mnist", "classes": 10}
    for model, finals in (("swings", (0.9, 0.8, 0.7)), ("nin", (0.9, 0.1, 0.9))):
        for seed, final in enumerate(finals):
            config = made_up.config_of(model=model, seed=seed, dataset=dataset)
            run_in(config=config, accuracies=(final,), name=f"{model}{seed}")
    found = advised(study)
    assert any(one.startswith("swings: its seeds disagree (0.7000 to 0.9000)") and "bn_reestimate" in one
               for one in found)  # fmt: skip
    assert any(one.startswith("nin: collapsed in 1 of 3 seeds") for one in found)


def test_seeds_that_disagree_where_the_cell_is_worse_anyway_are_no_matter(run_in, study):
    five_seeds(run_in, "good", 0.9)
    five_seeds(run_in, "bad", 0.3, spread=0.05)
    assert cells(study)["bad"].standing == "worse"
    assert not advised(study)


def test_advice_to_repeat_single_runs(run_in, study):
    for lr in (0.1, 0.2, 0.15):
        run_in(lr=lr, accuracies=(1 - abs(lr - 0.15),))
    (sentence,) = advised(study)
    assert sentence.startswith("Every cell is a single run (n = 1), which is not evidence")
    assert "repeats=5" in sentence

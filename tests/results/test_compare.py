"""Is A better than B? In one sentence, by seeds, and answer by answer where runs have left their answers."""

import json
import random
import re

import numpy as np
import pytest
from safetensors.numpy import save_file

from sweeps import results
from sweeps.errors import ConfigError
from sweeps.record.records import Status
from sweeps.results.compare import PREDICTIONS, compare
from sweeps.results.settings import judged, settings_of
from sweeps.summarize import compare_main, main


def rows_of(*folders):
    return results.rank(results.load(folders))


def five_seeds(run_in, model, mean, spread=0.002, **more):
    rng = random.Random(f"{model} {more}")
    for seed in range(5):
        run_in(model=model, seed=seed, accuracies=(0.5, mean + spread * (seed - 2) + rng.gauss(0, spread / 10)), **more)


def answers(run, predicted, labels):
    save_file(
        {"test": np.asarray(predicted, np.uint8), "test_labels": np.asarray(labels, np.uint8)}, run.path / PREDICTIONS
    )


def test_compare_answers_in_one_sentence(run_in, study, capsys):
    five_seeds(run_in, "a", 0.92)
    five_seeds(run_in, "b", 0.85)
    assert main([str(study), "--compare", "model=a", "b"]) == 0
    said = " ".join(capsys.readouterr().out.split())  # it wraps
    assert said.startswith("Yes: model=a is better than model=b: test_acc 0.9200 against 0.8501, +0.0699 [+0.0")
    assert "(95 %, Student's t) over 5 matched seeds, paired t test, p < 0.0001" in said
    assert said.endswith("The last test_acc is measured on the test set.")
    assert main([str(study), "--compare", "b", "a"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert said.startswith("No: model=a is better than model=b: test_acc 0.8501 against 0.9200, -0.0699 [-0.0")


def test_the_verb_compare_is_the_same(run_in, study, capsys):
    five_seeds(run_in, "a", 0.92)
    five_seeds(run_in, "b", 0.85)
    assert compare_main([str(study), "a", "b"]) == 0
    said = capsys.readouterr().out
    assert main([str(study), "--compare", "a", "b"]) == 0
    assert capsys.readouterr().out == said
    assert compare_main([str(study), "a", "b", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["verdict"] == "yes"


def test_a_smaller_loss_is_better(regression_in, study):
    for lr, loss in ((0.1, 0.5), (0.2, 0.3)):
        for seed in range(3):
            regression_in(loss + seed / 100 + lr * seed / 1000, lr=lr, seed=seed)
    assert compare(rows_of(study), "lr=0.2", "lr=0.1").verdict == "yes"


def test_seeds_may_be_texts(regression_in, study):
    for lr in (0.1, 0.2):
        for seed in ("first", "second"):
            regression_in(lr + len(seed) / 100, lr=lr, seed=seed)
    assert compare(rows_of(study), "lr=0.1", "lr=0.2").paired.n == 2


def test_compare_says_when_nothing_is_shown_and_what_would(run_in, study):
    for seed, (a, b, c) in enumerate(((0.90, 0.91, 0.88), (0.92, 0.90, 0.91), (0.91, 0.905, 0.905))):
        run_in(model="a", seed=seed, accuracies=(a,))
        run_in(model="b", seed=seed, accuracies=(b,))
        run_in(model="c", seed=seed, accuracies=(c,))
    found = compare(rows_of(study), "a", "b")
    assert found.verdict == "not shown"
    assert found.sentence.startswith("Not shown: model=a and model=b may be equally good")
    assert not any("would show" in note for note in found.notes), "there is no sign of a difference"
    (note,) = [note for note in compare(rows_of(study), "a", "c").notes if "would show" in note]
    assert re.fullmatch(r"\d+ to \d+ seeds would show such a difference in 80 % of tries, if it is real\.", note)


def test_compare_of_the_best_has_the_p_of_the_table_and_of_others_says_what_looking_costs(run_in, study):
    for model, mean in (("a", 0.9), ("b", 0.89), ("c", 0.899), ("d", 0.85)):
        five_seeds(run_in, model, mean, spread=0.01)
    rows = rows_of(study)
    table = {one.label: one for one in judged(settings_of(rows))}
    for other in "bcd":
        found = compare(rows, "a", other)
        assert found.p == table[f"model={other}"].p
        assert (found.verdict == "yes") == (table[f"model={other}"].standing == "not best")
        assert any("model=a was picked by looking, as the best of 4. If " in note for note in found.notes)
    found = compare(rows, "b", "d")
    assert (found.verdict, found.p) == ("yes", found.paired.p)
    (note,) = [note for note in found.notes if "beforehand" in note]
    assert note.startswith("p is for a pair chosen beforehand. If it was picked by looking at 4 settings, it is p")
    assert note.endswith("(all 6 pairs).")


def test_compare_says_which_runs_are_left_out(run_in, study):
    for seed, status in enumerate((Status.COMPLETED, Status.COMPLETED, Status.PRUNED)):
        run_in(model="a", seed=seed, status=status)
        run_in(model="b", seed=seed, accuracies=(0.7,))
    assert "model=a: runs that were not completed: 1 pruned." in compare(rows_of(study), "a", "b").notes


def test_compare_of_single_runs_is_no_evidence_but_mcnemar_is_about_these_runs(run_in, study):
    labels = [0] * 100
    answers(run_in(model="a", seed=0, accuracies=(0.9,)), [0] * 90 + [1] * 10, labels)
    answers(run_in(model="b", seed=0, accuracies=(0.7,)), [0] * 70 + [1] * 30, labels)
    found = compare(rows_of(study), "a", "b")
    assert found.verdict == "not evidence"
    assert found.sentence.startswith(
        "Not evidence: model=a and model=b share one seed (test_acc 0.9000 against 0.7000)"
    )
    assert found.by_answer[0][:2] == (20, 0)
    assert found.by_answer[0].p < 0.001
    assert any("these two runs alone" in note for note in found.notes)
    assert any(note.startswith("Seed 0, answer by answer on the test set: 20 only the first") for note in found.notes)


def test_the_fields_of_a_comparison_tell_a_corrected_p_from_one_that_is_not(run_in, study):
    for seed in (0, 1):
        answers(run_in(model="a", seed=seed, accuracies=(0.9,)), [0] * 90 + [1] * 10, [0] * 100)
        answers(run_in(model="b", seed=seed, accuracies=(0.7,)), [0] * (82 + seed) + [1] * (18 - seed), [0] * 100)
    found = compare(rows_of(study), "a", "b")
    first, second = found.fields()["mcnemar"].values()
    assert (first["p_uncorrected"], first["p_holm"]) == (0.0078125, 0.015625)
    assert second["p_holm"] == second["p_uncorrected"] == 0.015625


def test_compare_as_json_holds_every_figure(run_in, study, capsys):
    five_seeds(run_in, "a", 0.92)
    five_seeds(run_in, "b", 0.85)
    assert main([str(study), "--compare", "a", "b", "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["verdict"], found["n"], found["objective"]) == ("yes", 5, "test_acc")
    assert found["low"] < found["difference"] < found["high"]


def test_compare_rejects_what_it_cannot_answer(run_in, study):
    for seed in (0, 1):
        run_in(model="a", lr=0.1, seed=seed)
        run_in(model="a", lr=0.2, seed=seed)
        run_in(model="b", lr=0.1, seed=seed + 2)
    rows = rows_of(study)
    for a, b, says in (
        ("c", "b", "c fits no run; .* There are: model=a, lr=0.1; model=a, lr=0.2; model=b, lr=0.1"),
        ("a", "b", "a fits 2 settings, which differ in optim.lr: name one of them, such as a,optim.lr=..."),
        ("model=a,optim.lr=0.1", "b", "there is no common seed with a result.*sweep.repeats=5"),
        ("model=a,lr=0.1", "model=a, optim.lr=1e-1", "are the same setting"),
        ("model=a,lr=0.1,seed=0", "model=a,lr=0.2,seed=1", "names a seed: settings are compared over all seeds"),
        ("a,optim.lr=0.1", "", "fits no run"),
        ("a,rate=0.1", "b", "--compare=rate is no column of these runs.*known: model"),
    ):
        with pytest.raises(ConfigError, match=says.replace("...", r"\.\.\.")):
            compare(rows, a, b)


def test_compare_needs_a_direction(regression_in, study):
    for lr in (0.1, 0.2):
        for seed in (0, 1):
            regression_in(lr, lr=lr, seed=seed, direction="")
    with pytest.raises(ConfigError, match=r"which val_loss is better: sweep\.objective\.direction is not set"):
        compare(rows_of(study), "lr=0.1", "lr=0.2")


def test_two_sweeps_of_the_same_runs_compare_by_their_names(tmp_path, made_up):
    for sweep, gain in (("a", 0.0), ("b", 0.1)):
        for seed in (0, 1, 2):
            made_up.write_run(tmp_path / sweep, seed=seed, accuracies=(0.5 + gain + seed / 100 * (1 + gain),))
    rows = rows_of(tmp_path)
    assert compare(rows, "b", "sweep=a").sentence.startswith("Yes: sweep=b is better than sweep=a")
    with pytest.raises(ConfigError, match=r"fits 2 settings, which differ in sweep: name one of them.*,sweep="):
        compare(rows, "model=alexnet", "a")


def test_different_objectives_do_not_compare(run_in, study):
    for seed in (0, 1):
        run_in(model="a", seed=seed)
        run_in(model="b", seed=seed, objective=("test_loss", "min", "last", "test"))
    with pytest.raises(ConfigError, match=r"ranked by the last test_acc and model=b by the last test_loss"):
        compare(results.load([study]), "a", "b")


def test_equal_differences_have_a_test_and_no_interval(run_in, study):
    for seed in range(5):
        run_in(model="a", seed=seed, accuracies=(0.5 + seed / 100,))
        run_in(model="b", seed=seed, accuracies=(0.4 + seed / 100,))
    found = compare(rows_of(study), "a", "b")
    assert "+0.1000 without any spread over 5 matched seeds, sign test, p = 0.062" in found.sentence


def test_damaged_predictions_count_as_none(run_in, study):
    run = run_in(model="a")
    (run.path / PREDICTIONS).write_bytes(b"half a fi")
    run_in(model="b")
    assert compare(rows_of(study), "a", "b").by_answer == {}

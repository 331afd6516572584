"""Run directories become rows, and none is lost."""

import json
from pathlib import Path

import pytest

from sweeps import results
from sweeps.errors import RecordError
from sweeps.record import metrics
from sweeps.record.records import Failure, RunDir, Status
from sweeps.results.runs import UNREADABLE


def test_a_finished_run(run_in, study):
    run_in(model="vgg11", lr=0.05, seed=3, accuracies=(0.8, 0.7))
    (row,) = results.load([study])
    assert (row.settings["model"], row.settings["optim.lr"], row.seed) == ("vgg11", 0.05, 3)
    assert "seed" not in row.settings
    assert "device" not in row.settings, "it cannot change a result"
    assert row.overridden == ("model", "optim.lr")
    assert (row.steps, row.max_steps, row.status) == (2, 10, "completed")
    assert (row.value, row.best["test_acc"], row.last["test_acc"], row.chosen["test_loss"]) == (0.7, 0.8, 0.7, 0.6)
    assert (row.facts["parameters"], row.seconds) == (46_764_746, 5.0)
    assert (row.is_finished, row.has_result, row.counts) == (True, True, True)
    record = RunDir(row.path).read()
    assert (row.run_id, row.setting_id) == (record.run_id, record.setting_id)


def test_a_returned_value_is_a_result(regression_in, study):
    regression_in(value=0.25, split="")
    (row,) = results.load([study])
    assert (row.value, row.objective.name, row.steps, row.seconds) == (0.25, "objective", None, 0.0)


def test_a_record_of_the_first_release_is_read(study):
    run = RunDir(study / "old")
    run.path.mkdir(parents=True)
    config = {"model": {"_target_": "nin"}, "optim": {"lr": 0.1}, "trainer": {"epochs": 2}, "seed": 3, "sweep": "study"}
    objective = {"metric": "test_acc", "direction": "max", "epoch": "last", "split": "test", "value": 0.5}
    row = {"epoch": 2, "test_acc": 0.5, "seconds": 1.0}
    content = {
        "schema_version": 1, "run_id": "0" * 12, "name": "old", "sweep": "study", "status": "completed",
        "objective": objective, "overrides": ["model=nin"], "config": config, "parameters": 1234, "forward_macs": None,
        "epochs": 2, "metrics": {"last": row, "best": row}, "seconds": 2.0,
    }  # fmt: skip
    run.record.write_text(json.dumps(content), encoding="utf-8")
    (row,) = results.load([study])
    assert (row.status, row.value, row.seed, row.steps, row.max_steps) == ("completed", 0.5, 3, 2, 2)
    assert (row.facts, row.settings["model"], row.objective.report) == ({"parameters": 1234}, "nin", "last")


@pytest.mark.parametrize("status", [Status.RUNNING, Status.INTERRUPTED, Status.FAILED])
def test_an_unfinished_run_says_what_its_metrics_say_so_far(run_in, study, status):
    run_in(accuracies=(0.6, 0.8, 0.7), status=status)
    (row,) = results.load([study])
    assert (row.value, row.best["test_acc"], row.last["test_acc"]) == (0.7, 0.8, 0.7)
    assert (row.steps, row.seconds) == (3, 7.5)
    assert not row.has_result


def test_the_last_row_is_the_last_with_the_objective(run_in, study, made_up):
    rows = [made_up.report(1, 0.6), {"step": 1.5, "elapsed": 4.0, "train_loss": 0.3}]
    run_in(rows=rows, status=Status.INTERRUPTED)
    (row,) = results.load([study])
    assert (row.value, row.steps, row.last["test_acc"]) == (0.6, 1.5, 0.6)


def test_a_best_report_so_far_follows_the_direction(run_in, study):
    run_in(accuracies=(0.6, 0.8, 0.7), status=Status.RUNNING, objective=("test_loss", "min", "best", "test"))
    (row,) = results.load([study])
    assert (row.value, row.best["test_acc"], row.last["test_acc"]) == (0.4, 0.8, 0.7)


def test_without_a_direction_there_is_no_best_report(regression_in, study):
    regression_in(0.5, 0.4, direction="", status=Status.INTERRUPTED)
    (row,) = results.load([study])
    assert (row.value, row.best) == (0.4, {})


def test_a_torn_last_line_is_left_out(run_in, study):
    run = run_in(accuracies=(0.6, 0.8), status=Status.INTERRUPTED)
    with run.metrics.open("a", encoding="utf-8") as file:
        file.write('{"step": 3, "test_a')
    (row,) = results.load([study])
    assert (row.steps, row.value, row.problem) == (2, 0.8, "")


def test_of_very_many_reports_the_best_and_the_last_are_known(run_in, study, monkeypatch):
    monkeypatch.setattr(metrics, "MOST_LINES", 10)
    accuracies = [0.5 + 0.001 * step for step in range(100)]
    accuracies[33] = 0.9
    run_in(accuracies=accuracies, status=Status.INTERRUPTED, objective=("test_acc", "max", "best", "test"))
    (row,) = results.load([study])
    assert (row.value, row.steps, row.problem) == (0.9, 100, "")


def test_damaged_metrics_are_a_problem(run_in, study):
    run = run_in(accuracies=(0.6, 0.8), status=Status.INTERRUPTED)
    run.metrics.write_text("what\n" + run.metrics.read_text(encoding="utf-8"), encoding="utf-8")
    (row,) = results.load([study])
    assert row.problem_kind == "metrics"
    assert "line 1" in row.problem
    assert row.value is None


def test_a_diverged_run_is_a_result_without_a_value(run_in, study):
    run_in(accuracies=(0.3, 0.1), status=Status.DIVERGED, value=0.1)
    (row,) = results.load([study])
    assert row.is_finished
    assert not row.has_result
    assert (row.value, row.last["test_acc"]) == (None, 0.1)


def test_a_failure_tells_its_kind_reason_and_way_out(run_in, study):
    run_in(status=Status.FAILED, accuracies=(), error=Failure("oom", "no memory\nleft.", "Traceback", "use less"))
    (row,) = results.load([study])
    assert (row.problem_kind, row.problem) == ("oom", "no memory left; use less")


def test_a_failure_without_a_reason_still_has_a_row(run_in, study):
    run_in(status=Status.FAILED, accuracies=())
    (row,) = results.load([study])
    assert "run.log" in row.problem


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "is not a run record"),
        ("[]", "is not a run record"),
        ('{"schema_version": 99}', "pip install --upgrade"),
        ('{"schema_version": 1, "status": "completed"}', "lacks or garbles"),
    ],
)
def test_an_unreadable_record_has_a_row_named_by_its_folder(run_in, study, content, says):
    run = run_in(model="nin", lr=0.01)
    run.record.write_text(content, encoding="utf-8")
    (row,) = results.load([study])
    assert (row.status, row.settings) == (UNREADABLE, {"model": "nin", "optim.lr": 0.01})
    assert says in row.problem


def test_an_unreadable_record_in_a_folder_of_another_kind(run_in, study):
    run = run_in(name="default")
    run.record.write_bytes(b"\xff\xfe")
    (row,) = results.load([study])
    assert (row.status, row.name) == (UNREADABLE, "default")


@pytest.mark.parametrize(
    ("key", "value"),
    [("config", [1]), ("overrides", "no list"), ("metrics", {"last": 3}), ("facts", "many"), ("seconds", True)],
)
def test_a_record_with_a_field_of_a_wrong_kind_is_unreadable_and_names_it(run_in, study, key, value):
    run = run_in()
    content = json.loads(run.record.read_text(encoding="utf-8")) | {key: value}
    run.record.write_text(json.dumps(content), encoding="utf-8")
    (row,) = results.load([study])
    assert (row.status, row.name) == (UNREADABLE, "default")
    assert f"garbles a field of a run record: {key}" in row.problem


def test_a_run_that_failed_before_its_config_was_resolved(run_in, study):
    run_in(
        status=Status.FAILED, accuracies=(), config={}, overrides=["model=nin", "+optim.lr=0.5", "hydra.verbose=true"]
    )
    (row,) = results.load([study])
    assert row.settings["model"] == "nin"
    assert row.settings["optim.lr"] == 0.5
    assert row.overridden == ("model", "optim.lr")


def test_a_run_named_twice_is_one_row(run_in, study, monkeypatch):
    run_in()
    monkeypatch.chdir(study.parent)
    assert len(results.load([study, Path("study"), study.parent])) == 1


def test_a_folder_without_runs_is_an_error_with_the_layout(tmp_path):
    with pytest.raises(RecordError, match=r"holds no runs.*run\.json"):
        results.load([tmp_path])


def test_a_missing_folder_is_an_error(tmp_path):
    with pytest.raises(RecordError, match="is not a folder"):
        results.load([tmp_path / "no"])


def test_a_thousand_runs_are_read_once_each(run_in, study, monkeypatch):
    text = run_in(name="0").record.read_text(encoding="utf-8")
    for place in range(1, 1000):
        (study / str(place)).mkdir()
        status = "running" if place % 100 == 0 else "completed"
        (study / str(place) / "run.json").write_text(text.replace('"completed"', f'"{status}"'), encoding="utf-8")
    reads = []
    for name in ("read", "read_metrics"):
        original = getattr(RunDir, name)
        monkeypatch.setattr(
            RunDir, name, lambda run, name=name, original=original: (reads.append(name), original(run))[1]
        )
    assert len(results.rank(results.load([study]))) == 1000
    assert (reads.count("read"), reads.count("read_metrics")) == (1000, 9)

"""Run directories become rows, and none is lost."""

import json
from pathlib import Path

import pytest

from sweeps import results
from sweeps.errors import RecordError
from sweeps.record.records import Failure, RunDir, Status
from sweeps.results.runs import UNREADABLE


def test_a_finished_run(run_in, study):
    run_in(model="vgg11", lr=0.05, seed=3, accuracies=(0.8, 0.7))
    (row,) = results.load([study])
    assert (row.model, row.lr, row.resize, row.batch, row.seed) == ("vgg11", 0.05, 96, 128, 3)
    assert (row.epochs_done, row.epochs_asked, row.status) == (2, 10, "completed")
    assert (row.value, row.best_acc, row.last_acc, row.loss) == (0.7, 0.8, 0.7, 0.6)
    assert (row.parameters, row.seconds, row.examples_per_second) == (46_764_746, 5.0, 24000.0)
    assert row.settings["optim"] == "SGD"
    assert row.is_finished
    assert row.has_result


@pytest.mark.parametrize(
    ("target", "model"),
    [
        ("sweeps.vision.models.nin", "nin"),
        ("torchvision.models.resnet18", "torchvision:resnet18"),
        ("mylab.nets.nin", "mylab:nin"),
        ("lonely", "lonely:lonely"),
    ],
)
def test_models_of_others_are_not_confused_with_ours(run_in, study, target, model):
    run_in(target=target)
    assert results.load([study])[0].model == model


@pytest.mark.parametrize("status", [Status.RUNNING, Status.INTERRUPTED, Status.FAILED])
def test_an_unfinished_run_says_what_its_metrics_say_so_far(run_in, study, status):
    run_in(accuracies=(0.6, 0.8, 0.7), status=status)
    (row,) = results.load([study])
    assert (row.value, row.best_acc, row.last_acc) == (0.7, 0.8, 0.7)
    assert (row.epochs_done, row.seconds, row.examples_per_second) == (3, 7.5, 24000.0)
    assert not row.has_result


def test_a_best_epoch_so_far_follows_the_direction(run_in, study):
    run_in(accuracies=(0.6, 0.8, 0.7), status=Status.RUNNING, objective=("test_loss", "min", "best", "test"))
    (row,) = results.load([study])
    assert (row.value, row.loss, row.best_acc, row.last_acc) == (0.4, 0.4, 0.8, 0.7)


def test_a_torn_last_line_is_left_out(run_in, study):
    run = run_in(accuracies=(0.6, 0.8), status=Status.INTERRUPTED)
    with run.metrics.open("a", encoding="utf-8") as file:
        file.write('{"epoch": 3, "test_a')
    (row,) = results.load([study])
    assert (row.epochs_done, row.value, row.problem) == (2, 0.8, "")


def test_damaged_metrics_are_told(run_in, study):
    run = run_in(accuracies=(0.6, 0.8), status=Status.INTERRUPTED)
    run.metrics.write_text("what\n" + run.metrics.read_text(encoding="utf-8"), encoding="utf-8")
    (row,) = results.load([study])
    assert row.problem_kind == "metrics"
    assert "line 1" in row.problem
    assert row.value is None


def test_a_diverged_run_is_a_result_without_a_figure(run_in, study):
    run_in(accuracies=(0.3, 0.1), status=Status.DIVERGED, value=0.1)
    (row,) = results.load([study])
    assert row.is_finished
    assert not row.has_result
    assert (row.value, row.last_acc) == (None, 0.1)


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
    assert (row.status, row.model, row.lr) == (UNREADABLE, "nin", 0.01)
    assert says in row.problem


def test_an_unreadable_record_in_a_folder_of_another_kind(run_in, study):
    run = run_in(name="default")
    run.record.write_bytes(b"\xff\xfe")
    (row,) = results.load([study])
    assert (row.status, row.model) == (UNREADABLE, "default")


@pytest.mark.parametrize(
    ("key", "value"),
    [("config", [1]), ("overrides", "no list"), ("metrics", {"last": 3}), ("parameters", "many"), ("seconds", True)],
)
def test_a_record_with_a_field_of_a_wrong_kind_is_unreadable_and_names_it(run_in, study, key, value):
    run = run_in()
    content = json.loads(run.record.read_text(encoding="utf-8")) | {key: value}
    run.record.write_text(json.dumps(content), encoding="utf-8")
    (row,) = results.load([study])
    assert (row.status, row.model) == (UNREADABLE, "default")
    assert f"garbles a field of a run record: {key}" in row.problem


def test_a_run_that_failed_before_its_config_was_resolved(run_in, study):
    run_in(
        status=Status.FAILED, accuracies=(), config={}, overrides=["model=nin", "+optim.lr=0.5", "hydra.verbose=true"]
    )
    (row,) = results.load([study])
    assert (row.model, row.lr) == ("nin", 0.5)
    assert row.overridden == {"model", "optim.lr"}


def test_a_run_named_twice_is_one_row(run_in, study, monkeypatch):
    run_in()
    monkeypatch.chdir(study.parent)
    assert len(results.load([study, Path("study"), study.parent])) == 1


def test_a_folder_without_runs_is_refused_with_the_layout(tmp_path):
    with pytest.raises(RecordError, match=r"holds no runs.*run\.json"):
        results.load([tmp_path])


def test_a_missing_folder_is_refused(tmp_path):
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

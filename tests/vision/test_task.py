"""Whatever ends a run, its record tells the truth; what is finished or foreign is left as it is."""

import json
from datetime import datetime

import pytest
import torch

from sweeps import ConfigError, DataError, RunFailed
from sweeps.errors import NewerRecordError
from sweeps.progress import Progress
from sweeps.record.records import RunDir, RunRecord, Status
from sweeps.vision import task
from sweeps.vision.devices import choose_device, describe_device

NONSENSE = ("gpu", "", "0", "meta", "cuda:x", "cuda:-1", "xpu")
COLLAPSE = ("optim.lr=1e38",)


def contents(folder):
    """Every file below a folder with its bytes."""
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class RaiseAfter(Progress):
    """Something goes wrong once an epoch is over."""

    def __init__(self, error, epoch=1):
        self._error, self._epoch = error, epoch

    def report(self, row):
        if row["step"] == self._epoch:
            raise self._error


def test_a_completed_run_leaves_its_record_metrics_and_weights(do_run, folder, compose):
    record = do_run("optim.lr=0.5")
    assert record == folder.read()
    assert (record.status, record.error, record.steps) == (Status.COMPLETED, None, 2)
    assert (record.name, record.sweep, record.overrides[-1]) == ("run", "test", "optim.lr=0.5")
    assert record.facts["parameters"] == 44_878
    assert record.config["optim"]["lr"] == 0.5
    rows = folder.read_metrics()
    assert record.metrics["last"] == rows[-1]
    assert record.objective.value == rows[-1]["test_acc"]
    assert record.seconds == rows[-1]["elapsed"]
    assert rows[-1]["examples_per_second"] > 0
    assert datetime.fromisoformat(record.ended) >= datetime.fromisoformat(record.started)
    assert datetime.fromisoformat(record.started).tzinfo is not None
    assert {path.name for path in contents(folder.path)} == {
        "run.json",
        "metrics.jsonl",
        "weights.safetensors",
        "predictions.safetensors",
        "confusion.json",
    }


def test_a_record_names_what_is_needed_to_get_the_result_again(do_run):
    record = do_run()
    facts = {"parameters": 44_878, "forward_macs": 281_640, "px": 28, "precision": "fp32", "weights_epoch": 2}
    assert facts.items() <= record.facts.items()
    assert {"device", "memory_format", "data_order"} <= record.facts.keys()
    environment = record.environment
    assert environment["packages"]["torch"] == torch.__version__.partition("+")[0]
    assert {"python", "platform", "host", "device", "command", "packages", "git"} <= environment.keys()
    assert environment["git"] is None or {"commit", "dirty"} == environment["git"].keys()


def test_the_best_and_the_last_epoch_are_told_apart(do_run, run_into, folder, tmp_path):
    record = do_run("trainer.epochs=4", "sweep.objective.report=best", "sweep.objective.metric=train_loss")
    rows = folder.read_metrics()
    best = min(rows, key=lambda row: row["train_loss"])
    assert record.metrics["best"] == best
    assert (record.objective.direction, record.objective.value) == ("min", best["train_loss"])
    other = run_into(RunDir(tmp_path / "other"), "trainer.epochs=4", "sweep.objective.metric=test_acc")
    rows = RunDir(tmp_path / "other").read_metrics()
    assert other.metrics["best"]["test_acc"] == max(row["test_acc"] for row in rows)
    assert other.objective.value == rows[-1]["test_acc"]


def test_with_held_out_images_selection_uses_them(do_run):
    record = do_run("dataset.validation=0.2")
    assert (record.objective.metric, record.objective.split) == ("val_acc", "val")
    assert record.objective.value == record.metrics["last"]["val_acc"]


@pytest.mark.parametrize("overrides", [(), COLLAPSE], ids=["completed", "diverged"])
def test_a_finished_run_is_not_done_again(do_run, folder, monkeypatch, overrides):
    record = do_run(*overrides)
    before = contents(folder.path)
    monkeypatch.setattr(task, "train_epoch", None)
    assert do_run(*overrides) == record
    assert (
        do_run(*overrides, "device=auto", "trainer.threads=2", "sweep.name=another", "trainer.save_weights=false")
        == record
    )
    assert contents(folder.path) == before


def test_a_diverged_run_is_a_result(do_run, folder):
    record = do_run(*COLLAPSE)
    assert record == folder.read()
    assert record.status is Status.DIVERGED
    assert record.objective.value is None
    assert record.error.kind == "diverged"


def test_an_exception_is_a_failure_with_its_traceback(do_run, folder):
    with pytest.raises(RunFailed):
        do_run(progress=RaiseAfter(ZeroDivisionError("by accident")))
    record = folder.read()
    assert (record.status, record.steps) == (Status.FAILED, 1)
    assert record.error.kind == "error"
    assert record.error.text.startswith("ZeroDivisionError: by accident (test_task.py:")
    assert "Traceback" in record.error.traceback
    assert "in report" in record.error.traceback
    assert record.ended

    record = do_run()
    assert (record.status, record.error, record.steps) == (Status.COMPLETED, None, 2)


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), MemoryError()], ids=["cuda", "host"])
def test_too_little_memory_is_a_failure_with_advice(do_run, folder, error):
    with pytest.raises(RunFailed):
        do_run(progress=RaiseAfter(error))
    error = folder.read().error
    assert error.kind == "oom"
    assert "batch" in error.advice


@pytest.mark.parametrize("error", [KeyboardInterrupt(), GeneratorExit()], ids=repr)
def test_the_end_of_the_process_is_an_interruption(do_run, folder, error):
    with pytest.raises(type(error)):
        do_run(progress=RaiseAfter(error))
    record = folder.read()
    assert (record.status, record.steps, record.error) == (Status.INTERRUPTED, 1, None)
    assert record.objective.value == record.metrics["last"]["test_acc"]


def test_the_watcher_hears_of_every_end(do_run):
    class Watcher(RaiseAfter):
        ended = ()

        def end(self, record, *, skipped=False):
            self.ended = (*self.ended, record.status)

    for error, status in ((RuntimeError(), Status.FAILED), (KeyboardInterrupt(), Status.INTERRUPTED)):
        watcher = Watcher(error)
        with pytest.raises((RunFailed, KeyboardInterrupt)):
            do_run("sweep.checkpoint_every=0", progress=watcher)
        assert watcher.ended == (status,)
    whole = Watcher(None, epoch=-1)
    do_run("sweep.checkpoint_every=0", progress=whole)
    assert whole.ended == (Status.COMPLETED,)


@pytest.mark.parametrize(
    ("overrides", "error", "fragments"),
    [
        (["trainer.epochs=0"], ConfigError, ["trainer.epochs=0", "trainer.epochs=1"]),
        (["optim.lr=-1"], ConfigError, ["optim.lr=-1", "above 0"]),
        (["resize.size=8"], ConfigError, ["resize.size=8", "lenet_bn", "resize.size>=16"]),
        (["trainer.batch_size=1"], ConfigError, ["trainer.batch_size=1", "BatchNorm1d", "trainer.batch_size>=2"]),
        (["dataset.limit=101"], ConfigError, ["trainer.batch_size=25", "last batch of 1", "trainer.drop_last=true"]),
        (["dataset.limit=6000"], ConfigError, ["dataset.limit=6000", "5000"]),
        (["dataset.limit=5"], ConfigError, ["dataset.limit=5", "10 or more"]),
        (["model.hidden=[0]"], ConfigError, ["model.hidden[0]=0", ">= 1"]),
        (["model._target_=os.system"], ConfigError, ["_target_=os.system", "SWEEPS_ALLOW_TARGETS"]),
        (["dataset.source.sha256.train_images=00"], DataError, ["train-images-idx3-ubyte", "get it again"]),
        (["dataset.source.packaged=nothing_here"], DataError, ["nothing_here"]),
        (["device=abacus"], ConfigError, ["device=abacus", "cuda:1"]),
        (["device=meta"], ConfigError, ["device=meta", "cpu"]),
        (["resize.channels=3", "model.in_channels=1"], ConfigError, ["resize.channels=3", "resize.channels=1"]),
    ],
)  # fmt: skip
def test_a_mistake_in_the_settings_is_told_without_a_traceback(do_run, folder, overrides, error, fragments):
    with pytest.raises(error) as refused:
        do_run(*overrides)
    for fragment in fragments:
        assert fragment in str(refused.value)
    record = folder.read()
    assert record.status is Status.FAILED
    assert (record.error.kind, record.error.text, record.error.traceback) == (error.kind, str(refused.value), "")
    assert not folder.metrics.exists() or folder.read_metrics() == []


def test_figures_with_new_statistics_are_the_plain_ones_without_batch_norm(do_run, folder):
    """So that networks with and without BatchNorm can be ranked by one figure."""
    tiny = ("model=nin", "resize.size=67", "model.blocks=[[8,11,4,0],[8,5,1,2],[8,3,1,1]]")
    record = do_run(*tiny, "trainer.bn_reestimate=2", "sweep.objective.metric=test_bn_acc")
    for row in folder.read_metrics():
        assert row["test_bn_acc"] == row["test_acc"]
        assert row["test_bn_loss"] == row["test_loss"]
    assert record.objective.value == record.metrics["last"]["test_acc"]


def test_a_batch_of_one_is_fine_for_a_network_that_does_not_normalise(do_run):
    tiny = ("model=nin", "resize.size=67", "model.blocks=[[8,11,4,0],[8,5,1,2],[8,3,1,1]]")
    record = do_run(*tiny, "trainer.batch_size=1", "dataset.limit=10", "dataset.test_limit=10", "trainer.epochs=1")
    assert record.status is Status.COMPLETED


def test_a_run_with_other_settings_is_refused_and_left_as_it_is(do_run, folder):
    do_run("optim.lr=0.5")
    before = contents(folder.path)
    with pytest.raises(ConfigError) as refused:
        do_run("optim.lr=0.25", "seed=1", "device=auto")
    for fragment in (str(folder.path), "optim.lr: 0.5 -> 0.25", "seed: 0 -> 1", "sweep.name=NAME"):
        assert fragment in str(refused.value)
    assert "device" not in str(refused.value)
    assert contents(folder.path) == before


def test_an_interrupted_run_with_other_settings_is_left_as_it_is_too(do_run, folder):
    with pytest.raises(KeyboardInterrupt):
        do_run(progress=RaiseAfter(KeyboardInterrupt()))
    before = contents(folder.path)
    assert {path.name for path in before} == {"run.json", "metrics.jsonl", "checkpoint.pt"}
    with pytest.raises(ConfigError, match="seed: 0 -> 1"):
        do_run("seed=1")
    assert contents(folder.path) == before


def test_the_record_of_a_newer_release_is_left_as_it_is(do_run, folder):
    folder.path.mkdir()
    folder.record.write_text(json.dumps({"schema_version": 99, "status": "better than completed"}))
    before = contents(folder.path)
    with pytest.raises(NewerRecordError, match="schema version 99"):
        do_run()
    assert contents(folder.path) == before


@pytest.mark.parametrize("damage", ["", "{", "{}", "\0" * 100])
def test_a_damaged_record_does_not_keep_a_run_from_being_done(do_run, folder, damage):
    with pytest.raises(KeyboardInterrupt):
        do_run(progress=RaiseAfter(KeyboardInterrupt()))
    folder.record.write_text(damage)
    record = do_run()
    assert (record.status, record.steps) == (Status.COMPLETED, 2)
    assert folder.read() == record


def test_a_run_is_recorded_before_its_work_begins(do_run, folder):
    seen = []

    class Looking(Progress):
        def begin(self, record):
            seen.append(json.loads(folder.record.read_text()))

        report = begin

    do_run(progress=Looking())
    assert len(seen) == 3
    assert all((data["status"], data["config"]["seed"]) == ("running", 0) and data["environment"] for data in seen)


def test_records_of_runs_read_back_as_they_were(do_run, folder):
    record = do_run()
    assert RunRecord.from_json(folder.record.read_text(), folder.record) == record


class TestDevice:
    @pytest.fixture
    def cards(self, monkeypatch):
        """Pretend that there are so many CUDA devices."""

        def pretend(count):
            monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
            monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
            monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)

        return pretend

    @pytest.mark.parametrize(
        ("count", "name", "chosen"),
        [
            (0, "auto", "cpu"),
            (0, "cpu", "cpu"),
            (2, "auto", "cuda"),
            (2, "cuda", "cuda"),
            (2, "cuda:1", "cuda:1"),
            (2, "cpu", "cpu"),
        ],
    )
    def test_what_a_name_means(self, cards, count, name, chosen):
        cards(count)
        assert choose_device(name) == torch.device(chosen)

    @pytest.mark.parametrize(
        ("count", "name", "fragment"),
        [
            (0, "cuda", "device=cpu"),
            (0, "cuda:9", "device=cpu"),
            (2, "cuda:9", "cuda:0, cuda:1"),
            (2, "cuda:2", "cuda:0, cuda:1"),
            (0, "mps", "device=cpu"),
            *((2, name, "one of auto, cpu, cuda, cuda:1, mps") for name in NONSENSE),
        ],
    )
    def test_what_is_not_there_is_refused_with_what_is(self, cards, count, name, fragment):
        cards(count)
        with pytest.raises(ConfigError) as refused:
            choose_device(name)
        assert f"device={name}" in str(refused.value)
        assert fragment in str(refused.value)

    def test_a_run_without_its_device_fails_in_words(self, cards, do_run, folder):
        cards(0)
        with pytest.raises(ConfigError, match="device=cuda: torch sees no CUDA device here"):
            do_run("device=cuda")
        assert folder.read().error.kind == "config"

    def test_a_device_has_a_name_for_people(self):
        assert describe_device(torch.device("cpu")).startswith("CPU, ")

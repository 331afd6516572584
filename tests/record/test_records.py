"""Whatever happens to a run's files, what they say is the truth, and nothing is lost that was written."""

import errno
import io
import json
import os
import stat
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeps.errors import NewerRecordError, RecordError
from sweeps.record import metrics
from sweeps.record.files import atomic_write
from sweeps.record.records import (
    SCHEMA_VERSION,
    Failure,
    Objective,
    RunDir,
    RunRecord,
    Status,
    find_runs,
)

NAN, INF = float("nan"), float("inf")


@pytest.fixture
def record():
    row = {"step": 2, "elapsed": 1.5, "lr": 0.1, "train_loss": 0.5, "test_acc": 0.75}
    return RunRecord(
        run_id="0123456789ab",
        setting_id="ba9876543210",
        name="model=nin",
        sweep="study",
        status=Status.COMPLETED,
        objective=Objective("test_acc", "max", "test", "last", 0.75),
        overrides=["model=nin"],
        config={"model": {"_target_": "sweeps.vision.models.nin", "blocks": [[96, 11, 4, 0]]}, "seed": 0},
        seed=0,
        seed_keys=["seed"],
        ignore=["sweep"],
        facts={"parameters": 1_992_166, "name": "nin", "frozen": False},
        steps=2,
        max_steps=10.0,
        metrics={"last": row, "best": row},
        seconds=3.0,
        started="2026-01-31T12:00:00+01:00",
        ended="2026-01-31T12:00:09+01:00",
        environment={"packages": {"torch": "2.10"}, "git": None},
        error=Failure("error", "ValueError: ü", "Traceback ...", "try again"),
    )


@pytest.fixture
def run_dir(tmp_path):
    return RunDir(tmp_path)


def row(step, **figures):
    return {"step": step, "test_acc": 0.5, **figures}


def test_a_record_survives_the_journey_through_its_file(record, run_dir):
    run_dir.write(record)
    assert run_dir.read() == record
    assert json.loads(run_dir.record.read_text())["schema_version"] == SCHEMA_VERSION == 2
    assert [path.name for path in run_dir.path.iterdir()] == ["run.json"]


def test_a_record_says_what_it_holds_in_plain_words(record):
    data = json.loads(record.to_json())
    assert data["status"] == "completed"
    assert data["objective"] == {
        "metric": "test_acc",
        "direction": "max",
        "split": "test",
        "report": "last",
        "value": 0.75,
    }
    assert data["error"] == {
        "kind": "error",
        "text": "ValueError: ü",
        "traceback": "Traceback ...",
        "advice": "try again",
    }
    assert {"run_id", "overrides", "config", "facts", "metrics", "seconds", "environment", "setting_id"} <= data.keys()


@pytest.mark.parametrize("status", Status)
def test_every_status_survives(record, run_dir, status):
    record.status = status
    assert RunRecord.from_json(record.to_json(), "here").status is status


def test_which_statuses_are_results():
    finished = {status for status in Status if status.is_finished}
    assert finished == {Status.COMPLETED, Status.DIVERGED, Status.PRUNED}


@pytest.mark.parametrize("number", [NAN, INF, -INF])
def test_numbers_that_json_does_not_know_become_null(record, run_dir, number):
    record.objective.value = number
    record.metrics["last"] = {"epoch": 2, "test_loss": number, "list": [number, 1.0], "deep": {"x": (number,)}}
    run_dir.write(record)
    text = run_dir.record.read_text()
    assert "NaN" not in text
    assert "Infinity" not in text
    again = run_dir.read()
    assert again.objective.value is None
    assert again.metrics["last"] == {"epoch": 2, "test_loss": None, "list": [None, 1.0], "deep": {"x": [None]}}


def test_a_newer_record_is_told_apart_and_says_what_to_do(record, run_dir):
    text = record.to_json().replace('"schema_version": 2', '"schema_version": 99')
    run_dir.record.write_text(text)
    with pytest.raises(
        NewerRecordError, match=r"schema version 99, newer than the 2 .* pip install --upgrade"
    ) as newer:
        run_dir.read()
    assert str(run_dir.record) in str(newer.value)
    assert run_dir.record.read_text() == text


def test_fields_of_a_later_release_with_the_same_schema_are_passed_over(record):
    data = json.loads(record.to_json()) | {"later": [1, 2]}
    assert RunRecord.from_json(json.dumps(data), "here") == record


def test_fields_with_a_default_may_be_missing(record):
    needed = ("run_id", "setting_id", "name", "sweep", "status", "objective", "schema_version")
    data = {key: value for key, value in json.loads(record.to_json()).items() if key in needed}
    old = RunRecord.from_json(json.dumps(data), "here")
    assert (old.run_id, old.steps, old.error, old.metrics) == (record.run_id, None, None, {})


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "\0" * 500,
        "null",
        "[]",
        "7",
        '"run"',
        "{}",
        "{",
        '{"schema_version": 1}',
        '{"schema_version": "1"}',
        '{"schema_version": null}',
        '{"schema_version": 1, "status": "completed"}',
        "[" * 100_000,
    ],
    ids=lambda text: repr(text[:30]),
)
def test_what_is_no_record_is_refused_by_the_name_of_its_file(run_dir, text):
    run_dir.record.write_text(text)
    with pytest.raises(RecordError) as damaged:
        run_dir.read()
    assert str(run_dir.record) in str(damaged.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [("status", "happy"), ("status", None), ("objective", None), ("objective", {"metric": "x"}), ("error", "text")],
)
def test_a_field_that_is_garbled_is_refused(record, key, value):
    data = json.loads(record.to_json()) | {key: value}
    with pytest.raises(RecordError, match=r"here .*a run record"):
        RunRecord.from_json(json.dumps(data), "here")


def test_every_cut_of_a_record_is_refused_but_the_whole(record):
    text = record.to_json().strip()
    for length in range(len(text)):
        with pytest.raises(RecordError):
            RunRecord.from_json(text[:length], "here")


def test_bytes_that_are_no_text_are_refused(run_dir):
    run_dir.record.write_bytes(b"\xff\xfe\x80{}")
    with pytest.raises(RecordError, match="is not a run record"):
        run_dir.read()


def test_a_missing_record_is_refused(run_dir):
    with pytest.raises(RecordError, match=r"cannot read .*run\.json"):
        run_dir.read()


def test_metrics_are_one_line_an_epoch(run_dir):
    assert run_dir.read_metrics() == []
    for epoch in (1, 2, 3):
        run_dir.append_metrics(row(epoch, test_loss=NAN if epoch == 2 else 0.5))
        assert len(run_dir.metrics.read_text().splitlines()) == epoch
    assert run_dir.read_metrics() == [row(1, test_loss=0.5), row(2, test_loss=None), row(3, test_loss=0.5)]


def test_a_torn_last_line_is_left_out_wherever_it_was_torn(run_dir):
    for epoch in (1, 2):
        run_dir.append_metrics(row(epoch))
    whole = run_dir.metrics.read_bytes()
    first = whole.index(b"\n") + 1
    for length in range(first, len(whole) - 1):
        run_dir.metrics.write_bytes(whole[:length])
        assert run_dir.read_metrics() == [row(1)]
    run_dir.metrics.write_bytes(whole + b"\xc3")
    assert run_dir.read_metrics() == [row(1), row(2)]


@pytest.mark.parametrize("damage", [b"{", b"garbage", b"7", b"\xff\xff", b""])
def test_a_damaged_line_in_the_middle_is_refused_by_number_and_file(run_dir, damage):
    run_dir.metrics.write_bytes(b'{"epoch": 1}\n' + damage + b'\n{"epoch": 3}\n')
    with pytest.raises(RecordError, match="line 2 of ") as damaged:
        run_dir.read_metrics()
    assert str(run_dir.metrics) in str(damaged.value)


def test_metrics_that_cannot_be_read_are_refused(run_dir):
    run_dir.metrics.mkdir()
    with pytest.raises(RecordError, match="cannot read"):
        run_dir.read_metrics()


@pytest.mark.parametrize("limit", ["MOST_LINES", "SIZE_LIMIT"])
def test_of_many_reports_readers_get_some_and_the_run_itself_all(run_dir, monkeypatch, limit):
    for step in range(1, 1001):
        run_dir.append_metrics(row(step))
    with run_dir.metrics.open("a") as file:
        file.write('{"step": 10')
    monkeypatch.setattr(metrics, limit, {"MOST_LINES": 100, "SIZE_LIMIT": 64 * 200}[limit])
    found = run_dir.read_metrics()
    assert "of its lines were read" in found.note
    steps = [one["step"] for one in found]
    assert steps == sorted(set(steps))
    assert (steps[0], steps[-1]) == (1, 1000)
    assert 50 < len(steps) < 500
    assert max(after - before for before, after in pairwise(steps)) < 50, "spread over the whole"
    assert [one["step"] for one in run_dir.metrics_until(900)] == list(range(1, 901))
    assert len(run_dir.metrics_until(1000)) == 1000
    assert run_dir.read_metrics(10)[-1]["step"] == 1000


def test_a_file_of_nothing_but_damaged_lines_is_not_read_to_its_end(run_dir):
    run_dir.path.mkdir(parents=True, exist_ok=True)
    run_dir.metrics.write_text("[]\n" * 1_000 + '{"step": 1}\n')
    found = run_dir.metrics_until(1)
    assert found == []
    assert "damaged" in found.note


def test_metrics_are_replaced_as_a_whole(run_dir):
    for epoch in (1, 2, 3):
        run_dir.append_metrics(row(epoch))
    with run_dir.metrics.open("a") as file:
        file.write('{"epoch": 4, "tes')
    run_dir.write_metrics(run_dir.read_metrics()[:2])
    run_dir.append_metrics(row(3, again=True, test_loss=INF))
    assert run_dir.read_metrics() == [row(1), row(2), row(3, again=True, test_loss=None)]
    run_dir.write_metrics([row(1, test_loss=NAN)])
    assert run_dir.read_metrics() == [row(1, test_loss=None)]
    run_dir.write_metrics([])
    assert run_dir.read_metrics() == []


def test_runs_are_found_at_any_depth_in_the_order_of_their_paths(tmp_path):
    for name in ("b/x", "a/2026/y", "a/2025/z", "c/tensorboard", "c/.hydra", "b/x/nested"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "run.json").write_text("damaged, and found all the same")
    (tmp_path / "empty").mkdir()
    found = [run.path.relative_to(tmp_path).as_posix() for run in find_runs(tmp_path)]
    assert found == ["a/2025/z", "a/2026/y", "b/x"]
    assert [run.path for run in find_runs(tmp_path / "b/x")] == [tmp_path / "b/x"]
    assert list(find_runs(tmp_path / "empty")) == []


@pytest.mark.parametrize("name", ["nowhere", "file"])
def test_runs_of_what_is_no_folder(tmp_path, name):
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordError, match=r"is not a folder; name a sweep's folder"):
        list(find_runs(tmp_path / name))


class Crash(BaseException):
    """The end of the process, as far as a test in the same process can have it."""


class FullDisk(io.FileIO):
    """A file that takes one byte and no more."""

    def write(self, data):
        super().write(bytes(data)[:1])
        raise OSError(errno.ENOSPC, "No space left on device")


def crash_opening(monkeypatch, error):
    def crash(*arguments, **options):
        raise error

    monkeypatch.setattr(Path, "open", crash)


def crash_writing(monkeypatch, error):
    monkeypatch.setattr(Path, "open", lambda path, mode: FullDisk(path, mode))


def crash_syncing_the_file(monkeypatch, error, calls=1):
    real, left = os.fsync, [calls]

    def crash(descriptor):
        left[0] -= 1
        if left[0] == 0:
            raise error
        real(descriptor)

    monkeypatch.setattr(os, "fsync", crash)


def crash_renaming(monkeypatch, error):
    def crash(path, target):
        assert path.parent == target.parent, "a rename between file systems is not atomic"
        raise error

    monkeypatch.setattr(Path, "replace", crash)


def crash_syncing_the_folder(monkeypatch, error):
    crash_syncing_the_file(monkeypatch, error, calls=2)


@pytest.mark.parametrize("error", [OSError(errno.EIO, "Input/output error"), KeyboardInterrupt(), Crash()], ids=repr)
@pytest.mark.parametrize("old", [b"old content", None], ids=["replaced", "new"])
@pytest.mark.parametrize(
    ("crash", "is_written"),
    [
        (crash_opening, False),
        (crash_writing, False),
        (crash_syncing_the_file, False),
        (crash_renaming, False),
        (crash_syncing_the_folder, True),
    ],
)
def test_a_crash_at_any_step_leaves_the_old_or_the_new_content(tmp_path, monkeypatch, crash, is_written, old, error):
    path = tmp_path / "run.json"
    if old is not None:
        path.write_bytes(old)
    with monkeypatch.context() as patched:
        crash(patched, error)
        with pytest.raises((type(error), OSError)):
            atomic_write(path, b"new content, which is longer")
    if is_written:
        assert path.read_bytes() == b"new content, which is longer"
    elif old is not None:
        assert path.read_bytes() == old
    assert [entry.name for entry in tmp_path.iterdir()] == (["run.json"] if is_written or old is not None else [])


def test_the_bytes_are_on_the_disk_before_they_get_their_name(tmp_path, monkeypatch):
    steps = []
    real_sync, real_replace = os.fsync, Path.replace

    def sync(descriptor):
        steps.append("sync folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "sync file")
        real_sync(descriptor)

    def replace(path, target):
        steps.append(path.read_bytes())
        return real_replace(path, target)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(Path, "replace", replace)
    atomic_write(tmp_path / "file", b"new")
    assert steps == ["sync file", b"new", "sync folder"]


@given(st.binary(max_size=300))
def test_any_bytes_are_written_as_they_are(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("atomic") / "file"
    atomic_write(path, memoryview(data))
    assert path.read_bytes() == data


def test_a_record_of_the_first_release_is_read_as_one_of_today():
    old = {
        "run_id": "0123456789ab",
        "name": "model=nin",
        "sweep": "study",
        "status": "completed",
        "objective": {"metric": "test_acc", "direction": "max", "epoch": "best", "split": "test", "value": 0.75},
        "overrides": ["model=nin"],
        "config": {
            "seed": 3,
            "device": "cpu",
            "model": {"a": 1},
            "trainer": {"epochs": 10, "threads": 2},
            "sweep": "x",
        },
        "parameters": 5,
        "epochs": 2,
        "metrics": {"last": {"epoch": 2, "test_acc": 0.75}, "best": {"epoch": 1, "test_acc": 0.8}},
        "seconds": 3.0,
        "schema_version": 1,
    }
    record = RunRecord.from_json(json.dumps(old), "here")
    assert (record.steps, record.max_steps, record.seed, record.facts) == (2, 10.0, 3, {"parameters": 5})
    assert record.objective == Objective("test_acc", "max", "test", "best", 0.75)
    assert record.settings() == {"seed": 3, "model.a": 1, "trainer.epochs": 10}
    other = RunRecord.from_json(json.dumps(old | {"config": old["config"] | {"seed": 4, "device": "cuda"}}), "here")
    assert other.setting_id == record.setting_id


def test_rows_of_the_first_release_have_steps(run_dir):
    run_dir.metrics.write_text('{"epoch": 1, "test_acc": 0.5}\n')
    assert run_dir.read_metrics() == [{"step": 1, "elapsed": None, "epoch": 1, "test_acc": 0.5}]

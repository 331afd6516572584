"""An interrupted run goes on where it was and ends bit-equal to one that nobody disturbed."""

import functools
import os
import pickle
import shutil
import zipfile

import pytest
import torch

from sweeps import ConfigError, RunFailed
from sweeps.record.records import RunDir, Status
from sweeps.vision.training.engine import Training

from .conftest import StopAfter, assert_same_run, same_weights, untimed

EPOCHS = "trainer.epochs=4"


@pytest.fixture(scope="session")
def undisturbed(run_into, tmp_path_factory):
    """Do a run of four epochs without a break, once for all tests; gives its folder."""

    @functools.cache
    def do(*overrides):
        folder = RunDir(tmp_path_factory.mktemp("undisturbed") / "run")
        assert run_into(folder, EPOCHS, *overrides).status is Status.COMPLETED
        return folder

    return do


def interrupted(do_run, *overrides, after):
    with pytest.raises(KeyboardInterrupt):
        do_run(EPOCHS, *overrides, progress=StopAfter(after))


@pytest.mark.parametrize("after", [1, 3])
def test_resumed_equals_undisturbed(do_run, folder, undisturbed, net, after):
    interrupted(do_run, *net, after=after)
    record = folder.read()
    assert (record.status, record.steps) == (Status.INTERRUPTED, after)
    assert folder.checkpoint.is_file()

    record = do_run(EPOCHS, *net)
    assert (record.status, record.steps) == (Status.COMPLETED, 4)
    assert_same_run(folder, undisturbed(*net))
    assert not folder.checkpoint.exists()


def test_interrupted_again_and_again(do_run, folder, undisturbed):
    for after in (1, 2, 3):
        interrupted(do_run, after=after)
    do_run(EPOCHS)
    assert_same_run(folder, undisturbed())


def test_interrupted_in_the_middle_of_an_epoch(do_run, folder, undisturbed, monkeypatch):
    forward, steps = Training.forward, []

    def interrupting(self, images):
        steps.extend([1] * self.network.training)
        if len(steps) == 10:  # the second of four steps of the third epoch
            raise KeyboardInterrupt
        return forward(self, images)

    with monkeypatch.context() as patched:
        patched.setattr(Training, "forward", interrupting)
        with pytest.raises(KeyboardInterrupt):
            do_run(EPOCHS)
    assert [row["step"] for row in folder.read_metrics()] == [1, 2]

    def counting(self, images):
        steps.extend([1] * self.network.training)
        return forward(self, images)

    steps.clear()
    monkeypatch.setattr(Training, "forward", counting)
    do_run(EPOCHS)
    assert len(steps) == 8, "only the epochs that were not finished are done again"
    assert_same_run(folder, undisturbed())


def test_epochs_after_the_last_checkpoint_are_done_again_and_told_once(do_run, folder, undisturbed):
    interrupted(do_run, "sweep.checkpoint_every=2", after=3)
    assert [row["step"] for row in folder.read_metrics()] == [1, 2, 3]
    do_run(EPOCHS, "sweep.checkpoint_every=2")
    assert [row["step"] for row in folder.read_metrics()] == [1, 2, 3, 4]
    assert_same_run(folder, undisturbed())


def test_without_checkpoints_a_run_starts_again(do_run, folder, undisturbed):
    interrupted(do_run, "sweep.checkpoint_every=0", after=2)
    assert not folder.checkpoint.exists()
    do_run(EPOCHS, "sweep.checkpoint_every=0")
    assert_same_run(folder, undisturbed())


def test_a_crash_after_the_checkpoint_and_before_the_record(do_run, folder, undisturbed):
    interrupted(do_run, after=1)
    early = folder.record.read_bytes()
    interrupted(do_run, after=2)
    folder.record.write_bytes(early)  # the record is one epoch behind
    assert do_run(EPOCHS).steps == 4
    assert_same_run(folder, undisturbed())


def test_a_checkpoint_ahead_of_its_metrics_is_not_gone_on_from(do_run, folder, undisturbed):
    interrupted(do_run, after=2)
    lines = folder.metrics.read_text().splitlines(keepends=True)
    folder.metrics.write_text(lines[0])
    do_run(EPOCHS)
    assert_same_run(folder, undisturbed())


class Exploit:
    """What nobody may unpickle from a run's folder."""

    def __init__(self, path):
        self._path = path

    def __reduce__(self):
        return open, (self._path, "w")


def truncate(folder, share):
    content = folder.checkpoint.read_bytes()
    folder.checkpoint.write_bytes(content[: int(len(content) * share)])


def other_tensors(folder, **changes):
    state = torch.load(folder.checkpoint, weights_only=True)
    torch.save(state | changes, folder.checkpoint)


def without(folder, key):
    state = torch.load(folder.checkpoint, weights_only=True)
    del (state if key in state else state["states"])[key]
    torch.save(state, folder.checkpoint)


def compress(folder):
    """As torch would read it all the same: a small file could hold gigabytes of zeros."""
    with zipfile.ZipFile(folder.checkpoint) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(folder.checkpoint, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in content.items():
            archive.writestr(name, data)


DAMAGE = {
    "empty": lambda folder: folder.checkpoint.write_bytes(b""),
    "cut to a tenth": lambda folder: truncate(folder, 0.1),
    "cut in the middle": lambda folder: truncate(folder, 0.5),
    "cut at the end": lambda folder: truncate(folder, 0.999),
    "garbage": lambda folder: folder.checkpoint.write_bytes(b"\x80garbage" * 1000),
    "zeros": lambda folder: folder.checkpoint.write_bytes(b"\0" * 10_000),
    "text": lambda folder: folder.checkpoint.write_text("epoch: 1"),
    "a tensor": lambda folder: torch.save(torch.zeros(3), folder.checkpoint),
    "another file's content": lambda folder: shutil.copy(folder.record, folder.checkpoint),
    "of another run": lambda folder: other_tensors(folder, run_id="000000000000"),
    "without a run": lambda folder: without(folder, "run_id"),
    "without an epoch": lambda folder: without(folder, "step"),
    "of an epoch before the first": lambda folder: other_tensors(folder, step=-5),
    "of no epoch": lambda folder: other_tensors(folder, step=0),
    "of half an epoch": lambda folder: other_tensors(folder, step=0.5),
    "of an epoch in words": lambda folder: other_tensors(folder, step="1"),
    "of an epoch that is a truth": lambda folder: other_tensors(folder, step=True),
    "of a giant epoch": lambda folder: other_tensors(folder, step=10**30),
    "compressed": lambda folder: compress(folder),
    "a pipe": lambda folder: (folder.checkpoint.unlink(), os.mkfifo(folder.checkpoint)),
    "missing": lambda folder: folder.checkpoint.unlink(),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_checkpoint_that_cannot_be_trusted_is_passed_over(do_run, folder, undisturbed, damage):
    interrupted(do_run, after=1)
    damage(folder)
    assert do_run(EPOCHS).status is Status.COMPLETED
    assert_same_run(folder, undisturbed())


@pytest.mark.parametrize(
    ("states", "fragment"),
    [
        (
            {"network": {"0.weight": torch.zeros(3)}, "optimizer": {}, "best": {}},
            r"network\.0\.weight has the shape \[3\]",
        ),
        ({"network": {}, "optimizer": {"state": {}, "param_groups": []}, "best": {}}, "Missing key|param"),
        ({"network": {}}, "it holds network, and restore"),
    ],
    ids=["another network", "another optimizer", "nothing else"],
)
def test_a_checkpoint_of_other_code_is_left_as_it_is(do_run, folder, undisturbed, states, fragment):
    interrupted(do_run, after=1)
    other_tensors(folder, states=states)
    before = folder.checkpoint.read_bytes()
    with pytest.raises(ConfigError, match=fragment):
        do_run(EPOCHS)
    assert folder.checkpoint.read_bytes() == before
    assert do_run(EPOCHS, "sweep.on_mismatch=rerun").status is Status.COMPLETED
    assert_same_run(folder, undisturbed())


def test_nothing_is_unpickled_from_a_checkpoint(do_run, folder, tmp_path, undisturbed):
    interrupted(do_run, after=1)
    marker = tmp_path / "unpickled"
    for write in (torch.save, lambda state, path: path.write_bytes(pickle.dumps(state))):
        write({"run_id": folder.read().run_id, "step": 1, "states": Exploit(str(marker))}, folder.checkpoint)
        interrupted(do_run, after=1)
        assert not marker.exists()
    assert do_run(EPOCHS).status is Status.COMPLETED
    assert_same_run(folder, undisturbed())


def test_damaged_metrics_cost_a_run_no_more_than_the_damaged_line(do_run, folder, undisturbed):
    interrupted(do_run, after=2)
    first, second = folder.metrics.read_text().splitlines(keepends=True)
    folder.metrics.write_text(first[:20] + "\n" + second)
    record = do_run(EPOCHS)
    assert (record.status, record.attempts) == (Status.COMPLETED, 2)
    whole = undisturbed()
    assert untimed(folder) == untimed(whole)[1:]
    assert same_weights(folder, whole)


def test_where_the_folder_is_does_not_matter(do_run, run_into, folder, undisturbed, tmp_path):
    interrupted(do_run, after=2)
    moved = RunDir(tmp_path / "moved")
    folder.path.rename(moved.path)
    run_into(moved, EPOCHS, "sweep.name=another", "sweep.output=elsewhere")
    assert_same_run(moved, undisturbed())


def test_a_failed_run_goes_on_from_its_checkpoint(do_run, folder, undisturbed, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(RunDir, "append_metrics", full)
        with pytest.raises(RunFailed, match="No space left"):
            do_run(EPOCHS)
    assert folder.read().status is Status.FAILED
    interrupted(do_run, after=2)
    record = do_run(EPOCHS)
    assert (record.status, record.error) == (Status.COMPLETED, None)
    assert_same_run(folder, undisturbed())


def test_the_clock_of_a_resumed_run_counts_all_its_epochs(do_run, folder):
    interrupted(do_run, after=2)
    record = do_run(EPOCHS)
    rows = folder.read_metrics()
    assert len(rows) == 4
    assert record.seconds == rows[-1]["elapsed"]
    assert [row["elapsed"] for row in rows] == sorted({row["elapsed"] for row in rows})

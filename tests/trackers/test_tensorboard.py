"""What TensorBoard shows of a run is what its metrics say."""

import pytest

from sweeps.record.records import Status
from sweeps.trackers.tensorboard import TensorBoardTracker

from .conftest import follow, new_record, points, read, rows_of


def test_curves_are_the_lines_of_the_metrics(run):
    rows = rows_of(3, lr=0.1, note="text", nothing=None, flag=True)
    follow(TensorBoardTracker(), run, new_record(), rows)
    events = read(run.tensorboard)
    assert set(events.Tags()["scalars"]) == {"train_loss", "val_loss", "lr", "flag"}
    for key in ("train_loss", "val_loss", "lr"):
        assert points(events, key) == pytest.approx({row["step"]: row[key] for row in rows}, rel=1e-6)


def test_no_point_between_two_steps_is_lost(run):
    rows = [{"step": step, "elapsed": step, "train_loss": step} for step in (0.25, 0.5, 0.75, 1, 1.25, 2.0)]
    rows[3]["val_loss"] = 9
    follow(TensorBoardTracker(), run, new_record(), rows)
    events = read(run.tensorboard)
    assert points(events, "train_loss") == {1: 1, 2: 2}
    assert points(events, "between_steps/train_loss") == {250: 0.25, 500: 0.5, 750: 0.75, 1250: 1.25}
    assert points(events, "val_loss") == {1: 9}


def test_time_is_that_of_training_over_all_attempts(run):
    follow(TensorBoardTracker(), run, new_record(), rows_of(2), end=None)
    follow(TensorBoardTracker(), run, new_record(), rows_of(4), done=2)
    times = [event.wall_time for event in read(run.tensorboard).Scalars("val_loss")]
    assert [time - times[0] for time in times] == pytest.approx([0, 1, 2, 3])


def test_a_run_has_one_directory_of_its_own_without_others_below(run):
    follow(TensorBoardTracker(), run, new_record(), rows_of(1))
    (file,) = run.tensorboard.rglob("*")
    assert file.name.startswith("events.out.tfevents.")


@pytest.mark.parametrize("done", [0, 1, 2, 3])
@pytest.mark.parametrize("end", [None, Status.INTERRUPTED, Status.FAILED, Status.PRUNED])
def test_a_resumed_run_shows_every_step_once(run, done, end, same_second):
    follow(TensorBoardTracker(), run, new_record(), rows_of(3), end=end)
    rows = [*rows_of(done), *rows_of(5 - done, first=done + 1)]
    follow(TensorBoardTracker(), run, new_record(), rows, done=done)
    assert len([path for path in run.tensorboard.iterdir() if path.stat().st_size]) == 1
    assert points(read(run.tensorboard), "val_loss") == pytest.approx({row["step"]: row["val_loss"] for row in rows})


def test_a_tensorboard_that_is_open_meanwhile_shows_every_step_once(run):
    follow(TensorBoardTracker(), run, new_record(), rows_of(3), end=Status.INTERRUPTED)
    events = read(run.tensorboard)
    assert points(events, "val_loss").keys() == {1, 2, 3}
    follow(TensorBoardTracker(), run, new_record(), rows_of(4), done=2)
    assert points(events.Reload(), "val_loss").keys() == {1, 2, 3, 4}


def test_what_others_wrote_into_the_folder_stays(run):
    run.tensorboard.mkdir(parents=True)
    theirs = run.tensorboard / "events.out.tfevents.1700000000.host"
    theirs.write_bytes(b"")
    for _ in range(5):
        follow(TensorBoardTracker(), run, new_record(), rows_of(2))
    assert theirs.exists()
    assert len(list(run.tensorboard.iterdir())) == 3  # theirs, the last one of ours, and the emptied one before it


def test_a_folder_that_is_a_link_is_not_written_into(run, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    run.path.mkdir(parents=True)
    run.tensorboard.symlink_to(outside)
    with pytest.raises(OSError, match="link"):
        follow(TensorBoardTracker(), run, new_record(), rows_of(1))
    assert list(outside.iterdir()) == []


def test_the_config_is_a_text(run):
    follow(TensorBoardTracker(), run, new_record("optim.lr=0.1"), rows_of(1))
    (event,) = read(run.tensorboard).Tensors("config/text_summary")
    text = event.tensor_proto.string_val[0].decode()
    assert '"lr": 0.1' in text
    assert "    optim.lr=0.1" in text
    assert all(line.startswith("    ") for line in text.splitlines() if "{" in line)

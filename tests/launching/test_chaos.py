"""Whatever is killed, and whenever: the same command, typed until it is done, ends as if nobody had."""

import pytest

from sweeps.records import find_runs

from .conftest import chaos, untimed

KILLS = 10

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def tormented(tmp_path_factory):
    """What is left of sweeps whose processes were killed again and again."""
    return chaos.torment(tmp_path_factory.mktemp("chaos"), kills=KILLS, seed=3)


def test_killed_again_and_again_it_ends_equal_to_the_last_bit(tormented, undisturbed):
    assert tormented.kills.total() >= KILLS
    assert tormented.kills.keys() == {"worker", "parent", "group"}
    assert tormented.starts > KILLS // 2
    for folder in tormented.rounds:
        assert chaos.compare(folder, undisturbed) == []


def test_no_epoch_is_missing_or_doubled(tormented):
    for folder in tormented.rounds:
        epochs = {run.path.name: [row["epoch"] for row in run.read_metrics()] for run in find_runs(folder)}
        assert list(epochs.values()) == [list(range(1, chaos.EPOCHS + 1))] * chaos.CELLS


def test_what_was_complete_was_not_touched_again(tormented):
    assert tormented.meddled == []


def test_no_process_remains(tormented):
    assert tormented.survivors == []


def test_every_attempt_was_counted(tormented):
    attempts = [run.read().attempts for folder in tormented.rounds for run in find_runs(folder)]
    assert min(attempts) >= 1
    assert sum(attempts) > len(attempts), "some run was interrupted, or else nothing was shown"


@pytest.mark.parametrize("workers", [0, 1])
def test_one_after_another_or_side_by_side_is_the_same(new_shell, undisturbed, workers):
    """With the same number of threads: another number changes the last bits. Two side by side is `undisturbed`."""
    shell = new_shell()
    options = (f"hydra.launcher.workers={workers}", "seed=0")
    if workers:
        options += ("hydra.launcher.recycle_after=2",)
    done = shell(*chaos.GRID, *options)
    assert done.code == 0
    runs = list(find_runs(shell.folder / "multirun" / chaos.SWEEP))
    assert len(runs) == 2
    for run in runs:
        other = type(run)(undisturbed / run.path.name)
        assert run.weights.read_bytes() == other.weights.read_bytes()
        assert untimed(run) == untimed(other)
        assert run.read().data_order == other.read().data_order
    assert len({run.read().process.pid for run in runs}) == 1, "a warm process, and inspections count for no run"


def test_the_sweeps_are_worth_comparing(undisturbed):
    """Every cell learns something, and something else than the others."""
    runs = list(find_runs(undisturbed))
    assert len({run.weights.read_bytes() for run in runs}) == chaos.CELLS
    for run in runs:
        first, *_, last = run.read_metrics()
        assert last["train_loss"] < first["train_loss"]

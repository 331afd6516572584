"""Whatever is killed, and whenever: the same command, typed until it is done, ends as if nothing had happened."""

import dataclasses

import pytest

from sweeps.record.records import find_runs

from .conftest import chaos, untimed, weights_of

KILLS = 25

pytestmark = pytest.mark.slow


def smaller(name, **changes):
    """A mode of the driver with less work between two kills."""
    return dataclasses.replace(chaos.MODES[name], reports=8, limit=100, **changes)


@pytest.fixture(scope="module")
def tormented(tmp_path_factory):
    """What is left of sweeps that were killed again and again, and then finished."""
    modes = [
        smaller("grid", share=9, share_of_pool=3),
        smaller("halving", share=6, workers=(0,)),
        smaller("search", share=6, workers=(0,)),
    ]
    with chaos.ForkServer() as starter:
        driver = chaos.Driver(tmp_path_factory.mktemp("chaos"), starter, seed=5, say=print, modes=modes, with_a_disk=1)
        return list(driver.until(KILLS))


def test_killed_again_and_again_they_end_equal_to_the_last_bit(tormented):
    assert sum(done.kills.total() for done in tormented) == KILLS
    assert [text for done in tormented for text in done.faults] == []
    assert {(done.mode.name, done.workers) for done in tormented} >= {("grid", 0), ("halving", 0), ("search", 0)}


def test_so_does_an_application_of_its_own(tmp_path):
    app = chaos.REGRESSION
    modes = [smaller("grid", share=9, share_of_pool=3)]
    with chaos.ForkServer(app.program) as starter:
        done = list(chaos.Driver(tmp_path, starter, seed=6, say=print, modes=modes, app=app, with_a_disk=0).until(8))
    assert sum(one.kills.total() for one in done) == 8
    assert [text for one in done for text in one.faults] == []


def test_most_kills_hit_work_that_was_under_way(tormented):
    phases = [phase for done in tormented for _, phase in done.kills.elements()]
    assert phases.count("start-up") < KILLS / 2
    attempts = [number for done in tormented for number in done.attempts]
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
        assert weights_of(run) == weights_of(other)
        assert untimed(run) == untimed(other)
        assert run.read().facts == other.read().facts
    assert len({run.read().process.pid for run in runs}) == 1, "a warm process, and inspections count for no run"


def test_the_sweeps_are_worth_comparing(undisturbed):
    """Every run learns something, and something else than the others."""
    runs = list(find_runs(undisturbed))
    assert len({weights_of(run) for run in runs}) == chaos.RUNS
    for run in runs:
        first, *_, last = run.read_metrics()
        assert last["train_loss"] < first["train_loss"]

"""Pruning in sweeps: what is stopped, what it leaves, and how it is resumed."""

import json
import shutil

import pytest

from sweeps import results
from sweeps.pruners import ReportLog
from sweeps.record.records import Status, find_runs

from .conftest import SMALL, contents, runs_by, untimed

TINY = (*SMALL, "dataset.limit=50", "trainer.epochs=3")
SWEEP = ("-m", "sweep.name=study", "hydra.launcher.workers=0", *TINY)
LONGER = ("trainer.epochs=4",)
METRIC = "train_loss_recent"  # what runs are compared by without held-out images
RATES = "optim.lr=0.001,0.01,0.1,0.3"


@pytest.fixture
def study(tmp_path):
    """The folder of the sweep."""
    return tmp_path / "multirun" / "study"


def states(study):
    return {lr: (run.read().status.value, run.read().steps) for lr, run in runs_by(study, "optim.lr").items()}


def reports_of(study):
    """What every run has reported of its recent train loss."""
    return {run: values for runs in ReportLog(study).read(METRIC).values() for run, values in runs.items()}


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    """Where the metrics of the whole grid are kept, trained without a pruner."""
    return tmp_path_factory.mktemp("shelf") / "whole.json"


@pytest.fixture
def whole(sweeps, study, shelf):
    """The metrics of every setting of the grid, trained to completion in one go."""
    if not shelf.exists():
        assert sweeps(*SWEEP, *LONGER, RATES, "sweep.name=whole").code == 0
        found = {lr: untimed(run) for lr, run in runs_by(study.with_name("whole"), "optim.lr").items()}
        shelf.write_text(json.dumps(list(found.items())))
    return dict(json.loads(shelf.read_text()))


def test_halving_takes_the_best_further_and_pruned_runs_can_be_resumed_later(sweeps, study, whole):
    halving = ("sweep/pruner=halving", "sweep.pruner.reduction_factor=2", *LONGER)
    done = sweeps(*SWEEP, RATES, *halving)
    assert done.code == 0, done.text
    assert "round 1 of 3: to step 1" in done.text
    assert "round 3 of 3: to completion" in done.text
    found = states(study)
    assert sorted(found.values()) == sorted([("pruned", 1)] * 2 + [("pruned", 2), ("completed", 4)])
    losses = reports_of(study)
    order = sorted(whole, key=lambda lr: losses[runs_by(study, "optim.lr")[lr].read().run_id][1.0])
    assert {lr for lr, state in found.items() if state == ("pruned", 1)} == set(order[2:]), "the two worst"
    for lr, run in runs_by(study, "optim.lr").items():
        record = run.read()
        assert untimed(run) == whole[lr][: int(record.steps)], "the same values as in one go"
        assert run.checkpoint.exists() is (record.status is Status.PRUNED)
        if record.status is Status.PRUNED:
            assert record.error.kind == "pruned"
            assert record.error.text.startswith(f"halving by {METRIC}: rank ")
    rows = results.rank(results.load([study]))
    assert (rows[0].status, [row.is_troubled for row in rows]) == ("completed", [False] * 4)

    before = contents(study)
    assert sweeps(*SWEEP, RATES, *halving).code == 0
    after = contents(study)
    assert {name: after[name] for name in after if "metrics" in name} == {
        name: before[name] for name in before if "metrics" in name
    }, "the same command again trains nothing"

    assert sweeps(*SWEEP, *LONGER, RATES).code == 0
    assert set(states(study).values()) == {("completed", 4)}
    assert {lr: untimed(run) for lr, run in runs_by(study, "optim.lr").items()} == whole
    assert not any(run.checkpoint.exists() for run in find_runs(study))
    attempts = sorted(run.read().attempts for run in find_runs(study))
    assert attempts[-1] <= 4, "resumed, not started again"


def test_seeds_of_a_setting_continue_together(sweeps, study):
    assert (
        sweeps(*SWEEP, "optim.lr=0.001,0.1,0.3", "sweep.repeats=2", "sweep/pruner=halving", "trainer.epochs=2").code
        == 0
    )
    ended = {}
    for run in find_runs(study):
        record = run.read()
        ended.setdefault(record.config["optim"]["lr"], set()).add(record.status.value)
    assert sorted(map(sorted, ended.values())) == [["completed"], ["pruned"], ["pruned"]]
    assert ended[0.001] == {"pruned"}
    losses = {lr: [] for lr in ended}
    reports = reports_of(study)
    for run in find_runs(study):
        record = run.read()
        losses[record.config["optim"]["lr"]].append(reports[record.run_id][1.0])
    best = min(losses, key=lambda lr: sum(losses[lr]))
    assert ended[best] == {"completed"}


def test_asha_stops_within_an_epoch(sweeps, study):
    within = ("sweep/pruner=asha", "trainer.report_every=0.5", "sweep.pruner.min_resource=0.5", "dataset.limit=200")
    done = sweeps(*SWEEP, "optim.lr=0.1,0.0000001", *within)
    assert done.code == 0, done.text
    worst = runs_by(study, "optim.lr")[0.0000001].read()
    assert (worst.status, worst.steps) == (Status.PRUNED, 0.5)
    assert worst.error.text == f"asha by {METRIC}: rank 2 of 2 at rung 0.5; top 1 continues"
    reports = reports_of(study)
    assert list(reports[worst.run_id]) == [0.5]
    best = runs_by(study, "optim.lr")[0.1].read()
    assert list(reports[best.run_id]) == [0.5 * step for step in range(1, 7)]


def test_pause_at_pauses_and_a_larger_one_resumes(sweeps, study):
    assert sweeps(*SWEEP, "optim.lr=0.1", "sweep.pause_at=1").code == 0
    (run,) = find_runs(study)
    record = run.read()
    assert (record.status, record.steps, record.error.kind) == (Status.PRUNED, 1, "paused")
    first = untimed(run)
    assert sweeps(*SWEEP, "optim.lr=0.1", "sweep.pause_at=1").code == 0
    assert run.read().attempts == 1
    assert sweeps(*SWEEP, "optim.lr=0.1", "sweep.pause_at=2").code == 0
    assert (run.read().steps, run.read().attempts, untimed(run)[:1]) == (2, 2, first)
    assert sweeps(*SWEEP, "optim.lr=0.1").code == 0
    assert (run.read().status, run.read().error) == (Status.COMPLETED, None)


def test_a_run_whose_folder_is_gone_starts_again_whatever_the_log_holds_of_it(sweeps, study):
    assert sweeps(*SWEEP, "optim.lr=0.1", "sweep.pause_at=1").code == 0
    (run,) = find_runs(study)
    first = untimed(run)
    shutil.rmtree(run.path)
    assert sweeps(*SWEEP, "optim.lr=0.1", "sweep.pause_at=1").code == 0
    assert (run.read().steps, untimed(run)) == (1, first)


def test_pruning_looks_at_held_out_images_where_there_are_any(sweeps, study):
    held_out = ("dataset.validation=0.2", "sweep/pruner=asha", "trainer.epochs=2", "dataset.limit=100")
    assert sweeps(*SWEEP, "optim.lr=0.3,0.00001", *held_out).code == 0
    assert len(ReportLog(study).read("val_acc")) == 2
    assert ReportLog(study).read("test_acc") == {}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["trainer.report_every=0.3"], "trainer.report_every=0.3 is invalid: a whole number of reports an epoch"),
        (
            ["sweep/pruner=asha", "sweep.pruner.metric=test_acc"],
            "sweep.pruner.metric=test_acc is invalid",
        ),
        (["trainer.report_every=1.5"], "trainer.report_every=1.5 is invalid"),
        (["trainer.report_every=2"], "trainer.report_every=2.0 is invalid"),
        (
            ["trainer.report_every=0.5", "sweep.pruner.min_resource=0.75"],
            "sweep.pruner.min_resource=0.75 is invalid: nothing is reported then",
        ),
        (
            ["trainer.report_every=0.5", "sweep.pruner.metric=val_acc"],
            "within an epoch only train_loss_recent and train_acc_recent",
        ),
        (["sweep.pruner.metric=val_acc"], "sweep.pruner.metric=val_acc needs images held out"),
        (
            ["sweep.pruner.reduction_factor=1"],
            "sweep.pruner.reduction_factor=1 is invalid: one in how many continues",
        ),
        (["sweep/pruner=hope"], "Could not find 'sweep/pruner/hope'"),
    ],
)
def test_what_cannot_work_is_an_error_before_the_first_run(sweeps, study, arguments, says):
    done = sweeps(*SWEEP, "seed=0", "sweep/pruner=asha", *arguments)
    assert done.code == 1
    assert says in done.text
    assert not study.exists()


@pytest.mark.slow
def test_a_kill_in_the_middle_costs_no_report(shell, tmp_path, monkeypatch):
    marks = tmp_path / "marks"
    marks.mkdir()
    monkeypatch.setenv("FAULTS_ONCE", str(marks))
    faulty = ("model._target_=networks.faulty", "+model.fault=kill", "+model.after=3", "sweep.retries=1")
    done = shell(
        "-m",
        "sweep.name=study",
        "hydra.launcher.workers=1",
        *TINY,
        "optim.lr=0.3,0.1",
        "sweep/pruner=patience",
        *faulty,
    )
    assert done.code == 0, done.text
    study = shell.folder / "multirun" / "study"
    runs = list(find_runs(study))
    assert {run.read().status for run in runs} == {Status.COMPLETED}
    reports = reports_of(study)
    for run in runs:
        figures = {float(row["step"]): row["train_loss"] for row in run.read_metrics()}
        found = reports[run.read().run_id]
        assert list(found) == list(figures)
        assert found == pytest.approx(figures, rel=0.5), "of the last quarter, near the epoch's average"

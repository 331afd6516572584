"""What a run and a sweep show while they run: a bar where the number of steps is known, a counter where it is not."""

import io
from collections import Counter

import pytest
from rich.console import Console

from sweeps.launchers.console import Activity, RunDisplay, metrics_of, step_of, verdict
from sweeps.launchers.runs import make_runs
from sweeps.launchers.view import Overview, View, duration
from sweeps.record.records import Failure, Objective, Status

from .records import record_of

DONE = {"status": Status.COMPLETED, "steps": 10.0, "seconds": 12.34}


def objective(metric, value, direction="min"):
    return Objective(metric, direction, "val", "last", value)


def terminal():
    return Console(file=io.StringIO(), width=100, force_terminal=True, color_system=None)


def plain():
    return Console(file=io.StringIO(), width=300)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {**DONE, "objective": objective("val_loss", 0.12344)},
            "completed, val_loss 0.1234 after 10 steps, 12.3 s",
        ),
        ({**DONE, "objective": objective("", 3.0), "steps": None}, "completed, objective 3.0000, 12.3 s"),
        ({**DONE, "steps": 1.0, "objective": objective("", None)}, "completed after 1 step, 12.3 s"),
        (
            {**DONE, "status": Status.PRUNED, "steps": 0.25, "error": Failure("pruned", "rank 3 of 4")},
            "pruned after 0.25 steps, 12.3 s: rank 3 of 4",
        ),
    ],
)
def test_a_verdict_is_one_line(changes, says):
    assert verdict(record_of("seed=0", **changes)) == says


def test_a_line_has_the_objective_first_and_three_other_metrics():
    row = {"step": 3, "elapsed": 1.5, "a": 1, "b": None, "c": 2e-5, "loss": 0.5, "d": 30.25, "e": 4.0, "note": "x"}
    assert metrics_of(row, "loss") == "loss 0.5000  a 1  c 2e-05  d 30.2500"
    assert metrics_of(row, "") == "a 1  c 2e-05  loss 0.5000  d 30.2500"


def test_steps_are_written_in_full():
    assert [step_of(3, 10.0), step_of(0.25), step_of(1_234_567, 2e6)] == [
        "step 3/10",
        "step 0.25",
        "step 1,234,567/2,000,000",
    ]


def test_a_single_run_without_a_terminal_prints_lines():
    console = plain()
    display = RunDisplay(console, lambda: False)
    display.begin(record_of("seed=0", steps=2.0))
    display.update(2.5, "half way")
    display.report({"step": 3, "elapsed": 1.0, "loss": 0.5})
    display.end(record_of("seed=0", **DONE))
    display.end(record_of("seed=1", **DONE), skipped=True)
    assert console.file.getvalue().splitlines() == [
        "seed=0: resuming from step 2",
        "  step 3/10  loss 0.5000",
        "seed=0: completed after 10 steps, 12.3 s",
        "seed=1: already complete, skipped: completed after 10 steps, 12.3 s",
    ]


@pytest.mark.parametrize(("max_steps", "shows", "hides"), [(10.0, ("step 3/10", "━"), ()), (None, ("step 3",), ("━",))])
def test_a_bar_needs_the_number_of_steps(max_steps, shows, hides):
    console = terminal()
    display = RunDisplay(console, lambda: False)
    display.begin(record_of("seed=0", max_steps=max_steps))
    display.report({"step": 3, "loss": 0.5, "bad[red]name": 1})
    display._bars.refresh()
    text = console.file.getvalue()
    display.end(record_of("seed=0", **DONE))
    assert all(part in text for part in (*shows, "loss 0.5000", "bad[red]name 1"))
    assert not any(part in text for part in hides)


def test_the_table_of_a_sweep_has_bars_for_runs_whose_steps_are_known():
    console = terminal()
    known = Activity("gpu 0", "lr=0.1", 5.0, 10.0, "loss 0.5000")
    unknown = Activity("gpu 1", "lr=0.2", 7.0)
    waiting = Activity("gpu 2", "lr=0.3")
    console.print(Overview("study", Counter({Status.RUNNING: 3}), [known, unknown, waiting], "lr=0.1: 0.5000", 200.0))
    first, *rows = console.file.getvalue().splitlines()
    assert first.strip() == "study: 3 runs  3 running  best lr=0.1: 0.5000  3:20 left"
    assert [("━" in row, "step 5/10" in row, "step 7" in row, "starting" in row) for row in rows] == [
        (True, True, False, False),
        (False, False, True, False),
        (False, False, False, True),
    ]


def test_a_sweep_shows_its_best_run_only_where_the_direction_is_said(tmp_path):
    for direction, best in (("min", "seed=1: 0.2000"), ("max", "seed=0: 0.4000"), ("", "")):
        runs = make_runs([["seed=0"], ["seed=1"]], 0, tmp_path / (direction or "none"))
        view = View("study", plain(), total=2)
        view.open()
        for run, value in zip(runs, (0.4, 0.2), strict=True):
            run.folder.path.mkdir(parents=True)
            run.folder.write(record_of(run.name, **DONE, objective=objective("loss", value, direction)))
            view.start("cpu 0", run)
            view.tell("cpu 0", "begin", {"step": 0, "max_steps": 10.0, "metric": "loss"})
            view.tell("cpu 0", "update", {"step": 4.5, "text": "batch 3"})
            assert view.overview().activities[0].share == 0.45
            view.tell("cpu 0", "report", {"step": 5, "loss": value})
            view.end("cpu 0", run)
        assert view.overview().best == best
        lines = "seed=0  step 5/10  loss 0.4000\nseed=0: completed, loss 0.4000 after 10 steps"
        assert lines in view.console.file.getvalue()


def test_durations_are_short():
    assert [duration(seconds) for seconds in (7, 200, 3723, 187_200)] == ["0:07", "3:20", "1:02:03", "2 d 4 h"]

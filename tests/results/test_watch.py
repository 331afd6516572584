"""How a sweep stands, from its records alone."""

import subprocess
import sys

import pytest

from sweeps import watch
from sweeps.record.records import Status


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")


def seen(folder, capsys):
    assert watch.main([str(folder), "--once"]) == 0
    return capsys.readouterr().out.splitlines()


def test_a_finished_sweep_is_idle(regression_in, study, capsys):
    for lr, loss in ((0.1, 0.5), (0.2, 0.3)):
        regression_in(loss, lr=lr)
    assert seen(study, capsys) == ["study: 2 runs  2 completed  best lr=0.2: val_loss 0.3000", "idle"]


def test_a_run_shows_its_step_and_its_metrics(run_in, study, capsys):
    run_in(lr=0.1, accuracies=(0.5, 0.6, 0.7))
    run_in(lr=0.2, accuracies=(0.4, 0.55), status=Status.RUNNING)
    first, run, last = seen(study, capsys)
    assert first.startswith("study: 2 runs  1 running  1 completed  best optim.lr=0.1: test_acc 0.7000")
    assert first.endswith("left")
    assert "optim.lr=0.2" in run
    assert "step 2/10" in run
    assert "test_acc 0.5500" in run
    assert last == "single runs", "no launcher holds the folder"


def test_a_run_without_a_known_end_shows_its_step_alone(regression_in, study, capsys):
    regression_in(0.5, 0.25, lr=0.1, status=Status.RUNNING)
    first, run, _ = seen(study, capsys)
    assert "left" not in first
    assert "step 2 " in run
    assert "val_loss 0.2500" in run


def test_without_a_direction_there_is_no_best(regression_in, study, capsys):
    regression_in(0.5, direction="")
    assert seen(study, capsys)[0] == "study: 1 run  1 completed"


def test_of_two_objectives_the_best_is_that_of_most_runs(run_in, regression_in, study, capsys):
    run_in(accuracies=(0.99,))
    for lr in (0.1, 0.2):
        regression_in(lr, lr=lr)
    assert seen(study, capsys)[0].endswith("best lr=0.1: val_loss 0.1000")


def test_damage_is_listed(run_in, study, capsys):
    run_in(name="a").record.write_text("{", encoding="utf-8")
    lines = seen(study, capsys)
    assert lines[:2] == ["study: 1 run  1 unreadable", "idle"]
    assert "is not a run record" in lines[2]


@pytest.mark.parametrize("arguments", [["missing"], ["."]])
def test_no_sweep_is_one_line_and_exit_code_2(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert watch.main([*arguments, "--once"]) == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_an_interval_is_a_number_of_seconds(capsys):
    with pytest.raises(SystemExit):
        watch.main(["x", "--interval", "0"])
    assert "is not a number of seconds above 0" in capsys.readouterr().err


def test_torch_is_not_imported(run_in, study):
    run_in()
    code = (
        f"import sys; from sweeps.watch import main; main([{str(study)!r}, '--once'])\n"
        "print(sorted({'torch', 'pandas', 'scipy'} & set(sys.modules)), file=sys.stderr)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stderr == "[]\n"

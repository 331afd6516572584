"""What goes wrong in one run stays in that run, has a name, and has further attempts."""

import json
import re

import pytest

from sweeps.record.records import Status, find_runs

from .conftest import SMALL, runs_by, untimed, weights_of

pytestmark = pytest.mark.slow

NETWORK = ("model._target_=networks.faulty", *SMALL)


@pytest.fixture(scope="module")
def aftermath(new_shell):
    """One sweep in which everything goes wrong that can, two runs at a time."""
    shell = new_shell()
    faults = "hang,none,exception,exit,sys_exit,oom,kill,segfault,diverge,config,data"
    done = shell(
        "-m", "sweep.name=study", f"+model.fault={faults}", "sweep.timeout=10", "hydra.launcher.workers=2", *NETWORK
    )
    return done, runs_by(shell.folder / "multirun" / "study", "model.fault")


def test_the_others_finish_and_the_exit_code_tells(aftermath):
    done, runs = aftermath
    assert done.code == 1
    assert len(runs) == 11
    statuses = {fault: run.read().status for fault, run in runs.items()}
    assert statuses.pop("none") is Status.COMPLETED
    assert statuses.pop("diverge") is Status.DIVERGED
    assert set(statuses.values()) == {Status.FAILED}
    assert "error: 9 of 11 runs failed; the run.json of each, in multirun/study, says why" in done.text


@pytest.mark.parametrize(
    ("fault", "kind", "text"),
    [
        ("hang", "timeout", "still running after 10 s (peak memory "),
        ("exception", "error", "ArithmeticError: the network has had enough"),
        ("exit", "killed", "the process exited with code 7 (peak memory "),
        ("sys_exit", "exit", "the training function called sys.exit(0) after 0 of 2 steps"),
        ("oom", "oom", "OutOfMemoryError: tried to allocate more than there is"),
        ("kill", "killed", "ended by SIGKILL, possibly out of memory (peak memory "),
        ("segfault", "killed", "ended by SIGSEGV (peak memory "),
        ("diverge", "diverged", "the train loss became nan in epoch 1"),
        ("config", "config", "this cannot work; choose something else"),
        ("data", "data", "the images are gone; download them again"),
    ],
)
def test_every_failure_has_its_kind_in_the_record_and_in_the_table(aftermath, fault, kind, text):
    done, runs = aftermath
    record = runs[fault].read()
    assert record.error.kind == kind
    assert record.error.text.startswith(text)
    assert record.ended
    assert record.peak_memory is None or record.peak_memory > 1 << 20
    row = next(line for line in done.text.splitlines() if line.split()[1:2] == [fault] and "/2 " in line)
    assert f" {record.steps or 0:g}/2 " in row
    assert f"  {'diverged' if kind == 'diverged' else f'failed: {kind}'}  " in row


def test_failures_come_with_advice_and_the_end_of_their_traceback(aftermath):
    _, runs = aftermath
    errors = {fault: run.read().error for fault, run in runs.items()}
    assert errors["oom"].advice == "a smaller batch or model"
    assert errors["kill"].advice == "less memory: a smaller batch or model"
    assert errors["hang"].advice == "a larger sweep.timeout=SECONDS"
    assert errors["diverge"].advice.startswith("a smaller optim.lr")
    for fault in ("exception", "oom"):
        assert "in forward" in errors[fault].traceback
        text = re.sub(r" \(\w+\.py:\d+\)$", "", errors[fault].text)  # without the line of the code
        assert errors[fault].traceback.splitlines()[-1].endswith(text)
    assert errors["config"].traceback == errors["data"].traceback == "", "these are no faults of the program"


def test_the_run_beside_them_is_what_it_is_alone(aftermath, sweeps, tmp_path):
    _, runs = aftermath
    done = sweeps("-m", "sweep.name=alone", "+model.fault=none", "hydra.launcher.workers=0", *NETWORK)
    assert done.code == 0
    (alone,) = find_runs(tmp_path / "multirun" / "alone")
    assert untimed(runs["none"]) == untimed(alone)
    assert weights_of(runs["none"]) == weights_of(alone)


def test_what_failed_or_was_ended_left_no_lock_and_no_half_written_file(aftermath):
    _, runs = aftermath
    folder = runs["none"].path.parent
    assert not (folder / ".lock").exists()
    assert not list(folder.rglob("*.tmp"))
    assert json.loads((folder / "sweep.json").read_text())["invocations"]


@pytest.fixture(scope="module")
def retried(new_shell, tmp_path_factory):
    """Faults of the second epoch that happen once, and a sweep that tries again by itself: the folder, twice."""
    shell = new_shell(FAULTS_ONCE=str(tmp_path_factory.mktemp("marks")))
    command = (
        "-m",
        "sweep.name=study",
        "+model.fault=none,exception,kill,config",
        "+model.after=5",
        "sweep.retries=1",
        *NETWORK,
    )
    command = (*command, "trainer.epochs=3", "hydra.launcher.workers=2")
    first = shell(*command)
    folder = shell.folder / "multirun" / "study"
    attempts = {fault: run.read().attempts for fault, run in runs_by(folder, "model.fault").items()}
    statuses = {fault: run.read().status for fault, run in runs_by(folder, "model.fault").items()}
    second = shell(*command)
    return first, attempts, statuses, second, folder


def test_a_failed_run_is_tried_again_from_its_last_report(retried):
    first, attempts, statuses, _, folder = retried
    assert first.code == 1
    assert attempts == {"none": 1, "exception": 2, "kill": 2, "config": 1}, "what fails the same way is not tried again"
    assert statuses.pop("config") is Status.FAILED
    assert set(statuses.values()) == {Status.COMPLETED}
    assert first.text.count(": attempt 2 of 2 in 1 s") == 2
    runs = runs_by(folder, "model.fault")
    assert first.text.count("resuming from step 1") == 2
    for fault in ("exception", "kill"):
        assert untimed(runs[fault]) == untimed(runs["none"]), "the networks differ in their faults alone"
        assert weights_of(runs[fault]) == weights_of(runs["none"])


def test_the_same_command_tries_what_failed_and_nothing_else(retried):
    _, attempts, _, second, folder = retried
    assert second.code == 0
    assert "4 runs, 3 already complete, skipped, 1 to do" in second.text
    runs = runs_by(folder, "model.fault")
    assert {fault: run.read().attempts for fault, run in runs.items()} == attempts | {"config": 2}
    record = runs["config"].read()
    assert (record.status, record.error, record.steps) == (Status.COMPLETED, None, 3)
    assert untimed(runs["config"]) == untimed(runs["none"])

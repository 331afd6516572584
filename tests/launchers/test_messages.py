"""A user's mistake, or a bad day of the machine, is answered in one sentence."""

import signal
import subprocess
import sys

import pytest
from rich.console import Console

from sweeps.errors import RunFailed
from sweeps.launchers.runs import make_runs
from sweeps.launchers.view import View
from sweeps.record.recording import new_record
from sweeps.record.records import Status, find_runs

from .conftest import SMALL

TINY = (*SMALL, "dataset.limit=25", "dataset.test_limit=25", "trainer.epochs=1")
TWO = ("-m", "hydra.launcher.workers=0", *TINY, "optim.lr=0.1,0.2")
NO_OPTION = "error: resize=[1,2] is invalid: name an option of the group, such as resize=px96"


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (("-m", "model=alexnet", "--cfg", "job"), "Only one of"),
        (("--resolve", "model=alexnet"), "--resolve flag can only be used in conjunction with --cfg"),
        (("-sc", "foo"), "Expecting one subcommand from"),
        ((*TWO, "hydra.sweeper.max_batch_size=0"), "hydra.sweeper.max_batch_size=0 is invalid: at least 1"),
        ((*TWO, "hydra.job.env_copy=[NOPE]"), "hydra.job.env_copy names 'NOPE', which the environment does not have"),
        ((*TWO, "~device"), "device is missing: every run needs it, so ~device is invalid"),
        ((*TWO, "~init"), "init is missing: every run needs it"),
        ((*TINY, "~device"), "device is missing: every run needs it"),
        ((*TINY, "~init"), "init is missing: every run needs it"),
        ((*TINY, "resize=[1,2]"), NO_OPTION),
        ((*TWO, "resize=[1,2]"), NO_OPTION),
        ((*TWO, "resize=[1,2],px96"), "Hydra cannot compose"),
        ((*TWO, "optim.lr=${oc.env:LR},0.3"), "'0.4' is text, which oc.decode makes a number"),
        ((*TWO, "model=glob(zzz*)"), "model=glob(zzz*) is invalid: it matches nothing; model has alexnet,"),
        ((*TWO, "model=glob(zzz*)", "hydra/sweeper=search"), "it matches nothing; model has alexnet,"),
    ],
)
def test_a_mistake_is_answered_in_one_sentence(command, says, sweeps, tmp_path, monkeypatch):
    monkeypatch.setenv("LR", "0.4")
    done = sweeps(*command)
    assert done.code == 1
    assert says in done.text
    assert "Traceback" not in done.text
    assert sum(line.startswith("error: ") for line in done.text.splitlines()) == 1
    # A sweep leaves nothing. A single run may have begun, and says what was wrong with it.
    assert [run.read().error.kind for run in find_runs(tmp_path)] in ([], ["config"] * ("-m" not in command))


def test_text_from_the_environment_becomes_a_number_as_the_message_says(sweeps, tmp_path, monkeypatch):
    monkeypatch.setenv("LR", "0.4")
    assert sweeps(*TWO, 'optim.lr="${oc.decode:${oc.env:LR}}",0.3').code == 0
    assert sorted(run.read().config["optim"]["lr"] for run in find_runs(tmp_path)) == [0.3, 0.4]


def test_why_a_run_failed_is_shown_where_its_record_could_not_be_written(resolved, tmp_path, capsys):
    (run,) = make_runs([["seed=1"]], 0, tmp_path)
    run.folder.path.mkdir()
    record = new_record(resolved("seed=1"), name="seed=1", sweep="study", overrides=["seed=1"])
    record.status = Status.RUNNING
    run.folder.write(record)
    view = View("study", Console(), total=1)
    view.start("here", run)
    view.end("here", run, RunFailed("No space left on device"))
    assert capsys.readouterr().out == "seed=1: failed: No space left on device\n"


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
def test_a_sweep_continues_where_nobody_reads_it_any_more(workers, tmp_path):
    words = ("-m", f"hydra.launcher.workers={workers}", *TINY, "optim.lr=0.1,0.2", "sweep.name=study")
    process = subprocess.Popen(
        [sys.executable, "-m", "sweeps", *words],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert "study: starting workers" in process.stdout.readline()
    process.stdout.close()
    said = process.stderr.read()
    process.stderr.close()
    assert process.wait(300) == 0, said
    assert said.count("standard output is closed; the runs continue without it") == 1
    assert "Traceback" not in said
    assert [run.read().status for run in find_runs(tmp_path)] == [Status.COMPLETED] * 2


@pytest.mark.slow
def test_stopped_before_its_first_run_a_sweep_does_not_promise_to_resume(shell):
    started = shell.start("-m", "hydra.launcher.workers=1", *TINY, "optim.lr=0.1,0.2", "sweep.name=study")
    started.wait_for(lambda: "checking 2 runs" in started.text, "the check")
    started.process.send_signal(signal.SIGTERM)
    done = started.end()
    assert done.code == 130
    assert "interrupted; nothing was started" in done.text
    assert not list(find_runs(shell.folder))

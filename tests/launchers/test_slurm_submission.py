"""What is submitted to Slurm, and what is said where there is none. Needs no Slurm."""

import os
import re
import shlex
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from sweeps.errors import ConfigError
from sweeps.launchers.job import JobSetup
from sweeps.launchers.local import slots
from sweeps.launchers.local.slots import visible_gpus
from sweeps.launchers.runs import make_runs
from sweeps.launchers.slurm import queue
from sweeps.launchers.slurm.backlog import Backlog, Contact
from sweeps.launchers.slurm.launch import _under_way
from sweeps.launchers.slurm.ledger import Ledger
from sweeps.launchers.slurm.queue import Entry, Full, NoAnswer, Queue, Rejected, SlurmError, _entries
from sweeps.launchers.slurm.submit import Options, Submitter
from sweeps.record.records import RunDir, Status

from .records import record_of

RECORDED = Path(__file__).with_name("slurm_submission.sh")
TRAIN = Path(__file__).parent / "regression" / "train.py"


def command(folder, name, *lines):
    """A command of Slurm's that does what a test wants."""
    path = folder / name
    path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def pretended(tmp_path, monkeypatch):
    """A folder of commands that come before all others."""
    folder = tmp_path / "commands"
    folder.mkdir()
    for name in ("sbatch", "squeue", "scancel", "scontrol", "srun"):
        command(folder, name)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder


def submit(folder, jobs, **options):
    """Submit runs of these overrides; returns their jobs."""
    runs = make_runs(jobs, 0, folder)
    slurm, ledger = Queue(), Ledger(folder)
    submit = Submitter("my study", slurm, ledger, JobSetup(None, None, None, {}), Options(**options))
    said = []
    backlog = Backlog(runs, slurm, ledger, submit, Contact(said.append, 0.01), said.append)
    return [job for _, job in backlog.submit()]


def test_the_submission_is_the_recorded_one(pretended, tmp_path):
    command(pretended, "sbatch", "echo Submitted batch job 7")
    options = {
        "array_parallelism": 2,
        "partition": "gpu",
        "time": 90,
        "cpus": 8,
        "gpus_per_node": 1,
        "memory": "16G",
        "qos": "low",
        "constraint": "a100|h100",
        "account": "lab",
        "setup": ["module load cuda"],
        "extra": {"mail-type": "FAIL"},
    }
    jobs = submit(tmp_path / "study", [["seed=0"], ["seed=1"], ["seed=2"]], **options)
    assert jobs == ["7_0", "7_1", "7_2"]
    (submission,) = Ledger(tmp_path / "study").read()
    text = Ledger(tmp_path / "study").file(submission, "sh").read_text()
    for found, name in ((submission.token, "TOKEN"), (str(tmp_path), "/shared"), (sys.executable, "python")):
        text = text.replace(found, name)
    assert text == RECORDED.read_text()


def test_a_submission_that_was_not_confirmed_is_found_by_its_name(tmp_path):
    ledger = Ledger(tmp_path)
    submission = ledger.begin(["a", "b"])
    entries = {
        job: Entry(job, state, "None", 0, "", f"study.{submission.token}")
        for job, state in (("9_0", "RUNNING"), ("9_1", "PENDING"))
    }
    assert Ledger(tmp_path).jobs(entries) == {"a": "9_0", "b": "9_1"}
    assert Ledger(tmp_path).jobs({}) == {"a": "9_0", "b": "9_1"}, "known from now on"


def test_of_several_jobs_of_a_run_the_one_that_is_alive_counts(tmp_path):
    ledger = Ledger(tmp_path)
    entries = {}
    for job, state in (("5", "RUNNING"), ("6", "CANCELLED")):
        submission = ledger.begin(["a"])
        ledger.confirm(submission, job)
        entries[job] = Entry(job, state, "None", 0, "", f"study.{submission.token}")
    assert ledger.jobs(entries) == {"a": "5"}


def test_a_job_of_another_name_under_a_known_number_is_somebody_elses(tmp_path):
    ledger = Ledger(tmp_path)
    ledger.confirm(ledger.begin(["a"]), "5")
    assert ledger.jobs({"5": Entry("5", "RUNNING", "None", 0, "", "another.job")}) == {}


def test_the_queue_is_read_as_slurm_prints_it():
    text = "12_3|RUNNING|None|2-03:04:05|node7|study.1|2\n13|PENDING|Resources|0:00||x\n14|COMPLETED|None|INVALID||y\n"
    first, second, third = _entries(text)
    assert (first.job, first.seconds, first.node, first.name) == ("12_3", 183_845, "node7", "study.1|2")
    assert (second.is_over, second.reason) == (False, "Resources")
    assert (third.is_over, third.seconds) == (True, 0)


def test_a_controller_that_is_away_is_quoted(pretended):
    command(pretended, "squeue", "echo slurm_load_jobs error: Unable to contact slurm controller >&2; exit 1")
    with pytest.raises(NoAnswer, match="slurm_load_jobs error: Unable to contact"):
        Queue().look()


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)", NoAnswer),
        ("sbatch: error: Batch job submission failed: Socket timed out on send/recv operation", NoAnswer),
        ("sbatch: error: Batch job submission failed: Slurm backup controller in standby mode", NoAnswer),
        ("sbatch: error: Batch job submission failed: Zero Bytes were transmitted or received", NoAnswer),
        ("sbatch: error: If munged is up, restart with --num-threads=10", NoAnswer),
        ("sbatch: error: Batch job submission failed: Invalid job array specification", Full),
        (
            "sbatch: error: QOSMaxSubmitJobPerUserLimit\nsbatch: error: Batch job submission failed: Job violates "
            "accounting/QOS policy (job submit limit, user's size and/or time limits)",
            Full,
        ),
        ("sbatch: error: AssocMaxSubmitJobLimit", Full),
        ("sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying", Full),
        (
            "sbatch: error: AssocMaxWallDurationPerJobLimit\nsbatch: error: Batch job submission failed: Job violates "
            "accounting/QOS policy (job submit limit, user's size and/or time limits)",
            Rejected,
        ),
        ("sbatch: error: invalid partition specified: nowhere", Rejected),
        ("sbatch: error: Batch job submission failed: Invalid account or account/partition combination", Rejected),
    ],
)
def test_silence_a_limit_and_a_refusal_are_told_apart(pretended, tmp_path, said, kind):
    command(pretended, "sbatch", f"printf '%s\\n' {shlex.quote(said)} >&2; exit 1")
    with pytest.raises(SlurmError) as raised:
        Queue().submit(tmp_path / "script.sh")
    assert type(raised.value) is kind
    assert " ".join(said.split()) in str(raised.value)


def test_a_command_that_never_ends_is_silence(pretended, tmp_path, monkeypatch):
    monkeypatch.setattr(queue, "PATIENCE", 0.2)
    command(pretended, "sbatch", "exec sleep 60")
    with pytest.raises(NoAnswer, match=r"sbatch took longer than 0\.2 s"):
        Queue().submit(tmp_path / "script.sh")


@pytest.mark.parametrize(
    ("config", "largest"),
    [
        ("MaxArraySize            = 50", 50),
        ("MaxArraySize = 1001\nSchedulerParameters = bf_interval=1,max_array_tasks=20", 20),
        ("MaxArraySize = 0", 1),
        ("", 1000),
    ],
)
def test_the_largest_array_is_what_the_cluster_says(pretended, config, largest):
    command(pretended, "scontrol", f"printf '%b\\n' {shlex.quote(config)}")
    assert Queue().largest_array() == largest


def test_a_grid_above_the_limits_of_a_cluster_is_submitted_in_pieces(pretended, tmp_path):
    command(pretended, "scontrol", "echo MaxArraySize = 50")
    count = f"n=$(ls {tmp_path}/study/.slurm/*.sh | wc -l); echo Submitted batch job $n"
    command(pretended, "sbatch", count)
    jobs = submit(tmp_path / "study", [[f"seed={seed}"] for seed in range(60)])
    assert jobs == [*(f"1_{task}" for task in range(50)), *(f"2_{task}" for task in range(10))]


def test_what_slurm_does_not_take_leaves_nothing_behind(pretended, tmp_path):
    command(pretended, "sbatch", "echo AssocMaxSubmitJobLimit >&2; exit 1")
    assert submit(tmp_path / "study", [[f"seed={seed}"] for seed in range(6)]) == []
    assert list((tmp_path / "study" / ".slurm").iterdir()) == []


def test_a_submission_without_an_answer_stays_in_the_ledger(pretended, tmp_path):
    command(pretended, "sbatch", "echo Socket timed out on send/recv operation >&2; exit 1")
    assert submit(tmp_path / "study", [["seed=0"]]) == []
    (submission,) = Ledger(tmp_path / "study").read()
    assert (submission.runs, submission.job) == (["seed=0"], "")


def test_a_controller_that_is_away_when_the_command_is_typed_is_waited_for(pretended, tmp_path):
    command(
        pretended, "squeue", f"test -e {tmp_path}/up || {{ echo 'Unable to contact slurm controller' >&2; exit 1; }}"
    )
    said = []

    def say(text):
        said.append(text)
        (tmp_path / "up").touch()

    assert Contact(say, 0.01).patiently(Queue().look) == {}
    assert [text.partition(" (")[0] for text in said] == ["Slurm does not answer", "Slurm answers again after 0 s"]


@pytest.fixture
def command_line(tmp_path):
    """Run the regression of `regression/` with these words, in an empty folder; returns its exit code and output."""
    folder = tmp_path / "shell"
    folder.mkdir()

    def run(*words):
        done = subprocess.run(
            [sys.executable, TRAIN, *words],
            cwd=folder,
            env={**os.environ, "COLUMNS": "300"},
            capture_output=True,
            text=True,
            timeout=120,
        )
        return done.returncode, done.stdout + done.stderr

    run.folder = folder
    return run


@pytest.mark.slow
def test_without_slurm_it_says_what_to_do(command_line, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    code, text = command_line("-m", "sweep.name=none", "seed=0,1", "hydra/launcher=slurm")
    assert code == 1
    assert "this machine has no sbatch" in text
    assert "hydra/launcher=local" in text
    assert not (command_line.folder / "multirun").exists()


def test_a_job_does_not_inherit_from_the_one_that_it_is_submitted_in(pretended, tmp_path, monkeypatch):
    command(pretended, "sbatch", f"env > {tmp_path}/environment; echo Submitted batch job 7")
    for key in ("SLURM_JOB_ID", "SBATCH_QOS", "SLURM_CONF", "RANK", "HERE"):
        monkeypatch.setenv(key, "1")
    assert Queue().submit(tmp_path / "script.sh") == "7"
    seen = {line.partition("=")[0] for line in (tmp_path / "environment").read_text().splitlines()}
    assert {"SLURM_CONF", "HERE"} <= seen
    assert not {"SLURM_JOB_ID", "SBATCH_QOS", "RANK"} & seen


@pytest.mark.slow
def test_a_queued_run_with_other_settings_is_neither_attached_to_nor_submitted(command_line, pretended, tmp_path):
    folder = command_line.folder / "multirun" / "study"
    run = RunDir(folder / "seed=0")
    run.path.mkdir(parents=True)
    run.write(record_of("seed=0"))
    ledger = Ledger(folder)
    submission = ledger.begin(["seed=0"])
    ledger.confirm(submission, "7")
    command(pretended, "squeue", f"echo '7|PENDING|Resources|0:00||study.{submission.token}'")
    command(pretended, "sbatch", f"touch {tmp_path}/submitted")
    before = run.record.read_bytes()

    code, text = command_line("-m", "sweep.name=study", "seed=0", "hydra/launcher=slurm")
    assert code == 1
    assert "is in Slurm's queue as job 7, with other settings: wait for it, end it with scancel 7" in text
    assert run.record.read_bytes() == before
    assert not (tmp_path / "submitted").exists()


def test_a_job_that_is_still_listed_though_its_run_is_finished_is_not_waited_for(pretended, tmp_path):
    (run,) = make_runs([["seed=0"]], 0, tmp_path)
    ledger = Ledger(tmp_path)
    submission = ledger.begin([run.name])
    ledger.confirm(submission, "7")
    command(pretended, "squeue", f"echo '7|COMPLETING|None|0:09|node|study.{submission.token}'")
    for status, found in ((Status.RUNNING, {run.name: "7"}), (Status.PRUNED, {}), (Status.COMPLETED, {})):
        run.folder.path.mkdir(exist_ok=True)
        run.folder.write(record_of(run.name, status=status))
        assert _under_way([run], Queue().look(), ledger) == found


@pytest.mark.slow
def test_a_plan_submits_nothing_and_leaves_nothing(command_line, pretended, tmp_path):
    command(pretended, "sbatch", f"touch {tmp_path}/submitted")
    words = ("-m", "sweep.name=study", "lr=0.1,0.2", "delay=1.5", "seed=0,1", "sweep.plan=true", "hydra/launcher=slurm")
    code, text = command_line(*words)
    assert code == 0, text
    assert "4 of 4 runs to do, 16 steps: about 0:06 with 4 at a time (0:24 of work)" in text
    assert re.search(r"settings +runs +parameters +steps left +time each +memory", text)
    assert re.search(r"lr=0.1,0.2 +4 +4 +4 +0:06 +2 MiB", text)
    assert not (tmp_path / "submitted").exists()
    assert not (command_line.folder / "multirun").exists()


@pytest.mark.slow
def test_a_plan_without_a_hook_says_what_is_not_known(command_line):
    code, text = command_line("-m", "seed=0,1", "sweep.plan=true", "sweep.hooks.cost=null")
    assert code == 0, text
    assert "2 of 2 runs to do, 8 steps. How long they take is not known: the application has no sweep.hooks" in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"time": 0}, "hydra.launcher.time=0 is invalid"),
        ({"cpus": 0}, "hydra.launcher.cpus=0 is invalid"),
        ({"poll": 0}, "hydra.launcher.poll=0 is invalid"),
        ({"time": 2, "notice": 60}, r"hydra.launcher.notice=60 \(seconds\) is invalid .* use hydra.launcher.time=3"),
        ({"on_interrupt": "shrug"}, "on_interrupt=shrug is invalid: leave or cancel"),
        ({"gpus_per_node": 4}, "hydra.launcher.gpus_per_node=4 is invalid: a run uses one GPU"),
        *(
            (
                {"extra": {key: 4}},
                f"hydra.launcher.extra={{{key.replace('_', '-')}: 4}} is invalid: the launcher decides",
            )
            for key in ("gpus_per_node", "gpus", "nodes", "ntasks", "array", "requeue", "output", "time", "job-name")
        ),
    ],
)
def test_an_option_that_cannot_work_is_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        Options(**options)


def test_in_a_job_without_gpus_those_of_others_are_not_taken(pretended, monkeypatch):
    command(pretended, "nvidia-smi", "echo 0; echo 1")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    assert visible_gpus() == ["0", "1"]
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    command(pretended, "scontrol", "echo NodeName=n1 Gres=gpu:2 CPUTot=8")
    assert visible_gpus() == []
    command(pretended, "scontrol", "echo 'NodeName=n1 Gres=(null) CPUTot=8'")
    assert visible_gpus() == ["0", "1"], "where Slurm does not manage them, they are whose the node is"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "NoDevFiles")
    assert visible_gpus() == []


def test_a_job_has_the_cores_and_the_memory_that_it_was_given(monkeypatch):
    monkeypatch.setenv("SLURM_CPUS_ON_NODE", "1")
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "512")
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    assert slots.available_memory() > 512 << 20
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    assert slots.available_cores() == 1
    assert slots.available_memory() == 512 << 20

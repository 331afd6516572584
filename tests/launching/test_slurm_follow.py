"""What follows from what Slurm says of jobs, told by a queue that says what a test wants."""

import io

import pytest
from rich.console import Console

from sweeps.launching.cells import make_cells
from sweeps.launching.scheduler import Policy
from sweeps.launching.signals import StopRequest
from sweeps.launching.slurm import backlog, follow
from sweeps.launching.slurm.follow import Follower
from sweeps.launching.slurm.job import release
from sweeps.launching.slurm.ledger import Ledger, Submission
from sweeps.launching.slurm.queue import Contact, Entry, NoAnswer
from sweeps.launching.view import View
from sweeps.lifecycle import new_record
from sweeps.processes import Process, this_process
from sweeps.records import Failure, RunDir, Status

ELSEWHERE = Process("node7/1234", 99)


class Slurm:
    """A queue and its submission: each look takes the next step, which may change any job; the last one stays."""

    def __init__(self, *steps):
        self.steps = list(steps)
        self.submitted = []
        self.pieces = []
        self.deaf = 0  # calls of scancel that Slurm does not hear
        self.cancelled = []
        self.asked = []
        self.entries = {}

    def look(self):
        step = self.steps.pop(0) if len(self.steps) > 1 else self.steps[0]
        step(self)
        return dict(self.entries)

    def say(self, job, state, reason="None", seconds=0, name=""):
        self.entries[job] = Entry(job, state, reason, seconds, "node7", name)

    def largest_array(self):
        return 1000

    def cancel(self, jobs):
        self.cancelled += jobs
        if self.deaf:
            self.deaf -= 1
            return False
        for job in jobs:
            self.say(job, "CANCELLED")
        return True

    def ask_to_stop(self, jobs):
        self.asked += jobs
        return True

    def submit(self, submission, cells):
        job = str(len(self.pieces) + 1)
        self.pieces.append(len(cells))
        self.submitted += [cell.name for cell in cells]
        for number in Submission(submission.token, submission.cells, job).numbers():
            self.say(number, "PENDING", name=f"study.{submission.token}")
        return job


@pytest.fixture
def study(tmp_path, compose, monkeypatch):
    """A sweep of so many cells that are submitted and followed; returns the cells and what was said."""
    for module in (follow, backlog):
        monkeypatch.setattr(module, "SETTLING", 0.0)
    monkeypatch.setattr(follow, "LAG", 0.05)

    def follow_it(slurm, cells=1, stop=None, cancel=False, **policy):
        made = make_cells([[f"seed={number}"] for number in range(cells)], 0, tmp_path)
        for cell in made:
            config = compose("sweep=study", *cell.overrides)
            cell.folder.path.mkdir()
            cell.folder.write(new_record(config, name=cell.name, overrides=cell.overrides))
        said = io.StringIO()
        view = View("study", Console(file=said, width=300), total=cells)
        follower = Follower(
            made,
            {},
            queue=slurm,
            ledger=Ledger(tmp_path),
            submit=slurm.submit,
            policy=Policy(**policy),
            view=view,
            contact=Contact(view.note, 0.01),
            poll=0.01,
            cancel=cancel,
        )
        follower.run(stop if stop is not None else StopRequest())
        return made, said.getvalue()

    follow_it.folder = tmp_path
    return follow_it


def recorded(study, status, seed=0, **changes):
    """A step's part: the run's record says this from now on."""
    run = RunDir(study.folder / f"seed={seed}")
    record = run.read()
    record.status = status
    for key, value in changes.items():
        setattr(record, key, value)
    run.write(record)


def error_of(cell):
    return str(cell.result._return_value)


def test_a_job_that_is_gone_without_a_trace_is_not_waited_for(study):
    slurm = Slurm(lambda slurm: slurm.entries.clear())
    (cell,), _ = study(slurm)
    record = cell.folder.read()
    assert (record.status, record.error.kind) == (Status.FAILED, "config")
    assert "does the node see this folder?" in record.error.text
    assert "output=FOLDER" in record.error.advice


@pytest.mark.parametrize(
    ("state", "kind", "advice"),
    [
        ("CANCELLED", "killed", ""),
        ("NODE_FAIL", "killed", ""),
        ("TIMEOUT", "timeout", "hydra.launcher.time"),
        ("OUT_OF_MEMORY", "oom", "trainer.batch_size"),
    ],
)
def test_a_job_that_was_ended_is_seen_and_its_log_named(study, state, kind, advice):
    def run(slurm):
        recorded(study, Status.RUNNING, process=ELSEWHERE)
        slurm.say("1", "RUNNING")

    slurm = Slurm(run, lambda slurm: slurm.say("1", state))
    (cell,), said = study(slurm)
    record = cell.folder.read()
    assert (record.status, record.error.kind) == (Status.FAILED, kind)
    assert advice in record.error.advice
    assert str(Ledger(study.folder).log("1")) in error_of(cell)
    assert f"job 1 ended on node7 as {state}" in said


def test_a_run_that_could_still_write_its_checkpoint_stays_interrupted(study):
    slurm = Slurm(
        lambda slurm: slurm.say("1", "RUNNING"),
        lambda slurm: (recorded(study, Status.INTERRUPTED), slurm.say("1", "CANCELLED")),
    )
    (cell,), _ = study(slurm)
    assert cell.folder.read().status is Status.INTERRUPTED
    assert "job 1 ended on node7 as CANCELLED; its log: " in error_of(cell)


def test_a_killed_job_is_tried_again_as_often_as_retries_says(study, monkeypatch):
    monkeypatch.setattr(Policy, "pause", lambda self, cell, kind: 0.0 if cell.tries <= self.retries else None)
    slurm = Slurm(lambda slurm: [slurm.say(job, "NODE_FAIL") for job in list(slurm.entries)])
    Ledger(study.folder).folder.mkdir()
    for job in "123":
        Ledger(study.folder).log(job).touch()
    (cell,), said = study(slurm, retries=2)
    assert slurm.submitted == ["seed=0"] * 3
    assert "try 3 of 3" in said
    assert "job 3 ended" in error_of(cell)


def test_a_job_that_is_requeued_is_neither_failed_nor_submitted_again(study):
    steps = (
        lambda slurm: slurm.say("1", "RUNNING"),
        lambda slurm: (recorded(study, Status.INTERRUPTED), slurm.say("1", "COMPLETING")),
        lambda slurm: slurm.say("1", "PENDING", "BeginTime"),
        lambda slurm: slurm.say("1", "RUNNING"),
        lambda slurm: (recorded(study, Status.COMPLETED), slurm.say("1", "COMPLETED")),
    )
    slurm = Slurm(*steps)
    (cell,), said = study(slurm)
    assert cell.folder.read().status is Status.COMPLETED
    assert slurm.submitted == ["seed=0"]
    assert "jobs wait: BeginTime" in said
    assert "seed=0: completed" in said


def test_a_job_whose_place_was_taken_for_good_is_submitted_again(study):
    steps = (
        lambda slurm: slurm.say("1", "PREEMPTED"),
        lambda slurm: recorded(study, Status.COMPLETED) if "2" in slurm.entries else None,
    )
    slurm = Slurm(*steps)
    study(slurm)
    assert slurm.submitted == ["seed=0"] * 2


def test_a_job_that_slurm_will_never_start_is_cancelled(study):
    slurm = Slurm(lambda slurm: slurm.cancelled or slurm.say("1", "PENDING", "BadConstraints"))
    (cell,), _ = study(slurm, retries=5)
    assert slurm.cancelled == ["1"]
    assert slurm.submitted == ["seed=0"]
    assert "Slurm will never start job 1: BadConstraints" in error_of(cell)


def test_a_run_past_its_timeout_has_failed_once_its_job_is_over(study):
    slurm = Slurm(lambda slurm: slurm.cancelled or slurm.say("1", "RUNNING", seconds=100))
    (cell,), _ = study(slurm, timeout=99)
    record = cell.folder.read()
    assert slurm.cancelled == ["1"]
    assert record.error.kind == "timeout"
    assert "still running after 99 s" in record.error.text


def test_a_controller_that_is_away_for_a_while_loses_nothing(study):
    def away(slurm):
        raise NoAnswer("Slurm does not answer: timed out")

    finished = lambda slurm: recorded(study, Status.COMPLETED)  # noqa: E731
    (cell,), said = study(Slurm(away, away, finished))
    assert cell.folder.read().status is Status.COMPLETED
    assert said.count("Slurm does not answer") == 1


def test_enough_failures_take_the_waiting_jobs_out_of_the_queue_and_stop_the_others(study):
    def begin(slurm):
        slurm.say("2", "RUNNING")
        failure = Failure("error", "the network has had enough")
        recorded(study, Status.FAILED, error=failure)
        slurm.say("1", "FAILED")

    def stop(slurm):
        if "2" in slurm.asked:
            recorded(study, Status.INTERRUPTED, seed=1)
            slurm.say("2", "FAILED")

    slurm = Slurm(begin, stop)
    cells, _ = study(slurm, cells=3, on_failure="stop")
    assert "the network has had enough" in error_of(cells[0])
    assert (slurm.asked, slurm.cancelled) == (["2"], ["3"])
    assert [cell.folder.read().status for cell in cells] == [Status.FAILED, Status.INTERRUPTED, Status.PENDING]


def test_a_queued_cell_says_so_and_not_how_its_last_try_ended(study):
    seen = []

    def look(slurm):
        seen.append(RunDir(study.folder / "seed=0").read().status)
        recorded(study, Status.COMPLETED)

    study(Slurm(look))
    assert seen == [Status.PENDING]


def test_a_run_of_a_job_that_is_over_is_interrupted_but_never_somebody_elses(study):
    study(Slurm(lambda slurm: recorded(study, Status.COMPLETED)))
    run = RunDir(study.folder / "seed=0")
    cases = (
        (ELSEWHERE, {"slurm_job": "7_1"}, Status.INTERRUPTED),
        (ELSEWHERE, {}, Status.INTERRUPTED),  # killed before it could say more
        (ELSEWHERE, {"slurm_job": "8"}, Status.RUNNING),
        (ELSEWHERE, {"slurm_job": ""}, Status.RUNNING),
        (this_process(), {}, Status.RUNNING),
    )
    for process, environment, expected in cases:
        recorded(study, Status.RUNNING, process=process, environment=environment)
        release(run, "7_1")
        assert run.read().status is expected

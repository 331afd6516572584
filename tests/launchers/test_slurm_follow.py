"""What follows from what Slurm says of jobs: the queue says what a test wants."""

import io
import shutil
from datetime import datetime, timedelta

import pytest
from hydra.core.utils import JobStatus
from rich.console import Console

from sweeps.errors import ConfigError
from sweeps.launchers import scheduler
from sweeps.launchers.runs import NotDone, make_runs
from sweeps.launchers.scheduler import Policy
from sweeps.launchers.signals import StopRequest
from sweeps.launchers.slurm import backlog, follow
from sweeps.launchers.slurm.backlog import Backlog, Contact
from sweeps.launchers.slurm.follow import Follower
from sweeps.launchers.slurm.job import release
from sweeps.launchers.slurm.ledger import Ledger, Submission
from sweeps.launchers.slurm.queue import Entry, Full, NoAnswer, Rejected
from sweeps.launchers.view import View
from sweeps.record.processes import Process, this_process
from sweeps.record.records import Failure, RunDir, Status

from .records import record_of

ELSEWHERE = Process("node7/1234", 99)


class Slurm:
    """A queue and its submission: each look takes the next step, which may change any job; the last one stays."""

    def __init__(self, *steps):
        self.steps = list(steps)
        self.submitted = []
        self.pieces = []
        self.largest = 1000
        self.deaf = 0  # calls of scancel that Slurm misses
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
        return self.largest

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

    def submit(self, submission, runs):
        job = str(len(self.pieces) + 1)
        self.pieces.append(len(runs))
        self.submitted += [run.name for run in runs]
        for number in Submission(submission.token, submission.runs, job).numbers():
            self.say(number, "PENDING", name=f"study.{submission.token}")
        return job


@pytest.fixture
def study(tmp_path, monkeypatch):
    """A sweep of so many runs that are submitted and followed; returns the runs and what was printed."""
    for module in (follow, backlog):
        monkeypatch.setattr(module, "SETTLING", 0.0)
    monkeypatch.setattr(follow, "LAG", 0.05)

    def follow_it(slurm, count=1, stop=None, cancel=False, under_way=(), record=None, **policy):
        made = make_runs([[f"seed={number}"] for number in range(count)], 0, tmp_path)
        for run in made:
            run.folder.path.mkdir()
            run.folder.write(record_of(run.name, **(record or {})))
        printed = io.StringIO()
        view = View("study", Console(file=printed, width=300), total=count)
        attached = dict(zip(under_way, made, strict=False))
        contact = Contact(view.note, 0.01)
        waiting = Backlog(
            made[len(attached) :], slurm, Ledger(tmp_path), lambda *piece: slurm.submit(*piece), contact, view.note
        )
        view.open()
        Follower(waiting, attached, Policy(**policy), view, cancel).run(stop if stop is not None else StopRequest())
        return made, printed.getvalue()

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


def error_of(run):
    return str(run.result._return_value)


def test_a_job_that_is_gone_without_a_trace_is_not_waited_for(study):
    slurm = Slurm(lambda slurm: slurm.entries.clear())
    (run,), _ = study(slurm)
    record = run.folder.read()
    assert (record.status, record.error.kind) == (Status.FAILED, "config")
    assert "does the node see this folder?" in record.error.text
    assert "sweep.output=FOLDER" in record.error.advice


@pytest.mark.parametrize(
    ("state", "kind", "advice"),
    [
        ("NODE_FAIL", "killed", ""),
        ("TIMEOUT", "timeout", "hydra.launcher.time"),
        ("OUT_OF_MEMORY", "oom", "hydra.launcher.memory"),
    ],
)
def test_a_job_that_was_ended_is_seen_and_its_log_named(study, state, kind, advice):
    def run(slurm):
        recorded(study, Status.RUNNING, process=ELSEWHERE)
        slurm.say("1", "RUNNING")

    def end(slurm):
        recorded(study, Status.RUNNING, process=ELSEWHERE)
        for job in list(slurm.entries):
            slurm.say(job, state)

    slurm = Slurm(run, end)
    (run,), said = study(slurm)
    record = run.folder.read()
    assert (record.status, record.error.kind) == (Status.FAILED, kind)
    assert advice in record.error.advice
    last = str(len(slurm.pieces))
    assert str(Ledger(study.folder).log(last)) in error_of(run)
    assert f"job {last} ended on node7 as {state}" in said
    assert last == ("2" if state == "TIMEOUT" else "1"), "time that is up is no failure the first time"


def test_a_job_that_the_user_cancelled_is_neither_failed_nor_tried_again(study):
    slurm = Slurm(
        lambda slurm: slurm.say("1", "RUNNING"),
        lambda slurm: (
            recorded(study, Status.RUNNING, process=ELSEWHERE, environment={"slurm_job": "1"}),
            slurm.say("1", "CANCELLED"),
        ),
    )
    (run,), said = study(slurm, retries=3)
    assert run.folder.read().status is Status.INTERRUPTED
    assert isinstance(run.result._return_value, NotDone)
    assert "job 1 was cancelled by the user; the same command resumes its run" in error_of(run)
    assert slurm.submitted == ["seed=0"]
    assert "after 0 steps" not in said


def test_a_job_that_could_not_be_requeued_is_submitted_again_and_that_is_no_failed_try(study):
    """A site may forbid `scontrol requeue`, and a container may lack it; the run has its checkpoint."""

    def time_is_up(slurm):
        job = str(len(slurm.pieces))
        recorded(study, Status.INTERRUPTED, steps=len(slurm.pieces))
        slurm.say(job, "FAILED")

    def end(slurm):
        if len(slurm.pieces) == 4:
            recorded(study, Status.COMPLETED)
        else:
            time_is_up(slurm)

    slurm = Slurm(end)
    (run,), said = study(slurm)
    assert run.folder.read().status is Status.COMPLETED
    assert len(slurm.submitted) == 4
    assert run.tries == 1
    assert "job 3 ended as FAILED at step 3, submitted again" in said


def test_a_run_that_gets_no_further_in_two_jobs_has_failed(study):
    def interrupt(slurm):
        recorded(study, Status.INTERRUPTED, steps=1)
        slurm.say(str(len(slurm.pieces)), "FAILED")

    slurm = Slurm(interrupt)
    (run,), _ = study(slurm)
    assert slurm.submitted == ["seed=0"] * 3, "step 1 in the first one, none in two more"
    assert run.result.status is JobStatus.FAILED


def test_a_killed_job_is_tried_again_as_often_as_retries_says(study, monkeypatch):
    monkeypatch.setattr(scheduler, "LONGEST_PAUSE", 0.0)
    slurm = Slurm(lambda slurm: [slurm.say(job, "NODE_FAIL") for job in list(slurm.entries)])
    Ledger(study.folder).folder.mkdir()
    for job in "123":
        Ledger(study.folder).log(job).touch()
    (run,), said = study(slurm, retries=2)
    assert slurm.submitted == ["seed=0"] * 3
    assert "attempt 3 of 3" in said
    assert "job 3 ended" in error_of(run)


def test_a_job_that_is_requeued_is_neither_failed_nor_submitted_again(study):
    steps = (
        lambda slurm: slurm.say("1", "RUNNING"),
        lambda slurm: (recorded(study, Status.INTERRUPTED), slurm.say("1", "COMPLETING")),
        lambda slurm: slurm.say("1", "PENDING", "BeginTime"),
        lambda slurm: slurm.say("1", "RUNNING"),
        lambda slurm: (recorded(study, Status.COMPLETED), slurm.say("1", "COMPLETED")),
    )
    slurm = Slurm(*steps)
    (run,), said = study(slurm)
    assert run.folder.read().status is Status.COMPLETED
    assert slurm.submitted == ["seed=0"]
    assert "seed=0: requeued before its first report (job 1)" in said
    assert "jobs wait: BeginTime" in said
    assert "seed=0: completed" in said


def test_a_job_whose_place_was_taken_for_good_is_submitted_again(study):
    steps = (
        lambda slurm: slurm.say("1", "PREEMPTED"),
        lambda slurm: recorded(study, Status.COMPLETED) if "2" in slurm.entries else None,
    )
    slurm = Slurm(*steps)
    (run,), _ = study(slurm)
    assert slurm.submitted == ["seed=0"] * 2
    assert run.tries == 1


def test_a_job_that_slurm_will_never_start_is_cancelled(study):
    slurm = Slurm(lambda slurm: slurm.cancelled or slurm.say("1", "PENDING", "BadConstraints"))
    (run,), _ = study(slurm, retries=5)
    assert slurm.cancelled == ["1"]
    assert slurm.submitted == ["seed=0"]
    assert "Slurm will never start job 1: BadConstraints" in error_of(run)


def began(seconds):
    """When a run began that has been at work for so long."""
    return (datetime.now().astimezone() - timedelta(seconds=seconds)).isoformat(timespec="seconds")


def test_a_run_past_its_timeout_has_failed_once_its_job_is_over(study):
    slurm = Slurm(
        lambda slurm: recorded(study, Status.RUNNING, process=ELSEWHERE, started=began(100)),
        lambda slurm: "1" in slurm.cancelled or slurm.say("1", "RUNNING", seconds=150),
    )
    (run,), _ = study(slurm, timeout=99)
    record = run.folder.read()
    assert slurm.cancelled == ["1"]
    assert record.error.kind == "timeout"
    assert "still running after 99 s" in record.error.text


def test_a_timeout_counts_what_a_run_has_trained_in_all_starts_and_not_what_a_job_took_to_start(study):
    def start(started, seconds):
        def step(slurm):
            recorded(study, Status.RUNNING, process=ELSEWHERE, started=began(started))
            slurm.say("1", "RUNNING", seconds=seconds)

        return step

    def requeued(slurm):
        recorded(study, Status.INTERRUPTED, steps=1)
        slurm.say("1", "PENDING", "BeginTime")

    late = start(60, 120)  # a minute of 120 s
    (run,), _ = study(Slurm(late, lambda slurm: recorded(study, Status.COMPLETED)), timeout=100)
    assert run.folder.read().status is Status.COMPLETED
    shutil.rmtree(run.folder.path)

    slurm = Slurm(late, requeued, lambda slurm: "1" in slurm.cancelled or late(slurm))
    (run,), _ = study(slurm, timeout=100)
    assert run.folder.read().error.kind == "timeout"


def test_a_cancellation_that_slurm_missed_is_repeated_until_the_job_is_gone(study):
    def running(slurm):
        if slurm.entries["1"].state != "CANCELLED":
            recorded(study, Status.RUNNING, process=ELSEWHERE, started=began(100))
            slurm.say("1", "RUNNING", seconds=100)

    slurm = Slurm(running)
    slurm.deaf = 3
    (run,), _ = study(slurm, timeout=9)
    assert slurm.cancelled == ["1"] * 4
    assert run.folder.read().error.kind == "timeout"


def test_ctrl_c_cancels_until_the_jobs_are_gone(study):
    stop = StopRequest()
    stop.count = 1
    slurm = Slurm(lambda slurm: "1" in slurm.entries and slurm.entries["1"])
    slurm.deaf = 2
    slurm.say("7", "PENDING")
    (run,), _ = study(slurm, count=1, stop=stop, cancel=True, under_way=["7"])
    assert slurm.cancelled == ["7"] * 3
    assert slurm.submitted == []
    assert run.result is None
    assert run.folder.read().status is Status.PENDING


def away(slurm):
    raise NoAnswer("Socket timed out on send/recv operation")


def test_a_controller_that_is_away_for_a_while_loses_nothing(study):
    finished = lambda slurm: recorded(study, Status.COMPLETED)  # noqa: E731
    (run,), said = study(Slurm(away, away, away, finished))
    assert run.folder.read().status is Status.COMPLETED
    assert said.count("Slurm does not answer (Socket timed out") == 1
    assert said.count("Slurm answers again after") == 1


def test_a_submission_without_an_answer_is_found_in_the_queue_and_not_repeated(study):
    """The controller may have taken it before it went away."""
    slurm = Slurm(away, lambda slurm: recorded(study, Status.COMPLETED) if "1" in slurm.entries else None)
    taken = slurm.submit

    def submit(submission, runs):
        taken(submission, runs)
        raise NoAnswer("Socket timed out on send/recv operation")

    slurm.submit = submit
    (run,), _ = study(slurm)
    assert slurm.submitted == ["seed=0"]
    assert run.folder.read().status is Status.COMPLETED
    assert [submission.job for submission in Ledger(study.folder).read()] == ["1"]


def test_a_run_that_finished_while_slurm_was_away_is_not_done_again(study):
    """Its submission had no answer, and by now Slurm has forgotten the job."""
    slurm = Slurm(away, lambda slurm: recorded(study, Status.COMPLETED))

    def submit(submission, runs):
        slurm.submitted += [run.name for run in runs]
        raise NoAnswer("Socket timed out on send/recv operation")

    slurm.submit = submit
    (run,), _ = study(slurm)
    assert slurm.submitted == ["seed=0"]
    assert run.result.status is JobStatus.COMPLETED


def test_a_submission_that_never_came_about_is_repeated_and_one_that_comes_late_is_cancelled(study):
    slurm = Slurm(
        *[lambda slurm: None] * 4,
        lambda slurm: slurm.say("99", "PENDING", name=f"study.{slurm.silent}"),
        lambda slurm: None,
        lambda slurm: recorded(study, Status.COMPLETED),
    )
    taken = slurm.submit

    def submit(submission, runs):
        slurm.silent, slurm.submit = submission.token, taken
        raise NoAnswer("Unable to contact slurm controller (connect failure)")

    slurm.submit = submit
    (run,), said = study(slurm)
    assert slurm.submitted == ["seed=0"]
    assert slurm.cancelled == ["99"]
    assert run.tries == 1
    assert [submission.job for submission in Ledger(study.folder).read()] == ["1"], "and nothing else is left"
    assert "Slurm does not answer (Unable to contact" in said


@pytest.mark.parametrize("largest", [1000, 4])
def test_a_sweep_above_the_limits_goes_in_in_pieces_without_a_barrier(study, largest):
    """No array above 4 tasks, whether or not Slurm says so, and no more than 5 jobs in the queue."""
    most = 0

    def end_one(slurm):
        nonlocal most
        alive = sorted(job for job, entry in slurm.entries.items() if not entry.is_over)
        most = max(most, len(alive))
        if alive:
            slurm.say(alive[0], "COMPLETED")
            recorded(study, Status.COMPLETED, seed=slurm.names[alive[0]].partition("=")[2])

    slurm = Slurm(end_one)
    slurm.largest, slurm.names, taken = largest, {}, slurm.submit

    def submit(submission, runs):
        alive = sum(not entry.is_over for entry in slurm.entries.values())
        if len(runs) > 4:
            raise Full("Batch job submission failed: Invalid job array specification")
        if alive + len(runs) > 5:
            raise Full("AssocMaxSubmitJobLimit")
        job = taken(submission, runs)
        made = Submission(submission.token, submission.runs, job)
        slurm.names.update(zip(made.numbers(), made.runs, strict=True))
        return job

    slurm.submit = submit
    runs, said = study(slurm, count=12)
    assert {run.folder.read().status for run in runs} == {Status.COMPLETED}
    assert sorted(slurm.submitted) == sorted(run.name for run in runs)
    assert most == 5
    assert max(slurm.pieces) <= 4
    assert said.count("Slurm accepts no more jobs now (AssocMaxSubmitJobLimit)") == 1


def test_what_slurm_rejects_in_mid_sweep_leaves_no_job_alone(study):
    slurm = Slurm(lambda slurm: None, lambda slurm: recorded(study, Status.COMPLETED))
    slurm.largest, taken = 1, slurm.submit

    def submit(submission, runs):
        if slurm.pieces:
            raise Rejected("Invalid account or account/partition combination specified")
        return taken(submission, runs)

    slurm.submit = submit
    with pytest.raises(ConfigError, match="Slurm rejects the jobs of this sweep: Invalid account"):
        study(slurm, count=2)
    assert RunDir(study.folder / "seed=0").read().status is Status.COMPLETED
    assert len(Ledger(study.folder).read()) == 1


def test_a_limit_that_no_end_of_a_job_helps_with_is_said(study):
    def submit(submission, runs):
        raise Full("AssocMaxSubmitJobLimit")

    slurm = Slurm(lambda slurm: None)
    slurm.submit = submit
    with pytest.raises(ConfigError, match="Slurm rejects the jobs of this sweep: AssocMaxSubmitJobLimit"):
        study(slurm, count=3)


def test_enough_failures_take_the_waiting_jobs_out_of_the_queue_and_stop_the_others(study):
    def begin(slurm):
        slurm.say("1_1", "RUNNING")
        failure = Failure("error", "the model has had enough")
        recorded(study, Status.FAILED, error=failure)
        slurm.say("1_0", "FAILED")

    def stop(slurm):
        if "1_1" in slurm.asked:
            recorded(study, Status.INTERRUPTED, seed=1)
            slurm.say("1_1", "FAILED")

    slurm = Slurm(begin, stop)
    runs, _ = study(slurm, count=3, on_failure="stop")
    assert "the model has had enough" in error_of(runs[0])
    assert (slurm.asked, slurm.cancelled) == (["1_1"], ["1_2"])
    assert [run.folder.read().status for run in runs] == [Status.FAILED, Status.INTERRUPTED, Status.PENDING]


@pytest.mark.parametrize(
    ("before", "kind", "kept"), [(Status.FAILED, "error", None), (Status.PRUNED, "pruned", "pruned")]
)
def test_a_queued_run_says_so_and_not_how_its_last_try_ended(study, before, kind, kept):
    """That it was stopped early stays: it is resumed on purpose, and not stopped again before its first step."""
    seen = []

    def look(slurm):
        record = RunDir(study.folder / "seed=0").read()
        seen.append((record.status, record.error and record.error.kind))
        recorded(study, Status.COMPLETED)

    study(Slurm(look), record={"status": before, "error": Failure(kind, "as before")})
    assert seen == [(Status.PENDING, kept)]


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

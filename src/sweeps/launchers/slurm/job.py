"""What happens inside a job of the cluster: one run, and the answer to Slurm's notices. Never imports torch.

Slurm notifies a job that it has to end: by SIGUSR2 some time before its limit (`hydra.launcher.notice`), and by SIGTERM
when it is preempted or cancelled. Either way the run stops at its next report, with a checkpoint. A job that reaches
its time limit, or is preempted, asks to be requeued; its next start resumes from the checkpoint.
"""

import contextlib
import json
import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import spawn
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from hydra.core.utils import JobStatus

from sweeps.errors import RecordError, SweepsError
from sweeps.launchers.console import display, showing
from sweeps.launchers.job import JobSetup
from sweeps.launchers.runs import SweepRun
from sweeps.launchers.scheduler import record_end
from sweeps.launchers.slurm.queue import SlurmError, is_preempted, requeue
from sweeps.record.provenance import slurm_job
from sweeps.record.recording import StopRun
from sweeps.record.records import RunDir, RunRecord, Status

TIME_LIMIT = signal.SIGUSR2  # the signal that Slurm is asked to send some time before the limit
NOTICES = (TIME_LIMIT, signal.SIGTERM)
# What a job's Python is started through: a notice that arrives before its handlers are in place waits for them. Without
# this it would end a process that is still importing, which takes its time on a busy file system.
HOLD_BACK = (
    "import os, signal, sys; "
    f"signal.pthread_sigmask(signal.SIG_BLOCK, {[int(number) for number in NOTICES]}); "
    "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
)
EXIT_FAILED = 1
EXIT_INTERRUPTED = 130
MOST_FRUITLESS = 2  # starts of a job in a row that end without a further step, after which its run has failed


def work_of(setup: Path, notice: int, runs: Sequence[SweepRun]) -> dict[str, Any]:
    """What the jobs of one submission need to know, as JSON.

    That is their runs, and what a worker process would be given as well: this process's Python path, arguments, working
    directory and script.
    """
    process = {key: one for key, one in spawn.get_preparation_data("slurm").items() if key != "authkey"}
    return {
        "setup": str(setup),
        "notice": notice,
        "process": process,
        "runs": [
            {"folder": str(run.folder.path.absolute()), "overrides": list(run.overrides), "number": run.number}
            for run in runs
            if run.folder is not None
        ],
    }


def main(path: str) -> NoReturn:
    """Do what this task of an array, or this job, is to do, according to the file `path` of its submission."""
    work: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
    runs = work["runs"]
    run = runs[int(os.environ["SLURM_ARRAY_TASK_ID"])] if len(runs) > 1 else runs[0]
    process: Any = multiprocessing.current_process()
    process._inheriting = True  # as in a worker: the user's script is imported, and must not start the sweep again
    spawn.prepare(work["process"])
    del process._inheriting
    RunJob(work["setup"], run["folder"], tuple(run["overrides"]), run["number"], work["notice"])()


@dataclass(frozen=True)
class RunJob:
    """One run as its node gets to know it: small, since what all runs share is in the file `setup`.

    `notice` is in seconds: between the signal and the end of the job's time.
    """

    setup: str
    folder: str
    overrides: tuple[str, ...]
    number: int
    notice: int

    def __call__(self) -> NoReturn:
        """Do the run, or what is left of it.

        Raises:
            SystemExit: in any case; the run's record has its result. The exit codes are 0 for success, 1 for a run that
                failed, 130 for one that was asked to stop.
        """
        run = RunDir(self.folder)
        if os.environ.get("SLURM_RESTART_COUNT", "0") != "0":
            release(run, slurm_job())  # an earlier start of this job, on a node that was lost
        before = steps_of(run)
        notice = Notice()
        with notice.handled(self._seconds_to_stop, lambda: self._give_up(run, before)):
            setup = JobSetup.unpack(Path(self.setup).read_bytes())
            try:
                with showing(display(notice.stop_requested)):
                    result = setup.run(self.overrides, self.number, folder=self.folder)
            except (KeyboardInterrupt, StopRun):
                self._leave(notice, run, before)
        if result.status is not JobStatus.COMPLETED:
            error: Any = result._return_value
            if isinstance(error, SweepsError):
                print(f"error: {error}", file=sys.stderr)
            else:
                traceback.print_exception(error)
            raise SystemExit(EXIT_FAILED)
        raise SystemExit(0)

    @property
    def _seconds_to_stop(self) -> float:
        """How long a run may continue to its next report after the notice; what is left is for the requeue."""
        return max(self.notice / 2, self.notice - 30)

    def _leave(self, notice: "Notice", run: RunDir, before: float) -> NoReturn:
        job = slurm_job()  # not SLURM_JOB_ID: that of an array's last task stands for the whole array
        if notice.time_is_up and self._is_stuck(run, before):
            self._fail(run)
            raise SystemExit(EXIT_FAILED)
        if notice.time_is_up or is_preempted(job):
            # printed before it happens: Slurm then ends this process at once
            print(f"job {job} is requeued; its run resumes from the last checkpoint", flush=True)
            try:
                requeue(job)
            except SlurmError as error:
                print(f"job {job} cannot be requeued, its run needs a new one: {error}", file=sys.stderr)
        raise SystemExit(EXIT_INTERRUPTED)

    def _give_up(self, run: RunDir, before: float) -> None:
        """No report in time. What the last checkpoint holds is kept, and resumed from."""
        if not self._is_stuck(run, before):
            with contextlib.suppress(SlurmError):
                requeue(slurm_job())
            return  # Slurm ends this process
        self._fail(run)
        os._exit(EXIT_FAILED)

    def _is_stuck(self, run: RunDir, before: float) -> bool:
        """Whether neither this start, which began after the step `before`, nor the one before has got any further.

        A run without a checkpoint starts again each time, so the furthest step of all starts counts.
        """
        note = Path(self.setup).parent / f"{slurm_job()}.stalled"
        now = steps_of(run)
        try:
            furthest, fruitless = json.loads(note.read_text(encoding="utf-8")) if note.exists() else (before, 0)
            fruitless = 0 if now > furthest else fruitless + 1
            if fruitless >= MOST_FRUITLESS:
                note.unlink()
            else:
                note.write_text(json.dumps([max(now, furthest), fruitless]), encoding="utf-8")
        except (OSError, ValueError, TypeError):
            return now <= before  # without a memory, one start has to do
        return bool(fruitless >= MOST_FRUITLESS)

    def _fail(self, run: RunDir) -> None:
        name = run.path.name
        text = f"job {slurm_job()} reached its time limit before a further report, as did its start before"
        advice = "a larger hydra.launcher.time=MINUTES, or more frequent reports"
        record_end(SweepRun(self.number, list(self.overrides), name, name, run), "timeout", text, advice)


class Notice:
    """What Slurm has notified this job of so far."""

    def __init__(self) -> None:
        self.time_is_up = False
        self._stop = False
        self._limit = threading.Event()
        self._over = threading.Event()

    def stop_requested(self) -> bool:
        """Whether the run is to stop after its next report."""
        return self._stop

    @contextmanager
    def handled(self, seconds: float, give_up: Callable[[], None]) -> Iterator[None]:
        """Handle notices in the block; `give_up` is called if it has not ended so many seconds after the time limit."""

        def wait() -> None:
            self._limit.wait()
            if not self._over.wait(seconds):
                give_up()

        for number in NOTICES:
            signal.signal(number, self._handle)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, NOTICES)
        threading.Thread(target=wait, name="time limit", daemon=True).start()
        try:
            yield
        finally:
            self._over.set()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._stop = True
        if number == TIME_LIMIT:
            self.time_is_up = True
            self._limit.set()


def release(run: RunDir, job: str) -> None:
    """Mark a run as interrupted whose record says that it is running, in a job that Slurm says is not."""
    record = record_as_written(run)
    if record is None or record.status is not Status.RUNNING:
        return
    if record.process is not None and record.process.is_local and record.process.is_alive:
        return  # another process, on this machine
    if not record.environment or record.environment.get("slurm_job") == job:
        record.status = Status.INTERRUPTED
        run.write(record)


def record_as_written(run: RunDir | None) -> RunRecord | None:
    """The record as it was written, whether or not its process is alive; None where there is none to read."""
    try:
        return run.read_as_written() if run is not None else None
    except RecordError:
        return None


def steps_of(run: RunDir | None) -> float:
    """The step of a run's last report."""
    record = record_as_written(run)
    return (record.steps or 0.0) if record is not None else 0.0


if __name__ == "__main__":
    main(sys.argv[1])

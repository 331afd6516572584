"""What happens inside a job of the cluster: one cell, and what follows from Slurm's notices. Never imports torch.

Slurm tells a job twice that it has to go: `SIGUSR2` some time before its limit (`hydra.launcher.notice`), and SIGTERM
when it is preempted or cancelled. Either way the run stops after its epoch with a checkpoint. A job whose time is up,
or that makes room for another one, asks to be put back into the queue; its next start goes on from the checkpoint.
"""

import contextlib
import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn

from hydra.core.utils import JobStatus

from sweeps.errors import RecordError
from sweeps.launchers.console import display, showing
from sweeps.launchers.job import Setup
from sweeps.launchers.runs import Cell
from sweeps.launchers.scheduler import record_end
from sweeps.launchers.slurm.queue import SlurmError, is_preempted, requeue
from sweeps.record.provenance import slurm_job
from sweeps.record.records import RunDir, RunRecord, Status

# The signal that is sent before the time limit; submitit, which asks Slurm for it, lets a user choose another one.
TIME_IS_UP = signal.Signals[f"SIG{os.environ.get('SUBMITIT_PREEMPT_SIGNAL', 'USR2')}"]
NOTICES = (TIME_IS_UP, signal.SIGTERM)
# What a job's Python is started through: a notice that comes before its handlers are there waits for them. Without this
# it would end a process that is still importing, which takes its time on a busy file system.
HOLD_BACK = (
    "import os, signal, sys; "
    f"signal.pthread_sigmask(signal.SIG_BLOCK, {[int(number) for number in NOTICES]}); "
    "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
)
JOB = "sweeps.launchers.slurm.job"  # this module, whatever its name is when it runs
EXIT_FAILED = 1
EXIT_INTERRUPTED = 130


@dataclass(frozen=True)
class CellJob:
    """One cell, as its node gets to know it: small, since what all cells share lies in the file `setup`.

    `notice` is in seconds: between the signal and the end of the job's time.
    """

    setup: str
    folder: str
    overrides: tuple[str, ...]
    number: int
    notice: int

    def __call__(self) -> NoReturn:
        """Do the cell, or what is left of it.

        Raises:
            SystemExit: in any case; the run's record has its result. The exit codes are 0 for all well, 1 for a run
                that failed, 130 for one that was asked to stop.
        """
        run = RunDir(self.folder)
        if os.environ.get("SLURM_RESTART_COUNT", "0") != "0":
            release(run, slurm_job())  # an earlier start of this job, on a node that was lost
        epochs = _epochs(run)
        notice = Notice()
        with notice.heard(self._seconds_to_stop, lambda: self._give_up(run, epochs)):
            setup = Setup.unpack(Path(self.setup).read_bytes())
            try:
                with showing(display(notice.stop_requested)):
                    result = setup.run(self.overrides, self.number, folder=self.folder)
            except KeyboardInterrupt:
                self._leave(notice, run, epochs)
        if result.status is not JobStatus.COMPLETED:
            traceback.print_exception(result._return_value)
            raise SystemExit(EXIT_FAILED)
        raise SystemExit(0)

    @property
    def _seconds_to_stop(self) -> float:
        """How long a run may go on with its epoch after the notice; what is left is for the requeue."""
        return max(self.notice / 2, self.notice - 30)

    def _leave(self, notice: "Notice", run: RunDir, epochs: int) -> NoReturn:
        job = slurm_job()  # not SLURM_JOB_ID: that of an array's last task stands for the whole array
        if notice.time_is_up and self._is_stuck(run, epochs):
            self._fail(run)
            raise SystemExit(EXIT_FAILED)
        if notice.time_is_up or is_preempted(job):
            # said before it happens: Slurm then ends this process at once
            print(f"job {job} goes back to the queue; its run resumes after its last epoch", flush=True)
            try:
                requeue(job)
            except SlurmError as error:
                print(f"job {job} cannot be requeued, its run needs a new one: {error}", file=sys.stderr)
        raise SystemExit(EXIT_INTERRUPTED)

    def _give_up(self, run: RunDir, epochs: int) -> None:
        """The epoch does not end in time. What earlier epochs have done is kept and gone on from."""
        if not self._is_stuck(run, epochs):
            with contextlib.suppress(SlurmError):
                requeue(slurm_job())
            return  # Slurm ends this process
        self._fail(run)
        os._exit(EXIT_FAILED)

    def _is_stuck(self, run: RunDir, epochs: int) -> bool:
        """Whether neither this start, which began with so many `epochs`, nor the one before has done another one."""
        now, note = _epochs(run), Path(self.setup).parent / f"{run.path.name}.stalled"
        try:
            stuck = now == epochs and note.exists() and note.read_text(encoding="utf-8") == str(now)
            if now == epochs and not stuck:
                note.write_text(str(now), encoding="utf-8")
            else:
                note.unlink(missing_ok=True)
        except OSError:
            return now == epochs  # without a memory, one start has to do
        return stuck

    def _fail(self, run: RunDir) -> None:
        name = run.path.name
        cell = Cell(self.number, list(self.overrides), name, name, run)
        text = f"job {slurm_job()} reached its time limit before an epoch was over, as did the start before"
        record_end(cell, "timeout", text, "a larger hydra.launcher.time=MINUTES")


class Notice:
    """What Slurm has told this job so far."""

    def __init__(self) -> None:
        self.time_is_up = False
        self._stop = False
        self._told = threading.Event()
        self._over = threading.Event()

    def stop_requested(self) -> bool:
        """Whether the run is to stop after its epoch."""
        return self._stop

    @contextmanager
    def heard(self, seconds: float, give_up: Callable[[], None]) -> Iterator[None]:
        """Listen inside the block; `give_up` is called where it has not ended so many seconds after time was up."""

        def wait() -> None:
            self._told.wait()
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
        if number == TIME_IS_UP:
            self.time_is_up = True
            self._told.set()


def release(run: RunDir, job: str) -> None:
    """Say of a run that says it is running, in a job of which Slurm says that it is not, that it was interrupted."""
    record = raw_record(run)
    if record is None or record.status is not Status.RUNNING:
        return
    if record.process is not None and record.process.is_local and record.process.is_alive:
        return  # somebody else's, on this machine
    if not record.environment or record.environment.get("slurm_job") == job:
        record.status = Status.INTERRUPTED
        run.write(record)


def raw_record(run: RunDir) -> RunRecord | None:
    """The record as it was written, whether or not its process still lives; None where there is none to read."""
    try:
        return run.read_as_written()
    except RecordError:
        return None


def _epochs(run: RunDir) -> int:
    record = raw_record(run)
    return record.epochs if record is not None else 0


def main(work: str) -> NoReturn:
    """Do what this task of an array, or this job, is to do, according to the file that its submission left."""
    told = json.loads(Path(work).read_text(encoding="utf-8"))
    cells = told["cells"]
    cell = cells[int(os.environ["SLURM_ARRAY_TASK_ID"])] if len(cells) > 1 else cells[0]
    CellJob(told["setup"], cell["folder"], tuple(cell["overrides"]), cell["number"], told["notice"])()


if __name__ == "__main__":
    main(sys.argv[1])

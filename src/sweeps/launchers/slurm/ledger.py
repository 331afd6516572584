"""Which run was submitted as which job: so the command can be repeated. Never imports torch.

One small file per submission, not per run. It is written before the jobs exist, under a name that the jobs have as
well: where the parent was killed between the submission and Slurm's answer, Slurm is asked for that name.
"""

import dataclasses
import json
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sweeps.launchers.slurm.queue import Entry
from sweeps.record.files import atomic_write, make_folder, read_json
from sweeps.record.typed import typed

FOLDER = ".slurm"


@dataclass
class Submission:
    """Runs, by the names of their folders, that were submitted together; `job` is empty until Slurm has answered."""

    token: str
    runs: list[str]
    job: str = ""

    def numbers(self) -> list[str]:
        """The job of every run: a task of an array, or the job itself where there is only one."""
        return [f"{self.job}_{index}" for index in range(len(self.runs))] if len(self.runs) > 1 else [self.job]


class Ledger:
    """The submissions of one sweep, in `.slurm/` in its folder, where the logs of the jobs are as well."""

    def __init__(self, sweep: Path) -> None:
        self.folder = sweep.absolute() / FOLDER

    def begin(self, runs: Sequence[str]) -> Submission:
        """Note what is about to be submitted."""
        make_folder(self.folder)
        submission = Submission(f"{int(time.time()):x}-{secrets.token_hex(3)}", list(runs))
        self._write(submission)
        return submission

    def confirm(self, submission: Submission, job: str) -> None:
        """Slurm has given it the number `job`."""
        submission.job = job
        self._write(submission)

    def withdraw(self, submission: Submission) -> None:
        """There is no such job, and there will be none."""
        for kind in ("json", "pkl", "work", "sh"):
            self.file(submission, kind).unlink(missing_ok=True)

    def read(self) -> list[Submission]:
        """Every submission, the oldest first, without files that are damaged or of another release."""
        found = []
        for path in sorted(self.folder.glob("submission-*.json")):
            try:
                found.append(typed(Submission, read_json(path)))
            except (OSError, ValueError):
                continue
        return found

    def jobs(self, entries: Mapping[str, Entry]) -> dict[str, str]:
        """The last job of every run, in `entries` or over; one that is alive comes before one that is not."""
        last: dict[str, str] = {}
        for submission in self.read():
            if not self.is_found(submission, entries):
                continue
            for run, job in zip(submission.runs, submission.numbers(), strict=True):
                if job in entries and not is_of(submission, entries[job]):
                    continue  # another job by now: a cluster's numbers may start again
                if is_live(job, entries) or not is_live(last.get(run, ""), entries):
                    last[run] = job
        return last

    def log(self, job: str) -> Path:
        """What a job has printed."""
        return self.folder / f"{job}_0_log.out"

    def file(self, submission: Submission, kind: str) -> Path:
        """One of its files.

        `json` is the note of it, `sh` what sbatch is given, `work` what its jobs have to do, and `pkl` what they share.
        """
        return self.folder / f"submission-{submission.token}.{kind}"

    def is_found(self, submission: Submission, entries: Mapping[str, Entry]) -> bool:
        """Whether its job is known, or is found by its name: the process that submitted it may have had no answer."""
        job = submission.job or next((entry.job for entry in entries.values() if is_of(submission, entry)), "")
        if job and not submission.job:
            self.confirm(submission, job.partition("_")[0])
        return bool(job)

    def _write(self, submission: Submission) -> None:
        atomic_write(self.file(submission, "json"), json.dumps(dataclasses.asdict(submission)).encode())


def is_of(submission: Submission, entry: Entry) -> bool:
    """Whether a job belongs to a submission."""
    return entry.name.endswith(f".{submission.token}")


def is_live(job: str, entries: Mapping[str, Entry]) -> bool:
    """Whether a job waits or runs."""
    return job in entries and not entries[job].is_over

"""From runs to jobs of Slurm: one array, with a task for each. Never imports torch.

What the tasks do is in files that exist before the jobs do: no job waits for a file that the parent, killed meanwhile,
could not write.
"""

import json
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from omegaconf import OmegaConf

from sweeps.errors import ConfigError
from sweeps.launchers.job import JobSetup
from sweeps.launchers.local.slots import check_count
from sweeps.launchers.runs import SweepRun
from sweeps.launchers.signals import hold_back_signals
from sweeps.launchers.slurm.job import HOLD_BACK, TIME_LIMIT, work_of
from sweeps.launchers.slurm.ledger import Ledger, Submission
from sweeps.launchers.slurm.queue import Queue
from sweeps.record.files import atomic_write

SLACK = 60  # seconds by which Slurm may send the notice too early: it looks at its jobs no more often
ON_INTERRUPT = ("leave", "cancel")
THREADS = 'export OMP_NUM_THREADS="${SLURM_CPUS_PER_TASK:-1}"'  # torch would take every core that it sees


@dataclass(frozen=True)
class Options:
    """What a user may set of `hydra/launcher=slurm`; explained in `hydra_plugins.sweeps.plugins`."""

    array_parallelism: int = 256
    partition: str | None = None
    time: int = 60
    cpus: int | None = None
    gpus_per_node: int | None = None
    memory: str | None = None
    qos: str | None = None
    constraint: str | None = None
    account: str | None = None
    setup: Sequence[str] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)
    notice: int = 120
    on_interrupt: str = "leave"
    poll: float = 5.0

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Self:
        """The options as Hydra passes them."""
        plain: dict[str, Any] = {
            key: OmegaConf.to_object(one) if OmegaConf.is_config(one) else one for key, one in options.items()
        }
        return cls(**plain)

    @property
    def of_sbatch(self) -> dict[str, Any]:
        """Options of sbatch that are decided here, `extra` apart; those that are None are left out.

        Some belong to each submission: `Submitter` adds them. With others a job would be more than one process.
        """
        of_submission = ("job-name", "array", "output", "error")
        of_several = ("ntasks", "ntasks-per-node", "gpus", "gpus-per-task", "no-requeue")
        return dict.fromkeys((*of_submission, *of_several)) | {
            "nodes": 1,
            "time": self.time,
            "signal": f"{TIME_LIMIT.name.removeprefix('SIG')}@{self.notice}",
            "requeue": True,
            "open-mode": "append",
            "partition": self.partition,
            "qos": self.qos,
            "constraint": self.constraint,
            "account": self.account,
            "gpus-per-node": self.gpus_per_node,
            "cpus-per-task": self.cpus,
            "mem": self.memory,
        }

    def __post_init__(self) -> None:
        for key in ("array_parallelism", "time", "cpus", "notice"):
            check_count(key, getattr(self, key), 1)
        check_count("gpus_per_node", self.gpus_per_node, 0)
        if (self.gpus_per_node or 0) > 1:
            raise ConfigError(
                f"hydra.launcher.gpus_per_node={self.gpus_per_node} is invalid: a run uses one GPU, the others would "
                "idle; use 1, or the local launcher inside one allocation to share a whole node among runs"
            )
        if self.on_interrupt not in ON_INTERRUPT:
            raise ConfigError(
                f"hydra.launcher.on_interrupt={self.on_interrupt} is invalid: {' or '.join(ON_INTERRUPT)}"
            )
        if not self.poll > 0:
            raise ConfigError(f"hydra.launcher.poll={self.poll} is invalid: a number of seconds above 0")
        object.__setattr__(self, "extra", {key.replace("_", "-"): value for key, value in self.extra.items()})
        if decided := [key for key in self.extra if key in self.of_sbatch]:
            raise ConfigError(
                f"hydra.launcher.extra={{{decided[0]}: {self.extra[decided[0]]}}} is invalid: the launcher decides it, "
                "for jobs of one process each that are requeued until their run is done; where the launcher has an "
                "option for it, such as time, cpus, memory or gpus_per_node, use that"
            )
        if self.notice + SLACK >= self.time * 60:
            raise ConfigError(
                f"hydra.launcher.notice={self.notice} (seconds) is invalid with hydra.launcher.time={self.time} "
                f"(minutes): Slurm may send the notice {SLACK} s early, which leaves no time to train; use "
                f"hydra.launcher.time={(self.notice + SLACK) // 60 + 1} or more"
            )


@dataclass(frozen=True)
class Submitter:
    """Submits runs of one sweep. Each submission has files of its own.

    So repeating the command, perhaps with other settings, changes nothing for the jobs that still wait.
    """

    sweep: str
    queue: Queue
    ledger: Ledger
    setup: JobSetup
    options: Options

    def __call__(self, submission: Submission, runs: Sequence[SweepRun]) -> str:
        """Submit runs together; returns the number of the job, or of the array that has a task for each.

        Raises:
            SlurmError: it does not answer, or accepts no more jobs, or none like these.
        """
        setup, work, script = (self.ledger.file(submission, kind) for kind in ("pkl", "work", "sh"))
        atomic_write(setup, self.setup.pack(), private=True)
        atomic_write(work, json.dumps(work_of(setup, self.options.notice, runs)).encode(), private=True)
        atomic_write(script, self._script(submission, len(runs)).encode())
        with hold_back_signals():  # Ctrl-C must not interrupt between the submission and its answer
            return self.queue.submit(script)

    def _script(self, submission: Submission, tasks: int) -> str:
        options = self.options
        log = str(self.ledger.folder / f"{'%A_%a' if tasks > 1 else '%j'}_%t_log.out")
        parameters = {
            **options.of_sbatch,
            "job-name": f"{re.sub(r'[^A-Za-z0-9._-]+', '-', self.sweep)}.{submission.token}",
            "array": f"0-{tasks - 1}%{min(tasks, options.array_parallelism)}" if tasks > 1 else None,
            "output": log.replace("%t", "0"),
            **options.extra,
        }
        lines = [
            f"#SBATCH --{key}" if value is True else f"#SBATCH --{key}={shlex.quote(str(value))}"
            for key, value in sorted(parameters.items())
            if value is not None and value is not False
        ]
        # A step of a job no longer inherits the job's cores (since Slurm 22.05), and must not overwrite the log of an
        # earlier start.
        step = ["srun", "--unbuffered", "--output", log, "--open-mode=append"]
        step += [f"--cpus-per-task={options.cpus}"] if options.cpus else []
        python = [sys.executable, "-c", HOLD_BACK, "-u", "-m", "sweeps.launchers.slurm.job"]
        command = shlex.join([*step, *python, str(self.ledger.file(submission, "work"))])
        return "\n".join(["#!/bin/bash", *lines, "", THREADS, *options.setup, command, ""])

"""One sweep, disturbed again and again and then left alone until it is complete."""

import contextlib
import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from sweeps.errors import RecordError

from . import slurm
from .modes import SWEEP
from .processes import PATIENCE, Forked, ForkServer, send, session_members, survivors_of, wait_until, workers_of
from .witness import Witness

OF_ONE_PROCESS = ("SIGKILL", "SIGKILL", "SIGSTOP, SIGCONT", "SIGSTOP, SIGKILL", "SIGTERM", "SIGINT", "two signals")
OF_A_POOL = (
    *("SIGKILL a worker", "SIGKILL all workers", "SIGKILL the parent", "SIGKILL the group", "SIGTERM a worker"),
    *("SIGSTOP, SIGCONT", "SIGSTOP, SIGKILL", "SIGTERM", "SIGINT", "two signals"),
)
DISK_FULL = "disk full"
CALM = 3  # undisturbed starts within which a sweep has to end


class Disk:
    """A disk that can be full: a file system of its own, in memory; a context manager that takes it away again.

    Raises:
        OSError: this user may not mount one.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ballast = path / "ballast"
        path.mkdir(parents=True)
        command = ["mount", "-t", "tmpfs", "-o", f"size={64 * 2**20}", "chaos", str(path)]
        if subprocess.run(command, capture_output=True, check=False).returncode != 0:
            raise PermissionError("only root may mount a file system; under `unshare -rm` everybody is")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run(["umount", "--lazy", str(self.path)], check=False)

    def fill(self, room: int) -> None:
        """Leave `room` bytes."""
        with self._ballast.open("wb", buffering=0) as file:
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(2**16))
            os.truncate(file.fileno(), max(0, file.tell() - room))

    def free(self) -> None:
        """Give the room back."""
        self._ballast.unlink(missing_ok=True)


@dataclass
class Torment:
    """Starts a sweep until it is complete, and disturbs it up to `limit` times on the way.

    `kills` counts what was done, as (kind, phase); `faults` are what should not be, in words. What a comparison finds
    is not in them.
    """

    folder: Path
    arguments: Sequence[str]
    limit: int
    dice: random.Random
    starter: ForkServer
    disk: Disk | None
    say: Callable[[str], None]
    kills: Counter[tuple[str, str]] = field(default_factory=Counter)
    starts: int = 0
    faults: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.sweep = self.folder / "multirun" / SWEEP
        self._witness = Witness(self.sweep)
        self._kinds = self._all_kinds()

    def _all_kinds(self) -> Iterator[str]:
        """What to do next, for ever; each kind as often as any other."""
        if "hydra/launcher=slurm" in self.arguments:
            kinds = (*slurm.KINDS, "SIGKILL the parent")
        else:
            kinds = OF_ONE_PROCESS if "hydra.launcher.workers=0" in self.arguments else OF_A_POOL
        kinds = (*kinds, *((DISK_FULL,) if self.disk else ()))
        dice = random.Random(self.dice.random())  # its own: how often the other is thrown depends on the clock
        while True:
            yield from dice.sample(kinds, len(kinds))

    def until_complete(self) -> None:
        """Start it again and again."""
        sessions, calm, code = [], 0, -1
        while code != 0 and calm < CALM:
            calm = calm + 1 if self.kills.total() >= self.limit else 0
            process = self.starter(self.folder, self.arguments)
            sessions.append(process.pid)
            self.starts += 1
            code = self._one_start(process)
        if code != 0:
            self.faults.append(f"left alone, it ends with {code}: see {self.folder / 'output.txt'}")
        self._witness.look()
        self.faults += [f"{name}: written again after it was finished" for name in self._witness.meddled()]
        self.faults += [f"process {kin.pid} is left: {kin.command}" for kin in survivors_of(sessions)]

    def _one_start(self, process: Forked) -> int:
        """Follow one start of the command to its end, natural or not; returns its exit code."""
        try:
            self._disturb_it(process)
            return process.wait(PATIENCE)
        except (TimeoutError, subprocess.TimeoutExpired):
            self.faults.append(f"it hangs: see {self.folder / 'output.txt'}")
        except RecordError as error:
            self.faults.append(f"torn: {error}")
        finally:
            if self.disk is not None:
                self.disk.free()
        send(process.pid, signal.SIGKILL, group=True)
        return process.wait()

    def _disturb_it(self, process: Forked) -> None:
        self._witness.begin(process.pid)
        while self.kills.total() < self.limit and self._wait(process):
            kind, phase = next(self._kinds), self._witness.phase()
            goes_on = self._disturb(process, kind)
            if goes_on is None:
                break
            self.kills[kind, phase] += 1
            self.say(f"{kind}, {phase}: {self._witness.look()} reports done")
            if not goes_on:
                break

    def _wait(self, process: Forked) -> bool:
        """Wait for a moment; False if the process ended before. Most moments come after new work is on the disk."""
        aim = self.dice.random()
        reports, finished = self._witness.look(), self._witness.count()
        is_time: Callable[[], object] = lambda: True  # noqa: E731
        if aim < 0.12:  # while it starts, composes, checks
            pause = self.dice.uniform(0, 3)
        elif aim < 0.24:  # when a run has just ended
            pause = self.dice.uniform(0, 0.1)
            is_time = lambda: self._witness.look() >= 0 and self._witness.count() > finished  # noqa: E731
        else:
            pause = self.dice.uniform(0, 0.4)
            goal = reports + self.dice.randint(1, 3)
            is_time = lambda: self._witness.look() >= goal  # noqa: E731
        return _reach(process, is_time) and _lasts(process, pause)

    def _disturb(self, process: Forked, kind: str) -> bool | None:
        """Whether the command goes on, after its fashion; None if it, or what it was aimed at, ended before."""
        pid, dice = process.pid, self.dice
        if kind in slurm.KINDS:
            return _reach(process, lambda: slurm.strike(kind, self.sweep, dice)) or None
        if "worker" in kind:
            return self._workers(process, signal.SIGTERM if "SIGTERM" in kind else signal.SIGKILL, all="all" in kind)
        if kind == DISK_FULL:
            assert self.disk is not None
            self.disk.fill(dice.choice((0, 0, 2**13, 2**17, 2**19)))
            _lasts(process, dice.uniform(1, 4))
            stays = dice.random() < 0.5  # full until it gives up, or with room again while it is at work
            if not stays:
                self.disk.free()
            return not stays
        group = kind.endswith("group") or (kind.startswith("SIGSTOP") and dice.random() < 0.5) or kind == "SIGINT"
        if kind.startswith("SIGSTOP"):
            others = [kin.pid for kin in session_members(pid)]
            target = pid if group or not others else dice.choice(others)
            if not send(target, signal.SIGSTOP, group=group):
                return None
            time.sleep(dice.uniform(0.2, 3))
            ends = kind.endswith("SIGKILL")
            send(target, signal.SIGKILL if ends else signal.SIGCONT, group=group)
            return target != pid if ends else True
        if kind == "two signals":
            if not send(pid, dice.choice((signal.SIGINT, signal.SIGTERM)), group=True):
                return None
            time.sleep(dice.uniform(0, 0.5))
            send(pid, dice.choice((signal.SIGINT, signal.SIGTERM)))
            return False
        number = signal.SIGKILL if kind.startswith("SIGKILL") else getattr(signal, kind)
        return False if send(pid, number, group=group) else None

    def _workers(self, process: Forked, number: int, *, all: bool) -> bool | None:
        """Hit one, or all, as soon as there is one."""
        while _reach(process, lambda: workers_of(process.pid)):
            workers = workers_of(process.pid)
            aimed_at = workers if all or not workers else [self.dice.choice(workers)]
            if sum(send(worker, number) for worker in aimed_at):
                return True
        return None


def _reach(process: Forked, is_time: Callable[[], Any]) -> bool:
    """Wait until it is time; False if the process ended before."""
    wait_until(lambda: process.poll() is not None or is_time(), "progress")
    return process.poll() is None


def _lasts(process: Forked, seconds: float) -> bool:
    """Wait so long; False if the process ended before."""
    moment = time.monotonic() + seconds
    return _reach(process, lambda: time.monotonic() >= moment)

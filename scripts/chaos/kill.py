"""One sweep, disturbed again and again and then left alone until it is complete."""

import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sweeps.errors import RecordError

from .disk import Disk
from .modes import GRID, SWEEP
from .processes import PATIENCE, Kin, send, session_members, survivors_of, wait_until, workers_of
from .starts import Process, Starter, start
from .witness import Witness

OF_ONE_PROCESS = ("SIGKILL", "SIGKILL", "SIGSTOP, SIGCONT", "SIGSTOP, SIGKILL", "SIGTERM", "SIGINT", "two signals")
OF_A_POOL = (
    "SIGKILL a worker",
    "SIGKILL all workers",
    "SIGKILL the parent",
    "SIGKILL the group",
    "SIGSTOP, SIGCONT",
    "SIGSTOP, SIGKILL",
    "SIGTERM a worker",
    "SIGTERM",
    "SIGINT",
    "two signals",
)
DISK_FULL = "disk full"
CALM = 3  # undisturbed starts within which a sweep has to end


@dataclass
class Outcome:
    """What was done to one sweep, and what should not be. `kills` counts (kind, phase)."""

    folder: Path
    kills: Counter[tuple[str, str]] = field(default_factory=Counter)
    starts: int = 0
    meddled: list[str] = field(default_factory=list)
    survivors: list[Kin] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    @property
    def may_have_failed_a_run(self) -> bool:
        """Whether something was done that ends a run and not the command."""
        return any(kind == DISK_FULL or "worker" in kind for kind, _ in self.kills)

    def all_faults(self) -> list[str]:
        """Everything that should not be, in words; what a comparison finds is not in it."""
        found = [*self.faults, *(f"{name}: written again after it was finished" for name in self.meddled)]
        return found + [f"process {kin.pid} is left: {kin.command}" for kin in self.survivors]


def torment(
    folder: Path,
    arguments: Sequence[str],
    *,
    kills: int,
    dice: random.Random,
    starter: Starter = start,
    disk: Disk | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Outcome:
    """Start a sweep until it is complete, and disturb it up to `kills` times on the way."""
    return _Torment(folder, arguments, kills, dice, starter, disk, say).until_complete()


class _Torment:
    def __init__(
        self,
        folder: Path,
        arguments: Sequence[str],
        kills: int,
        dice: random.Random,
        starter: Starter,
        disk: Disk | None,
        say: Callable[[str], None],
    ) -> None:
        self.folder, self.arguments, self.limit = folder, arguments, kills
        self.dice, self.starter, self.disk, self.say = dice, starter, disk, say
        self.outcome = Outcome(folder / "multirun" / SWEEP)
        self.witness = Witness(self.outcome.folder)
        self.kinds = self._kinds("hydra.launcher.workers=0" not in arguments)

    def _kinds(self, has_pool: bool) -> Iterator[str]:
        """What to do next, for ever; each kind as often as any other."""
        kinds = (*(OF_A_POOL if has_pool else OF_ONE_PROCESS), *((DISK_FULL,) if self.disk else ()))
        dice = random.Random(self.dice.random())  # its own: how often the other is thrown depends on the clock
        while True:
            yield from dice.sample(kinds, len(kinds))

    def until_complete(self) -> Outcome:
        """Start it again and again."""
        sessions, calm, code = [], 0, -1
        while code != 0 and calm < CALM:
            calm = calm + 1 if self.outcome.kills.total() >= self.limit else 0
            process = self.starter(self.folder, self.arguments)
            sessions.append(process.pid)
            self.outcome.starts += 1
            code = self._one_start(process)
        if code != 0:
            self.outcome.faults.append(f"left alone, it ends with {code}: see {self.folder / 'output.txt'}")
        self.witness.look()
        self.outcome.meddled = self.witness.meddled()
        self.outcome.survivors = survivors_of(sessions)
        return self.outcome

    def _one_start(self, process: Process) -> int:
        """Follow one start of the command to its end, natural or not; returns its exit code."""
        try:
            self._disturb_it(process)
            return process.wait(PATIENCE)
        except (TimeoutError, subprocess.TimeoutExpired):
            self.outcome.faults.append(f"it hangs: see {self.folder / 'output.txt'}")
        except RecordError as error:
            self.outcome.faults.append(f"torn: {error}")
        finally:
            if self.disk is not None:
                self.disk.free()
        send(process.pid, signal.SIGKILL, group=True)
        return process.wait()

    def _disturb_it(self, process: Process) -> None:
        self.witness.begin(process.pid)
        while self.outcome.kills.total() < self.limit and self._wait(process):
            kind, phase = next(self.kinds), self.witness.phase()
            goes_on = self._disturb(process, kind)
            if goes_on is None:
                break
            self.outcome.kills[kind, phase] += 1
            self.say(f"{kind}, {phase}: {self.witness.look()} reports done")
            if not goes_on:
                break

    def _wait(self, process: Process) -> bool:
        """Wait for a moment; False if the process ended before. Most moments come after new work is on the disk."""
        aim = self.dice.random()
        reports, finished = self.witness.look(), self.witness.count()
        if aim < 0.12:  # while it starts, composes, checks
            pause = self.dice.uniform(0, 3)
        elif aim < 0.24:  # when a run has just ended
            pause = self.dice.uniform(0, 0.1)
            if not _reach(process, lambda: self.witness.look() >= 0 and self.witness.count() > finished):
                return False
        else:
            pause = self.dice.uniform(0, 0.4)
            goal = reports + self.dice.randint(1, 3)
            if not _reach(process, lambda: self.witness.look() >= goal):
                return False
        moment = time.monotonic() + pause
        return _reach(process, lambda: time.monotonic() >= moment)

    def _disturb(self, process: Process, kind: str) -> bool | None:
        """Whether the command goes on, after its fashion; None if it, or what it was aimed at, ended before."""
        pid, dice = process.pid, self.dice
        if "worker" in kind:
            return self._workers(process, signal.SIGTERM if "SIGTERM" in kind else signal.SIGKILL, all="all" in kind)
        if kind == DISK_FULL:
            assert self.disk is not None
            self.disk.fill(dice.choice((0, 0, 2**13, 2**17, 2**19)))
            _reach(process, lambda: False, patience=dice.uniform(1, 4))
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

    def _workers(self, process: Process, number: int, *, all: bool) -> bool | None:
        """Hit one, or all, as soon as there is one."""
        while _reach(process, lambda: workers_of(process.pid)):
            workers = workers_of(process.pid)
            if all:
                hit = [send(worker, number) for worker in workers]
            else:
                hit = [send(self.dice.choice(workers), number)] if workers else []
            if any(hit):
                return True
        return None


def _reach(process: Process, is_time: Callable[[], object], patience: float | None = None) -> bool:
    """Wait until it is time; False if the process ended before."""
    try:
        wait_until(lambda: process.poll() is not None or is_time(), "progress", patience or PATIENCE)
    except TimeoutError:
        if patience is None:
            raise
    return process.poll() is None


def undisturbed(folder: Path, arguments: Sequence[str] = GRID, starter: Starter = start) -> Path:
    """Do the sweep once in peace; returns its folder."""
    code = starter(folder, arguments).wait(PATIENCE)
    if code != 0:
        raise AssertionError(f"undisturbed, the sweep ends with exit code {code}: see {folder / 'output.txt'}")
    return folder / "multirun" / SWEEP

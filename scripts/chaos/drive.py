"""Sweeps of every mode, one after another, each compared with its reference."""

import contextlib
import random
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sweeps.record.records import find_runs

from .compare import compare
from .kill import DISK_FULL, Disk, Torment
from .modes import MODES, SLURM, SWEEP, VISION, App, Mode
from .processes import PATIENCE, ForkServer

MOST_OF_ONE = 45  # kills of one sweep; fewer where all ways to sweep are to have theirs
WITH_A_DISK = 0.5  # so many of the sweeps lie on a disk of their own, which can be full


@dataclass
class Done:
    """One sweep that was disturbed, finished and compared."""

    app: App
    mode: Mode
    workers: int
    kills: Counter[tuple[str, str]]
    starts: int
    attempts: list[int]  # how often each run was started
    faults: list[str]
    seconds: float

    @property
    def name(self) -> str:
        """Under which it is counted."""
        return self.mode.name if self.app is VISION else f"{self.app.name}: {self.mode.name}"

    def counts(self) -> dict[str, Any]:
        """What is added to the counts of its mode."""
        kills: dict[str, dict[str, int]] = {}
        for (kind, phase), count in self.kills.items():
            kills.setdefault(kind, {})[phase] = count
        return {
            "kills": kills,
            "placed": {"in workers" if self.workers else "in the parent": self.kills.total()},
            "starts": self.starts,
            "sweeps": 1,
            "runs": len(self.attempts),
            "attempts": sum(self.attempts),
            "faults": self.faults,
            "seconds": round(self.seconds, 1),
        }


@dataclass
class Driver:
    """Does so many kills below `output`, and yields sweep by sweep."""

    output: Path
    starter: ForkServer
    seed: int
    say: Callable[[str], None]
    modes: Sequence[Mode] = tuple(MODES.values())
    with_a_disk: float = WITH_A_DISK
    app: App = VISION
    done: Counter[tuple[str, int]] = field(default_factory=Counter)

    def until(self, kills: int) -> Iterator[Done]:
        """Disturb until there are so many kills. Every mode gets its share."""
        shares = {
            (mode, workers): mode.share_with(workers)
            for mode in self.modes
            for workers in mode.workers
            if mode.share_with(workers)
        }
        number, most = 0, min(MOST_OF_ONE, max(5, kills // len(shares)))
        while (left := kills - self.done.total()) > 0:
            number += 1
            behind = {
                one: share * kills / sum(shares.values()) - self.done[one[0].name, one[1]]
                for one, share in shares.items()
            }
            mode, workers = max(behind, key=lambda one: behind[one])
            dice = random.Random(f"{self.seed} {number}")
            yield self.one(number, mode, workers, min(left, dice.randint(most // 2 + 1, most)), dice)

    def one(self, number: int, mode: Mode, workers: int, kills: int, dice: random.Random) -> Done:
        """One sweep, with at most so many kills."""
        reference, began = self._reference(mode), time.monotonic()
        folder = self.output / f"{number}-{_as_name(mode)}-{workers}"
        with contextlib.ExitStack() as stack:
            disk = None
            if dice.random() < self.with_a_disk and mode is not SLURM:
                try:
                    disk = stack.enter_context(Disk(folder / "multirun"))
                except OSError as error:
                    self.say(f"{DISK_FULL} is left out: {error}")
            title = f"{mode.name}, workers={workers}{', own disk' if disk else ''}"
            self.say(f"{folder.name}: {title}, up to {kills} kills")
            torment = Torment(
                folder,
                mode.arguments(workers, self.app),
                kills,
                dice,
                self.starter,
                disk,
                say=lambda text: self.say(f"  {text}"),
            )
            torment.until_complete()
            may_have_failed_a_run = any(kind == DISK_FULL or "worker" in kind for kind, _ in torment.kills)
            bits = mode.bits and not (mode.in_order and may_have_failed_a_run)
            differences = compare(torment.sweep, reference, bits=bits)
            faults = [f"{folder.name}: {text}" for text in (*torment.faults, *differences)]
            attempts = [run.read().attempts for run in find_runs(torment.sweep)] if torment.sweep.is_dir() else []
            if faults and disk is not None:
                shutil.copytree(disk.path, folder / "kept")
        self.done[mode.name, workers] += max(1, torment.kills.total())
        for text in faults:
            self.say(f"  FAULT {text}")
        seconds = time.monotonic() - began
        return Done(self.app, mode, workers, torment.kills, torment.starts, attempts, faults, seconds)

    def _reference(self, mode: Mode) -> Path:
        """The sweep of a mode that nobody disturbed; in one process, also where it is compared with a pool's."""
        if mode.like:
            mode = replace(MODES[mode.like], reports=mode.reports, limit=mode.limit)
        folder = self.output / f"undisturbed-{_as_name(mode)}"
        if not folder.exists():
            undisturbed(folder, mode.arguments(min(mode.workers), self.app), self.starter)
        return folder / "multirun" / SWEEP


def undisturbed(folder: Path, arguments: Sequence[str], starter: ForkServer) -> Path:
    """Do the sweep once in peace; returns its folder."""
    code = starter(folder, arguments).wait(PATIENCE)
    if code != 0:
        raise AssertionError(f"undisturbed, the sweep ends with exit code {code}: see {folder / 'output.txt'}")
    return folder / "multirun" / SWEEP


def _as_name(mode: Mode) -> str:
    return mode.name.replace(", ", "-").replace(" ", "-")

"""Sweeps of every mode, one after another, each compared with its reference."""

import random
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sweeps.record.records import find_runs

from .compare import compare
from .disk import Disk
from .kill import Outcome, torment, undisturbed
from .modes import MODES, VISION, App, Mode
from .starts import Starter

MOST_OF_ONE = 45  # kills of one sweep; fewer where all ways to sweep are to have theirs
WITH_A_DISK = 0.5  # so many of the sweeps lie on a disk of their own, which can be full


@dataclass
class Done:
    """One sweep that was tormented, finished and compared."""

    app: App
    mode: Mode
    workers: int
    outcome: Outcome
    attempts: list[int]  # how often each run was begun
    faults: list[str]
    seconds: float

    @property
    def name(self) -> str:
        """Under which it is counted."""
        return self.mode.name if self.app is VISION else f"{self.app.name}: {self.mode.name}"

    def counts(self) -> dict[str, Any]:
        """What is added to the tally of its mode."""
        kills: dict[str, dict[str, int]] = {}
        for (kind, phase), count in self.outcome.kills.items():
            kills.setdefault(kind, {})[phase] = count
        where = "in the parent" if self.workers == 0 else "in workers"
        return {
            "kills": kills,
            "placed": {where: self.outcome.kills.total()},
            "starts": self.outcome.starts,
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
    starter: Starter
    seed: int
    say: Callable[[str], None]
    modes: Sequence[Mode] = tuple(MODES.values())
    with_a_disk: float = WITH_A_DISK
    app: App = VISION
    done: Counter[tuple[str, int]] = field(default_factory=Counter)

    def until(self, kills: int) -> Iterator[Done]:
        """Torment until there are so many kills. Every mode gets its share."""
        number, most = 0, min(MOST_OF_ONE, max(5, kills // len(self._variants)))
        while (left := kills - self.done.total()) > 0:
            number += 1
            mode, workers = self._next(kills)
            dice = random.Random(f"{self.seed} {number}")
            yield self.one(number, mode, workers, min(left, dice.randint(most // 2 + 1, most)), dice)

    @property
    def _variants(self) -> list[tuple[Mode, int]]:
        """Every mode with each of its numbers of workers."""
        pairs = [(mode, workers) for mode in self.modes for workers in mode.workers]
        return [(mode, workers) for mode, workers in pairs if mode.share_with(workers)]

    def _next(self, kills: int) -> tuple[Mode, int]:
        """What is furthest behind its share."""
        total = sum(mode.share_with(workers) for mode, workers in self._variants)
        return max(
            self._variants,
            key=lambda one: one[0].share_with(one[1]) * kills / total - self.done[one[0].name, one[1]],
        )

    def one(self, number: int, mode: Mode, workers: int, kills: int, dice: random.Random) -> Done:
        """One sweep, with at most so many kills."""
        reference, began = self._reference(mode), time.monotonic()
        folder = self.output / f"{number}-{mode.name.replace(', ', '-').replace(' ', '-')}-{workers}"
        disk = Disk.mounted(folder / "multirun") if dice.random() < self.with_a_disk else None
        title = f"{mode.name}, workers={workers}{', own disk' if disk else ''}"
        self.say(f"{folder.name}: {title}, up to {kills} kills")
        try:
            outcome = torment(
                folder,
                mode.arguments(workers, self.app),
                kills=kills,
                dice=dice,
                starter=self.starter,
                disk=disk,
                say=lambda text: self.say(f"  {text}"),
            )
            faults = [f"{folder.name}: {text}" for text in outcome.all_faults()]
            bits = mode.bits and not (mode.in_order and outcome.may_have_failed_a_run)
            faults += [f"{folder.name}: {text}" for text in compare(outcome.folder, reference, bits=bits)]
            attempts = [run.read().attempts for run in find_runs(outcome.folder)] if outcome.folder.is_dir() else []
            if faults and disk is not None:
                shutil.copytree(disk.path, folder / "kept")
        finally:
            if disk is not None:
                disk.unmount()
        self.done[mode.name, workers] += max(1, outcome.kills.total())
        for text in faults:
            self.say(f"  FAULT {text}")
        return Done(self.app, mode, workers, outcome, attempts, faults, time.monotonic() - began)

    def _reference(self, mode: Mode) -> Path:
        """The sweep of a mode that nobody disturbed; in one process, also where it is compared with a pool's."""
        folder = self.output / f"undisturbed-{mode.name.replace(', ', '-').replace(' ', '-')}"
        if not folder.exists():
            return undisturbed(folder, mode.arguments(min(mode.workers), self.app), self.starter)
        return folder / "multirun" / "chaos"

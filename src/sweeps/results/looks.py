"""The looks at a sweep, in `looks.jsonl` beside its runs: an error rate holds only if every look is counted.

Who adds seeds until a difference shows finds one where there is none. So the looks at a sweep share one error rate of
5 %, and each spends a part of it. Looking again at the same results is free. A race (`sweep.repeats=auto`) plans its
looks; one by hand spends four fifths of the 5 % if it is the first, and later ones half of what is left. Never imports
torch.
"""

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweeps.errors import RecordError
from sweeps.record.files import open_to_append, parse_json, read_bytes, to_json
from sweeps.record.records import LOOKS, SWEEP_FILES, now
from sweeps.results.inference import ALPHA

if TYPE_CHECKING:
    from sweeps.results.settings import Setting

RACE = "race"
FIRST, LATER = 0.8, 0.5  # shares of what is left that a look by hand spends
_DEPTH = 3  # folders between a run and its sweep, at most


@dataclass(frozen=True)
class Look:
    """What was looked at, and what it spent.

    `seeds` is how many seeds each stable setting had, by setting_id. `out` are the settings that left a race, each with
    the corrected p of being worse. `fresh` are seeds that confirm what was chosen, so they take no part in a choice.
    `decided` says that a race has ended with an answer.
    """

    by: str
    seeds: Mapping[str, int] = field(default_factory=dict)
    alpha: float = 0.0
    out: Mapping[str, float] = field(default_factory=dict)
    fresh: Sequence[int] = ()
    decided: bool = False

    @property
    def most(self) -> int:
        """The seeds of the settings that have the most."""
        return max(self.seeds.values(), default=0)


class Looks:
    """All looks at the sweep in `folder`; a damaged line counts as none."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / LOOKS
        self.all: list[Look] = []
        with suppress(OSError):
            for line in read_bytes(self.path).splitlines():
                with suppress(AttributeError, LookupError, TypeError, ValueError):
                    self.all.append(_parsed(parse_json(line)))

    @property
    def spent(self) -> float:
        """How much of `ALPHA` is spent; a race that takes a look again, after a failure, tests other pairs."""
        raced = {look.most: look.alpha for look in self.all if look.by == RACE}
        return min(sum(look.alpha for look in self.all if look.by != RACE) + sum(raced.values()), ALPHA)

    def out(self, most: int) -> dict[str, float]:
        """The settings that left a race with so many seeds at most, with their corrected p."""
        return {setting_id: p for look in self.all if look.most <= most for setting_id, p in look.out.items()}

    @property
    def fresh(self) -> set[int]:
        """The seeds that confirm a choice."""
        return {seed for look in self.all for seed in look.fresh}

    @property
    def at_results(self) -> list[Look]:
        """Those at which something was to be compared."""
        return [look for look in self.all if look.seeds]

    @property
    def has_race(self) -> bool:
        """Whether the sweep is a race, even one that has not come to a look."""
        return any(look.by == RACE for look in self.all)

    def find(self, seeds: Mapping[str, int], by: str = "") -> Look | None:
        """The look at exactly these seeds; of a race alone, if it is asked for."""
        known = (look for look in reversed(self.all) if look.seeds and look.seeds == seeds and by in ("", look.by))
        return next(known, None)

    def level(self, seeds: Mapping[str, int]) -> float:
        """The level of a look by hand at these seeds: what it spent before, or would spend."""
        known = self.find(seeds)
        if known is not None:
            return known.alpha
        if self.has_race:
            return 0.0  # the race has planned for all of it
        return (ALPHA - self.spent) * (LATER if self.at_results else FIRST)

    def after(self, seeds: Mapping[str, int]) -> float:
        """What the next look may spend, after one at these seeds; 0 in a race."""
        left = ALPHA - self.spent - (0.0 if self.find(seeds) else self.level(seeds))
        return 0.0 if self.has_race else max(left, 0.0) * LATER

    def add(self, look: Look) -> None:
        """Append a line.

        Raises:
            RecordError: the folder cannot be written, or the file is a link.
        """
        line = (to_json({"at": now(), **asdict(look)}) + "\n").encode()
        try:
            with open_to_append(self.path) as file:
                if (size := file.seek(0, os.SEEK_END)) and os.pread(file.fileno(), 1, size - 1) != b"\n":
                    line = b"\n" + line  # a torn line stays one line
                file.write(line)
                os.fsync(file.fileno())
        except OSError as error:
            raise RecordError(f"cannot write {self.path}: {error.strerror}") from error
        self.all.append(look)


def _parsed(line: Any) -> Look:
    def numbers(key: str, most: float) -> dict[str, Any]:
        found = {str(name): min(max(value, 0), most) for name, value in (line.get(key) or {}).items()}
        if not all(map(math.isfinite, found.values())):
            raise ValueError("no number")
        return found

    fresh = tuple(int(seed) for seed in line.get("fresh") or ())
    alpha = float(line["alpha"])
    if not math.isfinite(alpha):
        raise ValueError("no number")
    decided = line.get("decided") is True
    return Look(
        str(line["by"]), numbers("seeds", 1_000_000), min(max(alpha, 0.0), ALPHA), numbers("out", 1.0), fresh, decided
    )


def looks_at(settings: "Iterable[Setting]") -> list[Looks]:
    """The looks at each sweep that runs of these settings belong to."""
    return [Looks(folder) for folder in sweeps_of(row.path for one in settings for row in one.runs)]


def seeds_of(settings: "Iterable[Setting]") -> dict[str, int]:
    """How many seeds each setting has that can be compared; see `Look`."""
    return {one.setting_id: one.n for one in settings if one.is_sound}


def level_of(settings: "Sequence[Setting]") -> float:
    """What a look at these settings may spend, or has spent; 0 where nothing is left."""
    seeds = seeds_of(settings)
    return min((looks.level(seeds) for looks in looks_at(settings)), default=ALPHA)


def note_look(settings: "Sequence[Setting]", *, final: bool = False) -> None:
    """Count what is shown of these settings as a look in each of their sweeps, unless it is a race.

    A table of a sweep that has unfinished runs is preliminary and does not count, but for what is `final`: an answer.
    Nothing is written where there is nothing to compare, nor into a folder that cannot be written.
    """
    seeds = seeds_of(settings)
    if len(seeds) < 2 or (not final and any(row.is_unfinished for one in settings for row in one.runs)):
        return
    level = level_of(settings)
    for looks in looks_at(settings):
        if not looks.has_race and looks.find(seeds) is None:
            with suppress(RecordError):
                looks.add(Look("reader", seeds, level))


def sweeps_of(paths: Iterable[Path]) -> list[Path]:
    """The folders of the sweeps that runs in these folders belong to; none for single runs."""
    find = lru_cache(maxsize=None)(_sweep_of)
    return [place for place in dict.fromkeys(find(path.parent) for path in paths) if place is not None]


def _sweep_of(folder: Path) -> Path | None:
    places = [folder, *folder.parents][:_DEPTH]
    return next((place for place in places if any((place / name).is_file() for name in SWEEP_FILES)), None)

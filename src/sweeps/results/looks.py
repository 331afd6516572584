"""The looks at a sweep, in `looks.jsonl` beside its runs: an error rate holds only if every look is counted.

Who adds seeds until a difference shows finds one where there is none. So the looks at a sweep share one error rate of
5 %, and each spends a part of it. Looking again at the same results is free. A race (`sweep.repeats=auto`) plans its
looks; one by hand spends four fifths of the 5 % if it is the first, and later ones half of what is left. Never imports
torch.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
    """

    by: str
    seeds: Mapping[str, int] = field(default_factory=dict)
    alpha: float = 0.0
    out: Mapping[str, float] = field(default_factory=dict)
    fresh: Sequence[int] = ()


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
        """How much of `ALPHA` is spent."""
        return min(sum(look.alpha for look in self.all), ALPHA)

    @property
    def out(self) -> dict[str, float]:
        """The settings that left a race, with their corrected p."""
        return {setting_id: p for look in self.all for setting_id, p in look.out.items()}

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

    def find(self, seeds: Mapping[str, int]) -> Look | None:
        """The look at exactly these seeds."""
        return next((look for look in reversed(self.all) if look.seeds and look.seeds == seeds), None)

    def level(self, seeds: Mapping[str, int]) -> float:
        """The level of a look by hand at these seeds: what it spent before, or would spend."""
        known = self.find(seeds)
        if known is not None:
            return known.alpha
        if self.has_race:
            return 0.0  # the race has planned for all of it
        return (ALPHA - self.spent) * (LATER if self.at_results else FIRST)

    def add(self, look: Look) -> None:
        """Append a line.

        Raises:
            OSError: the folder cannot be written, or the file is a link.
        """
        with open_to_append(self.path) as file:
            file.write((to_json({"at": now(), **asdict(look)}) + "\n").encode())
            os.fsync(file.fileno())
        self.all.append(look)


def _parsed(line: Any) -> Look:
    def numbers(key: str, most: float) -> dict[str, Any]:
        return {str(name): min(max(value, 0), most) for name, value in (line.get(key) or {}).items()}

    fresh = tuple(int(seed) for seed in line.get("fresh") or ())
    alpha = min(max(float(line["alpha"]), 0.0), ALPHA)
    return Look(str(line["by"]), numbers("seeds", 1_000_000), alpha, numbers("out", 1.0), fresh)


def looks_at(settings: "Iterable[Setting]") -> list[Looks]:
    """The looks at each sweep that runs of these settings belong to."""
    return [Looks(folder) for folder in sweeps_of(row.path for one in settings for row in one.runs)]


def seeds_of(settings: "Iterable[Setting]") -> dict[str, int]:
    """How many seeds each setting has that can be compared; see `Look`."""
    return {one.setting_id: one.n for one in settings if one.is_sound}


def note_look(settings: "Sequence[Setting]") -> None:
    """Count what is shown of these settings as a look, once nothing of them is unfinished.

    Nothing is written where there is nothing to compare, nor into a folder that cannot be written.
    """
    if any(row.is_unfinished for one in settings for row in one.runs):
        return
    for looks in looks_at(settings):
        seeds = seeds_of(one for one in settings if looks.path.parent in sweeps_of(row.path for row in one.runs))
        if len(seeds) > 1 and looks.find(seeds) is None:
            with suppress(OSError):
                looks.add(Look("reader", seeds, looks.level(seeds)))


def sweeps_of(paths: Iterable[Path]) -> list[Path]:
    """The folders of the sweeps that runs in these folders belong to; none for single runs."""
    find = lru_cache(maxsize=None)(_sweep_of)
    return [place for place in dict.fromkeys(find(path.parent) for path in paths) if place is not None]


def _sweep_of(folder: Path) -> Path | None:
    places = [folder, *folder.parents][:_DEPTH]
    return next((place for place in places if any((place / name).is_file() for name in SWEEP_FILES)), None)

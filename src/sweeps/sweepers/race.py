"""`sweep.repeats=auto`: seeds where they are needed, until it is decided which setting is the best.

All settings get a first block of seeds. Those that are shown not to be the best leave, the others get the next block,
and so on. It is decided once one is left, or once none of those left can be better than the leader by more than
`sweep.indifference`. Else the race ends with the seeds or the runs that it may have.

The looks share an error rate of 5 % (Bonferroni over the looks, in proportion to the seeds): the truly best setting
leaves in at most one race in twenty, although it was looked at so often. They are written to `looks.jsonl`. A look that
stands there is not taken again, so that a race which was interrupted goes the same way when it is repeated.

Never imports torch.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress

from rich.console import Console

from sweeps.config import SweepConfig
from sweeps.errors import ConfigError, RecordError
from sweeps.launchers.folders import Folders
from sweeps.record.identity import labels
from sweeps.record.records import RunDir
from sweeps.results.format import counted, figure, p_value, plural
from sweeps.results.inference import ALPHA, p_of_leads
from sweeps.results.looks import RACE, Look, Looks, seeds_of
from sweeps.results.runs import load
from sweeps.results.settings import BEST, NOT_BEST, Setting, judged, settings_of

BLOCK = 4  # seeds between two looks: of fewer the spread is not known well enough to show anything
FRESH = 1_000_000  # the first of the seeds that confirm: beyond all others
_MOST_SHOWN = 8  # settings that leave, by name


def seeds_of_looks(most: int) -> list[int]:
    """How many seeds each setting has at each look: 4, 8, 12 ... `most`."""
    return [*range(BLOCK, most, BLOCK), most]


class Race:
    """The settings of a sweep, and the seeds they get.

    Args:
        runs: a run of every setting, as overrides; each begins with that of its seed.
    """

    def __init__(
        self, runs: Sequence[Sequence[str]], settings: SweepConfig, folders: Folders, console: Console
    ) -> None:
        self.runs, self._settings, self._folders, self._console = runs, settings, folders, console
        self._names = labels([run[1:] for run in runs], ())
        self._ids: dict[int, str] = {}
        self._level = 0.0  # of the last look
        self._lost: list[int] = []  # settings that left because they lost seeds
        self.spent = 0  # runs of the blocks so far

    def blocks(self) -> Iterator[list[list[str]]]:
        """The runs of each block; when the next one is asked for, those of the last one have ended."""
        self._check()
        looks = Looks(self._folders.folder)
        if not looks.has_race:
            looks.add(Look(RACE))
        still, before, most = list(range(len(self.runs))), 0, self._settings.max_runs
        planned = seeds_of_looks(self._settings.max_repeats)
        for number, seeds in enumerate(planned, start=1):
            block = [self._run(at, seed) for seed in range(before, seeds) for at in still]
            if most is not None and self.spent + len(block) > most:
                self._say(f"undecided: {self._left(still)}; sweep.max_runs={most} leaves no room for the next block")
                return
            if not self._level_at(seeds, Looks(self._folders.folder)):
                self._say(
                    f"undecided: {self._left(still)}, and the looks at this sweep have spent the 5 %: further seeds "
                    "would decide nothing; start a race of another sweep.name, with the sweep.max_repeats that you want"
                )
                return
            more = f"{seeds - before} {'more ' if before else ''}seeds"
            self._say(f"race, block {number} of at most {len(planned)}: {more} of {plural(len(still), 'setting')}")
            first = self.spent
            yield block
            self.spent, before = self.spent + len(block), seeds
            self._identify(block, first)
            still = self._look(still, seeds)
            if not still:
                return
        self._say(
            f"undecided after {self.spent} runs: {self._left(still)}; sweep.indifference says which differences are "
            "too small to matter, and a race of another sweep.name may have a larger sweep.max_repeats"
        )

    def _check(self) -> None:
        """Raises a ConfigError for what is no race, or cannot be repeated."""
        settings, run = self._settings, self.runs[0]
        if len(self.runs) < 2:
            raise ConfigError(
                "sweep.repeats=auto compares settings, and there is one: sweep several, or use sweep.repeats=5"
            )
        seeds = seeds_of_looks(settings.max_repeats)[0]
        if settings.max_runs is not None and settings.max_runs < len(self.runs) * seeds:
            raise ConfigError(
                f"sweep.max_runs={settings.max_runs} is too few: {len(self.runs)} settings with {seeds} seeds each are "
                f"{len(self.runs) * seeds} runs before the first look"
            )
        if self._folders.name(run, 0) != self._folders.name(run, 1):
            raise ConfigError(
                "hydra.sweep.subdir is invalid with sweep.repeats=auto where it follows from the number of the job, "
                "which depends on the settings that leave; leave it out"
            )

    def _look(self, still: Sequence[int], seeds: int) -> list[int]:
        """The settings that are still in once all have so many seeds; none of them where it is decided."""
        found = self._judged(seeds)
        first = {self._ids[at]: at for at in reversed(still) if at in self._ids}  # of settings that are equal
        still = sorted(first.values())
        staying = [at for at in still if not _leaves(found.get(self._ids[at]))]
        leaving = [at for at in still if at not in staying]
        for at in leaving[:_MOST_SHOWN]:
            self._say(f"  out: {self._names[at]}: {_why(found.get(self._ids[at]))}")
        if len(leaving) > _MOST_SHOWN:
            self._say(f"  out: {len(leaving) - _MOST_SHOWN} more")
        self._lost += [at for at in leaving if (one := found.get(self._ids[at])) is None or one.standing != NOT_BEST]
        leader = next((at for at in staying if found[self._ids[at]].standing == BEST), None)
        if leader is None:
            self._say("undecided: no setting finished all of its seeds")
            return []
        best, name = found[self._ids[leader]], self._names[leader]
        rivals = [found[self._ids[at]] for at in staying if self._ids[at] != self._ids[leader]]
        if not rivals:
            if not any(one.standing == NOT_BEST for one in found.values()):
                self._end(f"decided after {self.spent} runs: {name} is the only one that lost no seed")
            else:
                of = " of those that lost no seed" if self._lost else ""
                self._end(f"decided after {self.spent} runs: {name} is the best{of}, with 95 % confidence")
            return []
        if self._is_close(best, rivals):
            others = "the other one left is not" if len(rivals) == 1 else f"none of the {len(rivals)} others left is"
            margin = f"{others} better by more than {self._settings.indifference:g}"
            self._end(f"decided after {self.spent} runs: {name} leads, and {margin}, with 95 % confidence")
            return []
        self._say(f"  {self._left(staying)}, led by {name} ({figure(best.mean)})")
        return staying

    def _judged(self, seeds: int) -> dict[str, Setting]:
        """The settings by their ids, as they stand with so many seeds; the look is written down."""
        looks, ids = Looks(self._folders.folder), set(self._ids.values())
        rows = [row for row in load([self._folders.folder]) if row.setting_id in ids and row.seed in range(seeds)]
        settings = settings_of(rows)  # of a race that is repeated, later seeds may be there
        state = seeds_of(settings)
        self._level = self._level_at(seeds, looks)
        found = judged(settings, self._level)
        if looks.find(state, RACE) is None:
            out = {one.setting_id: one.p or 0.0 for one in found if one.standing == NOT_BEST}
            new = {setting_id: p for setting_id, p in out.items() if setting_id not in looks.out(seeds)}
            looks.add(Look(RACE, state, self._level, new))
        return {one.setting_id: one for one in found}

    def _level_at(self, seeds: int, looks: Looks) -> float:
        """What the look at so many seeds may spend: again what it spent, if it was taken before."""
        known = [look.alpha for look in looks.all if look.by == RACE and look.most == seeds]
        planned = ALPHA * min(seeds / self._settings.max_repeats, 1.0) - looks.spent
        return max(known, default=max(planned, 0.0))

    def _is_close(self, leader: Setting, rivals: Sequence[Setting]) -> bool:
        """Whether none of its rivals is better than the leader by more than `indifference`.

        Wrong only where a rival is, and by the same chance by which that one leaves: no level is spent on it.
        """
        margin = self._settings.indifference
        if margin is None:
            return False
        ahead = {seed: gain + margin for seed, gain in leader.gains.items()}
        found = p_of_leads(ahead, [rival.gains for rival in rivals])
        return all(p is not None and p * max(len(rivals), 2) < self._level for p in found)

    def fresh(self) -> list[list[str]]:
        """Runs with fresh seeds, which confirm the best setting, and the one without any of the swept values."""
        self._identify(self.runs, 0)
        settings = {one.setting_id: one for one in judged(settings_of(load([self._folders.folder])))}
        best = next((at for at, one in self._ids.items() if one in settings and settings[one].standing == BEST), None)
        if best is None:
            self._say("nothing to confirm: no setting is called the best")
            return []
        seeds = range(FRESH, FRESH + self._settings.confirm)
        looks = Looks(self._folders.folder)
        if not looks.fresh.issuperset(seeds):
            looks.add(Look("confirm", fresh=tuple(seeds)))
        self._say(f"confirming {self._names[best]}, and the default beside it, on {plural(len(seeds), 'fresh seed')}")
        default = [part for part in self.runs[0][1:] if all(part in run for run in self.runs)]
        chosen = dict.fromkeys((tuple(self.runs[best][1:]), tuple(default)))
        return [[self._seed(seed), *rest] for seed in seeds for rest in chosen]

    def _identify(self, block: Sequence[Sequence[str]], first: int) -> None:
        """Read from their records which settings the runs of a block have."""
        at_of = {tuple(run[1:]): at for at, run in enumerate(self.runs)}
        for run, name in zip(block, self._folders.names(block, first), strict=True):
            at = at_of[tuple(run[1:])]
            if at not in self._ids:
                with suppress(RecordError):
                    self._ids[at] = RunDir(self._folders.folder / name).read().setting_id

    def _run(self, at: int, seed: int) -> list[str]:
        return [self._seed(seed), *self.runs[at][1:]]

    def _seed(self, seed: int) -> str:
        return f"{self.runs[0][0].partition('=')[0]}={seed}"

    def _end(self, line: str) -> None:
        looks = Looks(self._folders.folder)
        if not any(look.decided for look in looks.all):
            looks.add(Look(RACE, decided=True))
        self._say(line)

    def _left(self, still: Sequence[int]) -> str:
        return f"{len(still)} of {plural(len(self.runs), 'setting')} may be the best"

    def _say(self, line: str) -> None:
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)


def _leaves(one: Setting | None) -> bool:
    return one is None or one.standing == NOT_BEST or not one.is_sound


def _why(one: Setting | None) -> str:
    if one is None:
        return "it has no result"
    if not one.is_sound:
        return f"it lost seeds ({counted(Counter(row.status for row in one.runs if row.is_lost).items())})"
    return f"{figure(one.mean)}, not the best, {p_value(one.p or 0.0)}"

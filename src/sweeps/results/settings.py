"""Settings over their seeds: what each achieves, how sure that is, and which ones may be the best."""

import dataclasses
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sweeps.results.columns import Column, setting_columns, swept_columns
from sweeps.results.inference import ALPHA, Interval, holm, interval, p_of_leads
from sweeps.results.looks import level_of, looks_at
from sweeps.results.ranking import objectives
from sweeps.results.runs import Objective, RunRow

BEST, MAY_BE, NOT_BEST = "best", "may be best", "not best"
UNSTABLE, UNCERTAIN = "unstable", "not evidence"


@dataclass(frozen=True)
class Setting:
    """Runs that count as one: those that differ in nothing but their seed, or a group of `group_by`.

    `setting_id` is empty for a group. `values` are its swept settings by key (of a group, what its runs agree in),
    `shown` the same as text. `figures` are the objectives of the completed runs, `by_seed` the same by seed: a pruned
    run has the value of a shorter training, a diverged one has none. `differs_in` names the columns in which those runs
    differ. `standing` is one of the five words above (of a group "best" or empty), and `p` that of the comparison with
    the best. `fresh` are the objectives of seeds that confirm it, which took no part in its choice.
    """

    setting_id: str
    label: str
    runs: tuple[RunRow, ...]
    objective: Objective | None
    values: Mapping[str, Any] = field(default_factory=dict)
    shown: tuple[str, ...] = ()
    figures: tuple[float, ...] = ()
    by_seed: Mapping[Any, float] = field(default_factory=dict)
    differs_in: tuple[str, ...] = ("seed",)
    interval: Interval | None = None
    standing: str = UNCERTAIN
    p: float | None = None
    fresh: tuple[float, ...] = ()

    @property
    def n(self) -> int:
        """How many runs count."""
        return len(self.figures)

    @property
    def mean(self) -> float | None:
        """The mean over the seeds; None without any."""
        return mean_of(self.figures) if self.figures else None

    @property
    def std(self) -> float | None:
        """The standard deviation over the seeds (with n - 1); None below two."""
        return statistics.stdev(self.figures) if self.n > 1 else None

    @property
    def best(self) -> float | None:
        """The best value of a run."""
        return max(self.figures, key=self.objective.gain) if self.figures and self.objective else None

    @property
    def gain(self) -> float:
        """The mean, turned so that more is better; the lowest number without one."""
        ranked = self.objective is not None and self.objective.is_ranked
        return -float("inf") if not ranked or self.mean is None else self.objective.gain(self.mean)  # type: ignore[union-attr]

    @property
    def gains(self) -> dict[Any, float]:
        """Its figures by seed, turned so that more is better."""
        turn = self.objective.gain if self.objective is not None else float
        return {seed: turn(value) for seed, value in self.by_seed.items()}

    @property
    def counts(self) -> Counter[str]:
        """How many of its runs have which status."""
        return Counter(row.status for row in self.runs)

    @property
    def apart(self) -> Counter[str]:
        """The same of the runs that do not count: a mean over survivors alone flatters, so they stand beside it."""
        return Counter(row.status for row in self.runs if not row.counts)

    @property
    def lost(self) -> int:
        """How many of its runs ended without a value of a whole run: the others are survivors, and flatter it."""
        return sum(row.is_lost for row in self.runs)

    @property
    def is_sound(self) -> bool:
        """Whether it has several seeds and lost none: no other can be the best."""
        return self.n > 1 and not self.lost

    @property
    def is_evidence(self) -> bool:
        """Whether the mean is over seeds and nothing else: a single run says nothing about the next."""
        return self.n > 1 and self.differs_in == ("seed",)


def mean_of(values: Sequence[float]) -> float:
    """The mean, never outside of what it is of, as rounding may put it."""
    return min(max(statistics.fmean(values), min(values)), max(values))


def settings_of(rows: Sequence[RunRow], columns: Sequence[Column] | None = None) -> list[Setting]:
    """The settings of `rows`, not judged yet (see `judged`): with several seeds, unstable, with one; by their means.

    `columns` are those of `swept_columns` unless they are given. Where two sweeps did the same run, seed included,
    each keeps a setting of its own: the same run twice is no second seed.
    """
    known = [row for row in rows if row.objective is not None]
    columns = swept_columns(rows) if columns is None else columns
    done: dict[tuple[Objective | None, str, Any], set[str]] = {}
    for row in known:
        done.setdefault((row.objective, row.setting_id, row.seed), set()).add(row.sweep)
    twice = {identity[:2] for identity, sweeps in done.items() if len(sweeps) > 1}

    def identity_of(row: RunRow) -> tuple[Any, ...]:
        identity = (row.objective, row.setting_id)
        return (*identity, row.sweep if identity in twice else "")

    found = []
    for (_, setting_id, sweep), of in _grouped(known, identity_of):
        counted = {row.seed: row for row in reversed(of) if row.counts}
        by_seed = {seed: row.value for seed, row in counted.items() if row.value is not None and not row.is_fresh}
        later = tuple(row.value for row in counted.values() if row.value is not None and row.is_fresh)
        one = _setting(of, columns, tuple(by_seed.values()))
        found.append(dataclasses.replace(one, setting_id=setting_id, label=sweep, by_seed=by_seed, fresh=later))
    telling = [at for at in range(len(columns)) if len({one.shown[at] for one in found}) > 1]
    for at, one in enumerate(found):
        parts = [f"{columns[place].header}={one.shown[place]}" for place in telling]
        parts += [f"sweep={one.label}"] if one.label else []
        found[at] = dataclasses.replace(one, label=", ".join(parts) or one.runs[0].sweep or one.runs[0].name)
    return _in_order(found, known)


def _grouped(rows: Sequence[RunRow], key: Callable[[RunRow], Any]) -> Iterable[tuple[Any, list[RunRow]]]:
    members: dict[Any, list[RunRow]] = {}
    for row in rows:
        members.setdefault(key(row), []).append(row)
    return members.items()


def _setting(rows: Sequence[RunRow], columns: Sequence[Column], figures: tuple[float, ...]) -> Setting:
    values, shown = {one.key: one.get(rows[0]) for one in columns}, tuple(one.show(rows[0]) for one in columns)
    return Setting("", "", tuple(rows), rows[0].objective, values, shown, figures)


def group_by(rows: Sequence[RunRow], columns: Sequence[Column]) -> list[Setting]:
    """`rows` by what `columns` show, in the order of `settings_of`. A group that lost runs is never the best."""
    wanted = {column.key for column in columns}
    telling = [column for column in setting_columns(rows) if column.is_setting and column.key not in wanted]
    found = []
    for (_, shown), of in _grouped(rows, lambda row: (row.objective, tuple(one.show(row) for one in columns))):
        counted = [row for row in of if row.counts]
        group = dataclasses.replace(
            _setting(of, columns, tuple(row.value for row in counted if row.value is not None)),
            label=", ".join(f"{column.header}={cell}" for column, cell in zip(columns, shown, strict=True)),
            differs_in=tuple(column.key for column in telling if len({column.show(row) for row in counted}) > 1),
            standing="",
        )
        found.append(dataclasses.replace(group, interval=interval(group.figures)) if group.is_evidence else group)
    found = _in_order(found, rows)
    for objective in objectives(rows):
        of_it = [at for at, one in enumerate(found) if one.objective == objective and one.is_sound]
        if of_it and objective.is_ranked:
            found[of_it[0]] = dataclasses.replace(found[of_it[0]], standing=BEST)
    return found


def _in_order(settings: Iterable[Setting], rows: Sequence[RunRow]) -> list[Setting]:
    places: dict[Objective | None, int] = {objective: place for place, objective in enumerate(objectives(rows))}

    def key(one: Setting) -> tuple[int, int, float]:
        ranked = one.objective is not None and one.objective.is_ranked
        phase = 0 if one.is_sound else 3 if not one.n else 1 if one.lost else 2
        return places.get(one.objective, len(places)), phase if ranked else 0, -one.gain

    return sorted(settings, key=key)


def judged(settings: Sequence[Setting], level: float | None = None) -> list[Setting]:
    """`settings` with their intervals and their standing against the best, at `level`: what this look may spend.

    What is promised: the truly best of the sound settings is called "best" or "may be best" with 95 % confidence,
    however often one has looked (see `sweeps.results.looks`, which say the level where none is given). Each is tested
    against the one with the highest mean, one-sided and on matched seeds, and Holm's correction runs over these tests.
    No factor is below two, so that of two settings neither is wronged: the choice of the direction counts. Settings
    that left a race stay out of the tests. Each `p` is scaled so that it compares with `ALPHA`.
    """
    found = [dataclasses.replace(one, interval=interval(one.figures)) for one in settings]
    known = looks_at(settings)
    most = max((one.n for one in settings), default=0)
    out = {setting_id: p for looks in known for setting_id, p in looks.out(most).items()}
    level = level_of(settings) if level is None else level
    for objective in dict.fromkeys(one.objective for one in settings):
        if objective is None or not objective.is_ranked:
            continue
        places = []
        for at, one in enumerate(found):
            if one.objective != objective or not one.n:
                continue
            if one.lost:
                found[at] = dataclasses.replace(one, standing=UNSTABLE)
            elif one.setting_id in out:
                found[at] = dataclasses.replace(one, standing=NOT_BEST, p=out[one.setting_id])
            elif one.is_sound:
                places.append(at)
        if not places:
            continue
        best = max(places, key=lambda at: found[at].gain)
        others = [at for at in places if at != best]
        p_values = p_of_leads(found[best].gains, [found[at].gains for at in others])
        for at, raw, p in zip(others, p_values, holm([1.0 if p is None else p for p in p_values], 2), strict=True):
            scaled = min(p * ALPHA / level, 1.0) if level else 1.0
            standing = NOT_BEST if scaled < ALPHA else MAY_BE
            shown = scaled if raw is not None and level else None
            found[at] = dataclasses.replace(found[at], standing=standing, p=shown)
        found[best] = dataclasses.replace(found[best], standing=BEST)
    return found


def has_repeats(settings: Sequence[Setting]) -> bool:
    """Whether any setting has several seeds, lost ones included."""
    return any(one.n > 1 or (one.n and one.lost) for one in settings)

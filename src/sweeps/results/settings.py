"""Settings over their seeds: what each achieves, how sure that is, and which ones tie with the best."""

import dataclasses
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sweeps.record.records import Status
from sweeps.results.columns import Column, setting_columns, swept_columns
from sweeps.results.inference import ALPHA, Interval, holm, interval, pairwise
from sweeps.results.ranking import objectives
from sweeps.results.runs import Objective, RunRow

BEST, TIED, WORSE, UNCERTAIN = "best", "tied", "worse", "not evidence"


@dataclass(frozen=True)
class Setting:
    """Runs that count as one: those that differ in nothing but their seed, or a group of `group_by`.

    `setting_id` is empty for a group. `values` are its swept settings by key (of a group, what its runs agree in),
    `shown` the same as text. `figures` are the objectives of the completed runs, `by_seed` the same by seed: a pruned
    run has the value of a shorter training, a diverged one has none. `differs_in` names the columns in which those runs
    differ. `standing` is best, tied, worse or "not evidence" (of a group best or empty), and `p` that of the comparison
    with the best.
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

    @property
    def n(self) -> int:
        """How many runs count."""
        return len(self.figures)

    @property
    def mean(self) -> float | None:
        """The mean over the seeds; None without any. Never outside of what it is of, as rounding may put it."""
        return min(max(statistics.fmean(self.figures), min(self.figures)), max(self.figures)) if self.figures else None

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
    def lost(self) -> int:
        """How many of its runs diverged."""
        return sum(row.status == Status.DIVERGED for row in self.runs)

    @property
    def counts(self) -> Counter[str]:
        """How many of its runs have which status."""
        return Counter(row.status for row in self.runs)

    @property
    def apart(self) -> Counter[str]:
        """The same of the runs that do not count: a mean over survivors alone flatters, so they stand beside it."""
        return Counter(row.status for row in self.runs if not row.counts)

    @property
    def is_evidence(self) -> bool:
        """Whether the mean is over seeds and nothing else: a single run says nothing about the next."""
        return self.n > 1 and self.differs_in == ("seed",)


def settings_of(rows: Sequence[RunRow], columns: Sequence[Column] | None = None) -> list[Setting]:
    """The settings of `rows`, those with a spread first, the best mean first; not judged yet (see `judged`).

    `columns` are those of `swept_columns` unless they are given. Where two sweeps did the same run, seed included,
    each keeps a setting of its own: the same run twice is no second seed.
    """
    known = [row for row in rows if row.objective is not None]
    columns = swept_columns(rows) if columns is None else columns
    done: dict[tuple[Objective | None, str, Any], set[str]] = {}
    for row in known:
        done.setdefault((row.objective, row.setting_id, row.seed), set()).add(row.sweep)
    twice = {identity[:2] for identity, sweeps in done.items() if len(sweeps) > 1}
    members: dict[tuple[Objective | None, str, str], list[RunRow]] = {}
    for row in known:
        identity = (row.objective, row.setting_id)
        members.setdefault((*identity, row.sweep if identity in twice else ""), []).append(row)
    found = []
    for (_, setting_id, sweep), of in members.items():
        by_seed = {row.seed: row.value for row in reversed(of) if row.counts and row.value is not None}
        found.append(
            _setting(of, columns, tuple(by_seed.values()), setting_id=setting_id, label=sweep, by_seed=by_seed)
        )
    telling = [at for at in range(len(columns)) if len({one.shown[at] for one in found}) > 1]
    found = [dataclasses.replace(one, label=_label(one, columns, telling)) for one in found]
    return _in_order(found, known)


def _setting(rows: Sequence[RunRow], columns: Sequence[Column], figures: tuple[float, ...], **more: Any) -> Setting:
    values, shown = {one.key: one.get(rows[0]) for one in columns}, tuple(one.show(rows[0]) for one in columns)
    return Setting(runs=tuple(rows), objective=rows[0].objective, values=values, shown=shown, figures=figures, **more)


def _label(one: Setting, columns: Sequence[Column], telling: Sequence[int]) -> str:
    """`model=nin, lr=0.1`: what tells the setting from the others."""
    parts = [f"{columns[at].header}={one.shown[at]}" for at in telling]
    parts += [f"sweep={one.label}"] if one.label else []  # see `settings_of`
    return ", ".join(parts) or one.runs[0].sweep or one.runs[0].name


def group_by(rows: Sequence[RunRow], columns: Sequence[Column]) -> list[Setting]:
    """`rows` by what `columns` show: groups with a spread by their mean, then single runs, then those without any."""
    members: dict[tuple[Objective | None, tuple[str, ...]], list[RunRow]] = {}
    for row in rows:
        members.setdefault((row.objective, tuple(column.show(row) for column in columns)), []).append(row)
    wanted = {column.key for column in columns}
    telling = [column for column in setting_columns(rows) if column.is_setting and column.key not in wanted]
    found = []
    for (_, shown), of in members.items():
        counted = [row for row in of if row.counts]
        group = _setting(
            of,
            columns,
            tuple(row.value for row in counted if row.value is not None),
            setting_id="",
            label=", ".join(f"{column.header}={cell}" for column, cell in zip(columns, shown, strict=True)),
            differs_in=tuple(column.key for column in telling if len({column.show(row) for row in counted}) > 1),
        )
        found.append(dataclasses.replace(group, interval=interval(group.figures)) if group.is_evidence else group)
    found = _in_order(found, rows)
    best: dict[Objective | None, Setting] = {}
    for one in found:
        if one.n > 1 and one.objective is not None and one.objective.is_ranked:
            best.setdefault(one.objective, one)
    return [dataclasses.replace(one, standing=BEST if one is best.get(one.objective) else "") for one in found]


def _in_order(settings: Iterable[Setting], rows: Sequence[RunRow]) -> list[Setting]:
    places: dict[Objective | None, int] = {objective: place for place, objective in enumerate(objectives(rows))}

    def key(one: Setting) -> tuple[int, int, float]:
        ranked = one.objective is not None and one.objective.is_ranked
        return places.get(one.objective, len(places)), 2 - min(one.n, 2) if ranked else 0, -one.gain

    return sorted(settings, key=key)


def judged(settings: Sequence[Setting], *, with_intervals: bool = True) -> list[Setting]:
    """`settings` with their intervals (unless they are not wanted) and their standing against the best.

    The best was chosen by looking at all of them, so every two settings count as compared: Holm's correction runs over
    all pairs, and among settings that do not differ even one is called worse in at most 5 % of the tables.
    """
    found = list(settings)
    if with_intervals:
        found = [dataclasses.replace(one, interval=interval(list(one.figures))) for one in found]
    for objective in dict.fromkeys(one.objective for one in settings):
        places = [at for at, one in enumerate(found) if one.objective == objective and one.n > 1]
        if not places or objective is None or not objective.is_ranked:
            continue
        best = max(places, key=lambda at: found[at].gain)
        found[best] = dataclasses.replace(found[best], standing=BEST)
        if len(places) == 1:
            continue
        raw = pairwise([found[at].by_seed for at in places])
        corrected = dict(zip(raw, holm(list(raw.values())), strict=True))
        top = places.index(best)
        for place, at in enumerate(places):
            p = corrected.get((min(place, top), max(place, top)))
            if p is not None:
                found[at] = dataclasses.replace(found[at], standing=WORSE if p < ALPHA else TIED, p=p)
    return found


def has_repeats(settings: Sequence[Setting]) -> bool:
    """Whether any setting has a spread."""
    return any(one.n > 1 for one in settings)

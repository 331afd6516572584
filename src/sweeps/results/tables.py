"""The tables of a summary, which print on a rich console and export as text."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Console

from sweeps.record.records import Status
from sweeps.results import format as text
from sweeps.results.advice import advice
from sweeps.results.columns import Column, columns_of, in_all_runs, swept_columns
from sweeps.results.inference import Interval
from sweeps.results.matrix import matrix_table
from sweeps.results.ranking import objectives, rank, saved_by_pruning, sentences, tally, tested
from sweeps.results.runs import UNREADABLE, RunRow, load
from sweeps.results.settings import BEST, TIED, Setting, group_by, has_repeats, judged, settings_of
from sweeps.results.table import Head, Line, Table

_BEST = "bold green"
_STYLES = {Status.FAILED.value: "red", UNREADABLE: "red", Status.DIVERGED.value: "yellow"}
_MARK = "*"


def ranking_table(rows: Sequence[RunRow], columns: Sequence[Column] | None = None) -> Table:
    """Every run, in the order of `rows` (see `rank`); `columns` are those of `columns_of` where none are given."""
    columns = columns_of(rows) if columns is None else columns
    shown = [[column.show(row) for row in rows] for column in columns]
    same = {at: set(cells) - {text.BLANK} for at, cells in enumerate(shown) if columns[at].is_stated and len(rows) > 1}
    stated = {at: values.pop() for at, values in same.items() if len(values) == 1}
    places = [at for at in range(len(columns)) if at not in stated]
    heads = [Head("#"), *(Head(columns[at].header, columns[at].right, columns[at].gives_way) for at in places)]
    lines = []
    for number, row in enumerate(rows):
        place = text.BLANK if row.rank is None else f"{_MARK if row.is_best else ''}{row.rank}"
        style = _BEST if row.is_best else "cyan" if row.is_unfinished else _STYLES.get(row.status, "")
        lines.append(Line([place, *(shown[at][number] for at in places)], style))
    notes = _ranking_notes(rows)
    common = [*in_all_runs(rows), *(f"{columns[at].header}={value}" for at, value in stated.items())]
    return Table(tally(rows), heads, lines, [*notes, *([f"In all runs: {', '.join(common)}."] if common else [])])


def _ranking_notes(rows: Sequence[RunRow]) -> list[str]:
    notes = sentences(rows)
    if any(row.is_best for row in rows):
        notes[-1] += f" The best is marked {_MARK}."
    for row in rows:
        name, value = tested(row)
        if row.is_best and row.counts and value is not None:
            notes.append(f"The best run has a {name} of {text.figure(value)}; the test set took no part in the choice.")
            break
    if any(row.status == Status.DIVERGED for row in rows):
        notes.append("Diverged runs are results without a value: they rank last among the finished.")
    if any(row.status == Status.PRUNED for row in rows):
        notes.append("Pruned runs were stopped early: they rank after the completed ones.")
        notes[-1] += f" {saved_by_pruning(rows)}".rstrip()
    if any(row.is_unfinished for row in rows):
        notes.append("Runs that are not finished have no rank; their values are those so far.")
    return notes


def group_table(rows: Sequence[RunRow], keys: Sequence[Column], groups: Sequence[Setting] | None = None) -> Table:
    """Mean, spread and count of the objective over the runs that agree in `keys`, in the order of `groups`.

    With the mean's interval where the runs of a group differ in their seeds alone; else it would mean nothing.
    """
    groups = group_by(rows, keys) if groups is None else groups
    found = objectives(rows)
    mixed = len(found) > 1
    ranked = [one for one in groups if one.n > 1 and one.objective is not None and one.objective.is_ranked]
    best = [
        max(of, key=lambda one: one.gain)
        for objective in found
        if (of := [o for o in ranked if o.objective == objective])
    ]
    with_intervals = any(group.interval for group in groups)
    heads = [*(Head(column.header, column.right) for column in keys)]
    heads += [Head("ranked by", right=False, gives_way=1)] if mixed else []
    heads += [Head("n"), Head("mean"), Head("std", right=False, gives_way=3)]
    heads += [Head("95 % interval", gives_way=2)] if with_intervals else []
    heads += [Head("best", gives_way=4)] if ranked else []
    heads += [Head("apart from the mean", right=False)]
    lines = []
    for group in groups:
        mark = _MARK if group in best else ""
        cells = [
            *group.shown,
            *([group.objective.title if group.objective else text.BLANK] if mixed else []),
            str(group.n),
        ]
        cells += [f"{mark}{text.figure(group.mean)}", "single run" if group.n == 1 else text.figure(group.std)]
        cells += [_between(group.interval)] if with_intervals else []
        cells += [text.figure(group.best)] if ranked else []
        lines.append(Line([*cells, text.counted(group.apart.items())], _BEST if mark else ""))
    return Table(f"{text.plural(len(groups), 'group')} of {tally(rows)}", heads, lines, _group_notes(rows, groups))


def _between(found: Interval | None) -> str:
    return text.BLANK if found is None else f"[{text.figure(found.low)}, {text.figure(found.high)}]"


def _methods(settings: Iterable[Setting]) -> str:
    methods = dict.fromkeys(one.interval.method for one in settings if one.interval is not None)
    return f"Intervals of the mean by {' or '.join(methods)}" if methods else ""


def _group_notes(rows: Sequence[RunRow], groups: Sequence[Setting]) -> list[str]:
    notes = sentences(rows, "group")
    notes.append("mean and std (with n - 1) are over the completed runs; the others are counted beside them.")
    within = list(dict.fromkeys(key for group in groups for key in group.differs_in))
    if within:
        notes.append(f"Runs of one group differ in: {', '.join(within)}.")
    if methods := _methods(groups):
        notes.append(f"{methods}.")
    if any(group.n == 1 for group in groups):
        notes.append("A single run is not evidence: repeat it with other seeds, such as sweep.repeats=3.")
    if any(group.n > 1 and group.objective is not None and group.objective.is_ranked for group in groups):
        marked = f"The best group of two runs or more is marked {_MARK}"
        over = ", ".join(key for key in within if key != "seed")
        notes.append(
            f"{marked}: means that run over {over}, and not over seeds alone, are no evidence of a setting."
            if over
            else f"{marked}."
        )
    return notes


def settings_table(rows: Sequence[RunRow], settings: Sequence[Setting] | None = None) -> Table | None:
    """What every setting achieves over its seeds, and which ones tie with the best; None where nothing was repeated."""
    columns = swept_columns(rows)
    settings = judged(settings_of(rows, columns)) if settings is None else settings
    if not has_repeats(settings):
        return None
    mixed = len({one.objective for one in settings}) > 1
    is_judged = any(one.standing == BEST for one in settings)
    lost = any(one.lost for one in settings)
    heads = [*(Head(column.header, column.right) for column in columns)] or [Head("sweep", right=False)]
    heads += [Head("ranked by", right=False, gives_way=1)] if mixed else []
    heads += [Head("n"), Head("mean"), Head("std", gives_way=5), Head("95 % interval", gives_way=4)]
    heads += [Head("diverged", gives_way=6)] if lost else []
    heads += [Head("against the best", right=False, gives_way=1)] if is_judged else []
    lines = []
    for one in settings:
        mark = _MARK if one.standing == BEST else "=" if one.standing == TIED else ""
        cells = [
            *(one.shown or [one.label]),
            *([one.objective.title if one.objective else text.BLANK] if mixed else []),
            str(one.n),
        ]
        cells += [f"{mark}{text.figure(one.mean)}", text.figure(one.std), _between(one.interval)]
        cells += [f"{one.lost}/{len(one.runs)}" if one.lost else text.BLANK] if lost else []
        standing = one.standing if one.p is None else f"{one.standing}, {text.p_value(one.p)}"
        lines.append(Line([*cells, *([standing] if is_judged else [])], _BEST if mark else ""))
    title = f"{text.plural(len(settings), 'setting')} over {'its' if len(settings) == 1 else 'their'} seeds"
    return Table(title, heads, lines, _settings_notes(rows, settings, is_judged))


def _settings_notes(rows: Sequence[RunRow], settings: Sequence[Setting], is_judged: bool) -> list[str]:
    notes = sentences(rows, "setting")
    if is_judged:
        ties = ", and = are those that tie with it: no test tells them apart"
        notes[-1] += f" It is marked {_MARK}{ties if any(one.standing == TIED for one in settings) else ''}."
    is_tested = any(one.p is not None for one in settings)
    corrected = "p of paired t tests on matched seeds, corrected for all pairs of settings (Holm)" if is_tested else ""
    if says := [part for part in (_methods(settings), corrected) if part]:
        notes.append(f"{'; '.join(says)}.{' Two settings by name: --compare A B.' if is_tested else ''}")
    if any(one.n == 1 for one in settings):
        notes.append("n = 1 is not evidence: the next seed may give another order.")
    if apart := sum((one.apart for one in settings), Counter[str]()):
        notes.append(f"Runs that were not completed are not in the means: {text.counted(apart.items())}.")
    return [*notes, *(sentence for one in settings if one.standing == BEST for sentence in _tested_setting(one))]


def _tested_setting(one: Setting) -> Iterable[str]:
    """What was chosen on held-out data is reported on the test set once, for the chosen setting alone."""
    found = [(name, value) for row in one.runs if row.counts for name, value in [tested(row)] if value is not None]
    if found:
        values = Setting("", "", (), one.objective, figures=tuple(value for _, value in found))
        spread = f" ± {text.figure(values.std)} (std, n = {values.n})" if values.n > 1 else ""
        yield (
            f"Chosen: {one.label}. On the test set, which took no part in the choice, its {found[0][0]} is "
            f"{text.figure(values.mean)}{spread}."
        )


def advice_table(rows: Sequence[RunRow], settings: Sequence[Setting]) -> Table | None:
    """What the results suggest to do next; None where there is nothing to say."""
    lines = [Line([sentence]) for sentence in advice(rows, settings)]
    return Table("Advice", [Head("what the results suggest", right=False, prose=True)], lines) if lines else None


def failures_table(rows: Sequence[RunRow]) -> Table | None:
    """What failed and why, unreadable records and damaged metrics included; None where nothing did.

    Diverged runs are no failures: they are in the ranking.
    """
    troubled = [row for row in rows if row.is_troubled]
    if not troubled:
        return None
    heads = [
        Head("run", right=False, prose=True),
        Head("kind", right=False),
        Head("problem", right=False, prose=True),
    ]
    lines = [Line([row.name, row.problem_kind, row.problem], "red") for row in troubled]
    notes = []
    if any(row.status == Status.FAILED for row in troubled):
        notes.append("The same command again repeats failed runs and leaves the finished ones alone.")
    if any(row.status == UNREADABLE for row in troubled):
        notes.append("An unreadable record is not ranked: repair it, or move its folder away and repeat the run.")
    return Table(f"{text.plural(len(troubled), 'run')} with a problem", heads, lines, notes)


def summary(rows: Sequence[RunRow], columns: Sequence[Column] | None = None) -> list[Table]:
    """The tables of a ranked sweep, in the order of reading."""
    settings = judged(settings_of(rows))
    found = [
        ranking_table(rows, columns),
        matrix_table(rows),
        settings_table(rows, settings),
        failures_table(rows),
        advice_table(rows, settings),
    ]
    return [table for table in found if table is not None]


def print_tables(console: Console, tables: Sequence[Table]) -> None:
    """The tables, one under the other."""
    for place, table in enumerate(tables):
        if place:
            console.print()
        console.print(table, crop=False)


def print_summary(console: Console, folder: str | Path) -> None:
    """What `python -m sweeps.summarize FOLDER` shows.

    Raises:
        RecordError: the folder does not exist, or holds no runs.
    """
    print_tables(console, summary(rank(load([folder]))))

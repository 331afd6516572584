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
from sweeps.results.settings import BEST, TIED, Setting, has_repeats, judged, settings_of
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
    twice = {f"last.{one.metric}" if one.report == "last" else "" for one in objectives(rows)}  # beside the objective
    places = [at for at, one in enumerate(columns) if at not in stated and {one.key} != twice]
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


def settings_table(
    rows: Sequence[RunRow], settings: Sequence[Setting] | None = None, columns: Sequence[Column] | None = None
) -> Table | None:
    """What every setting achieves over its seeds, and which ones tie with the best; None where nothing was repeated.

    Or the same of the groups of `group_by`, with its columns; their means may run over more than seeds, and say so.
    """
    is_grouped, columns = columns is not None, swept_columns(rows) if columns is None else columns
    settings = judged(settings_of(rows, columns)) if settings is None else settings
    if not is_grouped and not has_repeats(settings):
        return None
    mixed = len({one.objective for one in settings}) > 1
    ranked = any(one.standing == BEST for one in settings)
    has_intervals = any(one.interval for one in settings)
    apart = any(one.apart for one in settings)
    heads = [*(Head(column.header, column.right) for column in columns)] or [Head("sweep", right=False)]
    heads += [Head("ranked by", right=False, gives_way=1)] if mixed else []
    heads += [Head("n"), Head("mean"), Head("std", gives_way=5)]
    heads += [Head("95 % interval", gives_way=4)] if has_intervals else []
    heads += [Head("best run", gives_way=7)] if ranked else []
    heads += [Head("not in the mean", right=False, gives_way=6)] if apart else []
    heads += [Head("against the best", right=False, gives_way=1)] if ranked and not is_grouped else []
    lines = []
    for one in settings:
        mark = _MARK if one.standing == BEST else "=" if one.standing == TIED else ""
        cells = [
            *(one.shown or [one.label]),
            *([one.objective.title if one.objective else text.BLANK] if mixed else []),
        ]
        cells += [str(one.n), f"{mark}{text.figure(one.mean)}", text.figure(one.std)]
        cells += [_between(one.interval)] if has_intervals else []
        cells += [text.figure(one.best)] if ranked else []
        cells += [text.counted(one.apart.items())] if apart else []
        standing = one.standing if one.p is None else f"{one.standing}, {text.p_value(one.p)}"
        lines.append(Line([*cells, *([standing] if ranked and not is_grouped else [])], _BEST if mark else ""))
    if is_grouped:
        title = f"{text.plural(len(settings), 'group')} of {tally(rows)}"
    else:
        title = f"{text.plural(len(settings), 'setting')} over {'its' if len(settings) == 1 else 'their'} seeds"
    return Table(title, heads, lines, _settings_notes(rows, settings, "group" if is_grouped else "setting"))


def _between(found: Interval | None) -> str:
    return text.BLANK if found is None else f"[{text.figure(found.low)}, {text.figure(found.high)}]"


def _settings_notes(rows: Sequence[RunRow], settings: Sequence[Setting], noun: str) -> list[str]:
    notes = sentences(rows, noun)
    standings = {one.standing for one in settings}
    if BEST in standings:
        ties = ", and = are those that tie with it: no test tells them apart" if TIED in standings else ""
        notes[-1] += f" It is marked {_MARK}{ties}."
    within = list(dict.fromkeys(key for one in settings for key in one.differs_in if not one.setting_id))
    if within:
        notes.append(f"Runs of one group differ in: {', '.join(within)}.")
    if over := ", ".join(key for key in within if key != "seed"):
        notes.append(f"Means that run over {over}, and not over seeds alone, are no evidence of a setting.")
    methods = dict.fromkeys(one.interval.method for one in settings if one.interval is not None)
    is_tested = any(one.p is not None for one in settings)
    says = [f"Intervals of the mean by {' or '.join(methods)}"] if methods else []
    says += ["p of paired t tests on matched seeds, corrected for all pairs of settings (Holm)"] if is_tested else []
    if says:
        notes.append(f"{'; '.join(says)}.{' Two settings by name: --compare A B.' if is_tested else ''}")
    if any(one.n == 1 for one in settings):
        notes.append("n = 1 is not evidence: the next seed may give another order; sweep.repeats=3 runs more of them.")
    if apart := sum((one.apart for one in settings), Counter[str]()):
        notes.append(f"Means are over completed runs alone, and leave out: {text.counted(apart.items())}.")
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

"""The tables of a summary, which print on a rich console and export as text."""

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from rich.console import Console

from sweeps.record.records import Status
from sweeps.results import format as text
from sweeps.results.advice import advice
from sweeps.results.columns import Column, columns_of, in_all_runs, swept_columns
from sweeps.results.inference import rate_bounds
from sweeps.results.looks import looks_at, note_look, seeds_of
from sweeps.results.matrix import matrix_table
from sweeps.results.ranking import objectives, rank, saved_by_pruning, sentences, tally, tested
from sweeps.results.runs import UNREADABLE, RunRow, load
from sweeps.results.settings import BEST, MAY_BE, UNSTABLE, Setting, has_repeats, judged, settings_of
from sweeps.results.table import Head, Line, Table

_BEST = "bold green"
_STYLES = {Status.FAILED.value: "red", UNREADABLE: "red", Status.DIVERGED.value: "yellow"}
_MARK = "*"
_MARKS = {BEST: _MARK, MAY_BE: "="}


def ranking_table(rows: Sequence[RunRow], columns: Sequence[Column] | None = None) -> Table:
    """Every run, in the order of `rows` (see `rank`); `columns` are those of `columns_of` where none are given."""
    columns, common = in_all_runs(rows, columns_of(rows) if columns is None else columns)
    twice = {f"last.{one.metric}" if one.report == "last" else "" for one in objectives(rows)}  # beside the objective
    columns = [column for column in columns if {column.key} != twice]
    lines = []
    for row in rows:
        place = text.BLANK if row.rank is None else f"{_MARK if row.is_best else ''}{row.rank}"
        style = _BEST if row.is_best else "cyan" if row.is_unfinished else _STYLES.get(row.status, "")
        lines.append(Line([place, *(column.show(row) for column in columns)], style))
    heads = [Head("#"), *(Head(column.header, column.right, column.gives_way) for column in columns)]
    notes = [f"In all runs: {', '.join(common)}."] if common else []
    return Table(tally(rows), heads, lines, [*_ranking_notes(rows), *notes])


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
    if any(row.is_survivor for row in rows):
        notes.append("Runs whose setting lost other seeds rank after those whose setting lost none.")
    if any(row.is_unfinished for row in rows):
        notes.append("Runs that are not finished have no rank; their values are those so far.")
    return notes


def settings_table(
    rows: Sequence[RunRow], settings: Sequence[Setting] | None = None, columns: Sequence[Column] | None = None
) -> Table | None:
    """What every setting achieves over its seeds, and which ones may be the best; None where nothing was repeated.

    Or the same of the groups of `group_by`, with its columns; their means may run over more than seeds, and say so.
    """
    is_grouped, columns = columns is not None, swept_columns(rows) if columns is None else columns
    settings = judged(settings_of(rows, columns)) if settings is None else settings
    if not is_grouped and not has_repeats(settings):
        return None
    ranked = any(one.standing == BEST for one in settings)
    optional: list[tuple[bool, Head, Callable[[Setting], str]]] = [
        (
            len({one.objective for one in settings}) > 1,
            Head("ranked by", right=False, gives_way=1),
            lambda one: one.objective.title if one.objective else text.BLANK,
        ),
        (True, Head("n"), lambda one: str(one.n)),
        (True, Head("mean"), lambda one: f"{_MARKS.get(one.standing, '')}{text.figure(one.mean)}"),
        (True, Head("std", gives_way=5), lambda one: text.figure(one.std)),
        (any(one.interval for one in settings), Head("95 % interval", gives_way=4), _between),
        (ranked, Head("best run", gives_way=7), lambda one: text.figure(one.best)),
        (
            any(one.apart for one in settings),
            Head("left out", right=False, gives_way=6),
            lambda one: text.counted(one.apart.items()),
        ),
        (
            not is_grouped and any(one.standing in (BEST, UNSTABLE) for one in settings),
            Head("against the best", right=False, gives_way=1),
            _standing,
        ),
    ]
    parts = [(head, show) for wanted, head, show in optional if wanted]
    heads = [*(Head(column.header, column.right) for column in columns)] or [Head("sweep", right=False)]
    lines = [
        Line([*(one.shown or [one.label]), *(show(one) for _, show in parts)], _BEST if one.standing in _MARKS else "")
        for one in settings
    ]
    noun = "group" if is_grouped else "setting"
    over = f" of {tally(rows)}" if is_grouped else f" over {'its' if len(settings) == 1 else 'their'} seeds"
    title = f"{text.plural(len(settings), noun)}{over}"
    return Table(title, [*heads, *(head for head, _ in parts)], lines, _settings_notes(rows, settings, noun))


def _standing(one: Setting) -> str:
    if one.standing == UNSTABLE:
        return f"{UNSTABLE}, {one.n} of {one.n + one.lost}"
    return one.standing if one.p is None else f"{one.standing}, {text.p_value(one.p)}"


def _between(one: Setting) -> str:
    found = one.interval
    return text.BLANK if found is None else f"[{text.figure(found.low)}, {text.figure(found.high)}]"


def _settings_notes(rows: Sequence[RunRow], settings: Sequence[Setting], noun: str) -> list[str]:
    notes = sentences(rows, noun)
    if any(one.standing == BEST for one in settings):
        notes[-1] += f" The best {noun} is marked {_MARK}."
    elif any(one.standing == UNSTABLE for one in settings):
        notes.append("No setting is called the best: none has several seeds and lost none.")
    within = list(dict.fromkeys(key for one in settings for key in one.differs_in if not one.setting_id))
    if within:
        notes.append(f"Runs of one group differ in: {', '.join(within)}.")
    if over := ", ".join(key for key in within if key != "seed"):
        notes.append(f"Means that run over {over}, and not over seeds alone, are no evidence of a setting.")
    if any(one.p is not None for one in settings):
        notes.append(
            f"With 95 % confidence the truly best stable setting is marked {_MARK} or =: paired t tests on matched "
            f"seeds against {_MARK}, one-sided, corrected (Holm). Not promised: that those marked = are equal, or that "
            "all others are worse. Two settings by name: --compare A B."
        )
        notes += _look_notes(settings)
    notes += _fresh_notes(settings)
    if any(one.interval for one in settings):
        notes.append("Intervals of the mean by Student's t: for seeds that vary evenly, not for some that collapse.")
    notes += _unstable_notes(settings)
    if any(one.n == 1 for one in settings):
        notes.append("n = 1 is not evidence: the next seed may give another order; sweep.repeats=3 runs more of them.")
    if apart := sum((one.apart for one in settings), Counter[str]()):
        notes.append(f"Means are over completed runs alone, and leave out: {text.counted(apart.items())}.")
    return [*notes, *(sentence for one in settings if one.standing == BEST for sentence in _tested_setting(one))]


def _look_notes(settings: Sequence[Setting]) -> Iterable[str]:
    """What p counts beside the number of settings: how often one has looked."""
    known, now = looks_at(settings), seeds_of(settings)
    if any(looks.has_race for looks in known):
        yield "These seeds are those of a race: p counts all of its looks, and is that of the look at which one left."
        return
    before = max((len([look for look in looks.at_results if look.seeds != now]) for looks in known), default=0)
    if before:
        looked = "an earlier look" if before == 1 else f"{before} earlier looks"
        yield f"p counts {looked} at other seeds (looks.jsonl): who adds seeds until a difference shows finds one."


def _fresh_notes(settings: Sequence[Setting]) -> Iterable[str]:
    """What the seeds say that took no part in the choice."""
    for one in settings:
        if one.fresh:
            fresh = dataclasses.replace(one, figures=one.fresh)
            spread = f" ± {text.figure(fresh.std)} (std)" if fresh.n > 1 else ""
            chosen = "" if one.mean is None else f", against {text.figure(one.mean)} on the {one.n} that chose"
            yield f"On {text.plural(fresh.n, 'fresh seed')}, {one.label}: {text.figure(fresh.mean)}{spread}{chosen}."


def _unstable_notes(settings: Sequence[Setting]) -> Iterable[str]:
    """How often seeds of an unstable setting are lost, and how often those of the best may be without a sign of it."""
    unstable = [one for one in settings if one.standing == UNSTABLE]
    if unstable:
        rates = [f"{one.label} at least {rate_bounds(one.lost, one.n + one.lost)[0]:.0%}" for one in unstable[:3]]
        rates += ["..."] if len(unstable) > 3 else []
        rates += [f"the best at most {rate_bounds(0, one.n)[1]:.0%}" for one in settings if one.standing == BEST][:1]
        yield (
            "Unstable settings lost seeds, which diverged, failed or were pruned; a mean over survivors flatters, so "
            f"they rank apart. Share of seeds lost, with 95 % confidence: {'; '.join(rates)}."
        )


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


def failures_table(rows: Sequence[RunRow]) -> Table | None:
    """What failed and why, unreadable records and damaged metrics included; None where nothing did.

    Diverged runs are no failures: they are in the ranking.
    """
    troubled = [row for row in rows if row.is_troubled]
    if not troubled:
        return None
    heads = [Head(name, right=False) for name in ("run", "kind", "problem")]
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
    advised = [Line([sentence]) for sentence in advice(rows, settings)]
    found = [
        ranking_table(rows, columns),
        matrix_table(rows),
        settings_table(rows, settings),
        failures_table(rows),
        Table("Advice", [Head("what the results suggest", right=False)], advised) if advised else None,
    ]
    return [table for table in found if table is not None]


def print_tables(console: Console, tables: Sequence[Table]) -> None:
    """The tables, one under the other."""
    for place, table in enumerate(tables):
        if place:
            console.print()
        console.print(table, crop=False)


def print_summary(console: Console, folder: str | Path) -> None:
    """What `python -m sweeps.summarize FOLDER` shows, which counts as a look.

    Raises:
        RecordError: the folder does not exist, or holds no runs.
    """
    rows = rank(load([folder]))
    print_tables(console, summary(rows))
    note_look(settings_of(rows))

"""The tables of a summary, as sheets that print on a rich console and export as text."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from sweeps.record.records import Status
from sweeps.results import format as text
from sweeps.results.advice import advice
from sweeps.results.columns import Column, columns_of
from sweeps.results.groups import Group, Place, best_group, group_by, matrix_of
from sweeps.results.inference import Interval
from sweeps.results.palette import look_of
from sweeps.results.ranking import chosen_on, criteria, is_best, rank, saved_by_pruning, sentences, tally
from sweeps.results.runs import UNREADABLE, RunRow, load
from sweeps.results.selection import best_run_tested, chosen_figure
from sweeps.results.settings import BEST, TIED, Cell, cell_columns, cells_of, has_repeats, judged
from sweeps.results.table import Head, Line, Sheet

_BEST = "bold green"
_STYLES = {Status.FAILED.value: "red", UNREADABLE: "red", Status.DIVERGED.value: "yellow"}
_MARK = "*"
_OWN_COLOUR = ("model", "curve")  # columns in the colour that the network has everywhere


def ranking_table(rows: Sequence[RunRow], columns: Sequence[Column] | None = None) -> Sheet:
    """Every run, in the order of `rows` (see `rank`); `columns` are those of `columns_of` where none are given."""
    columns = columns_of(rows) if columns is None else columns
    heads = [Head("#"), *(Head(one.header, one.right, one.is_setting, one.gives_way) for one in columns)]
    lines = []
    for row in rows:
        place = text.BLANK if row.rank is None else f"{_MARK if is_best(row) else ''}{row.rank}"
        style = _BEST if is_best(row) else "cyan" if row.is_unfinished else _STYLES.get(row.status, "")
        inks = {at: look_of(row.model).colour for at, column in enumerate(columns, 1) if column.key in _OWN_COLOUR}
        lines.append(Line([place, *(column.show(row) for column in columns)], style, inks=inks if row.model else {}))
    return Sheet(tally(rows), heads, lines, _ranking_notes(rows))


def _ranking_notes(rows: Sequence[RunRow]) -> list[str]:
    notes = sentences(rows)
    prefixes = {criterion.prefix for criterion in criteria(rows)}
    if len(prefixes) == 1:
        prefix = prefixes.pop()
        notes.append(f"best and last acc are {prefix}_acc, loss is {prefix}_loss in the epoch that is ranked.")
    if any(is_best(row) for row in rows):
        notes[-1] += f" The best is marked {_MARK}."
    notes += best_run_tested(rows)
    if any(row.status == Status.DIVERGED for row in rows):
        notes.append("Diverged runs are results without a figure: they rank last among the finished.")
    if any(row.status == Status.PRUNED for row in rows):
        notes.append("Pruned runs were stopped before their end: they rank after the completed ones.")
        notes[-1] += f" {saved_by_pruning(rows)}"
    if any(row.is_unfinished for row in rows):
        notes.append("Runs that are not finished have no rank; their figures are those so far.")
    return notes


def matrix_table(rows: Sequence[RunRow]) -> Sheet | None:
    """Model x learning rate with the best cell marked; None where no record can be read."""
    matrix = matrix_of(rows)
    if matrix is None:
        return None
    lines = []
    for model in matrix.models:
        places = [Place(model, lr) for lr in matrix.rates]
        cells = [_cell(matrix.cells.get(place), matrix.others.get(place), place in matrix.best) for place in places]
        marked = frozenset(at for at, place in enumerate(places, 1) if place in matrix.best)
        lines.append(Line([model, *cells], _BEST if marked else "", marked))
    notes = [chosen_on(matrix.criterion, "cell", "Cells are ranked")]
    if matrix.best:
        notes[0] += f" {'It is' if len(matrix.best) == 1 else 'Equal ones are'} marked {_MARK}."
    if has_repeats(list(matrix.cells.values())):
        notes.append("± is the standard deviation over n seeds; cells without it are single runs, and get no mark.")
    if matrix.also_differ:
        notes.append(
            f"The runs of a cell also differ in {', '.join(matrix.also_differ)}: "
            "each cell shows its best configuration."
        )
    if len(criteria(rows)) > 1:
        notes.append("Runs with other objectives are left out.")
    heads = [Head("model \\ lr", right=False), *(Head(text.setting(lr)) for lr in matrix.rates)]
    return Sheet(f"{matrix.criterion.metric} by model and learning rate", heads, lines, notes, turns=True)


def _cell(cell: Cell | None, others: dict[str, int] | None, best: bool) -> str:
    parts = []
    if cell is not None:
        parts.append(f"{_MARK if best else ''}{text.fraction(cell.mean)}")
        if cell.std is not None:
            parts.append(f"±{cell.std:.4f} n={cell.n}")
    for status, count in (others or {}).items():
        parts.append(f"+{count} {status}" if cell else status if count == 1 else f"{count} {status}")
    return "\n".join(parts) or text.BLANK


def group_table(rows: Sequence[RunRow], keys: Sequence[Column], groups: Sequence[Group] | None = None) -> Sheet:
    """Mean, spread and count of the objective over the runs that agree in `keys`, in the order of `groups`.

    With the mean's interval where the runs of a group differ in their seeds alone; else it would mean nothing.
    """
    groups = group_by(rows, keys) if groups is None else groups
    found = criteria(rows)
    mixed = len(found) > 1
    best = [best_group(groups, criterion) for criterion in found]
    heads = [
        *(Head(column.header, column.right) for column in keys),
        *([Head("ranked by", right=False, gives_way=1)] if mixed else []),
    ]
    intervals = [group.interval for group in groups]
    if not any(intervals):
        intervals = []
    heads += [Head("n"), Head("mean"), Head("std", right=False, gives_way=3)]
    heads += [Head("95 % interval", gives_way=2)] if intervals else []
    heads += [Head("best", gives_way=4), Head("apart from the mean", right=False)]
    lines = []
    for at, group in enumerate(groups):
        mark = _MARK if group in best else ""
        ranked_by = [f"{group.criterion.metric} {group.criterion.epoch}" if group.criterion else text.BLANK]
        lines.append(
            Line(
                [
                    *group.keys,
                    *(ranked_by if mixed else []),
                    str(group.n),
                    f"{mark}{text.fraction(group.mean)}",
                    "single run" if group.n == 1 else text.fraction(group.std),
                    *([_between(intervals[at])] if intervals else []),
                    text.fraction(group.best),
                    ", ".join(f"{count} {status}" for status, count in group.apart.items()) or text.BLANK,
                ],
                _BEST if mark else "",
            )
        )  # fmt: skip
    return Sheet(
        f"{text.plural(len(groups), 'group')} of {tally(rows)}",
        heads,
        lines,
        _group_notes(rows, groups, intervals),
    )


def _between(found: Interval | None) -> str:
    return text.BLANK if found is None else f"[{text.fraction(found.low)}, {text.fraction(found.high)}]"


def _group_notes(rows: Sequence[RunRow], groups: Sequence[Group], intervals: Sequence[Interval | None]) -> list[str]:
    notes = sentences(rows, "group")
    notes.append(
        "mean and std (with n - 1) are over the runs that were completed; pruned, diverged and failed ones stand apart."
    )
    within = list(dict.fromkeys(key for group in groups for key in group.differs_in))
    if within:
        notes.append(f"Runs of one group differ in: {', '.join(within)}.")
    methods = dict.fromkeys(found.method for found in intervals if found is not None and found.low < found.high)
    if methods:
        notes.append(f"Intervals of the mean by {' or '.join(methods)}.")
    if any(group.n == 1 for group in groups):
        notes.append("A single run is not evidence: repeat it with other seeds, such as seed=0,1,2.")
    if any(group.has_spread for group in groups):
        marked = f"The best group of two runs or more is marked {_MARK}"
        over = ", ".join(key for key in within if key != "seed")
        notes.append(
            f"{marked}: means that run over {over}, and not over seeds alone, are no evidence of a setting."
            if over
            else f"{marked}."
        )
    return notes


def cells_table(rows: Sequence[RunRow], cells: Sequence[Cell] | None = None) -> Sheet | None:
    """What every setting achieves over its seeds, and which ones tie with the best; None where nothing was repeated."""
    columns = cell_columns(rows)
    cells = judged(cells_of(rows, columns)) if cells is None else cells
    if not has_repeats(cells):
        return None
    telling = [at for at in range(len(columns)) if len({cell.keys[at] for cell in cells}) > 1] or [0]
    mixed = len({cell.criterion for cell in cells}) > 1
    heads = [Head(columns[at].header, columns[at].right, gives_way=columns[at].gives_way) for at in telling]
    heads += [Head("ranked by", right=False, gives_way=1)] if mixed else []
    heads += [Head("n"), Head("mean"), Head("std", gives_way=5), Head("95 % interval", gives_way=4)]
    heads += [Head("collapsed", gives_way=6), Head("against the best", right=False)]
    lines = []
    for cell in cells:
        mark = _MARK if cell.standing == BEST else "=" if cell.standing == TIED else ""
        lines.append(
            Line(
                [
                    *(cell.keys[at] for at in telling),
                    *([cell.criterion.metric if cell.criterion else text.BLANK] if mixed else []),
                    str(cell.n),
                    f"{mark}{text.fraction(cell.mean)}",
                    text.fraction(cell.std),
                    _between(cell.interval),
                    f"{cell.collapsed}/{len(cell.rows)}" if cell.collapsed else text.BLANK,
                    cell.standing if cell.p is None else f"{cell.standing}, {text.p_value(cell.p)}",
                ],
                _BEST if mark else "",
            )
        )  # fmt: skip
    return Sheet(
        f"{text.plural(len(cells), 'cell')} over {'its' if len(cells) == 1 else 'their'} seeds",
        heads,
        lines,
        _cells_notes(rows, cells),
    )


def _cells_notes(rows: Sequence[RunRow], cells: Sequence[Cell]) -> list[str]:
    notes = sentences(rows, "cell")
    ties = ", and = are those that tie with it: no test tells them apart"
    notes[-1] += f" It is marked {_MARK}{ties if any(cell.standing == TIED for cell in cells) else ''}."
    found = [cell.interval for cell in cells if cell.interval is not None and cell.interval.low < cell.interval.high]
    methods = dict.fromkeys(one.method for one in found)
    tested = any(cell.p is not None for cell in cells)
    says = [
        *([f"Intervals of the mean by {' or '.join(methods)}"] if methods else []),
        *(["p of paired t tests on matched seeds, corrected for all pairs of cells (Holm)"] if tested else []),
    ]
    if says:
        notes.append(f"{'; '.join(says)}.{' Two cells by name: --compare A B.' if tested else ''}")
    if any(cell.n == 1 for cell in cells):
        notes.append("n = 1 is not evidence: the next seed may give another order.")
    if any(cell.apart for cell in cells):
        counts = Counter(status for cell in cells for status in cell.apart.elements())
        named = ", ".join(f"{count} {status}" for status, count in counts.items())
        notes.append(f"Runs without a full figure stand apart from the means: {named}.")
    return [*notes, *chosen_figure(cells)]


def advice_table(rows: Sequence[RunRow], cells: Sequence[Cell]) -> Sheet | None:
    """What the figures suggest to do next; None where there is nothing to say."""
    lines = [Line([sentence]) for sentence in advice(rows, cells)]
    return Sheet("Advice", [Head("what the figures suggest", right=False, prose=True)], lines) if lines else None


def failures_table(rows: Sequence[RunRow]) -> Sheet | None:
    """What failed and why, unreadable records and damaged metrics included; None where nothing did.

    Diverged runs are no failures: they are in the ranking.
    """
    troubled = [row for row in rows if row.is_troubled]
    if not troubled:
        return None
    heads = [
        Head("run", right=False, prose=True),
        Head("kind", right=False),
        Head("what happened", right=False, prose=True),
    ]
    lines = [Line([row.name, row.problem_kind, row.problem], "red") for row in troubled]
    notes = []
    if any(row.status == Status.FAILED for row in troubled):
        notes.append("The same command again repeats failed runs and leaves the finished ones alone.")
    if any(row.status == UNREADABLE for row in troubled):
        notes.append(
            "An unreadable record is not ranked: mend what is named, or move its folder away and run it again."
        )
    return Sheet(f"{text.plural(len(troubled), 'run')} with a problem", heads, lines, notes)


def summary(rows: Sequence[RunRow], columns: Sequence[Column] | None = None) -> list[Sheet]:
    """The tables of a ranked sweep, in the order of reading; the matrix only where it has more than one cell."""
    matrix = matrix_table(rows)
    if matrix is not None and len(matrix.lines) * (len(matrix.heads) - 1) < 2:
        matrix = None
    cells = judged(cells_of(rows))
    found = [
        ranking_table(rows, columns),
        matrix,
        cells_table(rows, cells),
        failures_table(rows),
        advice_table(rows, cells),
    ]
    return [sheet for sheet in found if sheet is not None]


def print_sheets(console: Console, sheets: Sequence[Sheet]) -> None:
    """The tables, one under the other."""
    for place, sheet in enumerate(sheets):
        if place:
            console.print()
        console.print(sheet, crop=False)


def print_summary(console: Console, folder: str | Path) -> None:
    """What `scripts/summarize.py FOLDER` shows.

    Raises:
        RecordError: the folder does not exist, or holds no runs.
    """
    print_sheets(console, summary(rank(load([folder]))))

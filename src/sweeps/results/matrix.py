"""Two swept settings against each other: a model by a learning rate, say."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sweeps.results import format as text
from sweeps.results.columns import Column, swept_columns
from sweeps.results.ranking import objectives, ranked_on
from sweeps.results.runs import Objective, RunRow
from sweeps.results.settings import Setting, has_repeats, settings_of
from sweeps.results.table import Head, Line, Table

_WIDEST = 8  # values beside each other


@dataclass(frozen=True)
class Matrix:
    """In each place, (down, across) as shown, the best of its settings; a repeated one before single runs.

    `best` are the places to mark, several where means are equal; unstable settings do not compete, nor do single runs
    where anything was repeated. `others` counts the runs of a place that do not count. `also_differ` names what else
    differs in one place.
    """

    objective: Objective
    down: Column
    across: Column
    places: dict[tuple[str, str], Setting]
    others: dict[tuple[str, str], Counter[str]]
    best: frozenset[tuple[str, str]]
    also_differ: list[str]

    @property
    def rows(self) -> list[str]:
        """The values of `down`, the best first where `rows` were ranked."""
        return list(dict.fromkeys(place[0] for place in self.others))

    def heads(self) -> list[str]:
        """The values of `across`, in ascending order."""

        def key(shown: str) -> tuple[bool, float, str]:
            try:
                return False, float(shown), ""
            except ValueError:
                return True, 0.0, shown

        return sorted({place[1] for place in self.others}, key=key)


def matrix_of(rows: Sequence[RunRow]) -> Matrix | None:
    """The matrix over the runs of the objective that most runs have; None where fewer than two settings were swept.

    Across is the numeric setting with the most values, down the first one that is no number, else the next; or
    the other way round where that would be too wide.
    """
    found = objectives(rows)
    rows = [row for row in rows if row.objective in (found[0], None)] if found else []
    columns = [column for column in swept_columns(rows) if column.key != "setting_id"]
    if not rows or not found[0].is_ranked or len(columns) < 2:
        return None
    counts = {column.key: len({column.show(row) for row in rows}) for column in columns}
    across = max(columns, key=lambda column: (column.right, counts[column.key]))
    down = max((column for column in columns if column is not across), key=lambda column: not column.right)
    if counts[across.key] > max(_WIDEST, counts[down.key]):
        down, across = across, down

    def place_of(row: RunRow) -> tuple[str, str]:
        return down.show(row), across.show(row)

    of_place: dict[tuple[str, str], list[Setting]] = {}
    for one in settings_of(rows, columns):
        if one.n:
            of_place.setdefault(place_of(one.runs[0]), []).append(one)
    places = {place: max(of, key=lambda one: (one.is_sound, not one.lost, one.gain)) for place, of in of_place.items()}
    repeated = has_repeats(list(places.values()))
    competing = {place: one.gain for place, one in places.items() if one.is_sound or not (repeated or one.lost)}
    best = frozenset(place for place, gain in competing.items() if gain == max(competing.values()))
    others: dict[tuple[str, str], Counter[str]] = {}
    for row in rows:
        if text.BLANK not in place_of(row):
            others.setdefault(place_of(row), Counter()).update([] if row.counts else [row.status])
    differing = {at for of in of_place.values() for at in range(len(columns)) if len({one.shown[at] for one in of}) > 1}
    also_differ = [columns[at].key for at in sorted(differing)]
    return Matrix(found[0], down, across, places, others, best, also_differ)


def matrix_table(rows: Sequence[RunRow]) -> Table | None:
    """Two swept settings against each other, the best place marked; None where fewer than two were swept."""
    matrix = matrix_of(rows)
    if matrix is None:
        return None
    lines = []
    for down in matrix.rows:
        places = [(down, across) for across in matrix.heads()]
        cells = [_place(matrix.places.get(place), matrix.others.get(place), place in matrix.best) for place in places]
        marked = frozenset(at for at, place in enumerate(places, 1) if place in matrix.best)
        lines.append(Line([down, *cells], "bold green" if marked else "", marked))
    notes = [ranked_on(matrix.objective, "setting", "Settings are ranked")]
    if matrix.best:
        notes[0] += f" {'It is' if len(matrix.best) == 1 else 'Equal ones are'} marked *."
    if has_repeats(list(matrix.places.values())):
        notes.append("± is the standard deviation over n seeds; values without it are single runs, and get no mark.")
    if matrix.also_differ:
        notes.append(f"Each place shows its best setting; they also differ in {', '.join(matrix.also_differ)}.")
    if len(objectives(rows)) > 1:
        notes.append("Runs with other objectives are left out.")
    across = matrix.across.header
    corner = Head(f"{matrix.down.header} \\ {across}", right=False)
    heads = [corner, *(Head(value, gives_way=1) for value in matrix.heads())]
    title = f"{matrix.objective.name} by {matrix.down.header} and {across}"
    return Table(title, heads, lines, notes)


def _place(one: Setting | None, others: Counter[str] | None, best: bool) -> str:
    parts = []
    if one is not None:
        parts.append(f"{'*' if best else ''}{text.figure(one.mean)}")
        if one.std is not None:
            parts.append(f"±{text.figure(one.std)} n={one.n}")
    for status, count in (others or {}).items():
        parts.append(f"+{count} {status}" if one else status if count == 1 else f"{count} {status}")
    return "\n".join(parts) or text.BLANK

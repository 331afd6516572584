"""Summaries for other programs: CSV, JSON and data frames with figures in full, Markdown and LaTeX with text."""

import csv
import io
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sweeps.results.advice import advice
from sweeps.results.columns import Column, columns_of
from sweeps.results.format import clean
from sweeps.results.inference import in_order
from sweeps.results.ranking import rank, sentences
from sweeps.results.runs import Objective, RunRow
from sweeps.results.runs import load as load_rows
from sweeps.results.settings import Setting, judged, settings_of
from sweeps.results.table import Table
from sweeps.terminal import without_formula

if TYPE_CHECKING:
    import pandas as pd

_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}


class Frames(NamedTuple):
    """`runs` has one row per run, the best first; `reports` one per report of each, with its `run`, step and metrics.

    `runs.run` and `reports.run` are the runs' folders below those that were loaded. Settings that differ stand under
    their keys (`optim.lr`), facts under `facts.parameters`, metrics of the last report under `last.val_loss`.
    """

    runs: "pd.DataFrame"
    reports: "pd.DataFrame"


def load(*folders: str | Path) -> Frames:
    """The runs at and below `folders` as data frames.

    Raises:
        RecordError: a folder does not exist, or holds no runs.
    """
    import pandas as pd

    rows = rank(load_rows(folders))
    columns = columns_of(rows, all_metrics=True)
    names = {row.path: _relative(row.path, folders) for row in rows}
    runs = [{**run_fields(row, columns), "run": names[row.path]} for row in rows]
    reports = [{"run": names[row.path], "seed": row.seed, **one} for row in rows for one in row.reports()[0]]
    return Frames(pd.DataFrame(runs), pd.DataFrame(reports, columns=None if reports else ["run", "seed", "step"]))


def _relative(path: Path, folders: Sequence[str | Path]) -> str:
    within = (path.relative_to(folder) for folder in folders if path.is_relative_to(folder))
    return next(within, path).as_posix()


def _objective_fields(objective: Objective | None) -> dict[str, str | None]:
    of = {"objective": "name", "direction": "direction", "report": "report", "split": "split"}
    return {key: getattr(objective, name, None) for key, name in of.items()}


def run_fields(row: RunRow, columns: Sequence[Column]) -> dict[str, Any]:
    """One run with a stable set of keys and, between them, the columns that this sweep needs."""
    first = {
        "rank": row.rank,
        "run": row.name,
        **{key: getattr(row, key) for key in ("is_best", "sweep", "status", "run_id", "setting_id", "seed")},
        **_objective_fields(row.objective),
        "value": row.value,
    }
    last = {
        **{key: getattr(row, key) for key in ("steps", "max_steps", "seconds")},
        "problem_kind": row.problem_kind or None,
        "problem": row.problem or None,
        "path": str(row.path),
    }
    taken = {*first, *last, "name"}  # a setting of the application's own with such a name is `settings.NAME`
    own = [one for one in columns if one.key in taken and one.is_setting and one.key != "seed"]
    found = {one.key: one.get(row) for one in columns if one.key not in taken}
    return {**first, **{f"settings.{one.key}": one.get(row) for one in own}, **found, **last}


def setting_fields(one: Setting) -> dict[str, Any]:
    """One setting over its seeds, or one group of `group_by`."""
    low, high, method = one.interval or (None, None, None)
    return {
        "setting": one.label,
        "setting_id": one.setting_id or None,
        **one.values,
        **{key: value for key, value in _objective_fields(one.objective).items() if key in ("objective", "split")},
        **{key: getattr(one, key) for key in ("n", "mean", "std")},
        "low": low,
        "high": high,
        "interval": method,
        "best": one.best,
        "differs_in": list(one.differs_in),
        "is_evidence": one.is_evidence,
        "runs": len(one.runs),
        **{status: one.counts[status] for status in ("pruned", "diverged", "failed", "unreadable")},
        "unfinished": sum(one.counts[status] for status in ("pending", "running", "interrupted")),
        "by_seed": {str(seed): one.by_seed[seed] for seed in in_order(one.by_seed)},
        "standing": one.standing or None,
        "p": one.p,
    }


def to_csv(records: Sequence[dict[str, Any]]) -> str:
    """One line per record; an empty field is a missing value."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(_flat, records[0]))
    writer.writerows(map(_flat, record.values()) for record in records)
    return text.getvalue()


def _flat(value: Any) -> Any:
    if isinstance(value, (list, dict, bool)):
        return json.dumps(value)
    return without_formula(clean(value)) if isinstance(value, str) else value


def to_json(rows: Sequence[RunRow], columns: Sequence[Column]) -> str:
    """The ranking, the settings over their seeds and what both were chosen on."""
    settings = judged(settings_of(rows))
    return dump(
        {
            "ranked_on": sentences(rows),
            "runs": [run_fields(row, columns) for row in rows],
            "settings": [setting_fields(one) for one in settings],
            "advice": advice(rows, settings),
        }
    )


def groups_to_json(rows: Sequence[RunRow], groups: Sequence[Setting], keys: Sequence[Column]) -> str:
    """The groups and what they were ranked on."""
    names = [column.key for column in keys]
    fields = [setting_fields(group) for group in groups]
    return dump({"ranked_on": sentences(rows, "group"), "grouped_by": names, "groups": fields})


def dump(content: dict[str, Any]) -> str:
    """As JSON, for people too."""
    return json.dumps(content, indent=2, default=str) + "\n"


def to_markdown(tables: Sequence[Table]) -> str:
    """A heading, a table and its notes for each table."""
    return "\n".join(_markdown(table) for table in tables)


def _markdown(table: Table) -> str:
    def line(cells: Sequence[str]) -> str:
        return f"| {' | '.join(_escape_markdown(cell) for cell in cells)} |\n"

    rule = "".join("---: | " if head.right else "--- | " for head in table.heads)
    content = line([head.text for head in table.heads]) + f"| {rule.rstrip()}\n"
    content += "".join(line(one.cells) for one in table.lines)
    notes = "".join(f"\n{_escape_markdown(note)}\n" for note in table.notes)
    return f"### {_escape_markdown(table.title)}\n\n{content}{notes}"


def _escape_markdown(text: str) -> str:
    return re.sub(r"([\\`*\[\]<>|&#])", r"\\\1", text).replace("\n", " ")


def to_latex(tables: Sequence[Table]) -> str:
    """One environment `table` for each, its notes as the caption."""
    return "% needs \\usepackage{booktabs}\n" + "\n".join(_latex(table) for table in tables)


def _latex(table: Table) -> str:
    def line(cells: Sequence[str]) -> str:
        return f"{' & '.join(_escape_latex(cell) for cell in cells)} \\\\\n"

    body = "".join(line(one.cells) for one in table.lines)
    return (
        "\\begin{table}\n\\centering\n"
        f"\\caption{{{_escape_latex(' '.join([f'{table.title}.', *table.notes]))}}}\n"
        f"\\begin{{tabular}}{{{''.join('r' if head.right else 'l' for head in table.heads)}}}\n\\toprule\n"
        f"{line([head.text for head in table.heads])}\\midrule\n{body}\\bottomrule\n"
        "\\end{tabular}\n\\end{table}\n"
    )


def _escape_latex(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text.replace("\n", " "))

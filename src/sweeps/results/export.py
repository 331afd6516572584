"""Summaries for other programs: CSV and JSON with figures in full, Markdown and LaTeX with the tables' text."""

import csv
import io
import json
import re
from collections.abc import Sequence
from typing import Any

from sweeps.results.advice import advice
from sweeps.results.columns import Column
from sweeps.results.compare import Comparison
from sweeps.results.format import clean
from sweeps.results.groups import Group, matrix_of
from sweeps.results.inference import Interval
from sweeps.results.ranking import is_best, sentences
from sweeps.results.runs import RunRow
from sweeps.results.settings import Cell, cell_columns, cells_of, judged
from sweeps.results.table import Sheet
from sweeps.terminal import without_formula

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


def run_fields(row: RunRow, columns: Sequence[Column]) -> dict[str, Any]:
    """One run with a stable set of keys and, between them, the columns that this sweep needs."""
    criterion = row.criterion
    shown = {column.key: column.get(row) for column in columns if column.key not in ("epochs", "status", "path")}
    return {
        "rank": row.rank,
        "name": row.name,
        "sweep": row.sweep,
        "status": row.status,
        "objective": criterion.metric if criterion else None,
        "direction": criterion.direction if criterion else None,
        "epoch": criterion.epoch if criterion else None,
        "split": criterion.split if criterion else None,
        "value": row.value,
        **shown,
        "epochs_done": row.epochs_done,
        "epochs_asked": row.epochs_asked,
        "problem_kind": row.problem_kind or None,
        "problem": row.problem or None,
        "path": str(row.path),
    }


def group_fields(group: Group, keys: Sequence[Column]) -> dict[str, Any]:
    """One group: its keys, its figures, and how many of its runs ended how."""
    return {
        **{column.key: value for column, value in zip(keys, group.values, strict=True)},
        "objective": group.criterion.metric if group.criterion else None,
        "split": group.criterion.split if group.criterion else None,
        "n": group.n,
        "mean": group.mean,
        "std": group.std,
        **_interval_fields(group.interval),
        "best": group.best,
        "differs_in": list(group.differs_in),
        "runs": group.counts.total(),
        **{status: group.counts[status] for status in ("pruned", "diverged", "failed", "unreadable")},
        "unfinished": sum(group.counts[status] for status in ("pending", "running", "interrupted")),
    }


def _interval_fields(found: Interval | None) -> dict[str, Any]:
    """The 95 % interval of a mean and how it was found."""
    low, high, method = (None, None, None) if found is None else found
    return {"low": low, "high": high, "interval": method}


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
    """The ranking, the matrix and what both were chosen on."""
    matrix = matrix_of(rows)
    cells = [] if matrix is None else [
        {
            "model": place.model,
            "lr": place.lr,
            "n": group.n,
            "mean": group.mean,
            "std": group.std,
            "is_best": place in matrix.best,
        }
        for place, group in matrix.cells.items()
    ]  # fmt: skip
    runs = [{**run_fields(row, columns), "is_best": is_best(row)} for row in rows]
    keys = cell_columns(rows)
    over_seeds = judged(cells_of(rows, keys))
    return _dump(
        {
            "ranked_on": sentences(rows),
            "runs": runs,
            "matrix": cells,
            "cells": [cell_fields(cell, keys) for cell in over_seeds],
            "advice": advice(rows, over_seeds),
        }
    )


def cell_fields(cell: Cell, columns: Sequence[Column]) -> dict[str, Any]:
    """One cell over its seeds."""
    return {
        "cell": cell.label,
        **{column.key: column.get(cell.rows[0]) for column in columns},
        "objective": cell.criterion.metric if cell.criterion else None,
        "split": cell.criterion.split if cell.criterion else None,
        "n": cell.n,
        "mean": cell.mean,
        "std": cell.std,
        **_interval_fields(cell.interval),
        "collapsed": cell.collapsed,
        "runs": len(cell.rows),
        "by_seed": {str(seed): value for seed, value in sorted(cell.by_seed.items())},
        "standing": cell.standing,
        "p": cell.p,
    }


def comparison_to_json(comparison: Comparison) -> str:
    """The answer of `--compare` with every figure that it rests on."""
    return _dump(comparison.fields())


def groups_to_json(rows: Sequence[RunRow], groups: Sequence[Group], keys: Sequence[Column]) -> str:
    """The groups and what they were ranked on."""
    names = [column.key for column in keys]
    fields = [{**group_fields(group, keys), "is_evidence": group.is_evidence} for group in groups]
    return _dump({"ranked_on": sentences(rows, "group"), "grouped_by": names, "groups": fields})


def _dump(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=2, default=str) + "\n"


def to_markdown(sheets: Sequence[Sheet]) -> str:
    """A heading, a table and its notes for each sheet."""
    return "\n".join(_markdown(sheet) for sheet in sheets)


def _markdown(sheet: Sheet) -> str:
    def line(cells: Sequence[str]) -> str:
        return f"| {' | '.join(_escape_markdown(cell) for cell in cells)} |\n"

    rule = "".join("---: | " if head.right else "--- | " for head in sheet.heads)
    table = line([head.text for head in sheet.heads]) + f"| {rule.rstrip()}\n"
    table += "".join(line(one.cells) for one in sheet.lines)
    notes = "".join(f"\n{_escape_markdown(note)}\n" for note in sheet.notes)
    return f"### {_escape_markdown(sheet.title)}\n\n{table}{notes}"


def _escape_markdown(text: str) -> str:
    return re.sub(r"([\\`*\[\]<>|&#])", r"\\\1", text).replace("\n", " ")


def to_latex(sheets: Sequence[Sheet]) -> str:
    """One `table` for each sheet, its notes as the caption."""
    return "% needs \\usepackage{booktabs}\n" + "\n".join(_latex(sheet) for sheet in sheets)


def _latex(sheet: Sheet) -> str:
    def line(cells: Sequence[str]) -> str:
        return f"{' & '.join(_escape_latex(cell) for cell in cells)} \\\\\n"

    body = "".join(line(one.cells) for one in sheet.lines)
    return (
        "\\begin{table}\n\\centering\n"
        f"\\caption{{{_escape_latex(' '.join([f'{sheet.title}.', *sheet.notes]))}}}\n"
        f"\\begin{{tabular}}{{{''.join('r' if head.right else 'l' for head in sheet.heads)}}}\n\\toprule\n"
        f"{line([head.text for head in sheet.heads])}\\midrule\n{body}\\bottomrule\n"
        "\\end{tabular}\n\\end{table}\n"
    )


def _escape_latex(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text.replace("\n", " "))

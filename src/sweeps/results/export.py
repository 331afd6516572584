"""Summaries for other programs: CSV and JSON with figures in full, Markdown and LaTeX with the tables' text."""

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from sweeps.results.advice import advice
from sweeps.results.columns import Column
from sweeps.results.compare import Comparison
from sweeps.results.format import clean
from sweeps.results.inference import in_order
from sweeps.results.ranking import sentences
from sweeps.results.runs import RunRow
from sweeps.results.settings import Setting, judged, settings_of
from sweeps.results.table import Table
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
    objective = row.objective
    first = {
        "rank": row.rank,
        "run": row.name,
        "is_best": row.is_best,
        "sweep": row.sweep,
        "status": row.status,
        "run_id": row.run_id,
        "setting_id": row.setting_id,
        "seed": row.seed,
        "objective": objective.name if objective else None,
        "direction": objective.direction if objective else None,
        "report": objective.report if objective else None,
        "split": objective.split if objective else None,
        "value": row.value,
    }
    last = {
        "steps": row.steps,
        "max_steps": row.max_steps,
        "seconds": row.seconds,
        "problem_kind": row.problem_kind or None,
        "problem": row.problem or None,
        "path": str(row.path),
    }
    return {**first, **_values(columns, {**first, **last, "name": None}, row), **last}


def _values(columns: Sequence[Column], taken: Mapping[str, Any], row: RunRow) -> dict[str, Any]:
    """The columns' values; a setting of the application's own whose name is taken is `settings.NAME`."""
    found = {one.key: one.get(row) for one in columns if one.key not in taken}
    own = [one for one in columns if one.key in taken and one.is_setting and one.key != "seed"]
    return {f"settings.{one.key}": one.get(row) for one in own} | found


def setting_fields(one: Setting) -> dict[str, Any]:
    """One setting over its seeds, or one group of `group_by`."""
    low, high, method = one.interval or (None, None, None)
    return {
        "setting": one.label,
        "setting_id": one.setting_id or None,
        **one.values,
        "objective": one.objective.name if one.objective else None,
        "split": one.objective.split if one.objective else None,
        "n": one.n,
        "mean": one.mean,
        "std": one.std,
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
    return _dump(
        {
            "ranked_on": sentences(rows),
            "runs": [run_fields(row, columns) for row in rows],
            "settings": [setting_fields(one) for one in settings],
            "advice": advice(rows, settings),
        }
    )


def comparison_to_json(comparison: Comparison) -> str:
    """The answer of `--compare` with every figure that it rests on."""
    return _dump(comparison.fields())


def groups_to_json(rows: Sequence[RunRow], groups: Sequence[Setting], keys: Sequence[Column]) -> str:
    """The groups and what they were ranked on."""
    names = [column.key for column in keys]
    fields = [setting_fields(group) for group in groups]
    return _dump({"ranked_on": sentences(rows, "group"), "grouped_by": names, "groups": fields})


def _dump(content: dict[str, Any]) -> str:
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

"""From run directories to tables. Reads records only; never imports torch.

Records in, rows, settings, statistics, tables out:

    rows = rank(load(folders))               # one `RunRow` per run directory, unreadable ones included (runs, ranking)
    settings = judged(settings_of(rows))     # one `Setting` per setting_id, the best first (settings)
    columns = columns_of(rows)               # `Column`s: what differs between the runs, objective, facts (columns)
    print_summary(console, folder)           # what `python -m sweeps.summarize FOLDER` shows (tables)

runs      RunRow: path name status sweep run_id setting_id seed objective value settings overridden facts last best
          steps max_steps seconds process problem_kind problem rank; metric is_finished
          is_unfinished is_troubled has_result counts is_best chosen. Objective (metric, direction, report, split):
          name, title, is_ranked, gain(value). UNREADABLE. load
ranking   rank, objectives(rows) (that of most runs first), sentences, ranked_on, split_name, tally, saved_by_pruning,
          tested(row), NO_RANKING
columns   Column: key header get(row) show(row) right is_setting gives_way largest_first is_stated. columns_of,
          setting_columns (with seed), swept_columns (without), setting_column(key, rows), find_column, sort_rows,
          in_all_runs, curve_column
settings  Setting: setting_id label runs objective values shown figures by_seed interval standing p; n mean std best
          gain lost counts apart is_evidence. settings_of, judged, has_repeats, group_by (groups are Settings with an
          empty setting_id)
matrix    matrix_of(rows) -> Matrix (two swept settings against each other) or None, matrix_table
inference interval, paired, pairwise, holm, mcnemar
compare   compare(rows, "model=nin", "model=vgg11") -> Comparison
advice    advice(rows, settings) -> sentences
table     Table (title, heads, lines, notes), Head, Line: prints itself on a rich console at any width
tables    ranking_table, settings_table (also of groups), failures_table, advice_table, summary, print_summary
export    the same as CSV, JSON, Markdown and LaTeX
dataframes load(folders) -> Frames (runs, reports), for notebooks: `sweeps.load`
format    clean, number, whole, setting, figure, metric, fact, steps, duration, p_value, plural, counted, sparkline
"""

from sweeps.results.ranking import rank
from sweeps.results.runs import RunRow, load
from sweeps.results.settings import Setting, judged, settings_of
from sweeps.results.tables import print_summary

__all__ = ["RunRow", "Setting", "judged", "load", "print_summary", "rank", "settings_of"]

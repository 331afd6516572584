"""From run directories to tables. Reads records only: never imports torch."""

from sweeps.results.ranking import rank
from sweeps.results.runs import RunRow, load
from sweeps.results.tables import failures_table, matrix_table, print_summary, ranking_table

__all__ = ["RunRow", "failures_table", "load", "matrix_table", "print_summary", "rank", "ranking_table"]

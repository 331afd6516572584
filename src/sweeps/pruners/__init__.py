"""Which runs are not worth their remaining epochs: what they report, and the rules that stop them."""

from sweeps.pruners.report_log import BOARD_NAME, Board, Report
from sweeps.pruners.reporter import PRUNED, Reporter, goes_on, pruning_metric, reporter_of, rule_of
from sweeps.pruners.rules import Rule, budgets, judge, rungs

__all__ = [
    "BOARD_NAME",
    "PRUNED",
    "Board",
    "Report",
    "Reporter",
    "Rule",
    "budgets",
    "goes_on",
    "judge",
    "pruning_metric",
    "reporter_of",
    "rule_of",
    "rungs",
]

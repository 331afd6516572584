"""Which runs are not worth their remaining steps: what they report, and the rules that stop them."""

from sweeps.pruners.judge import PAUSED, PRUNED, Judge, asked_of, judge_of, rounds_of
from sweeps.pruners.report_log import LOG_NAME, Report, ReportLog
from sweeps.pruners.rules import (
    Comparison,
    HalvingPruner,
    HyperbandPruner,
    MedianPruner,
    PatientPruner,
    Pruner,
    SuccessiveHalvingPruner,
    Values,
)

__all__ = [
    "LOG_NAME",
    "PAUSED",
    "PRUNED",
    "Comparison",
    "HalvingPruner",
    "HyperbandPruner",
    "Judge",
    "MedianPruner",
    "PatientPruner",
    "Pruner",
    "Report",
    "ReportLog",
    "SuccessiveHalvingPruner",
    "Values",
    "asked_of",
    "judge_of",
    "rounds_of",
]

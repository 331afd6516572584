"""Which runs are not worth their remaining steps: what they report, and the rules that stop them."""

from sweeps.pruners.base import Comparison, Pruner, Values
from sweeps.pruners.judge import PAUSED, PRUNED, Judge, judge_of, rounds_of
from sweeps.pruners.report_log import LOG_NAME, Report, ReportLog
from sweeps.pruners.rules import (
    HalvingPruner,
    HyperbandPruner,
    MedianPruner,
    PatientPruner,
    SuccessiveHalvingPruner,
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
    "judge_of",
    "rounds_of",
]
